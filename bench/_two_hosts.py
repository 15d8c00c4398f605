"""
Two hosts on one machine: network namespaces, an impaired wire, a device whose clock is off.

The namespaces have no name and live as long as the processes in them, all of which end with this
one: nothing is left behind, however it ends.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
import contextlib
from dataclasses import dataclass, field
import json
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

from _wire import compiled, compiler, Frames, frames, Way, wire
import numpy as np
import yaml

from wm_eval_ros.cli import graph
from wm_eval_ros.config.scenario import find_scenario, load_scenario
from wm_eval_ros.config.schema import to_plain
from wm_eval_ros.metrics.base import Floats, Ints
from wm_eval_ros.metrics.clock import offset_of
from wm_eval_ros.metrics.link import at_stamp
from wm_eval_ros.metrics.table import Run
from wm_eval_ros.nodes.transport import LOCALHOST_ONLY, PROFILES, RANGE, TRANSPORTS

HOST, DEVICE, WIRE = 'host', 'device', 'wire'
#: any: nobody else is in these namespaces
DOMAIN = '7'
_MAC, ADDRESS = '02:00:00:00:00:0{}', '10.77.0.{}'
_TOOLS = ('ip', 'unshare', 'nsenter', 'cat')
#: a node that does not end this long after SIGINT is killed [s]
_END_S = 20.0


def unavailable() -> str:
    """Say why there cannot be two hosts here; empty: there can."""
    lacking = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if compiler() is None:
        lacking.append('cc')
    if lacking:
        return f'two hosts need {", ".join(lacking)}'
    tried = subprocess.run(['unshare', '--net', 'ip', 'link', 'add', 'name', 'one', 'type', 'veth',
                            'peer', 'name', 'two'], capture_output=True, text=True)
    if tried.returncode == 0:
        return ''
    return f'two hosts need CAP_SYS_ADMIN, CAP_NET_ADMIN and veth: {tried.stderr.strip()}'


def clock_library(folder: Path) -> Path:
    """Compile what puts a process's system clock off."""
    return compiled(folder, '_clock_off.c', '-shared', '-fPIC', '-ldl', '-lpthread')


@dataclass(frozen=True)
class Clock:
    """How far the device's system clock is off."""

    ahead_ns: int = 0
    #: what it gains [us a second]
    ppm: float = 0.0
    #: since when it does [ns, steady]
    since_ns: int = field(default_factory=time.monotonic_ns)

    def off_ns(self, steady_ns: Ints) -> Floats:
        """Return how far it is ahead at times of the steady clock [ns], shape (N,)."""
        return self.ahead_ns + 1e-6 * self.ppm * (steady_ns - self.since_ns)

    def environment(self, library: Path) -> dict[str, str]:
        """Return the variables of the device's processes."""
        return {'LD_PRELOAD': str(library), 'CLOCK_OFF_NS': str(self.ahead_ns),
                'CLOCK_OFF_PPM': repr(self.ppm), 'CLOCK_OFF_SINCE_NS': str(self.since_ns)}


class TwoHosts:
    """Two hosts and the wire between them; use it with `with`."""

    def __init__(self, folder: Path, out: Way, back: Way, clock: Clock | None = None, *,
                 seed: int = 0) -> None:
        self.folder, self.clock = folder, clock or Clock()
        self._ways = (out, back)
        self._seed = seed
        self._library = clock_library(folder)
        self._log = folder / 'frames'
        self._running: list[subprocess.Popen[bytes]] = []
        self._keepers: dict[str, subprocess.Popen[bytes]] = {}
        self._namespaces: list[int] = []
        self._wire: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> TwoHosts:
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.cut()
        for keeper in self._keepers.values():
            keeper.kill()
            keeper.communicate()

    def _make(self) -> None:
        for name in (HOST, DEVICE, WIRE):
            # the end of standard input, also by this process's death, ends it
            self._keepers[name] = subprocess.Popen(
                ['unshare', '--net', 'cat'], stdin=subprocess.PIPE, start_new_session=True)
        for keeper in self._keepers.values():
            self._namespaces.append(_namespace(keeper.pid))
        for number, name in enumerate((HOST, DEVICE), start=1):
            self._ip(name, 'link', 'add', 'eth', 'address', _MAC.format(number), 'type', 'veth',
                     'peer', 'name', name, 'netns', str(self._keepers[WIRE].pid))
            self._ip(name, 'link', 'set', 'lo', 'up')
            for place, link in ((name, 'eth'), (WIRE, name)):
                # nobody but the nodes is to send
                self._ip(place, 'link', 'set', link, 'addrgenmode', 'none')
                self._ip(place, 'link', 'set', link, 'up')
            self._ip(name, 'address', 'add', f'{ADDRESS.format(number)}/24', 'dev', 'eth')
            # nothing to ask for, and to lose
            self._ip(name, 'neigh', 'add', ADDRESS.format(3 - number), 'lladdr',
                     _MAC.format(3 - number), 'dev', 'eth', 'nud', 'permanent')
            self._ip(name, 'route', 'add', '224.0.0.0/4', 'dev', 'eth')
            # a wire that reorders: else the kernel gives up a datagram 64 frames after its last
            self._in(name, 'sh', '-c', 'echo 0 > /proc/sys/net/ipv4/ipfrag_max_dist')
        words = wire(self.folder, self._log, self._seed, (HOST, DEVICE), self._ways)
        self._wire = subprocess.Popen([*self._enter(WIRE), *words], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, start_new_session=True)
        assert self._wire.stdout is not None
        if self._wire.stdout.readline() != b'carrying\n':
            raise RuntimeError('the wire between the hosts did not begin')

    def _enter(self, side: str) -> list[str]:
        return ['nsenter', f'--net=/proc/{self._keepers[side].pid}/ns/net']

    def _in(self, side: str, *words: str) -> None:
        subprocess.run([*self._enter(side), *words], check=True)

    def _ip(self, side: str, *words: str) -> None:
        self._in(side, 'ip', *words)

    def impair(self, side: str, way: Way) -> None:
        """Have the kernel impair what leaves a host, before the wire."""
        self._in(side, 'tc', *way.netem())

    def start(self, side: str, words: Collection[str], log: Path) -> subprocess.Popen[bytes]:
        """Start a process on one of the hosts; its output goes into a file."""
        environment = _environment()
        if side == DEVICE:
            environment |= self.clock.environment(self._library)
        with log.open('wb') as sink:
            made = subprocess.Popen([*self._enter(side), *words], stdin=subprocess.DEVNULL,
                                    stdout=sink, stderr=sink, env=environment,
                                    start_new_session=True)
        self._running.append(made)
        return made

    def node(self, side: str, name: str, parameters: Mapping[str, Any],
             ) -> subprocess.Popen[bytes]:
        """Start a node."""
        words = [sys.executable, '-m', f'wm_eval_ros.nodes.{name}', '--ros-args']
        for key, value in parameters.items():
            words += ['-p', f'{key}:={json.dumps(value)}']
        return self.start(side, words, self.folder / f'{name}.log')

    @property
    def namespaces(self) -> set[int]:
        """Return the numbers of the network namespaces."""
        return set(self._namespaces)

    def cut(self) -> None:
        """Take the wire away; then its frames are known."""
        if self._wire is not None:
            self._wire.communicate()
            self._wire = None

    def frames(self, way: int) -> Frames:
        """Return what became of the frames of a direction (0: out), once the wire is cut."""
        return frames(self._log, way)


def _environment() -> dict[str, str]:
    """Return the environment of every process: found on the wire, no memory shared."""
    environment = {k: v for k, v in os.environ.items() if k not in (*PROFILES, LOCALHOST_ONLY)}
    return environment | {'ROS_DOMAIN_ID': DOMAIN, RANGE: 'SUBNET', TRANSPORTS: 'UDPv4',
                          'OMP_NUM_THREADS': '1', 'PYTHONUNBUFFERED': '1'}


def _namespace(pid: int) -> int:
    """Return the number of a process's network namespace, once it has one of its own."""
    own = os.stat('/proc/self/ns/net').st_ino
    end = time.monotonic() + 10.0
    while (number := os.stat(f'/proc/{pid}/ns/net').st_ino) == own:
        if time.monotonic() > end:
            raise RuntimeError('no network namespace was made')
        time.sleep(0.005)
    return number


def measure(hosts: TwoHosts, device: str, within_s: float, *, topic: str = '',
            **settings: object) -> Path:
    """
    Time a device from the host, until the plant is done.

    :param device: `echo` or `planner`
    :param topic: what the echo answers; empty: the first observation
    :param settings: of the scenario `hil`, names with __ for a dot
    :returns: the bag
    :raises RuntimeError: a node ended too early, or it took too long; with its last words
    """
    changes = {name.replace('__', '.'): value for name, value in settings.items()}
    scenario, bag = hosts.folder / 'scenario.yaml', hosts.folder / 'bag'
    plain = to_plain(load_scenario(find_scenario('hil'), changes))
    scenario.write_text(yaml.safe_dump(plain, sort_keys=False), encoding='utf-8')
    common = {'scenario': str(scenario), 'nodes': [*graph.NODES, 'plant'],
              'run_id': hosts.folder.name}
    own: dict[str, dict[str, Any]] = {
        'planner': {'autostart': True} if device == 'planner' else {'topic': topic},
        'recorder': {'bag': str(bag)}}
    running = {}
    for name in (*graph.NODES, 'plant'):
        running[name] = hosts.node(DEVICE if name in graph.DEVICE else HOST,
                                   device if name == 'planner' else name,
                                   {**common, **own.get(name, {})})
    end = time.monotonic() + within_s
    said = hosts.folder / 'plant.log'
    while b'"done"' not in said.read_bytes():
        ended = [p for p in running.values() if p.poll() is not None]
        if (ended and b'"done"' not in said.read_bytes()) or time.monotonic() > end:
            raise RuntimeError(f'the run did not come to its end:\n{_last_words(hosts.folder)}')
        time.sleep(0.05)
    # as `wm-eval` ends them: who listens last
    for name in ('planner', 'supervisor', 'plant', *graph.LISTENERS):
        _end(running[name])
    return bag


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)


def _last_words(folder: Path) -> str:
    return '\n'.join(f'{log.name}: {log.read_text(errors="replace")[-400:]}'
                     for log in sorted(folder.glob('*.log')))


def true_ms(run: Run, clock: Clock) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """
    Return what messages took from middleware to middleware, by what the clocks really say.

    :param clock: of the device
    :returns: of each topic, out and back [ms]
    """
    link, out = run.link, {}
    for topic, used in run.inputs.items():
        at = at_stamp(link.sent[topic], used['stamp'])
        sent = link.sent[topic][at[at >= 0]]
        taken = used['received'][at >= 0] - sent['source']
        out[topic] = np.asarray(taken - clock.off_ns(sent['steady'])) / 1e6
    return out, {
        topic: (rows['received'] - rows['source'] + clock.off_ns(rows['steady'])) / 1e6
        for topic, rows in link.received.items()}


def uncertainty_ms(run: Run) -> float:
    """Return how far the clocks are known."""
    found = offset_of(run.link.exchanges['planner'])
    if found is None:
        raise RuntimeError('the device was never asked what time it is')
    return found.uncertainty_ns / 1e6
