"""`wm-eval doctor`: what is installed, and what to do about what is missing."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
import importlib.util
import json
import os
from pathlib import Path
import subprocess
import sys
import time

from wm_eval_ros.cli.processes import reserved_domain
from wm_eval_ros.errors import EXIT_FAIL, EXIT_PASS, WmEvalError
from wm_eval_ros.nodes import security
from wm_eval_ros.nodes.policy import enclave
from wm_eval_ros.nodes.topic_list import ALL_NODES

EXAMPLE = """example:
  wm-eval doctor --json
  wm-eval doctor --realtime
"""
#: module -> (distribution, what needs it, extra)
MODULES = {
    'numpy': ('numpy', 'everything', ''),
    'rosbags': ('rosbags', 'reading bags', ''),
    'mcap': ('mcap', 'reading and writing bags', ''),
    'rclpy': ('', 'the nodes', 'ros'),
    'torch': ('torch', 'world models and planners', 'learn'),
    'safetensors': ('safetensors', 'checkpoints', 'learn'),
    'mujoco': ('mujoco', 'the mujoco plant', 'sim'),
    'gymnasium': ('gymnasium', 'models of the tasks', 'sim'),
    'cryptography': ('cryptography', 'signatures of the audit trail', 'audit'),
    'cv2': ('opencv-python-headless', 'compressed camera images', 'vision'),
    'plotly': ('plotly', 'the HTML report', 'report'),
    'openvino': ('openvino', 'compiled rollouts, planner.engine openvino', 'fast'),
}
#: what a short sleep may last longer before it is called coarse [ns]
COARSE_SLEEP_NS = 2_000_000


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    name: str
    ok: bool
    found: str
    #: what to do, empty where nothing needs doing
    remedy: str = ''
    #: what is not ok keeps something from working; False: it only makes figures worse
    needed: bool = True


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EXAMPLE
    parser.add_argument('--realtime', action='store_true',
                        help='look instead at what on this machine spoils a latency')
    parser.add_argument('--json', action='store_true', help='print the findings as JSON')


def main(args: argparse.Namespace) -> int:
    """Run the verb; exit code 1 where something is missing."""
    looks: list[Callable[[], list[Finding]]] = [
        _python, _modules, _ros, _messages, _security, _rendering, _clocks, _threads, _domain]
    if args.realtime:
        from wm_eval_ros.cli import doctor_realtime
        looks = [_threads, doctor_realtime.findings]
    findings = [finding for look in looks for finding in look()]
    if args.json:
        print(json.dumps([asdict(f) for f in findings], indent=2))
    else:
        width = max(len(f.name) for f in findings)
        for f in findings:
            print(f'{_word(f):<7} {f.name:<{width}}  {f.found}')
            if f.remedy:
                print(f'        {"":<{width}}  -> {f.remedy}')
    return EXIT_PASS if all(f.ok or not f.needed for f in findings) else EXIT_FAIL


def _word(finding: Finding) -> str:
    if finding.ok:
        return 'ok'
    return 'MISSING' if finding.needed else 'warning'


def _python() -> list[Finding]:
    good = sys.version_info >= (3, 10)
    return [Finding('python', good, sys.version.split()[0],
                    '' if good else 'install Python 3.10 or newer')]


def _modules() -> list[Finding]:
    findings = []
    for module, (distribution, use, extra) in MODULES.items():
        present = importlib.util.find_spec(module) is not None
        extras = f"pip install 'wm_eval_ros[{extra}]'" if extra else 'pip install wm_eval_ros'
        found = f'{_version(distribution)} ({use})' if present else f'not installed ({use})'
        findings.append(Finding(module, present, found, '' if present else extras))
    return findings


def _version(distribution: str) -> str:
    try:
        return version(distribution) if distribution else 'present'
    except PackageNotFoundError:
        return 'present'


def _ros() -> list[Finding]:
    distro = os.environ.get('ROS_DISTRO', '')
    found = distro or 'none sourced; the wheels in this environment are used'
    launch = importlib.util.find_spec('launch_ros') is not None
    return [Finding('ROS distribution', True, found),
            Finding('ros2 launch', True, 'present' if launch else
                    'not here (part of ROS 2 itself); `wm-eval run` starts the same nodes')]


def _messages() -> list[Finding]:
    present = importlib.util.find_spec('wm_eval_ros.msg') is not None
    return [Finding('messages of wm_eval_ros', present,
                    'built' if present else 'not built',
                    '' if present else 'make setup, or colcon build')]


def _security() -> list[Finding]:
    """Say whether nodes would run secured, as asked for, or not at all."""
    kept = os.environ.get(security.KEYSTORE, '') or 'no keystore'
    present = security.middleware_has_security(
        [Path(p) / 'lib' for p in (*os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep),
                                   sys.prefix) if p])
    built = {None: 'Fast DDS not found', True: 'built into Fast DDS',
             False: 'not built into this Fast DDS'}[present]
    try:
        asked = security.enabled(os.environ)
        strategy = 'Enforce' if security.enforced(os.environ) else 'Permissive'
        for node in ALL_NODES if asked else ():
            security.require_enclave(os.environ, ['--enclave', enclave(node)])
    except WmEvalError as error:
        return [Finding('ROS security', False, str(error), 'see docs/security.md')]
    if not asked:
        return [Finding('ROS security', True, f'off ({built})')]
    remedy = '' if present else 'use a ROS 2 distribution, or unset ROS_SECURITY_ENABLE'
    return [Finding('ROS security', bool(present), f'on, {strategy}, {kept}; {built}', remedy)]


def _rendering() -> list[Finding]:
    """Render one image in a process of its own: a broken GL library may end it."""
    if importlib.util.find_spec('mujoco') is None:
        return [Finding('headless rendering', False, 'mujoco is not installed',
                        "pip install 'wm_eval_ros[sim]'")]
    code = ('from wm_eval_ros.config.scenario import find_scenario, load_scenario\n'
            'from wm_eval_ros.plants.mujoco_plant import MujocoPlant\n'
            's = load_scenario(find_scenario("reacher"))\n'
            'MujocoPlant(task=s.plant.task, interface=s.interface).render(64, 64)\n'
            'import os; print(os.environ.get("MUJOCO_GL", "default"))')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                          check=False, timeout=120)
    if done.returncode == 0:
        return [Finding('headless rendering', True, done.stdout.strip())]
    last = (done.stderr.strip().splitlines() or ['no output'])[-1]
    return [Finding('headless rendering', False, last,
                    'apt-get install libegl1 libgl1-mesa-dri (or libosmesa6); cameras need it, '
                    'state observations do not')]


def _clocks() -> list[Finding]:
    source = '/sys/devices/system/clocksource/clocksource0/current_clocksource'
    try:
        with open(source, encoding='ascii') as file:
            name = file.read().strip()
    except OSError:
        name = 'unknown'
    begun = time.monotonic_ns()
    time.sleep(0.001)
    over_ns = time.monotonic_ns() - begun - 1_000_000
    good = over_ns < COARSE_SLEEP_NS
    return [Finding('steady clock', good, f'{name}, a sleep of 1 ms took {over_ns / 1e6 + 1:.2f}',
                    '' if good else 'the host is loaded or its timers are coarse: latencies '
                    'measured now say little', needed=False)]


def _threads() -> list[Finding]:
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    good = load < cores
    return [Finding('cores and load', good, f'{cores} cores, load average {load:.2f}',
                    '' if good else 'wait until the host is idle before a latency is measured',
                    needed=False)]


def _domain() -> list[Finding]:
    wanted = os.environ.get('ROS_DOMAIN_ID', '')
    try:
        with reserved_domain(int(wanted) if wanted.isdigit() else None) as domain:
            found = f'{domain} is free'
    except WmEvalError as error:
        return [Finding('DDS domain', False, str(error), 'unset ROS_DOMAIN_ID, or change it')]
    return [Finding('DDS domain', True, found)]
