"""
Speed and memory of reading and scoring a bag: 10 topics at 100 Hz, a run's records at 20 Hz.

    python bench/bench_scoring.py --seconds 3600 --blocks 3 --memory 600 3600 10800

`score` is all that `wm-eval score` does before it writes its files, looking over included.
It is held against the Python library of MCAP on the same file, in turn: `mcap raw` iterates over
its messages, `mcap decoded` decodes each as well (packages `mcap` and `mcap-ros2-support`).
Memory is the peak of a process that does nothing else.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable
import json
import os
from pathlib import Path
import subprocess
import sys
import tempfile
import time
from typing import Any

from _machine import machine, machine_line
from _made_bag import write
from _spread import ratio
import numpy as np

from wm_eval_ros.bag.preflight import preflight
from wm_eval_ros.bag.reader import Bag, open_bag
from wm_eval_ros.cli.reading import read as score

Times = dict[str, list[float]]

#: whose time is held against whose, and the least ratio wanted; None: only shown
GOALS = (('mcap decoded', 'score', 5.0), ('mcap raw', 'score', 0.5), ('messages', 'score', 0.5),
         ('mcap raw', 'messages', None))
_MEMORY = """
import re
import sys
from pathlib import Path
from wm_eval_ros.bag.preflight import preflight
from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.cli.reading import read
if sys.argv[1] == 'score':
    read(sys.argv[2])
elif sys.argv[1] == 'preflight':
    with open_bag(sys.argv[2]) as bag:
        preflight(bag)
elif sys.argv[1] == 'columns':
    with open_bag(sys.argv[2]) as bag:
        assert sum(map(len, bag.columns()))
# of this program alone: what the kernel counts for a child begins with its parent's
print(re.search(r'VmHWM:\\s*(\\d+) kB', Path('/proc/self/status').read_text())[1])
"""
_KB_PER_MB = 1024
#: whose peak memory is measured; the first does nothing with the bag
MEASURED = ('imports', 'columns', 'preflight', 'score')


def library(folder: Path, *, decode: bool) -> Callable[[], object]:
    """Return a pass of the Python library of MCAP over the same file."""
    from mcap.reader import make_reader
    path = next(folder.glob('*.mcap'))

    def run() -> int:
        with path.open('rb') as file:
            if not decode:
                return sum(1 for _ in make_reader(file).iter_messages())
            from mcap_ros2.decoder import DecoderFactory
            reader = make_reader(file, decoder_factories=[DecoderFactory()])
            return sum(1 for _ in reader.iter_decoded_messages())
    return run


def passes(folder: Path) -> dict[str, Callable[[], object]]:
    """Return what is timed, by name."""
    def of(work: Callable[[Bag], object]) -> Callable[[], object]:
        def run() -> object:
            with open_bag(folder) as bag:
                return work(bag)
        return run

    return {
        'columns': of(lambda bag: sum(len(columns) for columns in bag.columns())),
        'messages': of(lambda bag: sum(1 for _ in bag.messages())),
        'records': of(lambda bag: sum(1 for _ in bag.records())),
        'preflight': of(preflight),
        'score': lambda: score(folder),
        'mcap raw': library(folder, decode=False),
        'mcap decoded': library(folder, decode=True)}


def timed(folder: Path, blocks: int) -> tuple[Times, Times]:
    """Time full passes over the bag, one of each in turn: wall and CPU time by name [s]."""
    wall, cpu = defaultdict(list), defaultdict(list)
    work = passes(folder)
    score(folder)  # what is imported and compiled once is not counted
    for block in range(blocks):
        for name, run in work.items():
            print(f'block {block + 1} of {blocks}: {name}', file=sys.stderr)
            begun, worked = time.perf_counter(), time.process_time()
            run()
            wall[name].append(time.perf_counter() - begun)
            cpu[name].append(time.process_time() - worked)
    return wall, cpu


def compared(wall: Times, cpu: Times) -> list[dict[str, Any]]:
    """Return ratios of times, with their spread over the blocks."""
    found = []
    for above, below, goal in GOALS:
        ratios = ratio(*([[t] for t in wall[name]] for name in (above, below)))
        worked = ratio(*([[t] for t in cpu[name]] for name in (above, below)))
        found.append({'ratio': f'{above} / {below}', 'median': float(np.median(ratios['blocks'])),
                      'low': ratios['low'], 'high': ratios['high'],
                      'cpu': float(np.median(worked['blocks'])), 'goal': goal})
    return found


def peak_mb(what: str, folder: Path) -> float:
    """Return the peak memory of a process that does one thing [MB]."""
    done = subprocess.run([sys.executable, '-c', _MEMORY, what, str(folder)], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return int(done.stdout) / _KB_PER_MB


def memory(lengths: list[int]) -> list[dict[str, float]]:
    """Return the peak memory by length of the bag."""
    found = []
    for seconds in sorted(lengths):
        with tempfile.TemporaryDirectory() as folder:
            bag = Path(folder) / 'bag'
            print(f'memory: a bag of {seconds} s', file=sys.stderr)
            write(bag, seconds)
            size = sum(path.stat().st_size for path in bag.iterdir())
            found.append({'bag_s': seconds, 'bag_mb': round(size / 1e6),
                          **{f'{what}_mb': round(peak_mb(what, bag), 1)
                             for what in MEASURED}})
    return found


def growth(rows: list[dict[str, float]]) -> dict[str, float]:
    """Return what an hour more costs [MB], from the shortest to the longest bag."""
    hours = (rows[-1]['bag_s'] - rows[0]['bag_s']) / 3600
    return {what: round((rows[-1][what] - rows[0][what]) / hours, 1)
            for what in (f'{name}_mb' for name in MEASURED[1:])} if hours else {}


def measure(seconds: int, blocks: int, lengths: list[int]) -> dict[str, Any]:
    """Write a bag, and measure."""
    facts = machine()
    with tempfile.TemporaryDirectory() as folder:
        bag = Path(folder) / 'bag'
        write(bag, seconds)
        with open_bag(bag) as opened:
            total = sum(opened.declared.values())
        wall, cpu = timed(bag, blocks)
    rows = memory(lengths)
    return {
        'machine': facts, 'load_end': os.getloadavg()[0], 'bag_s': seconds, 'messages': total,
        'passes': {name: {'s': times, 'cpu_s': cpu[name],
                          'x_realtime': seconds / float(np.median(cpu[name]))}
                   for name, times in wall.items()},
        'ratios': compared(wall, cpu), 'memory': rows,
        'growth_mb_per_h': growth(rows) if len(rows) > 1 else {}}


def show(found: dict[str, Any]) -> None:
    """Print the figures."""
    print(machine_line(found['machine'], found['load_end']))
    print(f'{found["messages"]} messages, {found["bag_s"]} s')
    for name, row in found['passes'].items():
        times = ', '.join(f'{t:.2f}' for t in row['s'])
        print(f'{name:<14} {times} s; CPU time {np.median(row["cpu_s"]):.2f} s, '
              f'{row["x_realtime"]:.0f}x real time')
    for row in found['ratios']:
        goal = '' if row['goal'] is None else f', goal >= {row["goal"]:g}'
        print(f'{row["ratio"]:<22} {row["median"]:.2f} [{row["low"]:.2f}, {row["high"]:.2f}], '
              f'CPU time {row["cpu"]:.2f}{goal}')
    for row in found['memory']:
        peaks = ', '.join(f'{what} {row[f"{what}_mb"]} MB' for what in MEASURED)
        print(f'{row["bag_s"]:>6} s, {row["bag_mb"]:>5} MB: {peaks}')
    if found['growth_mb_per_h']:
        print('growth an hour: ' + ', '.join(
            f'{name.removesuffix("_mb")} {value} MB'
            for name, value in found['growth_mb_per_h'].items()))


def main() -> int:
    """Write the bag, read it, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--seconds', type=int, default=120, help='length of the bag')
    parser.add_argument('--blocks', type=int, default=7, help='passes of each kind, in turn')
    parser.add_argument('--memory', type=int, nargs='*', default=[120, 720],
                        help='lengths of the bags whose memory is measured [s]')
    parser.add_argument('--quick', action='store_true', help='one short block')
    parser.add_argument('--json', action='store_true', help='print JSON')
    args = parser.parse_args()
    if args.quick:
        args.seconds, args.blocks, args.memory = 30, 1, []
    found = measure(args.seconds, args.blocks, args.memory)
    if args.json:
        print(json.dumps(found, indent=2))
    else:
        show(found)
    return 0


if __name__ == '__main__':
    sys.exit(main())
