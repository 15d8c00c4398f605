"""The plant node: a simulated world behind standard topics. The world does not wait."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher

from wm_eval_ros import plugins
from wm_eval_ros.config.scenario import PlantSettings, Scenario
from wm_eval_ros.config.schema import setting
from wm_eval_ros.errors import RunError
from wm_eval_ros.nodes.parameters import Parameters, RunSettings, run_scenario
from wm_eval_ros.nodes.process import SPIN_S, Stop, run_node
from wm_eval_ros.nodes.ros import (
    TYPES, message_type, publisher, qos_profile, ready_text, subscription)
from wm_eval_ros.plants.episode import EpisodeJudge
from wm_eval_ros.plants.protocol import Plant
from wm_eval_ros.records import (
    SOLVED_AT_START, ClockMode, EpisodeEvent, EventKind, Sample)
from wm_eval_ros.wire import codec, topics
from wm_eval_ros.wire.fields import CommandWriter
from wm_eval_ros.wire.samples import fill

#: longest the clock of the simulators may be published [ns]: 200 Hz
CLOCK_PERIOD_NS = 5_000_000
#: nodes that say so when they have entered an episode; only then the world moves
EPISODE_NODES = frozenset({'planner', 'supervisor'})
#: how long the acknowledgement of the last event is waited for [s]
ACK_S = 5.0


@dataclass(frozen=True, kw_only=True)
class WaitSettings:
    """Who must be there before the first slot."""

    wait_for: tuple[str, ...] = setting(
        ('planner', 'supervisor', 'monitor', 'recorder'),
        doc='nodes that must have announced themselves before the first episode')
    ready_timeout_s: float = setting(
        60.0, doc='how long they, and in lockstep a command, are waited for', unit='s', low=0.1)


class PlantNode:
    """Steps a :class:`Plant` by the clock mode, publishes its state, judges its episodes."""

    def __init__(self) -> None:
        """Read parameters, make the plant and the endpoints."""
        self.node = Node('plant', automatically_declare_parameters_from_overrides=True)
        parameters = Parameters(self.node)
        self._scenario: Scenario = run_scenario(parameters.declare(RunSettings))
        self._settings = parameters.declare(PlantSettings, self._scenario.plant)
        self._wait = parameters.declare(WaitSettings)
        parameters.close()
        self._plant: Plant = plugins.load('wm_eval_ros.plants', self._settings.kind)(
            task=self._settings.task, interface=self._scenario.interface)
        self._judge = EpisodeJudge(self._plant, self._settings.time_limit_s)
        self._tick_ns = max(1, round(1e9 / self._settings.observation_hz / self._plant.step_ns)
                            ) * self._plant.step_ns
        self._episode = -1
        self._next_seed = self._scenario.seed
        self._abort = ''
        self._ready: set[str] = set()
        self._make_endpoints()

    def spin(self, executor: SingleThreadedExecutor, stop: Stop) -> None:
        """Wait for the others, run the episodes, make sure that the last word arrived."""
        self._executor, self._stop = executor, stop
        self._await(set(self._wait.wait_for))
        world = _realtime if self._scenario.clock is ClockMode.REALTIME else _lockstep
        run = world(self, executor, stop)
        while not stop and self._episode + 1 < self._scenario.episodes:
            run.episode()
        if run.open:
            run.end(EventKind.ABORT, 'stopped')
        print(json.dumps({'done': self._episode + 1}), flush=True)
        # Fast DDS asks for acknowledgements every 3 s: too slow for anything but the last word
        self._events.wait_for_all_acked(Duration(seconds=ACK_S))

    def finish(self, executor: SingleThreadedExecutor) -> None:
        """Nothing is buffered here."""

    # what the two worlds share ------------------------------------------------------------------

    def reset(self, stamp_ns: int) -> None:
        """Begin the next episode at a stamp; return when planner and supervisor are in it."""
        self._episode += 1
        self._abort = ''
        seed = self._next_seed
        self._next_seed += 1
        self._plant.reset(seed)
        solved = self._judge.begin()
        self._publish_goal(stamp_ns)
        self.event(stamp_ns, EventKind.START, SOLVED_AT_START if solved else '', float(seed))
        followers = EPISODE_NODES & set(self._wait.wait_for)
        self._await({ready_text(name, self._episode) for name in followers})

    def event(self, stamp_ns: int, kind: EventKind, label: str, value: float) -> None:
        """Publish an episode event; tell the launcher."""
        record = EpisodeEvent(stamp_ns, self._episode, kind, label, value, self.node.get_name())
        self._events.publish(codec.event_to_msg(record, TYPES))
        print(json.dumps({'episode': self._episode, 'kind': kind.name, 'value': value}),
              flush=True)

    def publish_state(self, stamp_ns: int) -> None:
        """Publish every observation stream with one stamp."""
        samples: Mapping[str, Sample] = self._plant.observe()
        for topic, endpoint in self._streams.items():
            message = fill(self._types[topic](), samples[topic], stamp_ns)
            endpoint.publish(message)

    def publish_camera(self, stamp_ns: int) -> None:
        """Render and publish one image."""
        image = self._plant.render(self._settings.camera_width, self._settings.camera_height)
        message = fill(message_type(topics.TYPES[topics.CAMERA_IMAGE])(), image, stamp_ns)
        self._camera.publish(message)

    def verdict(self) -> tuple[EventKind, str] | None:
        """Return how the episode ended, None while it goes on."""
        if self._abort:
            return EventKind.ABORT, self._abort
        return self._judge.verdict()

    # endpoints ----------------------------------------------------------------------------------

    def _make_endpoints(self) -> None:
        node, interface = self.node, self._scenario.interface
        self._types: dict[str, Any] = {
            s.topic: message_type(s.type) for s in interface.observations}
        self._streams: dict[str, Publisher] = {
            s.topic: publisher(node, s.type, s.topic, topics.SENSOR_OFFER)
            for s in interface.observations}
        self._goal = None if interface.goal is None else publisher(
            node, interface.goal.type, interface.goal.topic, topics.LATCHED)
        self._events = publisher(node, topics.TYPES[topics.EPISODE_EVENT], topics.EPISODE_EVENT,
                                 topics.LATCHED)
        if self._settings.camera_hz > 0:
            self._camera = publisher(node, topics.TYPES[topics.CAMERA_IMAGE], topics.CAMERA_IMAGE,
                                     topics.SENSOR_OFFER)
        if self._scenario.clock is not ClockMode.REALTIME:
            self._clock = publisher(node, topics.TYPES[topics.CLOCK], topics.CLOCK,
                                    topics.SENSOR_OFFER)
        self._reader = CommandWriter(interface.command, message_type)
        self.commands: list[tuple[int, np.ndarray[Any, np.dtype[np.float64]]]] = []
        self._subscription = subscription(
            node, interface.command.type, interface.command.topic,
            topics.COMMAND if self._scenario.clock is ClockMode.REALTIME else topics.TELEMETRY,
            self._on_command)
        self._ready_subscription = subscription(
            node, topics.TYPES[topics.NODE_READY], topics.NODE_READY, topics.LATCHED,
            lambda message: self._ready.add(message.data))
        self._service = node.create_service(
            message_type('wm_eval_ros/srv/ResetEpisode'), topics.RESET_EPISODE, self._on_reset,
            qos_profile=qos_profile(topics.Qos(depth=10)))

    def _on_command(self, message: Any) -> None:
        action = np.asarray(self._reader.read(message), dtype=np.float64)
        if np.isfinite(action).all():
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
        goal = self._plant.goal()
        if self._goal is None or goal is None:
            return
        stream = self._scenario.interface.goal
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
        while not wanted <= self._ready and not self._stop:
            if time.monotonic() > end:
                missing = ', '.join(sorted(wanted - self._ready))
                raise RunError(f'not ready within {self._wait.ready_timeout_s:g} s: {missing}; '
                               'see their logs')
            self._executor.spin_once(timeout_sec=SPIN_S)


class _realtime:
    """The world at wall speed: stamps are system time, as on a robot."""

    def __init__(self, owner: PlantNode, executor: SingleThreadedExecutor, stop: Stop) -> None:
        self._owner = owner
        self._plant = owner._plant
        self._executor = executor
        self._stop = stop
        self.open = False
        camera_hz = owner._settings.camera_hz
        self._camera_ns = round(1e9 / camera_hz) if camera_hz else 0

    def episode(self) -> None:
        """Run one episode."""
        owner = self._owner
        owner.reset(time.time_ns())
        self.open = True
        owner.commands.clear()
        self._t0_ns = time.monotonic_ns()
        due_ns = 0
        camera_due_ns = 0
        while not self._stop:
            self._sleep_until(due_ns)
            self._advance(min(due_ns, owner._settings.time_limit_s * 1e9))
            owner.publish_state(time.time_ns())
            if self._camera_ns and due_ns >= camera_due_ns:
                owner.publish_camera(time.time_ns())
                camera_due_ns += self._camera_ns
            verdict = owner.verdict()
            if verdict is not None:
                self.end(*verdict)
                return
            due_ns = max(due_ns + owner._tick_ns,
                         self._elapsed_ns() // owner._tick_ns * owner._tick_ns)

    def end(self, kind: EventKind, reason: str) -> None:
        """Publish the terminal event."""
        self.open = False
        self._owner.event(time.time_ns(), kind, reason, self._plant.time_ns / 1e9)

    def _elapsed_ns(self) -> int:
        return time.monotonic_ns() - self._t0_ns

    def _sleep_until(self, due_ns: int) -> None:
        """Handle callbacks until the world is due; a command takes effect when it arrives."""
        while not self._stop:
            remaining_s = (due_ns - self._elapsed_ns()) / 1e9
            if remaining_s <= 0.0:
                return
            self._executor.spin_once(timeout_sec=remaining_s)
            if self._owner.commands:
                self._advance(min(self._elapsed_ns(), due_ns))
                self._plant.apply(self._owner.commands[-1][1])
                self._owner.commands.clear()

    def _advance(self, until_ns: float) -> None:
        step_ns = self._plant.step_ns
        steps = (int(until_ns) - self._plant.time_ns) // step_ns
        if steps > 0:
            self._plant.advance(steps * step_ns)


class _lockstep:
    """The world waits for each slot's command, then advances; commands act from their stamp on."""

    def __init__(self, owner: PlantNode, executor: SingleThreadedExecutor, stop: Stop) -> None:
        self._owner = owner
        self._plant = owner._plant
        self._executor = executor
        self._stop = stop
        self.open = False
        self._origin_ns = 0
        step_ns = self._plant.step_ns
        self._period_ns = round(owner._scenario.planner.period_ms * 1e6 / step_ns) * step_ns
        self._clock_ns = -CLOCK_PERIOD_NS

    def episode(self) -> None:
        """Run one episode."""
        owner = self._owner
        # the reset takes one step of simulated time, so that no two states share a stamp
        self._origin_ns = self._now_ns() + self._plant.step_ns
        owner.reset(self._origin_ns)
        self.open = True
        pending: list[tuple[int, Any]] = []
        owner.commands.clear()
        while not self._stop:
            self._publish()
            pending += self._await_command()
            verdict = self._advance(pending)
            if verdict is not None:
                self.end(*verdict)
                return

    def end(self, kind: EventKind, reason: str) -> None:
        """Publish the terminal event."""
        self.open = False
        self._owner.event(self._now_ns(), kind, reason, self._plant.time_ns / 1e9)

    def _now_ns(self) -> int:
        return self._origin_ns + self._plant.time_ns

    def _publish(self) -> None:
        now_ns = self._now_ns()
        self._owner.publish_state(now_ns)
        if self._owner._settings.camera_hz > 0:
            self._owner.publish_camera(now_ns)
        if now_ns - self._clock_ns >= CLOCK_PERIOD_NS:
            self._owner.publish_clock(now_ns)
            self._clock_ns = now_ns

    def _await_command(self) -> list[tuple[int, Any]]:
        owner = self._owner
        end = time.monotonic() + owner._wait.ready_timeout_s
        while not owner.commands and not self._stop:
            if time.monotonic() > end:
                raise RunError(f'no command for the state at {self._now_ns() / 1e9:.3f} s within '
                               f'{owner._wait.ready_timeout_s:g} s: planner or supervisor is gone')
            self._executor.spin_once(timeout_sec=SPIN_S)
        taken = list(owner.commands)
        owner.commands.clear()
        return taken

    def _advance(self, pending: list[tuple[int, Any]]) -> tuple[EventKind, str] | None:
        """Advance one slot on the grid of ticks and command stamps; stop where the episode ends."""
        end_ns = self._plant.time_ns + self._period_ns
        tick_ns = self._owner._tick_ns
        while self._plant.time_ns < end_ns and not self._stop:
            self._apply_due(pending)
            tick_end_ns = min(end_ns, (self._plant.time_ns // tick_ns + 1) * tick_ns)
            self._advance_to(tick_end_ns, pending)
            verdict = self._owner.verdict()
            if verdict is not None:
                return verdict
        return None

    def _advance_to(self, end_ns: int, pending: list[tuple[int, Any]]) -> None:
        step_ns = self._plant.step_ns
        while self._plant.time_ns < end_ns:
            next_ns = min([end_ns, *(self._task_ns(stamp) for stamp, _ in pending
                                     if self._task_ns(stamp) > self._plant.time_ns)])
            steps = max(1, -((self._plant.time_ns - next_ns) // step_ns))
            self._plant.advance(steps * step_ns)
            self._apply_due(pending)

    def _task_ns(self, stamp_ns: int) -> int:
        return stamp_ns - self._origin_ns

    def _apply_due(self, pending: list[tuple[int, Any]]) -> None:
        due = [entry for entry in pending if self._task_ns(entry[0]) <= self._plant.time_ns]
        for entry in due:
            pending.remove(entry)
        if due:
            self._plant.apply(max(due, key=lambda entry: entry[0])[1])


def main() -> int:
    """Entry point of the process."""
    return run_node(PlantNode)


if __name__ == '__main__':
    sys.exit(main())
