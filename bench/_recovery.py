"""Two lockstep runs on the same starts under one fault: who recovered, and how wild it was."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _graph
from _spread import spread
import numpy as np

from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.cli.reading import read
from wm_eval_ros.metrics.recovery import recoveries
from wm_eval_ros.metrics.table import Run
from wm_eval_ros.records import CycleRecord
from wm_eval_ros.stats.paired import mcnemar_exact, paired_difference

#: nothing makes this gate command: no silence is too long; alarms need a calibration, which it
#: has not. Commands that are not finite or out of range would still be refused: it has no switch
OFF = {'late_periods': 1e6, 'stale_periods': 1e6, 'stop_ms': 1e9}


@dataclass(frozen=True)
class Perturbed:
    """What became of one start under the fault."""

    recovered: bool
    #: from the onset to the solved task [s]; of one that did not recover, to its end
    wait_s: float
    #: largest speed the planner observed from the onset on [rad/s or m/s]; NaN: none observed
    speed: float
    #: the gate commanded at some time after the onset
    handed_over: bool
    #: it had stopped, which in an episode is for good
    stopped: bool
    #: it had handed over before the onset: a false alarm
    early: bool


def perturbed(bag: Path) -> dict[int, Perturbed]:
    """
    Return the perturbed episodes of a bag, by seed.

    Recovered is the definition of the metric `recovery_rate`: solved after the onset.
    """
    run = read(bag).run
    speeds = _speeds(bag, run)
    by_onset = {r.applied[0].episode: r for r in recoveries(run)}
    spells = {kind: [e for e in run.events if e.kind.name == kind]
              for kind in ('FALLBACK_ON', 'STOPPED_ON')}
    found = {}
    for episode in run.episodes:
        judged = by_onset.get(episode.number)
        if judged is None or judged.recovered is None or episode.seed is None:
            continue
        onset_ns = judged.applied[0].begin_ns
        began = {kind: [e.stamp_ns for e in events if e.episode == episode.number]
                 for kind, events in spells.items()}
        found[episode.seed] = Perturbed(
            judged.recovered, judged.wait_s, speeds.get(episode.number, float('nan')),
            any(t >= onset_ns for t in began['FALLBACK_ON']), bool(began['STOPPED_ON']),
            any(t < onset_ns for t in began['FALLBACK_ON']))
    return found


def _speeds(bag: Path, run: Run) -> dict[int, float]:
    """Return episode -> largest observed speed from the onset on."""
    assert run.info is not None
    columns = [i for i, name in enumerate(run.info.observation_names) if '.velocity' in name]
    onsets = {number: done[0].begin_ns for number, done in run.applied.items() if done}
    found: dict[int, float] = {}
    with open_bag(bag) as opened:
        for record in opened.records():
            if not isinstance(record, CycleRecord) or not record.observation:
                continue
            if record.stamp_ns >= onsets.get(record.episode, 2**63):
                speed = float(np.max(np.abs(np.array(record.observation)[columns])))
                found[record.episode] = max(found.get(record.episode, 0.0), speed)
    return found


def contrast(on: dict[int, Perturbed], off: dict[int, Perturbed]) -> dict[str, Any]:
    """
    Hold two sides against each other on the starts that were perturbed on both.

    :returns: `recovered` of either side, `difference` on - off with Tango's limits, `p` of the
        exact McNemar test, speeds and waits as spreads, and in how many pairs the speed with the
        gate was lower and higher, with the p-value of that sign test
    """
    seeds = sorted(on.keys() & off.keys())
    if not seeds:
        return {'n': 0}
    pairs = [(on[s], off[s]) for s in seeds]
    b = sum(x.recovered and not y.recovered for x, y in pairs)
    c = sum(y.recovered and not x.recovered for x, y in pairs)
    slower = sum(x.speed < y.speed for x, y in pairs)
    faster = sum(x.speed > y.speed for x, y in pairs)
    difference = paired_difference(b, c, len(pairs))
    return {
        'n': len(pairs), 'unpaired': len(on.keys() ^ off.keys()),
        'recovered': [sum(x.recovered for x, _ in pairs), sum(y.recovered for _, y in pairs)],
        'only_on': b, 'only_off': c, 'difference': difference.value, 'low': difference.low,
        'high': difference.high, 'p': mcnemar_exact(b, c),
        'wait_s': [spread([p[side].wait_s for p in pairs if all(x.recovered for x in p)])
                   for side in (0, 1)],
        'speed': [spread([p[side].speed for p in pairs if np.isfinite(p[side].speed)])
                  for side in (0, 1)],
        'slower': slower, 'faster': faster, 'p_speed': mcnemar_exact(slower, faster),
        'handed_over': sum(x.handed_over for x, _ in pairs),
        'stopped': sum(x.stopped for x, _ in pairs), 'early': sum(x.early for x, _ in pairs)}


def run(task: str, folder: Path, count: int, seed: int, supervisor: dict[str, Any],
        fault: dict[str, Any] | None, calibration: str = '') -> Path:
    """Run a task in lockstep and return the bag."""
    laid: dict[str, Any] = {f'supervisor__{key}': value for key, value in supervisor.items()}
    if fault is not None:
        laid['perturbations'] = [fault]
    if calibration:
        laid['detector__calibration'] = calibration
    return _graph.run(_graph.scenario(task, clock='lockstep', episodes=count, seed=seed, **laid),
                      folder)
