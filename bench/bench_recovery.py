"""
Does the supervisor help a perturbed robot to its goal, and what else does it buy?

    python bench/bench_recovery.py --cases exception alarm_friction --count 40

The whole graph in lockstep on the same starts, under a fault in mid-motion: the gate as it ships
against one that never takes over (`_recovery.OFF`), for several fallbacks. `alarm_*` cases
calibrate the surprise detectors first, on other starts, and hand over on alarms. `command.*` acts
behind the gate, so that only an alarm can tell of it. Nothing here is timed.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
import json
import os
from pathlib import Path
import subprocess
import sys
import tempfile
from typing import Any

from _machine import machine, machine_line
import _recovery

#: seeds of the episodes, and of those that calibrate
SEED, NOMINAL_SEED = 2_600_000, 2_700_000
#: damps half of a joint's speed in one slot, about
BRAKES = {
    'reacher': [{'field': f'effort[joint{i}]', 'feature': f'joint_states.velocity[joint{i}]',
                 'gain': 0.05} for i in (0, 1)],
    'cartpole': [{'field': 'effort[slider]', 'feature': 'joint_states.velocity[slider]',
                  'gain': 10.0}]}


@dataclass(frozen=True)
class Case:
    """A fault in a task."""

    task: str
    fault: dict[str, Any]
    fallbacks: tuple[str, ...] = ('zero', 'brake')
    calibrated: bool = False


def _fault(name: str, severity: float, duration_s: float, first_s: float = 0.15,
           **parameters: float) -> dict[str, Any]:
    return {'name': name, 'severity': severity, 'start_s': first_s, 'start_to_s': first_s + 0.2,
            'duration_s': duration_s, 'parameters': parameters}


CASES = {
    'exception': Case('reacher', _fault('timing.planner_exception', 1.0, 0.4),
                      ('zero', 'brake', 'hold')),
    'exception_long': Case('reacher', _fault('timing.planner_exception', 1.0, 1.0)),
    'slow': Case('reacher', _fault('timing.slow_inference', 1.0, 0.6, longest=0.3)),
    'sensor_nan': Case('reacher', _fault('sensor.nan', 1.0, 0.4)),
    'alarm_impulse': Case('reacher', _fault('physical.impulse', 1.0, 0.2), calibrated=True),
    'alarm_friction': Case('reacher', _fault('physical.friction', 0.5, 0.4), calibrated=True),
    'alarm_freeze': Case('reacher', _fault('sensor.freeze', 1.0, 0.4), calibrated=True),
    'alarm_command_bias': Case('reacher', _fault('command.bias', 1.0, 0.4, size=2.0),
                               calibrated=True),
    'cartpole_exception': Case('cartpole', _fault('timing.planner_exception', 1.0, 0.4, 1.0)),
    'cartpole_nan': Case('cartpole', _fault('sensor.nan', 1.0, 0.4, 1.0)),
}


def supervisor(task: str, fallback: str) -> dict[str, Any]:
    """Return the settings of the gate: as shipped, with this fallback."""
    brake = {'brake': BRAKES[task]} if fallback == 'brake' else {}
    return {'fallback': fallback, **brake}


def calibration(task: str, folder: Path, count: int) -> str:
    """Calibrate from nominal episodes and return the file."""
    bag = _recovery.run(task, folder / 'nominal', count, NOMINAL_SEED, {}, None)
    file = folder / 'calibration.json'
    subprocess.run([sys.executable, '-m', 'wm_eval_ros.cli.main', 'calibrate', str(bag), '--out',
                    str(file)], check=True, stdout=subprocess.DEVNULL)
    return str(file)


def measure(name: str, folder: Path, count: int, calibrated: str) -> list[dict[str, Any]]:
    """Run one case with the gate off, and with each fallback."""
    case = CASES[name]
    bag = _recovery.run(case.task, folder / f'{name}_off', count, SEED, _recovery.OFF, case.fault)
    off = _recovery.perturbed(bag)
    rows = []
    for fallback in case.fallbacks:
        bag = _recovery.run(case.task, folder / f'{name}_{fallback}', count, SEED,
                            supervisor(case.task, fallback), case.fault,
                            calibrated if case.calibrated else '')
        rows.append({'case': name, 'fallback': fallback,
                     **_recovery.contrast(_recovery.perturbed(bag), off)})
    return rows


def line(row: dict[str, Any]) -> str:
    """Return a row as text."""
    head = f'{row["case"]:<19}{row["fallback"]:<6}'
    if not row['n']:
        return f'{head} no episode was perturbed on both sides'
    (on, off), speed, wait = row['recovered'], row['speed'], row['wait_s']
    shown = ['-' if s['p50'] is None else f'{s["p50"]:.2f}' for s in (*speed, *wait)]
    return (f'{head} recovered {on} / {off} of {row["n"]}, {row["difference"]:+.3f} '
            f'[{row["low"]:+.3f}, {row["high"]:+.3f}], p {row["p"]:.2g}; peak speed p50 '
            f'{shown[0]} / {shown[1]} (lower in {row["slower"]}, higher in {row["faster"]}, p '
            f'{row["p_speed"]:.2g}); time {shown[2]} / {shown[3]} s; handed over '
            f'{row["handed_over"]}, stopped {row["stopped"]}, before the onset {row["early"]}')


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--cases', nargs='+', choices=CASES,
                        default=['exception', 'sensor_nan'])
    parser.add_argument('--count', type=int, default=30, help='starts of each run')
    parser.add_argument('--nominal', type=int, default=160, help='episodes that calibrate')
    parser.add_argument('--quick', action='store_true', help='6 starts of one case: does it run?')
    parser.add_argument('--json', action='store_true')
    args = parser.parse_args()
    if args.quick:
        args.cases, args.count = ['exception'], 6
    facts, rows = machine(), []
    if not args.json:
        print('with the gate / without it')
    with tempfile.TemporaryDirectory() as scratch:
        needed = {CASES[name].task for name in args.cases if CASES[name].calibrated}
        files = {task: calibration(task, Path(scratch), args.nominal) for task in needed}
        for name in args.cases:
            found = measure(name, Path(scratch), args.count, files.get(CASES[name].task, ''))
            rows += found
            if not args.json:
                print('\n'.join(map(line, found)), flush=True)
    if args.json:
        print(json.dumps({'machine': facts, 'rows': rows}, indent=1))
    else:
        print(machine_line(facts, os.getloadavg()[0]))
    return 0


if __name__ == '__main__':
    sys.exit(main())
