"""What is named on the command line as a system: a bag, a run, several runs, a scorecard."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from wm_eval_ros.cli.reading import read
from wm_eval_ros.errors import BagError
from wm_eval_ros.records import Verdict

if TYPE_CHECKING:
    from wm_eval_ros.cli.reading import Scored
    from wm_eval_ros.scoring.evidence import Evidence

#: findings about a bag that are passed on
MOST_NOTES = 3
_BAG_FILES = ('metadata.yaml', '*.mcap', '*.mcap.zstd', '*.db3', '*.db3.zstd')


def evidence_of(path: Path, *, salvage: bool = False) -> Evidence:
    """
    Read a system: a bag, a run's folder, a folder of runs, or a scorecard.json.

    :raises BagError: nothing of the kind is there, or it cannot be read
    """
    from wm_eval_ros.config.bounded import read_bounded, text_of
    from wm_eval_ros.config.json_text import MAX_JSON_BYTES
    from wm_eval_ros.scoring.evidence import merge, of_card
    if path.suffix == '.json':
        from wm_eval_ros.scoring.saved import read_card
        data = read_bounded(path, MAX_JSON_BYTES, BagError)
        return of_card(read_card(text_of(data, path, BagError), str(path)))
    return merge([_of_scored(read(bag, salvage=salvage)) for bag in bags_of(path)], str(path))


def bags_of(path: Path) -> list[Path]:
    """
    Return the bags a path stands for: itself, `bag` in it, or `bag` in each folder in it.

    What an interrupted run left and was set aside (`*.unfinished1`) is no run of the system.

    :raises BagError: there is none
    """
    if path.is_file() or is_bag(path):
        return [path]
    if is_bag(path / 'bag'):
        return [path / 'bag']
    found = sorted(folder for folder in path.glob('*/bag')
                   if is_bag(folder) and '.unfinished' not in folder.parent.name)
    if not found:
        what = 'no bag in it, nor in the folders in it' if path.is_dir() else 'not there'
        raise BagError(f'{path}: {what}; give a bag, the folder of a run or of several, or a '
                       'scorecard.json')
    return found


def is_bag(folder: Path) -> bool:
    """Say whether a folder holds files of a bag."""
    return folder.is_dir() and any(any(folder.glob(pattern)) for pattern in _BAG_FILES)


def _of_scored(found: Scored) -> Evidence:
    from wm_eval_ros.scoring.evidence import of_run
    notes = [f'{c.name}: {c.text}' for c in found.checks
             if c.verdict in (Verdict.ERROR, Verdict.INCONCLUSIVE)]
    if len(notes) > MOST_NOTES:
        notes[MOST_NOTES:] = [f'{len(notes) - MOST_NOTES} more: `wm-eval score` names them']
    return replace(of_run(found.run, found.card.episodes), notes=tuple(notes))
