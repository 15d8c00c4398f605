"""
How often the stated time at which a command acts holds the true one, and how sharp it is.

    python bench/bench_actuator.py --runs 20 --seed 1

Every run: the host's end of a serial line, no ROS, sends commands for some seconds to a stand-in
of the micro-controller, whose clock begins anywhere and drifts by up to 100 ppm, at one of four
rates of the line. The truth is the stand-in's own log of what acted when, by CLOCK_MONOTONIC.
"""

from __future__ import annotations

import argparse
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
import numpy as np

from wm_eval_ros.cli.firmware import standing_in
from wm_eval_ros.metrics.firmware_clock import bounds_of
from wm_eval_ros.metrics.link_log import EXCHANGE
from wm_eval_ros.nodes.serial_port import came_ns, SerialPort, set_out_ns
from wm_eval_ros.stats.proportion import clopper_pearson
from wm_eval_ros.wire.serial_frames import Answer, Applied, Command, encode, Frame, line_ns

BAUDS = (9600, 57600, 115200, 921600)
RATE_HZ = 30.0
#: share of the commands that has to lie in its stated interval
GOAL = 0.95


@dataclass(frozen=True)
class Found:
    """One run; times in ms."""

    baud: int
    clock_s: float
    ppm: float
    commands: int
    inside: int
    exchanges: int
    #: the exchanges agree on one clock
    hold: bool
    #: what is not known of each command
    half_p50: float
    half_max: float
    #: stated less true
    off_p50: float
    off_max: float
    #: sent until it acts, less what its bytes take; a tick of 1 ms is waited for
    beyond_line_p50: float


def one(folder: Path, baud: int, clock_s: float, ppm: float, seconds: float) -> Found:
    """Run once."""
    heard: list[tuple[Frame, int]] = []
    sent, log = [], folder / 'truth.jsonl'
    with standing_in('--baud', str(baud), '--clock-s', str(clock_s), '--clock-ppm', str(ppm),
                     '--log', str(log)) as path:
        port = SerialPort(path, baud, lambda frame, at_ns: heard.append((frame, at_ns)))
        time.sleep(0.3)
        for number in range(round(seconds * RATE_HZ)):
            sent.append(time.monotonic_ns())
            port.send(number, (0.5, -0.5))
            time.sleep(1.0 / RATE_HZ)
        time.sleep(0.5)
        port.close()
    lines = map(json.loads, log.read_text().splitlines())
    return compared(baud, clock_s, ppm, sent, heard,
                    {line['stamp_ns']: line['steady_ns'] for line in lines})


def compared(baud: int, clock_s: float, ppm: float, sent: list[int],
             heard: list[tuple[Frame, int]], truth: dict[int, int]) -> Found:
    """Hold what is stated against the truth; a command's stamp is its number."""
    rows = np.array([(0, came_ns(f, baud), f.received_us * 1000, f.sent_us * 1000,
                      set_out_ns(f, at, baud)) for f, at in heard if isinstance(f, Answer)],
                    EXCHANGE)
    clock = bounds_of(rows)
    assert clock is not None, 'the clock was never asked'
    acted = [f for f, _ in heard if isinstance(f, Applied)]
    stated, half = clock.host(np.array([f.applied_us * 1000 for f in acted]))
    true = np.array([truth[f.stamp_ns] for f in acted])
    off, begun = np.abs(stated - true), np.array([sent[f.stamp_ns] for f in acted])
    line = line_ns(len(encode(Command(0, 0, (0.5, -0.5)))), baud)
    return Found(baud, clock_s, ppm, len(acted), int(np.sum(off <= half)), len(rows), clock.hold,
                 *(float(x) / 1e6 for x in (np.median(half), np.max(half), np.median(off),
                                            np.max(off), np.median(true - begun) - line)))


def measure(runs: int, seed: int, seconds: float) -> dict[str, Any]:
    """Run all, the rates of the line in turn."""
    rng, found = random.Random(seed), []
    for number in range(runs):
        with tempfile.TemporaryDirectory() as scratch:
            found.append(one(Path(scratch), BAUDS[number % len(BAUDS)],
                             round(rng.uniform(0.0, 1e6), 3), rng.uniform(-100.0, 100.0), seconds))
        print(f'run {number + 1}/{runs}', file=sys.stderr)
    inside, commands = sum(f.inside for f in found), sum(f.commands for f in found)
    share = clopper_pearson(inside, commands)
    return {'inside': inside, 'commands': commands, 'share': [share.value, share.low, share.high],
            'goal': GOAL, 'runs': [asdict(f) for f in found]}


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--runs', type=int, default=20)
    parser.add_argument('--seconds', type=float, default=10.0, help='length of a run')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--quick', action='store_true', help='one short run of each rate')
    parser.add_argument('--json', action='store_true')
    args = parser.parse_args()
    if args.quick:
        args.runs, args.seconds = len(BAUDS), 2.0
    facts = machine()
    result = measure(args.runs, args.seed, args.seconds)
    if args.json:
        print(json.dumps({'machine': facts, **result}, indent=1))
        return 0
    print(machine_line(facts, os.getloadavg()[0]))
    value, low, high = result['share']
    print(f'commands whose stated interval holds the truth: {result["inside"]} of '
          f'{result["commands"]}, {value:.4f} [{low:.4f}, {high:.4f}]; goal {GOAL:g}')
    for baud in BAUDS:
        of = [f for f in result['runs'] if f['baud'] == baud]
        if of:
            print(f'  {baud:6d} baud, {len(of)} runs, {sum(f["commands"] for f in of)} commands: '
                  f'known to {np.median([f["half_p50"] for f in of]):.2f} ms (p50), '
                  f'{max(f["half_max"] for f in of):.2f} at most; off by '
                  f'{np.median([f["off_p50"] for f in of]):.3f} ms (p50), '
                  f'{max(f["off_max"] for f in of):.2f} at most; beyond the line '
                  f'{np.median([f["beyond_line_p50"] for f in of]):.2f} ms')
    return 0


if __name__ == '__main__':
    sys.exit(main())
