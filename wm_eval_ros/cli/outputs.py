"""What a scored bag is written and printed as."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
import sys
from typing import TYPE_CHECKING

from wm_eval_ros.errors import MissingExtraError, RecordingError

if TYPE_CHECKING:
    from wm_eval_ros.cli.reading import Scored
    from wm_eval_ros.scoring.scorecard import Scorecard


def write(found: Scored, folder: Path, baselines: Sequence[Scorecard] = ()) -> list[Path]:
    """
    Write the scorecard, the results, the checks and the report.

    Without plotly the report is left out, with a line that says so; the rest is written.

    :raises RecordingError: the folder cannot be written
    """
    from wm_eval_ros.report.files import junit, results_jsonl
    from wm_eval_ros.report.page import page
    files = {'scorecard.json': found.card.to_json(),
             'results.jsonl': results_jsonl(found.card, found.checks),
             'junit.xml': junit(found.card, found.checks)}
    try:
        files['report.html'] = page(found.card, found.run, found.trace, found.checks, baselines)
    except MissingExtraError as error:
        print(f'wm-eval score: {error}', file=sys.stderr)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding='utf-8')
    except OSError as error:
        raise RecordingError(f'{folder}: cannot be written ({error.strerror})') from None
    return [folder / name for name in files]


def print_result(card: Scorecard, *, as_json: bool) -> None:
    """Print the scorecard on stdout."""
    if as_json:
        sys.stdout.write(card.to_json())
        return
    from wm_eval_ros.report.text import table
    sys.stdout.write(table(card))
