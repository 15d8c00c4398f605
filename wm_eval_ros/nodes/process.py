"""The life of a node's process: start, spin, stop on a signal or a lost parent, exit code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import contextlib
import ctypes
import faulthandler
import gc
import os
import signal
import sys
import time
from types import FrameType
from typing import Any, Protocol

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import get_rmw_implementation_identifier

from wm_eval_ros.config.scenario import config_folder, Scenario
from wm_eval_ros.errors import ConfigError, EXIT_BAD_INPUT, EXIT_RUN_FAILED, WmEvalError
from wm_eval_ros.nodes.security import refusal, require_enclave
from wm_eval_ros.nodes.transport import beyond_this_host
from wm_eval_ros.records import ClockMode

#: longest sleep of the spin loop: how late a signal or a lost parent is noticed [s]
SPIN_S = 0.1
#: spins of 20 ms without a message after which nothing more is expected
QUIET_SPINS = 25
#: pause of a listener after it has taken all that came [s]
BATCH_S = 0.02
#: longest a thread keeps the interpreter from another one of its process [s]
SWITCH_S = 0.0005
#: real-time priorities, the one nearest to the actuators first; nodes not named have none
PRIORITIES = {'plant': 12, 'bag_player': 12, 'serial_actuator': 12, 'command_relay': 11,
              'perturb_relay': 11, 'supervisor': 11, 'planner': 10}
#: nodes that may share a process
TOGETHER = ('planner', 'supervisor')
#: MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT: what is touched stays, what is only reserved costs nothing
_LOCK = 1 | 2 | 4
#: somebody may go on publishing for ever [s]
DRAIN_S = 3.0
#: longest the middleware may take to go away once a node's work is done and its files are closed:
#: it was seen to hang there; then SIGALRM ends the process [s]
TEARDOWN_S = 10.0


class Stop:
    """Set by SIGINT, SIGTERM or the parent's death; asked by every loop of a node."""

    def __init__(self) -> None:
        """Remember the parent; `install` makes the signals set this."""
        self._requested = False
        self._parent = os.getppid()

    def install(self) -> None:
        """Make SIGINT and SIGTERM set this instead of killing the process."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def request(self) -> None:
        """Stop: what runs beside this has failed."""
        self._requested = True

    def __bool__(self) -> bool:
        """Say whether to stop; an orphan stops too: nobody would ever stop it."""
        return self._requested or os.getppid() != self._parent

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._requested = True


class Runnable(Protocol):
    """What `run_node` drives: a node with a loop of its own."""

    scenario: Scenario

    @property
    def node(self) -> Node:
        """The ROS node."""
        ...

    def spin(self, executor: SingleThreadedExecutor, stop: Stop) -> None:
        """Work until done or told to stop."""
        ...

    def finish(self, executor: SingleThreadedExecutor) -> None:
        """Drain what has arrived and close files; runs also after an error."""
        ...


def spin_until(
    executor: SingleThreadedExecutor, stop: Stop, ready: Callable[[], bool] | None = None
) -> None:
    """
    Handle callbacks until told to stop.

    :param ready: asked after every callback until it says yes
    """
    while not stop:
        executor.spin_once(timeout_sec=SPIN_S)
        if ready is not None and ready():
            ready = None


def spin_in_batches(
    executor: SingleThreadedExecutor, stop: Stop, count: Callable[[], int],
    then: Callable[[], object],
) -> None:
    """
    Handle what has come, then pause: what only listens must not wake up amid the loop.

    :param count: number of messages taken so far
    :param then: called after every pass
    """
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    idle = 0
    while not stop:
        before = count()
        executor.spin_once(timeout_sec=0.0)
        then()
        idle = idle + 1 if count() == before else 0
        # the executor takes one message of each topic, then ends that pass with a spin that takes
        # none: only a second one says that nothing waits
        if idle > 1:
            time.sleep(BATCH_S)
            idle = 1


def settle(name: str, scenario: Scenario) -> None:
    """
    Make the process ready for its loop: no long collections, quick hand-over, priority if asked.

    Without the permission (CAP_SYS_NICE or `rtprio`, `memlock` in limits.conf) the process keeps
    what it has; the manifest says which.
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(SWITCH_S)
    try:
        threads = os.listdir('/proc/self/task')
    except OSError:
        return
    take_place(name, scenario, threads)


def take_place(name: str, scenario: Scenario, threads: Sequence[str]) -> None:
    """
    Give threads of this process the processors and the priority of a node, where asked for.

    :param threads: their numbers; 0 is the one that calls
    """
    if scenario.clock is not ClockMode.REALTIME:
        return
    _pin(name, frozenset(scenario.pinned_cpus), threads)
    priority = PRIORITIES.get(name)
    if priority is None:
        return
    if scenario.lock_memory:
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).mlockall(_LOCK)
    if scenario.realtime_priority:
        with contextlib.suppress(OSError, AttributeError):
            for thread in threads:
                os.sched_setscheduler(int(thread), os.SCHED_FIFO, os.sched_param(priority))


def _pin(name: str, pinned: frozenset[int], threads: Sequence[str]) -> None:
    """Keep the planner on its processors and every other node off them, where both are left."""
    with contextlib.suppress(OSError, AttributeError):
        allowed = os.sched_getaffinity(0)
        own = allowed & pinned if name == 'planner' else allowed - pinned
        if pinned and own and own != allowed:
            for thread in threads:
                os.sched_setaffinity(int(thread), own)


def make_executor(name: str, *, needs_info: bool = False) -> Any:
    """
    Return the executor of a node.

    The events executor costs a fraction, but fails on callbacks that take the message info
    (rclpy 7.1.6: SystemError), and planner, monitor and recorder need the info.

    :param needs_info: so does this node
    """
    if not needs_info and name in ('plant', 'supervisor', 'perturb_relay', 'command_relay',
                                   'serial_actuator', 'bag_player'):
        with contextlib.suppress(ImportError):
            from rclpy.experimental.events_executor import EventsExecutor
            return EventsExecutor()
    return SingleThreadedExecutor()


def drain(executor: SingleThreadedExecutor, count: Callable[[], int]) -> None:
    """
    Handle what has already arrived: until nothing new comes, at most `DRAIN_S`.

    :param count: number of messages taken so far
    """
    end = time.monotonic() + DRAIN_S
    before = -1
    while before != count() and time.monotonic() < end:
        before = count()
        for _ in range(QUIET_SPINS):
            executor.spin_once(timeout_sec=0.02)


def run_node(
    make: Callable[[], Runnable], argv: Sequence[str] | None = None,
    before: Callable[[], None] | None = None, *, composed: bool = False,
) -> int:
    """
    Run one node until it is done or told to stop.

    :param make: makes the node; called after rclpy is initialised
    :param before: called before it is, while the environment can still be changed
    :param composed: the node is planner and supervisor at once
    :returns: exit code of the process
    """
    # a crash, and the SIGABRT that ends a node which does not stop, leave its stacks in the log
    faulthandler.enable()
    os.environ.setdefault('AMENT_PREFIX_PATH', sys.prefix)
    stop = Stop()
    stop.install()
    words = list(sys.argv if argv is None else argv)
    try:
        if before is not None:
            before()
        require_enclave(os.environ, words)
        os.environ |= beyond_this_host(os.environ, get_rmw_implementation_identifier(),
                                       config_folder())
        rclpy.init(args=words, signal_handler_options=SignalHandlerOptions.NO)
        return _run(make, stop, composed)
    except rclpy_implementation.RCLError as error:
        last_word(f'rclpy: {refusal(str(error))}')
        return EXIT_BAD_INPUT
    except WmEvalError as error:
        last_word(f'{type(error).__name__}: {error}')
        return error.exit_code
    finally:
        rclpy.utilities.try_shutdown()


def last_word(text: str) -> None:
    """
    Write why the process ends into its log; a log on a full disk must not change the exit code.

    Unbuffered: what Python could not write it tries again at its end, and fails with code 120.
    """
    with contextlib.suppress(OSError):
        os.write(2, f'{text}\n'.encode(errors='replace'))


def bound_teardown(longest_s: float = TEARDOWN_S) -> None:
    """
    End the process after this time by SIGALRM, its stacks in the log; nothing of it is needed.

    A thread of ours could not do it: what hangs in the middleware may hold the interpreter.
    """
    faulthandler.dump_traceback_later(0.9 * longest_s)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, longest_s)


def _require_place(name: str, scenario: Scenario, composed: bool) -> None:
    """Refuse to run apart what the manifest says is one process, and the reverse."""
    if name not in TOGETHER or scenario.composed is composed:
        return
    if composed:
        raise ConfigError('device_node: planner and supervisor share a process only where the '
                          'scenario has composed: true')
    raise ConfigError(f'composed: planner and supervisor are one process; start device_node in '
                      f'place of {name}_node')


def _run(make: Callable[[], Runnable], stop: Stop, composed: bool) -> int:
    runnable = make()
    name = runnable.node.get_name()
    _require_place(name, runnable.scenario, composed)
    executor = make_executor(name, needs_info=getattr(runnable, 'needs_info', False))
    executor.add_node(runnable.node)
    try:
        try:
            settle(name, runnable.scenario)
            runnable.spin(executor, stop)
        finally:
            runnable.finish(executor)
        bound_teardown()
    except rclpy.executors.ExternalShutdownException:
        return EXIT_RUN_FAILED
    finally:
        executor.remove_node(runnable.node)
        runnable.node.destroy_node()
    return 0
