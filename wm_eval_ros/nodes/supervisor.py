"""The supervisor node: the command gate between planner and plant, in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
import sys
import time
import traceback
from typing import Any, TypeVar

import numpy as np
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from wm_eval_ros.config.supervisor import SupervisorSettings
from wm_eval_ros.errors import BagError, ConfigError, FieldPathError, WmEvalError
from wm_eval_ros.nodes import desk
from wm_eval_ros.nodes.authorship import Authorship
from wm_eval_ros.nodes.parameters import Parameters, run_scenario, RunSettings
from wm_eval_ros.nodes.process import run_node, spin_until, Stop
from wm_eval_ros.nodes.ros import Endpoints, message_type, Ready, TYPES, wait_acked
from wm_eval_ros.nodes.topic_list import gated
from wm_eval_ros.records import (
    ClockMode,
    CycleStatus,
    EpisodeEvent,
    EventKind,
    TERMINAL,
)
from wm_eval_ros.safety.gate import CommandGate, Decision, Offer
from wm_eval_ros.safety.joystick import Joystick
from wm_eval_ros.safety.lateness import Lateness
from wm_eval_ros.safety.limits import Fault, Refusal
from wm_eval_ros.safety.lockstep import Answer, Proposal, SlotGate
from wm_eval_ros.safety.monitors import Level
from wm_eval_ros.safety.reflex import Reflex
from wm_eval_ros.safety.refusals import RefusalLog
from wm_eval_ros.safety.state import GateState
from wm_eval_ros.wire import codec, topics
from wm_eval_ros.wire.fields import CommandWriter, feature_names, joined_names, StreamReader

R = TypeVar('R')

#: looks of the watchdog at the steady clock in one period
LOOKS = 5
#: least time between two events of refusals of one kind [ns]
REFUSALS_NS = 1_000_000_000


class SupervisorNode:
    """Holds a :class:`CommandGate`; passes good proposals on, or commands the fallback."""

    def __init__(self) -> None:
        """Read the parameters, make the gate and the endpoints."""
        self.node = Node('supervisor', automatically_declare_parameters_from_overrides=True)
        parameters = Parameters(self.node)
        run = parameters.declare(RunSettings)
        self.scenario = run_scenario(run)
        self._settings = parameters.declare(SupervisorSettings, self.scenario.supervisor)
        parameters.close()
        self._realtime = self.scenario.clock is ClockMode.REALTIME
        self._period_ns = round(self.scenario.planner.period_ms * 1e6)
        interface = self.scenario.interface
        self._require()
        self.gate = CommandGate(
            interface.command, self._settings, period_ns=self._period_ns,
            deadline_ns=round(self.scenario.planner.deadline_ms * 1e6),
            features=joined_names(interface.observations),
            latch_stop=self.scenario.plant.kind == 'hardware')
        self._reflex = Reflex(interface.command, self._settings.reflex, self.gate.observed)
        self._refusals = RefusalLog(REFUSALS_NS)
        #: where an answer may carry the stamp of another host's sample
        self._lateness = Lateness() if self.scenario.plant.link else None
        self._episode = 0
        self._substituted_ns = 0
        self._gated = gated(self.scenario.interface.command.topic, run.nodes)
        self._make_endpoints(Endpoints(self.node, self.scenario, run.nodes))

    def spin(self, executor: SingleThreadedExecutor, stop: Stop) -> None:
        """Gate commands until told to stop."""
        spin_until(executor, stop, self._ready.announce_when_matched)

    def finish(self, executor: SingleThreadedExecutor) -> None:
        """Leave nothing in force: zero is the last command."""
        self._tell_refusals(time.time_ns(), rest=True)
        if self._realtime and self._commands is not None:
            self._send(self.gate.zero, time.time_ns())
            wait_acked(self._commands)

    # endpoints ----------------------------------------------------------------------------------

    def _require(self) -> None:
        """Refuse what the run has no place for: above all a world that waits for each slot."""
        command, settings = self.scenario.interface.command, self._settings
        self._type = message_type(command.type)
        self._stamped = hasattr(self._type, 'header')
        planner = self.scenario.planner
        if settings.reflex and not (planner.model and planner.record_rollout):
            raise ConfigError('supervisor.reflex: needs a plan to correct by; give planner.model, '
                              'and planner.record_rollout: true')
        if self._realtime:
            return
        if not self._stamped:
            raise ConfigError(f'interface.command.type: {command.type} has no header; '
                              f'in {self.scenario.clock} a command acts from its stamp on')
        for name, asked in (('shadow', settings.shadow), ('reflex', settings.reflex),
                            ('fallback: controller', settings.fallback == 'controller')):
            if asked:
                raise ConfigError(f'supervisor.{name}: not in {self.scenario.clock}, where the '
                                  'world waits for one command a slot; use realtime')

    def _make_endpoints(self, ends: Endpoints) -> None:
        command, settings = self.scenario.interface.command, self._settings
        self._writer = CommandWriter(command, message_type)
        event = topics.TYPES[topics.EPISODE_EVENT]
        self._events = ends.publisher(event, topics.EPISODE_EVENT, topics.LATCHED)
        self._commands = None if settings.shadow else ends.publisher(
            command.type, self._gated, topics.COMMAND if self._realtime else topics.TELEMETRY)
        ends.subscription(event, topics.EPISODE_EVENT, topics.LATCHED,
                          self._outlive(self._on_event))
        ends.subscription(topics.TYPES[topics.PLANNER_CYCLE], topics.PLANNER_CYCLE,
                          topics.TELEMETRY, self._outlive(self._on_cycle))
        proposed = topics.proposed(command.topic)
        if self._realtime:
            # DDS takes a writer of the reader's own process for dead between two messages; alone
            # it could not outlive it
            lease_ns = 0 if self.scenario.composed else round(settings.liveliness_ms * 1e6)
            ends.subscription(
                command.type, proposed, topics.proposal(self.gate.stale_ns, lease_ns),
                self._outlive(self._on_proposal), events=SubscriptionEventCallbacks(
                    deadline=lambda _: self._act(self.gate.deadline_missed(time.monotonic_ns())),
                    liveliness=self._on_liveliness))
            self._make_realtime(ends)
        else:
            self._slots = SlotGate(self.gate)
            ends.subscription(command.type, proposed, topics.TELEMETRY, self._on_slot_proposal)
        desk.serve(self.node, self, self._outlive)
        self._ready = Ready(self.node, ends)

    def _make_realtime(self, ends: Endpoints) -> None:
        command, settings = self.scenario.interface.command, self._settings
        if settings.reflex:
            ends.subscription(topics.TYPES[topics.RUN_INFO], topics.RUN_INFO, topics.LATCHED,
                              self._outlive(self._on_run_info))
        if settings.state_limits or settings.brake or settings.reflex:
            first = 0
            for stream in self.scenario.interface.observations:
                ends.subscription(stream.type, stream.topic, topics.SENSOR,
                                  self._outlive(self._observer(StreamReader(stream), first)))
                first += len(feature_names(stream))
        if settings.controller_topic:
            ends.subscription(command.type, settings.controller_topic, topics.COMMAND,
                              self._outlive(self._on_controller))
        if settings.joy_axes:
            desk.listen(ends, Joystick(command, settings), self, self._outlive)
        self._authors = [Authorship(self.node, topics.proposed(command.topic),
                                    settings.authorised, only_one=False)]
        if not settings.shadow:
            self._authors.append(Authorship(self.node, self._gated, self.node.get_name(),
                                            only_one=True))
        # a stopped or stepping ROS clock must not blind the watchdogs
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.node.create_timer(self._period_ns / LOOKS / 1e9, self._look, clock=steady)
        self.node.create_timer(self._period_ns / 1e9, self._look_around, clock=steady)

    def _outlive(self, callback: Callable[[Any], R]) -> Callable[[Any], R | str]:
        """
        Let no message end the last process before the robot: the fallback commands from then on.

        In lockstep it ends: the world would wait for the slot that was not answered.
        """
        @wraps(callback)
        def outlive(message: Any) -> R | str:
            try:
                return callback(message)
            except BagError:
                raise  # a message of another version, left out by the endpoints
            except Exception as error:
                if not self._realtime:
                    raise
                self.node.get_logger().error(f'internal: {traceback.format_exc()}')
                why = f'internal: {error!r}'
                self._act(self.gate.watch('internal', Level.FALLBACK, why, time.monotonic_ns()))
                return why

        return outlive

    def _observer(self, reader: StreamReader, first: int) -> Any:
        def observe(message: Any) -> None:
            try:
                values = reader.read(message).tolist()
            except FieldPathError as error:
                self.node.get_logger().error(str(error), throttle_duration_sec=5.0)
                return
            self.gate.observed.update(first, values, time.monotonic_ns())
            if self._settings.reflex and hasattr(message, 'header'):
                self._correct(codec.stamp_ns(message.header.stamp))

        return observe

    # the reflex ---------------------------------------------------------------------------------

    def _on_run_info(self, message: Any) -> None:
        level, reason = Level.CLEAR, ''
        try:
            model = codec.run_info_from_json(message.data).model
            self._reflex.learn(*(model.get(f'latent_{part}', ())
                                 for part in ('names', 'mean', 'scale')))
        except WmEvalError as error:
            # known only now, and the last process before the robot does not end for it
            level, reason = Level.FALLBACK, str(error)
        self._act(self.gate.watch('reflex', level, reason, time.monotonic_ns()))

    def _foresee(self, message: Any) -> None:
        latent = np.asarray(message.latent, np.float32)
        imagined = np.asarray(message.rollout[:len(latent)], np.float32)
        self._reflex.foresee(codec.stamp_ns(message.header.stamp), message.period_ns, latent,
                             imagined)

    def _correct(self, stamp_ns: int) -> None:
        now_ns = time.monotonic_ns()
        added = self._reflex.correction(stamp_ns, now_ns)
        action = None if added is None else self.gate.correct(added, now_ns)
        if action is not None:
            self._send(action, time.time_ns())

    # episodes -----------------------------------------------------------------------------------

    def _on_event(self, message: Any) -> None:
        event = codec.event_from_msg(message)
        now_ns = self._now_ns(event.stamp_ns)
        if event.kind is EventKind.START:
            self._episode = event.episode
            self._reflex.begin()
            if self._lateness is not None:
                self._lateness.begin()
            if not self._realtime:
                self._slots.begin()
            self._note(self.gate.arm(now_ns), event.stamp_ns)
            self._ready.announce(event.episode)
        elif event.kind in TERMINAL:
            self._note(self.gate.disarm(), event.stamp_ns)
            self._tell_refusals(event.stamp_ns, rest=True)
            if self._reflex.count:
                self.node.get_logger().info(f'episode {event.episode}: {self._reflex.count} '
                                            'corrections by the reflex')
            # in lockstep a command more than one a slot would be taken for an answer
            if self._realtime and self.gate.state is GateState.IDLE:
                self._send(self.gate.zero, event.stamp_ns)
        elif event.kind is EventKind.CALIBRATION_LOST:
            self._note(self.gate.watch('calibration', Level.DEGRADED,
                                       f'calibration lost: {event.label}', now_ns),
                       event.stamp_ns)

    def _now_ns(self, stamp_ns: int) -> int:
        """Return the gate's time: steady, or in lockstep the simulated time of a stamp."""
        return time.monotonic_ns() if self._realtime else stamp_ns

    # realtime -----------------------------------------------------------------------------------

    def _on_proposal(self, message: Any) -> None:
        decision, action = self._judge(message, time.monotonic_ns())
        if decision.forward:
            self._pass_on(message, action)
        self._act(decision)

    def _judge(self, proposal: Any, now_ns: int) -> tuple[Decision, tuple[float, ...]]:
        """Return what the gate says of a proposal, and its command; empty: it cannot be read."""
        read = self._read(proposal)
        if isinstance(read, Refusal):
            return self.gate.refuse(read, now_ns), ()
        if self._lateness is not None and read.stamp_ns is not None:
            read = replace(read, age_ns=self._lateness.of(read.stamp_ns, now_ns))
        return self.gate.offer(read, now_ns), read.action

    def _read(self, message: Any) -> Offer | Refusal:
        """Return what a command says, or why it cannot be read."""
        try:
            return self._offer(message)
        except FieldPathError as error:
            return Refusal(Fault.UNREADABLE, str(error))

    def _offer(self, message: Any) -> Offer:
        action = tuple(self._writer.read(message).tolist())
        if not self._stamped:
            return Offer(action)
        stamp_ns = codec.stamp_ns(message.header.stamp)
        age_ns = self.node.get_clock().now().nanoseconds - stamp_ns if self._realtime else None
        return Offer(action, stamp_ns, age_ns)

    def _on_controller(self, message: Any) -> None:
        read = self._read(message)
        if isinstance(read, Refusal):
            self._act(Decision(refused=read))
            return
        decision = self.gate.offer_fallback(read, time.monotonic_ns())
        if decision.forward:
            self._pass_on(message, read.action)
            self._substituted_ns = time.monotonic_ns()
        self._act(decision)

    def _on_liveliness(self, status: Any) -> None:
        self._act(self.gate.liveliness(status.alive_count, time.monotonic_ns()))

    def _look(self) -> None:
        now_ns = time.monotonic_ns()
        self._act(self.gate.tick(now_ns))
        every_ns = 0 if self.gate.fallback.closed_loop else self._period_ns
        if self.gate.commands(now_ns) and now_ns - self._substituted_ns >= every_ns:
            self._substitute(now_ns, time.time_ns())
        self._tell_refusals(time.time_ns())

    def _look_around(self) -> None:
        for author in self._authors:
            trouble = author.trouble()
            if trouble is not None:
                level = Level.FALLBACK if trouble else Level.CLEAR
                self._act(self.gate.watch(f'publishers {id(author)}', level, trouble,
                                          time.monotonic_ns()))

    def _act(self, decision: Decision) -> None:
        """Write down what was decided; where the gate commands from now on, do so at once."""
        now_ns, stamp_ns = time.monotonic_ns(), time.time_ns()
        if decision.changes and self.gate.commands(now_ns):
            self._substitute(now_ns, stamp_ns)
        self._note(decision, stamp_ns)

    def _substitute(self, now_ns: int, stamp_ns: int) -> None:
        self._substituted_ns = now_ns
        self._send(self.gate.substitute(now_ns), stamp_ns)

    # the operator -------------------------------------------------------------------------------

    def take_over(self, taken: bool) -> str:
        """Give control to the operator, or take it back; say why not."""
        if not self._realtime or self._commands is None:
            return 'only in realtime and not in shadow mode: nobody can take over here'
        now_ns = time.monotonic_ns()
        self._act(self.gate.take_over(now_ns) if taken else self.gate.release(now_ns))
        return ''

    def clear_stop(self) -> str:
        """Lift a stop or a fallback; say why not."""
        if not self._realtime:
            return f'not in {self.scenario.clock}: the next episode lifts a stop'
        decision, why = self.gate.clear()
        self._note(decision, time.time_ns())
        return why

    def operate(self, action: tuple[float, ...]) -> None:
        """Command in the operator's name, shape (A,)."""
        decision = self.gate.operate(action, time.monotonic_ns())
        if decision.forward:
            self._send(action, time.time_ns())
        self._act(decision)

    # all of a run's commands and events ---------------------------------------------------------

    def _pass_on(self, proposal: Any, action: tuple[float, ...]) -> None:
        """Send what was judged, and nothing else the proposal may hold."""
        message = self._type()
        self._writer.write(message, np.asarray(action))
        if self._stamped:
            message.header = proposal.header
        self._publish_command(message)

    def _send(self, action: tuple[float, ...], stamp_ns: int) -> None:
        message = self._type()
        self._writer.write(message, np.asarray(action))
        if self._stamped:
            codec.set_stamp(message.header.stamp, stamp_ns)
        self._publish_command(message)

    def _publish_command(self, message: Any) -> None:
        if self._commands is not None:
            self._commands.publish(message)

    def _note(self, decision: Decision, stamp_ns: int) -> None:
        for change in decision.changes:
            self._publish(change.kind, change.reason, 0.0, stamp_ns)
            self.node.get_logger().warning(f'{change.kind.name}: {change.reason}')
        if decision.refused is not None:
            self._refusals.add(decision.refused)
            self._tell_refusals(stamp_ns)

    def _tell_refusals(self, stamp_ns: int, *, rest: bool = False) -> None:
        for label, count in self._refusals.due(stamp_ns, rest=rest):
            self._publish(EventKind.COMMAND_REFUSED, label, float(count), stamp_ns)

    def _publish(self, kind: EventKind, label: str, value: float, stamp_ns: int) -> None:
        event = EpisodeEvent(stamp_ns, self._episode, kind, label, value, self.node.get_name())
        self._events.publish(codec.event_to_msg(event, TYPES))

    # the slots of the planner -------------------------------------------------------------------

    def _on_cycle(self, message: Any) -> None:
        if message.status == CycleStatus.WARMUP:
            return
        if not self._realtime:
            self._answer(self._slots.record(codec.cycle_from_msg(message)))
        elif message.episode == self._episode:
            self._act(self.gate.alarm(message.surprise, message.surprise_threshold,
                                      time.monotonic_ns()))
            if self._settings.reflex:
                self._foresee(message)

    def _on_slot_proposal(self, message: Any) -> None:
        self._answer(self._slots.propose(Proposal(
            codec.stamp_ns(message.header.stamp), self._read(message), message)))

    def _answer(self, answer: Answer | None) -> None:
        """Send the one command of a slot (lockstep)."""
        if answer is None:
            return
        self._note(answer.decision, answer.now_ns)
        if answer.passed is not None:
            self._pass_on(answer.passed.message, answer.action)
        else:
            self._send(answer.action, answer.stamp_ns)


def main() -> int:
    """Entry point of the process."""
    return run_node(SupervisorNode)


if __name__ == '__main__':
    sys.exit(main())
