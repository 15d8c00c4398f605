"""
What the surprise detectors cost a slot, over the whole of a record's making.

    python bench/bench_surprise.py
    python bench/bench_surprise.py BAG --calibration FILE

The records of a bag, or made-up ones of that size, pass through the planner's own path after the
command: with the detectors, and without, in turn, slot by slot. The figure is the difference of
one slot, over the period of 50 ms. With made-up records a calibration is made of others like them.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
import sys
import time
from typing import Any

from _machine import machine, machine_line
from _spread import shown, spread
import numpy as np

from wm_eval_ros.bag.definitions import complete, known_types
from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.records import (
    ClockMode,
    CycleRecord,
    CycleStatus,
    EpisodeEvent,
    EventKind,
    Record,
    RunInfo,
)
from wm_eval_ros.surprise.calibration import Calibration, read_calibration
from wm_eval_ros.surprise.fit import calibrate, Wish
from wm_eval_ros.surprise.material import gather
from wm_eval_ros.surprise.monitor import SurpriseFold
from wm_eval_ros.surprise.streams import FREE, REFERRED
from wm_eval_ros.wire import codec

MS = 1_000_000
PERIOD_NS = 50 * MS
#: share of the period that the detectors may take
GOAL = 0.01
#: slots of a made-up episode
SLOTS = 60


def made_up(episodes: int, latent: int, horizon: int, seed: int) -> list[Record]:
    """Make the records of a run whose latents decay under noise."""
    rng = np.random.default_rng(seed)
    records: list[Record] = [RunInfo(
        1, 'made up', 's', 't', ClockMode.LOCKSTEP, seed, episodes, 'p', PERIOD_NS, PERIOD_NS, 3.0,
        '0', model={'sha256': '0' * 64}, settings={'interface': {}, 'planner': {}})]
    decay = 0.9 ** np.arange(1, horizon + 1)[:, None]
    for e in range(episodes):
        z = rng.normal(size=latent)
        for k in range(SLOTS):
            slot = e * SLOTS + k
            at = slot * PERIOD_NS
            rollout = (z * decay).astype(np.float32)
            records.append(CycleRecord(
                at, slot, e, CycleStatus.OK, at, at, at, at + MS, at + MS, at + MS, PERIOD_NS,
                PERIOD_NS, action=(0.0,), latent=z.astype(np.float32), rollout=rollout,
                rollout_std=np.full(rollout.shape, 0.1, np.float32)))
            z = 0.9 * z + 0.1 * rng.normal(size=latent)
        records.append(EpisodeEvent((e + 1) * SLOTS * PERIOD_NS - MS, e, EventKind.TIMEOUT))
    return records


def measure(cycles: list[CycleRecord], calibration: Calibration) -> dict[str, Any]:
    """Time every slot with and without the detectors, the first of the two in turn."""
    store = known_types()
    if codec.CYCLE_TYPE not in store.types:
        complete(store, codec.CYCLE_TYPE)
    types = codec.MessageTypes(lambda name: store.types[name])
    fold = SurpriseFold((), 2, calibration)
    # of each slot [ms]: with the detectors, without, and the detectors alone
    times = np.empty((len(cycles), 2))
    for i, cycle in enumerate(cycles):
        for way in (0, 1) if i % 2 else (1, 0):
            begun = time.perf_counter_ns()
            record = cycle if way else fold.update(cycle)
            codec.cycle_to_msg(record, types)
            times[i, way] = (time.perf_counter_ns() - begun) / MS
    warm = times[min(200, len(cycles) // 10):]
    extra = warm[:, 0] - warm[:, 1]
    return {'latent': len(cycles[0].latent) if cycles[0].latent is not None else 0,
            'streams': len(calibration.streams), 'neighbours': len(calibration.nominal.neighbours),
            'with_ms': spread(warm[:, 0]), 'without_ms': spread(warm[:, 1]),
            'extra_ms': spread(extra),
            'share_of_period': float(np.median(extra)) * MS / PERIOD_NS,
            'share_of_period_p99': float(np.percentile(extra, 99, method='higher'))
            * MS / PERIOD_NS}


def from_bag(bag: Path, calibration: Path, slots: int) -> dict[str, Any]:
    """Measure on the records of a run, again and again until there are enough."""
    with open_bag(bag) as opened:
        cycles = [r for r in opened.records()
                  if isinstance(r, CycleRecord) and r.status is not CycleStatus.WARMUP]
    again = cycles * math.ceil(slots / len(cycles))
    return measure(again[:slots], read_calibration(calibration)[0])


def from_nothing(latent: int, horizon: int, slots: int) -> dict[str, Any]:
    """Measure on made-up records with latents of a size."""
    nominal = made_up(80, latent, horizon, 0)
    every = Wish(streams=(*FREE, *REFERRED))
    calibration = calibrate(gather([('made up', lambda: nominal)]), every, created_ns=0)
    fresh = made_up(math.ceil(slots / SLOTS), latent, horizon, 1)
    return measure([r for r in fresh if isinstance(r, CycleRecord)][:slots], calibration)


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('bag', type=Path, nargs='?', help='bag of a run; left out: made-up ones')
    parser.add_argument('--calibration', type=Path, help='calibration of its model')
    parser.add_argument('--slots', type=int, default=6000)
    parser.add_argument('--quick', action='store_true', help='few slots: does it run at all')
    parser.add_argument('--json', action='store_true')
    args = parser.parse_args()
    if (args.bag is None) != (args.calibration is None):
        parser.error('a bag goes together with --calibration')
    facts, slots = machine(), 400 if args.quick else args.slots
    if args.bag is not None:
        rows = [from_bag(args.bag, args.calibration, slots)]
    else:
        rows = [from_nothing(latent, 12, slots) for latent in (11, 64, 256)]
    if args.json:
        print(json.dumps({'machine': facts, 'goal': GOAL, 'rows': rows}, indent=1))
        return 0
    print(machine_line(facts))
    for row in rows:
        print(f'latent {row["latent"]}, {row["streams"]} streams, {row["neighbours"]} neighbours')
        for name in ('with_ms', 'without_ms', 'extra_ms'):
            print(f'  {name.removesuffix("_ms"):<8} {shown(row[name], "ms")}')
        print(f'  of a period of 50 ms: {row["share_of_period"]:.2%}, '
              f'p99 {row["share_of_period_p99"]:.2%} (goal {GOAL:.0%})')
    return 0


if __name__ == '__main__':
    sys.exit(main())
