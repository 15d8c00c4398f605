"""The relay: perturbs the messages of a robot on their way to the planner, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import sys
import time
from typing import Any

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

from wm_eval_ros.config.schema import setting
from wm_eval_ros.errors import ConfigError, FieldPathError, MissingExtraError, RunError
from wm_eval_ros.nodes.injecting import answer
from wm_eval_ros.nodes.parameters import Parameters, run_scenario, RunSettings
from wm_eval_ros.nodes.process import run_node, SPIN_S, Stop
from wm_eval_ros.nodes.relay_edit import Edit, edited, NotTakenError, Picture
from wm_eval_ros.nodes.relay_host import edits, own
from wm_eval_ros.nodes.relay_images import COMPRESSED, IMAGE
from wm_eval_ros.nodes.ros import Endpoints, message_type, qos_profile, Ready, TYPES, wait_acked
from wm_eval_ros.nodes.topic_list import COMMAND_RELAY, sensed, SENSOR_RELAY
from wm_eval_ros.perturb.held import Held
from wm_eval_ros.perturb.injector import Change, Injector
from wm_eval_ros.records import EpisodeEvent, EventKind, TERMINAL
from wm_eval_ros.wire import codec, topics
from wm_eval_ros.wire.header import header_stamp_ns, with_stamp

#: queue of every subscription to a robot [messages]
DEPTH = 100
#: how late an onset is noticed where no message comes [s]
ONSET_S = 0.01


@dataclass(frozen=True, kw_only=True)
class RelaySettings:
    """How patient the relay is, and how much it holds back."""

    match_timeout_s: float = setting(
        60.0, doc="how long the robot's topics are waited for", unit='s', low=0.1)
    held_mib: float = setting(256.0, doc='size of the messages held back at most', unit='MiB',
                              low=1.0, high=65536.0)


@dataclass(slots=True)
class Line:
    """One topic on its way through."""

    topic: str
    kind: Any
    edit: Edit
    publisher: Publisher
    stamped: bool


class RelayNode:
    """Wires an :class:`Injector` between topics; without anything on, bytes pass untouched."""

    def __init__(self, name: str = SENSOR_RELAY) -> None:
        """
        Read the parameters; topics wait for their publishers.

        :param name: of the sensors' relay, or of the commands'
        """
        self.node = Node(name, automatically_declare_parameters_from_overrides=True)
        parameters = Parameters(self.node)
        run = parameters.declare(RunSettings)
        self.scenario = run_scenario(run)
        self._settings = parameters.declare(RelaySettings)
        parameters.close()
        if self.scenario.plant.kind != 'hardware':
            raise ConfigError(f'plant.kind: {self.scenario.plant.kind}; a simulated plant '
                              'perturbs its own messages, a relay is for a robot or a bag')
        self._nodes = {*run.nodes, name}
        self._commands = name == COMMAND_RELAY
        self._edits, host = edits(self.scenario, name)
        self._injector = Injector(own(self.scenario, name, self._nodes), host)
        self._held: Held[Callable[[], object]] = Held(round(self._settings.held_mib * 2**20))
        self._lines: dict[str, Line] = {}
        self._episode: EpisodeEvent | None = None
        self._begun_ns = 0
        #: the last command, where it did not pass as it came
        self._owed: bytes | None = None
        self._make_endpoints()

    # life ---------------------------------------------------------------------------------------

    def spin(self, executor: SingleThreadedExecutor, stop: Stop) -> None:
        """Match every topic, say so, pass on until told to stop."""
        end = time.monotonic() + self._settings.match_timeout_s
        while (missing := self._unmatched()) and not stop:
            self._discover()
            executor.spin_once(timeout_sec=SPIN_S / 2)
            if time.monotonic() > end:
                raise RunError(f'nobody publishes within {self._settings.match_timeout_s:g} s: '
                               f'{", ".join(missing)}')
        announced = False
        while not stop:
            executor.spin_once(timeout_sec=self._pause_s())
            self.step()
            if not announced:
                announced = self._ready.announce_when_matched()
                self._announce_episode(announced)

    def finish(self, executor: SingleThreadedExecutor) -> None:
        """End what is on; pass the last command on."""
        if self._episode is not None:
            self._end(self.node.get_clock().now().nanoseconds)
        wait_acked(self._events)

    def step(self) -> None:
        """Let go of what is due; begin and end what is due."""
        for leave in self._held.due(time.monotonic_ns()):
            leave()
        task_ns = self._task_ns()
        if task_ns is not None:
            for change in self._injector.step(task_ns):
                self._tell(change)

    # messages -----------------------------------------------------------------------------------

    def _take(self, line: Line, data: bytes) -> None:
        self.step()
        task_ns = self._task_ns()
        if task_ns is None or not self._injector.touches(line.topic):
            self._owed = None
            line.publisher.publish(data)
            return
        try:
            changed = edited(line.edit, self._injector, data, line.kind, task_ns)
        except NotTakenError:
            self._owed = data
            return
        except (FieldPathError, MissingExtraError, ValueError) as error:
            # what is not understood cannot be changed; the planner shall judge it itself
            self.node.get_logger().error(f'{line.topic}: {error}', throttle_duration_sec=5.0)
            changed = data
        copies = self._injector.deliver(line.topic, task_ns)
        self._owed = None if changed is data and any(not c.delay_ns for c in copies) else data
        stamp_ns = header_stamp_ns(data) if line.stamped else None
        for copy in copies:
            self._leave(_publication(line, changed, stamp_ns, copy.stamp_shift_ns),
                        len(data), copy.delay_ns)

    def _leave(self, publish: Callable[[], object], size: int, delay_ns: int) -> None:
        if delay_ns <= 0:
            publish()
            return
        self._held.put(time.monotonic_ns() + delay_ns, size, publish)
        if self._held.refused:
            self.node.get_logger().error(
                f'{self._held.refused} messages were lost: more than held_mib is held back',
                throttle_duration_sec=5.0)

    def _pause_s(self) -> float:
        next_ns = self._held.next_ns
        longest_s = SPIN_S if self._episode is None else ONSET_S
        if next_ns is None:
            return longest_s
        return min(longest_s, max(0.0, (next_ns - time.monotonic_ns()) / 1e9))

    # episodes -----------------------------------------------------------------------------------

    def _on_event(self, message: Any) -> None:
        event = codec.event_from_msg(message)
        if event.kind is EventKind.START:
            self._episode, self._begun_ns = event, time.monotonic_ns()
            self._injector.begin(int(event.value))
            self._announce_episode(self._ready.announced)
        elif event.kind in TERMINAL and self._episode is not None:
            self._end(event.stamp_ns)

    def _announce_episode(self, ready: bool) -> None:
        if ready and self._episode is not None:
            self._ready.announce(self._episode.episode)

    def _end(self, stamp_ns: int) -> None:
        """
        End everything with the episode.

        What is held back never leaves: a command that is late must not move a robot after its
        episode. The last one of the supervisor, by which it stops the robot, passes as it came.
        """
        self._held.clear()
        for change in self._injector.end():
            self._tell(change, stamp_ns)
        self._episode = None
        if self._commands and self._owed is not None:
            next(iter(self._lines.values())).publisher.publish(self._owed)
        self._owed = None

    def _task_ns(self) -> int | None:
        return None if self._episode is None else time.monotonic_ns() - self._begun_ns

    def _tell(self, change: Change, stamp_ns: int | None = None) -> None:
        assert self._episode is not None
        if stamp_ns is None:
            stamp_ns = self.node.get_clock().now().nanoseconds
        self._events.publish(codec.event_to_msg(EpisodeEvent(
            stamp_ns, self._episode.episode, change.kind, change.label, change.severity,
            self.node.get_name()), TYPES))

    def _on_request(self, asked: Any, response: Any) -> Any:
        change = answer(self._injector, self._task_ns(), asked, response)
        if change is not None:
            self._tell(change)
        return response

    # endpoints ----------------------------------------------------------------------------------

    def _make_endpoints(self) -> None:
        self._ends = ends = Endpoints(self.node, self.scenario, self._nodes)
        kind = topics.TYPES[topics.EPISODE_EVENT]
        self._events = ends.publisher(kind, topics.EPISODE_EVENT, topics.LATCHED)
        self._ready = Ready(self.node, ends)
        ends.subscription(kind, topics.EPISODE_EVENT, topics.LATCHED, self._on_event)
        service = (topics.INJECT_COMMAND_PERTURBATION if self._commands
                   else topics.INJECT_PERTURBATION)
        self.node.create_service(
            message_type('wm_eval_ros/srv/InjectPerturbation'), service, self._on_request,
            qos_profile=qos_profile(topics.Qos(depth=10)))

    def _unmatched(self) -> list[str]:
        return sorted(topic for topic in self._edits if topic not in self._lines)

    def _discover(self) -> None:
        for topic in self._unmatched():
            come = topics.unperturbed(topic) if self._commands else topic
            offers = self.node.get_publishers_info_by_topic(self.node.resolve_topic_name(come))
            if offers:
                self._open(topic, come, offers)

    def _open(self, topic: str, come: str, offers: list[Any]) -> None:
        """Ask for the most that every publisher offers, and offer the same."""
        asked = topics.COMMAND if self._commands else topics.Qos(
            DEPTH, all(o.qos_profile.reliability is ReliabilityPolicy.RELIABLE for o in offers),
            all(o.qos_profile.durability is DurabilityPolicy.TRANSIENT_LOCAL for o in offers))
        type_name = offers[0].topic_type
        if isinstance(self._edits[topic], Picture) and type_name not in (IMAGE, COMPRESSED):
            raise ConfigError(f'perturbations: topics: {topic} is a {type_name}; name '
                              'observations of the interface, or topics of camera images')
        kind = message_type(type_name)
        goes = topic if self._commands else sensed(topic, self._nodes)
        line = self._lines[topic] = Line(
            topic, kind, self._edits[topic], self._ends.publisher(type_name, goes, asked),
            hasattr(kind, 'header'))
        self._ends.subscription(type_name, come, asked, lambda data: self._take(line, data),
                                raw=True)


def _publication(
    line: Line, passed: Any, stamp_ns: int | None, shift_ns: int,
) -> Callable[[], object]:
    """
    Return what publishes serialized bytes or a message.

    :param stamp_ns: the stamp it came with; None: its type has none
    """
    if stamp_ns is None or (isinstance(passed, bytes) and not shift_ns):
        return lambda: line.publisher.publish(passed)
    dated_ns = max(0, stamp_ns + shift_ns)
    if isinstance(passed, bytes):
        dated = with_stamp(passed, dated_ns)
        return lambda: line.publisher.publish(dated)

    def publish() -> None:
        # the copies of a message share it: each has a stamp of its own
        codec.set_stamp(passed.header.stamp, dated_ns)
        line.publisher.publish(passed)

    return publish


def main() -> int:
    """Entry point of the process: between the sensors of a robot and the planner."""
    return run_node(RelayNode)


def command_main() -> int:
    """Entry point of the process between the supervisor and a robot."""
    return run_node(lambda: RelayNode(COMMAND_RELAY))


if __name__ == '__main__':
    sys.exit(main())
