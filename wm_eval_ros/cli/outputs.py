"""What a scored bag is written and printed as; whether a folder can be written at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
import errno
from pathlib import Path
import shutil
import sys
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from wm_eval_ros.errors import BagError, ConfigError, MissingExtraError, RecordingError

if TYPE_CHECKING:
    from wm_eval_ros.cli.reading import Scored
    from wm_eval_ros.report.viewer import Frames
    from wm_eval_ros.scoring.scorecard import Scorecard
    from wm_eval_ros.scoring.sweep import Sweep


def require_writable(folder: Path, option: str = '--out') -> None:
    """
    Refuse a folder that could not be written, before the work whose result it is to hold.

    It is made, written to, and removed again with all that was made for it.

    :param option: that named it
    :raises ConfigError: it cannot be made, or nothing can be written into it
    """
    made: list[Path] = []
    try:
        for path in reversed((folder, *folder.parents)):
            if path.is_file():
                raise ConfigError(f'{folder}: cannot be written ({path} is a file); '
                                  f'choose another {option}')
            if not path.is_dir():
                path.mkdir()
                made.append(path)
        with TemporaryFile(dir=folder) as probe:
            probe.write(b'0')
    except OSError as error:
        raise ConfigError(f'{folder}: cannot be written ({error.strerror or error}); '
                          f'choose another {option}') from None
    finally:
        with suppress(OSError):  # somebody else put something there: it stays
            for path in reversed(made):
                path.rmdir()


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """
    Say in one line why a folder cannot be written.

    :raises RecordingError: the system refused to
    """
    try:
        yield
    except OSError as error:
        raise RecordingError(f'{folder}: cannot be written ({error.strerror or error})') from None


def copy_folder(source: Path, to: Path) -> None:
    """
    Copy a folder to a place that is not there.

    :raises OSError: it cannot be copied; of several files the reason of the first
    """
    try:
        shutil.copytree(source, to)
    except shutil.Error as error:
        raise OSError(errno.EIO, str(error.args[0][0][2])) from None


def write(found: Scored, folder: Path, baselines: Sequence[Scorecard] = (),
          sweeps: Sequence[Sweep] = ()) -> list[Path]:
    """
    Write the scorecard, the results, the checks, the summary and the report.

    Without plotly the report is left out, with a line that says so; the rest is written.

    :param baselines: scorecards of other planners on the same starts
    :param sweeps: results over several runs, shown with this one
    :raises RecordingError: the folder cannot be written
    """
    from wm_eval_ros.report.files import junit, results_jsonl
    from wm_eval_ros.report.markdown import run_summary
    from wm_eval_ros.report.page import page
    files = {'scorecard.json': found.card.to_json(),
             'results.jsonl': results_jsonl(found.card, found.checks),
             'junit.xml': junit(found.card, found.checks),
             'summary.md': run_summary(found.card, found.checks, baselines)}
    try:
        files['report.html'] = page(found.card, found.run, found.trace, found.checks, baselines,
                                    _frames(found), sweeps)
    except MissingExtraError as error:
        print(f'wm-eval score: {error}', file=sys.stderr)
    return write_files(folder, files)


def write_files(folder: Path, files: Mapping[str, str]) -> list[Path]:
    """
    Write texts by name into a folder, which is made.

    :raises RecordingError: it cannot be written
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding='utf-8')
    return [folder / name for name in files]


def _frames(found: Scored) -> Frames:
    """Take the images of the episodes the report shows from the bag; none without plotly."""
    from wm_eval_ros.bag.reader import open_bag
    from wm_eval_ros.cli.frames import read_frames
    from wm_eval_ros.report.plots.states import chosen
    from wm_eval_ros.report.viewer import Frames
    numbers = found.trace.numbers(least=2) or [e.number for e in found.run.episodes]
    try:
        with open_bag(found.path, salvage=found.salvage) as bag:
            return read_frames(bag, found.run.episodes, chosen(found.card, numbers))
    except BagError as error:
        return Frames(note=f'the camera is not shown: {error}')


def print_result(card: Scorecard, *, as_json: bool) -> None:
    """Print the scorecard on stdout."""
    if as_json:
        sys.stdout.write(card.to_json())
        return
    from wm_eval_ros.report.text import table
    sys.stdout.write(table(card))
