"""
How often the stated interval of a one-way time holds the true one, over hosts whose clocks differ.

    python bench/bench_two_clocks.py --runs 100 --seed 1

Every run is an echo on another host (a network namespace) behind a wire of its own delays, one for
each way, 1 ms of jitter and 1 % of loss; the device's clock is up to half a second off. The true
one-way time is that of the same messages by the clocks as they really are. Of the wire alone the
bench shows how long it held the frames: a message takes no less.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
import json
import os
from pathlib import Path
import random
import sys
import tempfile
import time
from typing import Any

from _machine import machine, machine_line
from _two_hosts import Clock, measure, true_ms, TwoHosts, unavailable
from _wire import Way
import numpy as np

from wm_eval_ros.cli.reading import read
from wm_eval_ros.stats.proportion import clopper_pearson

ANSWER = '/proposed/joint_command'
#: share of the runs that has to hold the true time
GOAL = 0.95
#: farthest that a clock is off [s], least and largest delay of a way [ms]
OFF_S, DELAYS_MS = 0.5, (1.0, 8.0)
JITTER_MS, LOSS = 1.0, 0.01
#: longest that a run may take [s]
WITHIN_S = 120.0


@dataclass(frozen=True)
class Found:
    """One run; times in ms. None: not told."""

    ahead: float
    out_delay: float
    back_delay: float
    #: what kept it from a result; empty: nothing
    why: str = ''
    offset: float | None = None
    uncertainty: float | None = None
    #: what the wire held frames of the way back, p50
    held: float | None = None
    #: p50 of the way back by the clocks as they are
    true: float | None = None
    #: what is stated of it
    value: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def inside(self) -> bool | None:
        """Whether the stated interval holds the true time; None without one."""
        if self.true is None or self.low is None or self.high is None:
            return None
        return self.low <= self.true <= self.high

    @property
    def known(self) -> bool | None:
        """Whether the clock is as far off as is stated."""
        if self.offset is None or self.uncertainty is None:
            return None
        return abs(self.offset - self.ahead) <= self.uncertainty


def one(folder: Path, number: int, seed: int, seconds: float) -> Found:
    """Run once."""
    rng = random.Random(f'{seed} {number}')
    ahead_ns = round(rng.uniform(-OFF_S, OFF_S) * 1e9)
    out, back = (Way(rng.uniform(*DELAYS_MS), JITTER_MS, LOSS) for _ in range(2))
    clock = Clock(ahead_ns)
    drawn = (ahead_ns / 1e6, out.delay_ms, back.delay_ms)
    try:
        with TwoHosts(folder, out, back, clock, seed=number) as hosts:
            bag = measure(hosts, 'echo', WITHIN_S, plant__time_limit_s=seconds,
                          plant__observation_hz=100.0, planner__deadline_ms=100.0)
            hosts.cut()
    except RuntimeError as error:
        return Found(*drawn, why=str(error))
    scored = read(bag)
    told, asked = scored.card[f'one_way_back[{ANSWER}].p50'], scored.card['clock_offset[planner]']
    limits, known = told.interval, asked.interval
    return Found(*drawn, why='' if limits else told.why, offset=asked.value,
                 uncertainty=None if known is None else (known.high - known.low) / 2.0,
                 held=float(np.median(hosts.frames(1).held_ms)),
                 true=float(np.median(true_ms(scored.run, clock)[1][ANSWER])),
                 value=told.value, low=limits and limits.low, high=limits and limits.high)


def summary(found: list[Found]) -> dict[str, Any]:
    """Count the runs whose interval holds the true time; those without one are no evidence."""
    told = [f for f in found if f.inside is not None]
    inside, clocks = sum(bool(f.inside) for f in told), [f for f in found if f.known is not None]
    limits = clopper_pearson(inside, len(told)) if told else None
    halves = [f.uncertainty for f in clocks if f.uncertainty is not None]
    apart = [abs(f.value - f.true) for f in told if f.value is not None and f.true is not None]
    return {
        'goal': GOAL, 'runs': len(found), 'told': len(told), 'inside': inside,
        'limits': None if limits is None else [limits.low, limits.high],
        'clocks_inside': sum(bool(f.known) for f in clocks), 'clocks': len(clocks),
        'error_p50_ms': float(np.median(apart)) if apart else None,
        'error_max_ms': max(apart, default=None),
        'uncertainty_p50_ms': float(np.median(halves)) if halves else None,
        'untold': sorted({f.why for f in found if f.inside is None})}


def table(found: list[Found]) -> list[str]:
    """Return the runs as lines."""
    lines = ['clock ahead | its estimate +- | delay out, back | held back | true back | stated '
             '[interval] | inside   (ms, p50)']
    for f in found:
        if f.inside is None:
            lines.append(f'{f.ahead:11.3f} | {f.why.splitlines()[0]}')
            continue
        said = 'yes' if f.inside else 'NO'
        lines.append(f'{f.ahead:11.3f} | {f.offset:9.3f} {f.uncertainty:5.2f} | '
                     f'{f.out_delay:6.2f}, {f.back_delay:5.2f} | {f.held:9.2f} | '
                     f'{f.true:9.2f} | {f.value:6.2f} [{f.low:6.2f}, {f.high:6.2f}] | {said}')
    return lines


def verdict(result: dict[str, Any]) -> list[str]:
    """Return the counts as lines."""
    if result['limits'] is None:
        return ['no run has told a one-way time']
    low, high = result['limits']
    return [f'the true one-way time lies in the stated interval in {result["inside"]} of '
            f'{result["told"]} runs [{low:.2f}, {high:.2f}], goal {result["goal"]:.0%}; '
            f'{result["runs"] - result["told"]} of {result["runs"]} runs told none',
            f'the clock is as far off as stated in {result["clocks_inside"]} of '
            f'{result["clocks"]}, known to {result["uncertainty_p50_ms"]:.2f} ms (p50)',
            f'stated less true p50: {result["error_p50_ms"]:.2f} ms (p50), '
            f'{result["error_max_ms"]:.2f} ms at most']


def main() -> int:
    """Run the bench; exit code 1 where fewer intervals than the goal hold the true time."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--runs', type=int, default=100)
    parser.add_argument('--seed', type=int, default=0, help='seed of offsets, delays and losses')
    parser.add_argument('--seconds', type=float, default=6.0, help='length of a run')
    parser.add_argument('--at-once', type=int, default=2, help='runs beside each other')
    parser.add_argument('--within-min', type=float, default=float('inf'),
                        help='begin no further run after so many minutes')
    parser.add_argument('--quick', action='store_true', help='2 runs: does it work?')
    parser.add_argument('--json', action='store_true')
    args = parser.parse_args()
    why = unavailable()
    if why:
        print(why)
        return 0
    facts = machine()
    until = time.monotonic() + 60.0 * args.within_min
    with tempfile.TemporaryDirectory() as scratch:

        def trial(number: int) -> Found | None:
            if time.monotonic() > until:
                return None
            folder = Path(scratch, str(number))
            folder.mkdir()
            return one(folder, number, args.seed, args.seconds)

        with ThreadPoolExecutor(args.at_once) as pool:
            numbers = range(2 if args.quick else args.runs)
            found = [f for f in pool.map(trial, numbers) if f is not None]
    result = summary(found)
    if args.json:
        print(json.dumps({'machine': facts, **result,
                          'trials': [{**asdict(f), 'inside': f.inside} for f in found]}, indent=1))
    else:
        print(machine_line(facts, os.getloadavg()[0]))
        print('\n'.join([*table(found), *verdict(result)]))
    return int(result['inside'] < GOAL * result['told'])


if __name__ == '__main__':
    sys.exit(main())
