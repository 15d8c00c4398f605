"""Bags of nominal runs to a calibration of the surprise detectors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import math
from pathlib import Path
import time

from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.metrics.action_following import ActionFollowing
from wm_eval_ros.metrics.table import RunTable
from wm_eval_ros.records import MetricValue, Record, SampleRecord
from wm_eval_ros.surprise.calibration import Calibration
from wm_eval_ros.surprise.fit import calibrate, Wish
from wm_eval_ros.surprise.material import gather, Recording

#: below this share of the variance of the commands, what is imagined does not show them
BLIND_BELOW = 0.1


def calibrate_bags(bags: Sequence[Path], wish: Wish) -> Calibration:
    """
    Calibrate from bags of nominal runs; every bag is read twice.

    :raises BagError: one cannot be read
    :raises CalibrationError: perturbed, of several models or tasks, or too few episodes
    """
    material = gather([(str(path), _recording(path)) for path in bags])
    table = RunTable()
    for record in material.recordings[0]():
        if not isinstance(record, SampleRecord):
            table.update(record)
    following = shown_commands(table)
    return calibrate(material, wish, created_ns=time.time_ns(), action_following=following,
                     action_blind=following is not None and following < BLIND_BELOW)


def shown_commands(table: RunTable) -> float | None:
    """
    Return how much of the commands the imagined first steps show; None where that is not known.

    The upper end of the interval of ``action_following``: a model is called blind where the run
    shows it to be, not where the run is too short to tell.
    """
    values = {v.name: v for v in ActionFollowing(table).compute()}
    found: MetricValue = values['action_following']
    if found.value is None or found.interval is None or not math.isfinite(found.interval.high):
        return None
    return found.interval.high


def _recording(path: Path) -> Recording:
    def records() -> Iterable[Record]:
        with open_bag(path) as bag:
            yield from bag.records()

    return records
