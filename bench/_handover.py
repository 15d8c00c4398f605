"""A supervisor process, a planner process that is killed or frozen, and who hears the command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
import os
from pathlib import Path
import random
import signal
import subprocess
import sys
import time
from typing import Any

from _stand_in import EFFORT
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
import yaml

from wm_eval_ros.cli.processes import node_environment, NodeProcess, reserved_domain
from wm_eval_ros.config.scenario import find_scenario, load_scenario
from wm_eval_ros.config.schema import to_plain
from wm_eval_ros.errors import RunError
from wm_eval_ros.nodes.ros import message_type, qos_profile, TYPES
from wm_eval_ros.records import EpisodeEvent, EventKind
from wm_eval_ros.wire import codec, topics

#: commands of motion that must have come before the planner is struck
MOVING = 4
#: episodes begun until the planner commands in one
TRIES = 15
#: a hand-over that takes longer than this is taken for none [s]
LONGEST_S = 3.0


@dataclass(frozen=True)
class Trial:
    """One planner struck mid-motion."""

    signal: str
    #: signal sent -> fallback command sent by the supervisor [ms, system]
    from_signal_ms: float
    #: last command sent by the planner -> fallback command sent by the supervisor [ms, system]
    from_command_ms: float
    #: last command in the plant's process -> fallback command there [ms, steady]
    arrived_ms: float
    #: the supervisor was in its fallback before: no trial
    before: bool
    #: what the supervisor said
    reason: str


class Rig:
    """The plant's side of the graph, in this process."""

    def __init__(self) -> None:
        self.executor = SingleThreadedExecutor()
        self.node = rclpy.create_node('plant')
        self.executor.add_node(self.node)
        kind = message_type('wm_eval_ros/msg/EpisodeEvent')
        latched = qos_profile(topics.LATCHED)
        self._events = self.node.create_publisher(kind, topics.EPISODE_EVENT, latched)
        self.node.create_subscription(kind, topics.EPISODE_EVENT, self._on_event, latched)
        self.node.create_subscription(message_type('sensor_msgs/msg/JointState'), 'joint_command',
                                      self._on_command, qos_profile(topics.COMMAND))
        self._episode = -1
        self._begin()

    def _begin(self) -> None:
        self.moves: list[int] = []
        self.sent_ns = self.fallback_ns = self.fallback_sent_ns = 0
        self.reason = ''
        self._struck = False

    def _on_event(self, message: Any) -> None:
        event = codec.event_from_msg(message)
        if event.kind is EventKind.FALLBACK_ON and event.episode == self._episode:
            self.reason = self.reason or event.label

    def _on_command(self, message: Any) -> None:
        now_ns = time.monotonic_ns()
        if tuple(message.effort) == EFFORT:
            self.moves.append(now_ns)
            self.sent_ns = codec.stamp_ns(message.header.stamp)
        elif self._struck and not self.fallback_ns:
            self.fallback_ns = now_ns
            self.fallback_sent_ns = codec.stamp_ns(message.header.stamp)

    def say(self, kind: EventKind) -> None:
        """Begin or end an episode."""
        if kind is EventKind.START:
            self._episode += 1
            self._begin()
        event = EpisodeEvent(time.time_ns(), self._episode, kind, '', 0.0, 'plant')
        self._events.publish(codec.event_to_msg(event, TYPES))

    def until(self, done: Callable[[], object], longest_s: float) -> bool:
        """Handle callbacks until it is so; say whether it came to be."""
        end = time.monotonic() + longest_s
        while not done():
            if time.monotonic() > end:
                return False
            self.executor.spin_once(timeout_sec=0.01)
        return True

    def strike(self, pid: int, what: signal.Signals, after_s: float) -> Trial:
        """
        Begin an episode, strike the planner mid-motion, wait for the fallback command.

        :raises RunError: it did not move, or no fallback came
        """
        self._move()
        self.until(lambda: False, after_s)
        before = bool(self.reason)
        os.kill(pid, what)
        struck_ns = time.time_ns()
        self._struck = True
        if not self.until(lambda: self.fallback_ns, LONGEST_S):
            raise RunError(f'{what.name}: no fallback command within {LONGEST_S:g} s')
        self.until(lambda: self.reason, 1.0)
        return Trial(what.name, (self.fallback_sent_ns - struck_ns) / 1e6,
                     (self.fallback_sent_ns - self.sent_ns) / 1e6,
                     (self.fallback_ns - self.moves[-1]) / 1e6, before, self.reason)

    def _move(self) -> None:
        """Begin episodes until one is in motion: a new planner is not discovered at once."""
        for _ in range(TRIES):
            self.say(EventKind.START)
            if self.until(lambda: len(self.moves) >= MOVING, 2.0) and not self.reason:
                return
            self.say(EventKind.TIMEOUT)
        raise RunError('the planner does not command')

    def close(self) -> None:
        """Leave the graph."""
        self.executor.shutdown()
        self.node.destroy_node()


@contextmanager
def rig(folder: Path, *, priority: bool = False) -> Iterator[tuple[Rig, dict[str, str]]]:
    """
    Start a supervisor in a domain of its own; yield the plant's side and the environment.

    :param priority: the supervisor asks for real-time priority, as `realtime_priority` makes it
    """
    with reserved_domain(None) as domain:
        environment = node_environment(domain)
        for name in ('ROS_DOMAIN_ID', 'ROS_AUTOMATIC_DISCOVERY_RANGE'):
            os.environ[name] = environment[name]
        raw = to_plain(load_scenario(find_scenario('reacher')))
        scenario = folder / 'scenario.yaml'
        scenario.write_text(yaml.safe_dump(raw | {'realtime_priority': priority}))
        given = {'scenario': str(scenario), 'nodes': ['supervisor']}
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        made = Rig()
        supervisor = NodeProcess('supervisor', given, folder / 'supervisor.log', environment)
        try:
            yield made, environment
        finally:
            supervisor.interrupt()
            supervisor.wait()
            made.close()
            rclpy.try_shutdown()


def _stand_in(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(Path(__file__).with_name('_stand_in.py'))],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)


def _go(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    process.stdin.write(b'\n')
    process.stdin.flush()


def trials(folder: Path, count: int, seed: int, *, priority: bool = False) -> list[Trial]:
    """Freeze and kill stand-ins in turn, `count` times in all."""
    rng, found = random.Random(seed), []
    with rig(folder, priority=priority) as (made, environment):
        following = _stand_in(environment)
        running: subprocess.Popen[bytes] | None = None
        try:
            for number in range(count):
                if running is None:
                    running, following = following, _stand_in(environment)
                    _go(running)
                what = signal.SIGSTOP if number % 2 == 0 else signal.SIGKILL
                found.append(made.strike(running.pid, what, rng.uniform(0.0, 0.1)))
                if what is signal.SIGSTOP:
                    running.send_signal(signal.SIGCONT)
                else:
                    running.wait()
                    running = None
                made.say(EventKind.TIMEOUT)
        finally:
            for process in filter(None, (running, following)):
                process.kill()
                process.wait()
    return found
