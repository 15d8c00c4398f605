"""
What each option of real-time hygiene does to the latency of a device on this machine.

    python bench/bench_hygiene.py --blocks 3 --seconds 6

The `hil` scenario with its planner at 20 Hz, or an echo in its place, under one option after the
other: in each block every option once, in an order drawn anew. Half a run is on an idle machine,
half beside busy processes. Told are the round trip through the gate, the release jitter, the
deadline misses and the time from one look of the gate at its clock to the next, which is 10 ms;
ratios are to the base of the same block, the median over the blocks and beside it the least and
the largest.

The base is what ships: no option set, the planner over UDP, the others, an echo among them, over
shared memory too; a composed device is over UDP.
`no gc.freeze` is a switch of this bench: no product option turns the freeze off. Preallocation is
told apart: a message that is kept against one made anew, and the first plan against later ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
import json
import os
from pathlib import Path
import random
import sys
import tempfile
from typing import Any

from _hygiene import BASE, CASES, Found, LOADED, QUIET, run
from _machine import machine, machine_line
from _spread import P99_NEEDS, spread
from _turns import in_turn
import numpy as np

from wm_eval_ros.config.scenario import find_scenario, load_scenario
from wm_eval_ros.errors import WmEvalError
from wm_eval_ros.wire.fields import CommandWriter

#: messages in one call whose time is taken
MESSAGES = 500


def orders(cases: Sequence[str], blocks: int, seed: int) -> list[list[str]]:
    """Return the order of the cases in each block; the base is in every one."""
    draw = random.Random(seed)
    every = list(dict.fromkeys([BASE, *cases]))
    return [draw.sample(every, len(every)) for _ in range(blocks)]


def measure(args: argparse.Namespace) -> dict[str, list[Found | None]]:
    """Return the runs by case, one a block; None where one failed."""
    found: dict[str, list[Found | None]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for block, order in enumerate(orders(args.cases, args.blocks, args.seed)):
            for case in order:
                folder = Path(scratch) / f'{block}_{len(found.get(case, ()))}_{order.index(case)}'
                print(f'block {block + 1}/{args.blocks}: {case}', file=sys.stderr)
                try:
                    one = run(CASES[case], folder, seconds=args.seconds, load=args.load,
                              echo=args.device == 'echo')
                except WmEvalError as error:
                    print(f'{case}: {error}', file=sys.stderr)
                    one = None
                found.setdefault(case, []).append(one)
    return found


def ratios(
    above: Sequence[Sequence[float]], below: Sequence[Sequence[float]], rank: float,
) -> list[float]:
    """
    Return the ratio of a quantile to that of the base of the same block, for each block.

    >>> ratios([[1.0, 4.0], []], [[1.0, 2.0], [1.0]], 100)
    [2.0]
    """
    found = []
    for own, base in zip(above, below, strict=True):
        if len(own) and len(base):
            floor = float(np.percentile(base, rank, method='higher'))
            if floor > 0:
                found.append(float(np.percentile(own, rank, method='higher')) / floor)
    return found


def summary(found: Mapping[str, Sequence[Found | None]], part: str) -> dict[str, dict[str, Any]]:
    """Return the figures of each case in a part of the runs."""
    def blocks(case: str, name: str) -> list[Sequence[float]]:
        return [() if one is None else getattr(one.parts[part], name) for one in found[case]]

    rows = {}
    for case, runs in found.items():
        row: dict[str, Any] = {'failed': sum(one is None for one in runs),
                               'lacks': sorted({name for one in runs if one is not None
                                                for name in one.lacks})}
        for name in ('trip', 'jitter', 'look'):
            row[name] = spread([x for block in blocks(case, name) for x in block])
            row[f'{name}_ratio'] = {
                f'p{rank}': ratios(blocks(case, name), blocks(BASE, name), rank)
                for rank in (50, 99)}
        late = [x for block in blocks(case, 'missed') for x in block]
        row['missed'] = [int(sum(late)), len(late)]
        row['faults_hz'] = [one.faults_hz for one in runs if one is not None]
        row['first_plan'] = [one.first_plan for one in runs
                             if one is not None and one.first_plan is not None]
        rows[case] = row
    return rows


def table(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the lines of a table in Markdown; times in ms."""
    lines = ['| option | round trip p50 | p99 | max | p50 / base | p99 / base | jitter p50 | p99 '
             '| max | p99 / base | missed | gate looks p99 | max | p99 / base '
             '| page faults a second |', '|---' * 15 + '|']
    for case in (name for name in CASES if name in rows):
        row = rows[case]
        trip, jitter, look = row['trip'], row['jitter'], row['look']
        cells = [case + (f' (not granted: {", ".join(row["lacks"])})' if row['lacks'] else '')
                 + (f' ({row["failed"]} failed)' if row['failed'] else ''),
                 number(trip['p50']), tail(trip), number(trip['max']),
                 *(times(row['trip_ratio'][rank]) for rank in ('p50', 'p99')),
                 number(jitter['p50']), tail(jitter), number(jitter['max']),
                 times(row['jitter_ratio']['p99']),
                 f'{row["missed"][0]} of {row["missed"][1]}',
                 tail(look), number(look['max']), times(row['look_ratio']['p99']),
                 f'{np.median(row["faults_hz"]):.0f}' if row['faults_hz'] else '–']
        lines.append('| ' + ' | '.join(cells) + ' |')
    return lines


def number(value: float | None) -> str:
    """Return a time."""
    return '–' if value is None else f'{value:.2f}'


def tail(found: Mapping[str, Any]) -> str:
    """Return the 99 % quantile, where there are enough samples for one."""
    return number(found['p99']) if found['n'] >= P99_NEEDS else '–'


def times(found: Sequence[float]) -> str:
    """
    Return the median of ratios, and their range.

    >>> times([2.0, 1.0, 4.0])
    '2.00 (1.00 to 4.00)'
    """
    if not found:
        return '–'
    return f'{np.median(found):.2f} ({min(found):.2f} to {max(found):.2f})'


def buffers(rounds: int) -> dict[str, dict[str, float]]:
    """Return what a command costs whose message is made anew, and one whose message is kept."""
    from wm_eval_ros.nodes.ros import message_type
    command = load_scenario(find_scenario('hil')).interface.command
    writer, kind = CommandWriter(command, message_type), message_type(command.type)
    action, kept = np.zeros(len(command.fields)), kind()

    def anew() -> None:
        for _ in range(MESSAGES):
            writer.write(kind(), action)

    def again() -> None:
        for _ in range(MESSAGES):
            writer.write(kept, action)

    return in_turn({'made anew': anew, 'kept': again}, 'made anew', rounds=rounds, warm_up=3,
                   pause_s=0.005)


def report(found: Mapping[str, Sequence[Found | None]], made: Mapping[str, Any],
           args: argparse.Namespace) -> None:
    """Print everything."""
    for part, beside in ((QUIET, 'nothing beside it'), (LOADED, f'{args.load} busy processes')):
        print(f'\n{args.device}, {beside} [ms]')
        print('\n'.join(table(summary(found, part))))
    first = summary(found, QUIET)[BASE]['first_plan']
    each = {name: f'{1e3 * row["p50_ms"] / MESSAGES:.1f} us' for name, row in made.items()}
    print(f'\na command message made anew {each["made anew"]}, kept {each["kept"]} (ratio '
          f'{made["kept"]["ratio_p50"]:.2f} [{made["kept"]["ratio_p10"]:.2f}, '
          f'{made["kept"]["ratio_p90"]:.2f}])')
    if first:
        print(f'first plan of a process over the later ones of its warm-up: {times(first)}')


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--blocks', type=int, default=3, help='how often every option is run')
    parser.add_argument('--seconds', type=float, default=6.0, help='length of each half of a run')
    parser.add_argument('--load', type=int, default=2, help='busy processes in the second half')
    parser.add_argument('--device', choices=('planner', 'echo'), default='planner')
    parser.add_argument('--cases', nargs='+', choices=CASES, default=list(CASES), metavar='CASE',
                        help=f'options to measure beside the base: {", ".join(CASES)}')
    parser.add_argument('--seed', type=int, default=0, help='of the order')
    parser.add_argument('--quick', action='store_true',
                        help='one block of short runs of three cases: does it run?')
    parser.add_argument('--json', action='store_true')
    args = parser.parse_args(words)
    if args.quick:
        args.blocks, args.seconds, args.cases = 1, 2.0, ['SCHED_FIFO', 'composed']
    return args


def main() -> int:
    """Run the bench."""
    args = parsed()
    facts = machine()
    made = buffers(20 if args.quick else 100)
    found = measure(args)
    if args.json:
        print(json.dumps({'machine': facts, 'buffers': made, **{
            part: summary(found, part) for part in (QUIET, LOADED)}}, indent=1))
        return 0
    print(machine_line(facts, os.getloadavg()[0]))
    report(found, made, args)
    return 0


if __name__ == '__main__':
    sys.exit(main())
