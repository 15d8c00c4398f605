"""The plant node: a simulated world behind standard topics. The world does not wait."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Mapping, MutableSequence
from dataclasses import dataclass, replace
import json
import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher

from wm_eval_ros.config.scenario import PlantSettings, Scenario
from wm_eval_ros.config.schema import setting
from wm_eval_ros.errors import RunError
from wm_eval_ros.nodes.host_link import AT_START, HostLink, LATER
from wm_eval_ros.nodes.parameters import Parameters, run_scenario, RunSettings
from wm_eval_ros.nodes.perturber import Perturber
from wm_eval_ros.nodes.process import run_node, SPIN_S, Stop
from wm_eval_ros.nodes.ros import (
    BAG_ENDED,
    Endpoints,
    finite_command,
    message_type,
    qos_profile,
    ready_text,
    TYPES,
    wait_acked,
)
from wm_eval_ros.nodes.topic_list import COMMAND_RELAY, SENSOR_RELAY
from wm_eval_ros.nodes.worlds import Command, LockstepWorld, RealtimeWorld
from wm_eval_ros.perturb.injector import Change
from wm_eval_ros.plants.encode import compressed
from wm_eval_ros.plants.episode import EpisodeJudge
from wm_eval_ros.plants.hardware import HardwarePlant
from wm_eval_ros.plants.load import make_plant
from wm_eval_ros.plants.protocol import Plant, Stepwise
from wm_eval_ros.records import ClockMode, EpisodeEvent, EventKind, Sample, SOLVED_AT_START
from wm_eval_ros.wire import codec, topics
from wm_eval_ros.wire.fields import CommandWriter
from wm_eval_ros.wire.samples import fill

#: nodes that say so when they have entered an episode; only then the world moves
EPISODE_NODES = frozenset({'planner', 'supervisor', SENSOR_RELAY, COMMAND_RELAY})
#: how long the acknowledgement of the last event is waited for [s]
ACK_S = 1.0
#: how long a burst of questions to the device's clock is waited for [s]
CLOCK_S = 5.0


@dataclass(frozen=True, kw_only=True)
class LauncherSettings:
    """What whoever starts the plant does for it."""

    process_faults: bool = setting(
        False, doc="the launcher follows the plant's output and does to processes what the "
        'perturbations ask for; false: they are unsupported')


@dataclass(frozen=True, kw_only=True)
class WaitSettings:
    """How patient the plant is."""

    ready_timeout_s: float = setting(
        60.0, doc='how long the other nodes, and in lockstep a command, are waited for', unit='s',
        low=0.1)


class PlantNode:
    """Steps a :class:`Plant` by the clock mode, publishes its state, judges its episodes."""

    def __init__(self) -> None:
        """Read parameters, make the plant and the endpoints."""
        self.node = Node('plant', automatically_declare_parameters_from_overrides=True)
        parameters = Parameters(self.node)
        run = parameters.declare(RunSettings)
        self.scenario: Scenario = run_scenario(run)
        self._others = set(run.nodes) - {'plant'}
        self.settings = parameters.declare(PlantSettings, self.scenario.plant)
        self._wait = parameters.declare(WaitSettings)
        launcher = parameters.declare(LauncherSettings)
        parameters.close()
        self.plant: Plant = make_plant(replace(self.scenario, plant=self.settings))
        self._perturber = None if isinstance(self.plant, HardwarePlant) else Perturber(
            self.scenario, self.plant, self._tell, self._part,
            process_faults=launcher.process_faults)
        self._judge = EpisodeJudge(self.plant, self.settings.time_limit_s)
        grain_ns = self.plant.state_ns if isinstance(self.plant, Stepwise) else self.plant.step_ns
        self.tick_ns = max(1, round(1e9 / self.settings.observation_hz / grain_ns)) * grain_ns
        self._episode = -1
        self._origin_ns = 0
        self._next_seed = self.scenario.seed
        self._abort = ''
        self._ready: set[str] = set()
        self._ends = Endpoints(self.node, self.scenario, run.nodes)
        self._link = (HostLink(self.node, self._ends, self.scenario) if self.settings.link
                      else None)
        #: rclpy's events executor does not tell callbacks when a message came
        self.needs_info = self._link is not None
        self._make_endpoints(self._ends)

    def spin(self, executor: SingleThreadedExecutor, stop: Stop) -> None:
        """Wait for the others, run the episodes, make sure that the last word arrived."""
        self._executor, self.stop = executor, stop
        while not stop and self.ros_ns() == 0:
            self.handle(SPIN_S)  # a replayed clock has not come yet
        if self.settings.camera_hz > 0:
            # the first image makes the context: no episode is to wait for it
            self.plant.render(self.settings.camera_width, self.settings.camera_height)
        self._await(self._others)
        self._ask_clock(AT_START)
        world = RealtimeWorld if self.scenario.clock is ClockMode.REALTIME else LockstepWorld
        run = world(self)
        while not stop and self._episode + 1 < self.scenario.episodes and (
                BAG_ENDED not in self._ready):
            run.episode()
        if run.open:
            run.end(EventKind.ABORT, 'stopped')
        self._ask_clock(LATER)
        print(json.dumps({'done': self._episode + 1}), flush=True)
        # Fast DDS asks for acknowledgements every 3 s: too slow for anything but the last word
        wait_acked(self._events, ACK_S)

    def finish(self, executor: SingleThreadedExecutor) -> None:
        """Nothing is buffered here."""

    def _ask_clock(self, times: int) -> None:
        """Have the device's clock asked so many times, where a link is watched."""
        if self._link is None:
            return
        self._link.ask(times)
        end = time.monotonic() + CLOCK_S
        while self._link.asking and not self.stop and time.monotonic() < end:
            self.handle(SPIN_S)

    # what the worlds ask for --------------------------------------------------------------------

    def handle(self, timeout_s: float) -> None:
        """Handle at most one callback, waiting at most so long."""
        self._executor.spin_once(timeout_sec=timeout_s)

    def ros_ns(self) -> int:
        """Return the time on the clock of the stamps [ns]: system time, or a replayed clock's."""
        return int(self.node.get_clock().now().nanoseconds)

    @property
    def patience_s(self) -> float:
        """How long an answer of another node is waited for [s]."""
        return self._wait.ready_timeout_s

    def reset(self, stamp_ns: int) -> None:
        """Begin the next episode at a stamp; return when planner and supervisor are in it."""
        self._episode += 1
        self._abort = ''
        self._origin_ns = stamp_ns
        seed = self._next_seed
        self._next_seed += 1
        self.plant.reset(seed)
        solved = self._judge.begin()
        self._publish_goal(stamp_ns)
        self.event(stamp_ns, EventKind.START, SOLVED_AT_START if solved else '', float(seed))
        followers = EPISODE_NODES & self._others
        self._await({ready_text(name, self._episode) for name in followers})
        if self._perturber is not None:
            self._perturber.begin(seed)

    def finish_episode(self, stamp_ns: int, kind: EventKind, reason: str) -> None:
        """Publish the terminal event; every perturbation ends with the episode."""
        if self._perturber is not None:
            self._perturber.end()
        self.event(stamp_ns, kind, reason, self.plant.time_ns / 1e9)

    def perturb(self) -> None:
        """Begin and end the perturbations that are due at the plant's task time."""
        if self._perturber is not None:
            self._perturber.step()

    def act(self, action: NDArray[np.float64]) -> None:
        """Let a command reach the actuators, as perturbations leave it."""
        if self._perturber is not None:
            self._perturber.act(action)

    def _tell(self, change: Change) -> None:
        realtime = self.scenario.clock is ClockMode.REALTIME
        self.event(self.ros_ns() if realtime else self._origin_ns + self.plant.time_ns,
                   change.kind, change.label, change.severity)

    def event(self, stamp_ns: int, kind: EventKind, label: str, value: float) -> None:
        """Publish an episode event; tell the launcher."""
        record = EpisodeEvent(stamp_ns, self._episode, kind, label, value, self.node.get_name())
        self._events.publish(codec.event_to_msg(record, TYPES))
        print(json.dumps({'episode': self._episode, 'kind': kind.name, 'label': label,
                          'value': value}), flush=True)

    def between(self) -> Collection[str]:
        """Return the topics that are sampled once more before the next tick."""
        return () if self._perturber is None else self._perturber.between()

    def publish_state(self, stamp_ns: int, only: Collection[str] | None = None) -> None:
        """Publish every observation stream, or only these topics, with one stamp."""
        samples: Mapping[str, Sample] = self.plant.observe()
        for topic, endpoint in self._streams.items():
            if only is not None and topic not in only:
                continue
            message = fill(self._types[topic](), samples[topic], stamp_ns)
            assert self._perturber is not None
            self._perturber.send(topic, message, self._publishing(topic, endpoint))

    def publish_camera(self, stamp_ns: int) -> None:
        """Render and publish one image."""
        image = self.plant.render(self.settings.camera_width, self.settings.camera_height)
        topic = topics.camera(self.settings.camera_encoding)
        assert self._perturber is not None
        image = replace(image, pixels=self._perturber.image(topic, image.pixels))
        message = message_type(topics.TYPES[topic])()
        if topic == topics.CAMERA_IMAGE:
            fill(message, image, stamp_ns)
        else:
            codec.set_stamp(message.header.stamp, stamp_ns)
            message.header.frame_id, message.format = image.frame, self.settings.camera_encoding
            message.data = array('B', compressed(image, self.settings.camera_encoding))
        self._perturber.send_image(topic, message, self._publishing(topic, self._camera))

    def _publishing(self, topic: str, endpoint: Publisher) -> Callable[[Any], None]:
        publish: Callable[[Any], None] = endpoint.publish
        return publish if self._link is None else self._link.noting(topic, publish)

    def verdict(self) -> tuple[EventKind, str] | None:
        """Return how the episode ended, None while it goes on."""
        if self._abort:
            return EventKind.ABORT, self._abort
        if BAG_ENDED in self._ready:
            return EventKind.ABORT, BAG_ENDED
        return self._judge.verdict()

    # endpoints ----------------------------------------------------------------------------------

    def _make_endpoints(self, ends: Endpoints) -> None:
        interface = self.scenario.interface
        simulated = not isinstance(self.plant, HardwarePlant)
        self._types: dict[str, Any] = {
            s.topic: message_type(s.type) for s in (*interface.observations, *interface.unseen)}
        self._streams: dict[str, Publisher] = {
            s.topic: ends.publisher(s.type, s.topic, topics.SENSOR_OFFER)
            for s in (*interface.observations, *interface.unseen) if simulated}
        self._goal = None if interface.goal is None or not simulated else ends.publisher(
            interface.goal.type, interface.goal.topic, topics.LATCHED)
        self._events = ends.publisher(topics.TYPES[topics.EPISODE_EVENT], topics.EPISODE_EVENT,
                                      topics.LATCHED)
        if self.settings.camera_hz > 0:
            topic = topics.camera(self.settings.camera_encoding)
            self._camera = ends.publisher(topics.TYPES[topic], topic, topics.SENSOR_OFFER)
        if self.scenario.clock is not ClockMode.REALTIME:
            self._clock = ends.publisher(topics.TYPES[topics.CLOCK], topics.CLOCK,
                                         topics.SENSOR_OFFER)
        self._reader = CommandWriter(interface.command, message_type)
        self.commands: MutableSequence[Command] = []
        self._listen()
        ends.subscription(
            topics.TYPES[topics.NODE_READY], topics.NODE_READY, topics.LATCHED,
            lambda message: self._ready.add(message.data))
        self.node.create_service(
            message_type('wm_eval_ros/srv/ResetEpisode'), topics.RESET_EPISODE, self._on_reset,
            qos_profile=qos_profile(topics.Qos(depth=10)))
        if self._perturber is not None:
            self.node.create_service(
                message_type('wm_eval_ros/srv/InjectPerturbation'), topics.INJECT_PERTURBATION,
                self._perturber.on_request, qos_profile=qos_profile(topics.Qos(depth=10)))

    def _listen(self) -> None:
        """Hear commands."""
        command = self.scenario.interface.command
        realtime = self.scenario.clock is ClockMode.REALTIME
        self._ear = self._ends.subscription(
            command.type, command.topic, topics.COMMAND if realtime else topics.TELEMETRY,
            self._on_command)

    def _part(self, apart: bool) -> None:
        """Ask for latched commands, which nobody offers, or hear them again."""
        if not apart:
            self.node.destroy_subscription(self._ear)
            self._listen()
            return
        self._ends.withdraw(self._ear)
        command = self.scenario.interface.command
        self._ear = self.node.create_subscription(
            message_type(command.type), command.topic, self._on_command,
            qos_profile(replace(topics.COMMAND, latched=True)))

    def _on_command(self, message: Any) -> None:
        action = finite_command(self.node, self._reader, message)
        if action is not None:
            header = getattr(message, 'header', None)
            stamp_ns = 0 if header is None else codec.stamp_ns(header.stamp)
            self.commands.append((stamp_ns, action))

    def _on_reset(self, request: Any, response: Any) -> Any:
        if request.options:
            response.message = 'options are not known to this plant; leave them empty'
            return response
        self._abort = 'reset by service'
        self._next_seed = int(request.seed)
        response.success, response.episode = True, self._episode + 1
        return response

    def _publish_goal(self, stamp_ns: int) -> None:
        goal = self.plant.goal()
        if self._goal is None or goal is None:
            return
        stream = self.scenario.interface.goal
        assert stream is not None
        message = fill(message_type(stream.type)(), goal, stamp_ns)
        self._goal.publish(message)

    def publish_clock(self, stamp_ns: int) -> None:
        """Publish simulated time, after the state of that instant."""
        message = message_type(topics.TYPES[topics.CLOCK])()
        codec.set_stamp(message.clock, stamp_ns)
        self._clock.publish(message)

    def _await(self, wanted: set[str]) -> None:
        """Handle callbacks until all of these have been announced."""
        end = time.monotonic() + self._wait.ready_timeout_s
        while not self.stop and (not wanted <= self._ready or self._ends.unmatched()):
            if time.monotonic() > end:
                missing = ', '.join(sorted(wanted - self._ready)) or self._ends.unmatched()
                raise RunError(f'not ready within {self._wait.ready_timeout_s:g} s: {missing}; '
                               'see their logs')
            self.handle(SPIN_S)


def main() -> int:
    """Entry point of the process."""
    return run_node(PlantNode)


if __name__ == '__main__':
    sys.exit(main())
