"""
Which physical faults the surprise detectors find, and how often they are wrong without one.

    python bench/bench_detectors.py reacher --calibrate 400 --held-out 400 --faulty 61

Episodes in this process, in the time of `lockstep` (`_in_process.py`), on disjoint starts: some
calibrate, some are held out, and some run under one fault each. Nothing here is timed.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import _in_process
import numpy as np

from wm_eval_ros.records import CycleRecord, EpisodeEvent, EventKind, Record
from wm_eval_ros.stats.proportion import clopper_pearson
from wm_eval_ros.stats.roc import auroc
from wm_eval_ros.surprise.calibration import Calibration
from wm_eval_ros.surprise.fit import calibrate, Wish
from wm_eval_ros.surprise.material import gather
from wm_eval_ros.surprise.monitor import SurpriseFold

FAULTS = ('friction', 'damping', 'payload', 'actuator_gain', 'actuator_failure', 'impulse',
          'gravity')
#: first seeds: of calibrating, held-out and perturbed episodes
SEEDS = (200_000, 300_000, 500_000)


def judged(records: list[Record], calibration: Calibration) -> list[tuple[float, float]]:
    """Return largest score, and time from the onset to the first alarm [s], of each episode."""
    fold, onsets = SurpriseFold((), 2, calibration), dict[int, int]()
    scores: dict[int, list[tuple[int, float]]] = {}
    for record in records:
        if isinstance(record, EpisodeEvent) and record.kind is EventKind.PERTURB_ON:
            onsets[record.episode] = record.stamp_ns
        elif isinstance(record, CycleRecord):
            scores.setdefault(record.episode, []).append(
                (record.stamp_ns, fold.update(record).surprise))
    found = []
    for episode, rows in scores.items():
        since = [(t - onsets.get(episode, rows[0][0]), s) for t, s in rows]
        after = [(t, s) for t, s in since if t >= 0 and not np.isnan(s)]
        alarms = [t / 1e9 for t, s in after if s > calibration.threshold]
        found.append((max((s for _, s in after), default=-np.inf), min(alarms, default=np.inf)))
    return found


def measure(task: str, counts: tuple[int, int, int], severity: float, start_s: float,
            wish: Wish, shift: int = 0) -> dict[str, Any]:
    """
    Calibrate, and judge held-out and perturbed episodes.

    :param shift: added to every seed
    """
    made = _in_process.Task(task)
    seeds = [list(range(first + shift, first + shift + n))
             for first, n in zip(SEEDS, counts, strict=True)]
    nominal = made.run(seeds[0])
    calibration = calibrate(gather([(task, lambda: nominal)]), wish, created_ns=0)
    calm = judged(made.run(seeds[1]), calibration)
    rows = {}
    for name in FAULTS:
        fault = _in_process.Fault(f'physical.{name}', severity, start_s)
        try:
            upset = judged(made.run(seeds[2], fault), calibration)
        except ValueError as error:
            rows[name] = {'skipped': str(error)}
            continue
        seen = sum(np.isfinite(t) for _, t in upset)
        area = auroc(np.array([s for s, _ in upset]), np.array([s for s, _ in calm]))
        rows[name] = {'seen': int(seen), 'n': len(upset), **_limits(int(seen), len(upset)),
                      'median_delay_s': float(np.median([t for _, t in upset])),
                      'auroc': area.value}
    alarms = sum(np.isfinite(t) for _, t in calm)
    return {'task': task, 'n': calibration.n, 'rank': calibration.rank,
            'held_out': {'alarms': int(alarms), 'n': len(calm), **_limits(int(alarms), len(calm))},
            'faults': rows}


def _limits(count: int, n: int) -> dict[str, float]:
    found = clopper_pearson(count, n)
    return {'low': found.low, 'high': found.high}


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('task', nargs='?', default='reacher')
    parser.add_argument('--calibrate', type=int, default=200)
    parser.add_argument('--held-out', type=int, default=100)
    parser.add_argument('--faulty', type=int, default=61)
    parser.add_argument('--severity', type=float, default=0.5)
    parser.add_argument('--start', type=float, default=0.0, help='task time of the onset [s]')
    parser.add_argument('--alpha', type=float, default=0.05)
    parser.add_argument('--shift', type=int, default=0, help='added to every seed: other starts')
    parser.add_argument('--streams', default='', help='score streams; left out: the default')
    parser.add_argument('--json', action='store_true')
    args = parser.parse_args()
    wish = Wish(alpha=args.alpha, streams=tuple(filter(None, args.streams.split(','))))
    found = measure(args.task, (args.calibrate, args.held_out, args.faulty), args.severity,
                    args.start, wish, args.shift)
    if args.json:
        print(json.dumps(found, indent=1))
        return 0
    held = found['held_out']
    print(f'{args.task}: alpha {args.alpha:g}, rank {found["rank"]} of {found["n"]}; held-out '
          f'nominal episodes with an alarm: {held["alarms"]} of {held["n"]} '
          f'[{held["low"]:.3f}, {held["high"]:.3f}]')
    for name, row in found['faults'].items():
        print(f'  {name:<17} ' + (f'skipped: {row["skipped"]}' if 'skipped' in row else
              f'{row["seen"]} of {row["n"]} [{row["low"]:.3f}, {row["high"]:.3f}], median delay '
              f'{row["median_delay_s"]:g} s, AUROC {row["auroc"]:.3f}'))
    return 0


if __name__ == '__main__':
    sys.exit(main())
