"""One run of the `hil` scenario under an option, its second half beside busy processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
import json
import os
from pathlib import Path
import threading
import time
from typing import Any
from unittest import mock

from _graph import Noting
from _noting_supervisor import LOOKS

from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.cli import graph
from wm_eval_ros.cli.graph import Device, GraphRun, HERE
from wm_eval_ros.cli.hil import busy
from wm_eval_ros.config.scenario import config_folder, find_scenario, load_scenario, Scenario
from wm_eval_ros.nodes.transport import RANGE, TRANSPORTS, without_shared_memory
from wm_eval_ros.records import CycleRecord, CycleStatus, LinkEvent, LinkKind, NEVER_NS

COMMAND = '/joint_command'
QUIET, LOADED = 'quiet', 'loaded'
#: left out at the begin of a run, and where the load begins [s]
WARM_S, CHANGE_S = 1.0, 0.5
#: makes a process of Python one that collects its whole heap
NO_FREEZE = 'import gc\ngc.freeze = lambda: None\n'
_NO_DECISION = (CycleStatus.SKIPPED, CycleStatus.NO_INPUT, CycleStatus.INVALID_OUTPUT,
                CycleStatus.EXCEPTION)


@dataclass(frozen=True)
class Case:
    """An option."""

    settings: Mapping[str, object] = field(default_factory=dict)
    #: variables of every process, of a folder that may be written to
    environment: Callable[[Path], Mapping[str, str]] = lambda scratch: {}
    #: what the device's process is to have of the system, as `granted` names it
    needs: frozenset[str] = frozenset()


@dataclass
class Samples:
    """What one part of a run gave, in order [ms]."""

    #: sample sent -> command of the gate received
    trip: list[float] = field(default_factory=list)
    #: slot due -> slot begun; not of one that was skipped, which is missed
    jitter: list[float] = field(default_factory=list)
    missed: list[bool] = field(default_factory=list)
    #: look of the gate at its clock -> the next one, 10 ms where nothing holds it up
    look: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Found:
    """One run."""

    parts: Mapping[str, Samples]
    #: what was asked for of the system, and not granted
    lacks: frozenset[str]
    #: pages that the planner's process had to be given in a second of the run
    faults_hz: float
    #: the first plan over the median of those made up after it; None: there is no planner
    first_plan: float | None


def _no_freeze(scratch: Path) -> Mapping[str, str]:
    folder = scratch / 'no_freeze'
    folder.mkdir(exist_ok=True)
    (folder / 'sitecustomize.py').write_text(NO_FREEZE, encoding='utf-8')
    return {'PYTHONPATH': os.pathsep.join(filter(None, (str(folder), os.environ.get(
        'PYTHONPATH'))))}


def _udp(scratch: Path) -> Mapping[str, str]:
    return without_shared_memory({RANGE: 'LOCALHOST'}, 'rmw_fastrtps_cpp', config_folder())


FIFO: dict[str, object] = {'realtime_priority': True}
LOCK: dict[str, object] = {'lock_memory': True}
PIN: dict[str, object] = {'pinned_cpus': [max(os.sched_getaffinity(0))]}
COMPOSED: dict[str, object] = {'composed': True}
ALL = frozenset({'fifo', 'locked', 'pinned'})
BASE = 'base'
CASES = {
    BASE: Case(),
    'SCHED_FIFO': Case(FIFO, needs=frozenset({'fifo'})),
    'mlock': Case(LOCK, needs=frozenset({'locked'})),
    'pinned': Case(PIN, needs=frozenset({'pinned'})),
    'all three': Case(FIFO | LOCK | PIN, needs=ALL),
    'composed': Case(COMPOSED),
    'composed, all three': Case(COMPOSED | FIFO | LOCK | PIN, needs=ALL),
    'shared memory': Case(environment=lambda scratch: {TRANSPORTS: 'DEFAULT'}),
    'UDP alone': Case(environment=_udp),
    'no gc.freeze': Case(environment=_no_freeze),
}


def scenario(case: Case, seconds: float) -> Scenario:
    """Return what is run: two parts of this length, the second one under load."""
    return load_scenario(find_scenario('hil'), {
        'plant.time_limit_s': WARM_S + 2 * seconds + CHANGE_S, **case.settings})


class _Noted(Noting):
    """A node that can be found by its number; of a supervisor one that notes its looks."""

    scripts = {name: ('_noting_supervisor.py', name)  # noqa: RUF012 nobody changes it
               for name in ('supervisor', 'device', 'echo_device')}
    pids: list[int] = []  # noqa: RUF012 one run at a time

    def __init__(self, name: str, *given: Any, **named: Any) -> None:
        super().__init__(name, *given, **named)
        if name in ('planner', 'echo', 'device', 'echo_device'):
            self.pids[:] = [self._process.pid]


class _Course:
    """Follows a run: begins the load in its middle, counts page faults over all of it."""

    def __init__(self, seconds: float, load: int, stack: ExitStack) -> None:
        self.began_ns = self.loaded_ns = self.ended_ns = NEVER_NS
        self.faults_hz = 0.0
        self.granted: frozenset[str] = frozenset()
        self._load, self._stack = load, stack
        self._timer = threading.Timer(WARM_S + seconds, self._begin_load)

    def tell(self, said: Mapping[str, Any]) -> None:
        """Take a line of the plant."""
        if said.get('kind') == 'START':
            self.began_ns, self._faults = time.monotonic_ns(), faults(_Noted.pids[0])
            self._timer.start()
        elif said.get('kind') == 'TIMEOUT':
            self.ended_ns, self.granted = time.monotonic_ns(), granted(_Noted.pids[0])
            self.faults_hz = (faults(_Noted.pids[0]) - self._faults) / (
                (self.ended_ns - self.began_ns) / 1e9)

    def end(self) -> None:
        """Begin no load any more."""
        self._timer.cancel()

    def _begin_load(self) -> None:
        self._stack.enter_context(busy(self._load))
        self.loaded_ns = time.monotonic_ns()


def granted(pid: int) -> frozenset[str]:
    """Return what a process has of the system: a priority, locked memory, its own processors."""
    status = Path(f'/proc/{pid}/status').read_text(encoding='ascii', errors='replace')
    locked = [int(line.split()[1]) for line in status.splitlines() if line.startswith('VmLck')]
    found = {'fifo': os.sched_getscheduler(pid) == os.SCHED_FIFO, 'locked': any(locked),
             'pinned': os.sched_getaffinity(pid) != os.sched_getaffinity(0)}
    return frozenset(name for name, has in found.items() if has)


def faults(pid: int) -> int:
    """Return how often a process had to be given a page, minor and major."""
    words = Path(f'/proc/{pid}/stat').read_text(encoding='ascii').rpartition(')')[2].split()
    return int(words[7]) + int(words[9])


def run(case: Case, folder: Path, *, seconds: float, load: int, echo: bool) -> Found:
    """
    Run a case.

    :param load: busy processes beside it in the second part
    :param echo: an echo takes the planner's place
    """
    chosen, made = scenario(case, seconds), GraphRun(folder)
    with ExitStack() as stack:
        course = _Course(seconds, load, stack)
        stack.callback(course.end)
        looks = folder / 'looks.json'
        stack.enter_context(mock.patch.dict(os.environ, {
            LOOKS: str(looks), **case.environment(folder.parent)}))
        stack.enter_context(mock.patch.object(graph, 'NodeProcess', _Noted))
        made.execute(chosen, course.tell, None, Device(echo='') if echo else HERE)
    with open_bag(made.bag) as bag:
        records = [r for r in bag.records() if isinstance(r, (CycleRecord, LinkEvent))]
    looked = json.loads(looks.read_text(encoding='utf-8'))
    parts = split(records, [at for at in looked if at < course.ended_ns], course.began_ns,
                  course.loaded_ns)
    return Found(parts, case.needs - course.granted, course.faults_hz, first_plan(records))


def split(
    records: Iterable[object], looked: Sequence[int], began_ns: int, loaded_ns: int,
) -> dict[str, Samples]:
    """
    Return the samples of both parts, without those of the warm-up and of the change.

    :param looked: looks of the gate [ns, steady]
    """
    parts = {QUIET: Samples(), LOADED: Samples()}

    def part(at_ns: int) -> Samples | None:
        if at_ns >= loaded_ns + CHANGE_S * 1e9:
            return parts[LOADED]
        return parts[QUIET] if began_ns + WARM_S * 1e9 <= at_ns < loaded_ns else None

    kept = list(records)
    cycles = [r for r in kept if isinstance(r, CycleRecord) and r.status is not CycleStatus.WARMUP]
    for cycle in cycles:
        own = part(cycle.due_ns)
        if own is not None:
            if cycle.start_ns != NEVER_NS:
                own.jitter.append((cycle.start_ns - cycle.due_ns) / 1e6)
            own.missed.append(missed(cycle))
    for at_ns, next_ns in pairwise(looked):
        own = part(at_ns)
        if own is not None:
            own.look.append((next_ns - at_ns) / 1e6)
    for at_ns, trip in trips(kept, cycles):
        own = part(at_ns)
        if own is not None:
            own.trip.append(trip)
    return parts


def missed(cycle: CycleRecord) -> bool:
    """Say whether no command came in time, as `deadline_miss_rate` counts it."""
    return (cycle.status in _NO_DECISION or cycle.publish_ns == NEVER_NS
            or not 0 <= cycle.publish_ns - cycle.due_ns <= cycle.deadline_ns)


def trips(
    records: Iterable[object], cycles: Iterable[CycleRecord],
) -> list[tuple[int, float]]:
    """Return when each answered sample was sent [ns], and its round trip [ms]."""
    caused = {c.command_stamp_ns: min(i.stamp_ns for i in c.inputs) for c in cycles
              if c.command_stamp_ns is not None and c.inputs}
    sent: dict[int, int] = {}
    back: dict[int, int] = {}
    for record in records:
        if isinstance(record, LinkEvent):
            if record.kind is LinkKind.SENT:
                sent.setdefault(record.ref.stamp_ns, record.ref.steady_ns)
            elif record.kind is LinkKind.RECEIVED and record.ref.topic == COMMAND:
                back.setdefault(record.ref.stamp_ns, record.ref.steady_ns)
    found = []
    for stamp, at in back.items():
        # an echo answers with the stamp of what it answers
        begun = sent.get(caused.get(stamp, stamp))
        if begun is not None:
            found.append((begun, (at - begun) / 1e6))
    return found


def first_plan(records: Iterable[object]) -> float | None:
    """Return the first plan of the warm-up over the median of the others of it."""
    took = [r.infer_end_ns - r.infer_start_ns for r in sorted(
        (r for r in records if isinstance(r, CycleRecord) and r.status is CycleStatus.WARMUP),
        key=lambda r: r.infer_start_ns)]
    rest = sorted(took[1:])
    return took[0] / rest[len(rest) // 2] if rest and rest[len(rest) // 2] else None
