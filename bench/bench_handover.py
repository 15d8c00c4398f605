"""
How soon the fallback commands once the planner is dead or frozen, over real processes.

    python bench/bench_handover.py --count 100 --seed 1

A supervisor process, a stand-in for the planner that proposes at 20 Hz and is struck by SIGSTOP
or SIGKILL at a random moment, and this process in the plant's place. The slot after the last
command is due one period later; its deadline is a deadline later; the fallback has to be out
50 ms after that.
"""

from __future__ import annotations

import argparse
from collections import Counter
import json
import os
from pathlib import Path
import re
import sys
import tempfile
from typing import Any

import _handover
from _machine import machine, machine_line
from _spread import shown, spread

PERIOD_MS, DEADLINE_MS, GRACE_MS = 50.0, 50.0, 50.0
GOAL_MS = PERIOD_MS + DEADLINE_MS + GRACE_MS


def summary(found: list[_handover.Trial]) -> dict[str, Any]:
    """Return the figures of some trials; those with a fallback before the signal are counted."""
    counted, found = len(found), [t for t in found if not t.before]
    by: dict[str, Any] = {}
    for name in sorted({t.signal for t in found}):
        own = [t for t in found if t.signal == name]
        by[name] = {
            'from_command_ms': spread([t.from_command_ms for t in own]),
            'from_signal_ms': spread([t.from_signal_ms for t in own]),
            'arrived_ms': spread([t.arrived_ms for t in own]),
            # what acted first, its silence left out
            'first': dict(Counter(re.sub(r'[\d.]+ ms', 'x ms', t.reason) for t in own))}
    within = sum(t.from_command_ms <= GOAL_MS for t in found)
    return {'goal_ms': GOAL_MS, 'n': len(found), 'fallback_before': counted - len(found),
            'within': within, 'by_signal': by}


def table(result: dict[str, Any]) -> list[str]:
    """Return the figures as lines."""
    lines = [f'{result["within"]} of {result["n"]} fallback commands out within '
             f'{result["goal_ms"]:g} ms of the last command; {result["fallback_before"]} more '
             'began in a fallback', 'milliseconds, p50 [p10, p90]']
    for name, found in result['by_signal'].items():
        lines.append(f'  {name:8s} since the last command {shown(found["from_command_ms"])}')
        lines.append(f'  {name:8s} since the signal       {shown(found["from_signal_ms"])}')
        lines.append(f'  {name:8s} in the plant\'s process {shown(found["arrived_ms"])}')
        lines += [f'  {name:8s} {count} x {reason}' for reason, count in found['first'].items()]
    return lines


def main() -> int:
    """Run the bench; exit code 1 where a fallback came too late."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--count', type=int, default=100, help='planners struck')
    parser.add_argument('--seed', type=int, default=0, help='seed of the moments')
    parser.add_argument('--priority', action='store_true',
                        help='supervisor under SCHED_FIFO, as with realtime_priority: true')
    parser.add_argument('--quick', action='store_true', help='6 of them: does it run?')
    parser.add_argument('--json', action='store_true')
    args = parser.parse_args()
    facts = machine()
    with tempfile.TemporaryDirectory() as scratch:
        found = _handover.trials(Path(scratch), 6 if args.quick else args.count, args.seed,
                                 priority=args.priority)
    result = summary(found)
    if args.json:
        print(json.dumps({'machine': facts, **result,
                          'trials': [vars(t) for t in found]}, indent=1))
    else:
        print(machine_line(facts, os.getloadavg()[0]))
        print('\n'.join(table(result)))
    return int(result['within'] < result['n'])


if __name__ == '__main__':
    sys.exit(main())
