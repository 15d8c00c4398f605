"""The supervisor node: the command gate between planner and plant, in a process of its own."""

from __future__ import annotations

from dataclasses import replace
import sys
import time
from typing import Any

import numpy as np
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from wm_eval_ros.config.supervisor import SupervisorSettings
from wm_eval_ros.errors import ConfigError, FieldPathError
from wm_eval_ros.nodes.parameters import Parameters, run_scenario, RunSettings
from wm_eval_ros.nodes.process import run_node, spin_until, Stop
from wm_eval_ros.nodes.ros import Endpoints, message_type, Ready, TYPES
from wm_eval_ros.records import ClockMode, CycleRecord, EpisodeEvent, EventKind, TERMINAL
from wm_eval_ros.safety.gate import CommandGate, Decision
from wm_eval_ros.safety.in_force import InForce
from wm_eval_ros.wire import codec, topics
from wm_eval_ros.wire.fields import CommandWriter

#: looks of the watchdog at the steady clock in one period
LOOKS = 5
#: how long the acknowledgement of the last command is waited for [s]
ACK_S = 0.5


class SupervisorNode:
    """Holds a :class:`CommandGate`; forwards proposals unchanged, or commands the fallback."""

    def __init__(self) -> None:
        """Read the parameters, make the gate and the endpoints."""
        self.node = Node('supervisor', automatically_declare_parameters_from_overrides=True)
        parameters = Parameters(self.node)
        run = parameters.declare(RunSettings)
        self.scenario = run_scenario(run)
        settings = parameters.declare(SupervisorSettings, self.scenario.supervisor)
        parameters.close()
        command = self.scenario.interface.command
        self._period_ns = round(self.scenario.planner.period_ms * 1e6)
        self._gate = CommandGate(
            command.low, command.high, stale_ns=round(settings.stale_periods * self._period_ns),
            stop_ns=round(settings.stop_ms * 1e6), fallback=settings.fallback)
        self._realtime = self.scenario.clock is ClockMode.REALTIME
        self._episode = 0
        self._substituted_ns = 0
        self._make_endpoints(Endpoints(self.node, self.scenario, run.nodes))

    def spin(self, executor: SingleThreadedExecutor, stop: Stop) -> None:
        """Gate commands until told to stop."""
        spin_until(executor, stop, self._ready.announce_when_matched)

    def finish(self, executor: SingleThreadedExecutor) -> None:
        """Leave nothing in force: the fallback is the last command."""
        if self._realtime:
            self._send(self._gate.zero, time.time_ns())
            self._commands.wait_for_all_acked(Duration(seconds=ACK_S))

    def _make_endpoints(self, ends: Endpoints) -> None:
        command = self.scenario.interface.command
        self._type = message_type(command.type)
        if not self._realtime and not hasattr(self._type, 'header'):
            raise ConfigError(f'interface.command.type: {command.type} has no header; '
                              f'in {self.scenario.clock} a command acts from its stamp on')
        self._writer = CommandWriter(command, message_type)
        qos = topics.COMMAND if self._realtime else topics.TELEMETRY
        event = topics.TYPES[topics.EPISODE_EVENT]
        self._events = ends.publisher(event, topics.EPISODE_EVENT, topics.LATCHED)
        self._commands = ends.publisher(command.type, command.topic, qos)
        ends.subscription(event, topics.EPISODE_EVENT, topics.LATCHED, self._on_event)
        ends.subscription(command.type, topics.proposed(command.topic), qos, self._on_proposal)
        if self._realtime:
            # a stopped or stepping ROS clock must not blind the watchdog
            self.node.create_timer(self._period_ns / LOOKS / 1e9, self._look,
                                   clock=Clock(clock_type=ClockType.STEADY_TIME))
        else:
            self._waiting: dict[int, Any] = {}
            self._cycle: CycleRecord | None = None
            ends.subscription(topics.TYPES[topics.PLANNER_CYCLE], topics.PLANNER_CYCLE,
                              topics.TELEMETRY, self._on_cycle)
        self._ready = Ready(self.node, ends)

    def _on_event(self, message: Any) -> None:
        event = codec.event_from_msg(message)
        if event.kind is EventKind.START:
            self._episode = event.episode
            self._note(self._gate.arm(self._now_ns(event.stamp_ns)), event.stamp_ns)
            self._in_force = InForce(self._gate.zero)
            self._ready.announce(event.episode)
        elif event.kind in TERMINAL:
            decision = self._gate.disarm()
            # in lockstep a command more than one a slot would be taken for an answer
            self._act(decision if self._realtime else replace(decision, substitute=None),
                      event.stamp_ns)

    def _now_ns(self, stamp_ns: int) -> int:
        """Return the gate's time: steady, or in lockstep the simulated time of a stamp."""
        return time.monotonic_ns() if self._realtime else stamp_ns

    # realtime -----------------------------------------------------------------------------------

    def _on_proposal(self, message: Any) -> None:
        if not self._realtime:
            self._waiting[codec.stamp_ns(message.header.stamp)] = message
            self._answer()
            return
        decision = self._judge(message, time.monotonic_ns())
        if decision.forward:
            self._commands.publish(message)
        self._act(decision, time.time_ns())

    def _judge(self, proposal: Any, now_ns: int) -> Decision:
        try:
            return self._gate.offer(self._writer.read(proposal).tolist(), now_ns)
        except FieldPathError as error:
            return self._gate.reject(str(error))

    def _look(self) -> None:
        decision = self._gate.tick(time.monotonic_ns())
        now_ns = time.monotonic_ns()
        if decision.event is None and now_ns - self._substituted_ns < self._period_ns:
            return
        if decision.substitute is not None:
            self._substituted_ns = now_ns
        self._act(decision, time.time_ns())

    def _act(self, decision: Decision, stamp_ns: int) -> None:
        if decision.substitute is not None:
            self._send(decision.substitute, stamp_ns)
        self._note(decision, stamp_ns)

    # lockstep: exactly one command per slot, decided by the slot's record -----------------------

    def _on_cycle(self, message: Any) -> None:
        self._cycle = codec.cycle_from_msg(message)
        self._answer()

    def _answer(self) -> None:
        cycle = self._cycle
        if cycle is None:
            return
        now_ns = cycle.stamp_ns
        proposal: Any = None
        if cycle.command_stamp_ns is not None:
            proposal = self._waiting.pop(cycle.command_stamp_ns, None)
            if proposal is None:
                return
        self._cycle = None
        decision = self._gate.tick(now_ns) if proposal is None else self._judge(proposal, now_ns)
        if decision.forward:
            self._in_force.send(tuple(self._writer.read(proposal).tolist()),
                                codec.stamp_ns(proposal.header.stamp), now_ns)
            self._commands.publish(proposal)
        else:
            if decision.substitute is not None:
                self._in_force.send(decision.substitute, now_ns, now_ns)
            self._send(self._in_force.at(now_ns), now_ns)
        self._note(decision, now_ns)

    # endpoints ----------------------------------------------------------------------------------

    def _send(self, action: tuple[float, ...], stamp_ns: int) -> None:
        message = self._type()
        self._writer.write(message, np.asarray(action))
        if hasattr(message, 'header'):
            codec.set_stamp(message.header.stamp, stamp_ns)
        self._commands.publish(message)

    def _note(self, decision: Decision, stamp_ns: int) -> None:
        if decision.event is None:
            return
        event = EpisodeEvent(stamp_ns, self._episode, decision.event, decision.reason, 0.0,
                             self.node.get_name())
        self._events.publish(codec.event_to_msg(event, TYPES))
        self.node.get_logger().warning(f'{decision.event.name}: {decision.reason}')


def main() -> int:
    """Entry point of the process."""
    return run_node(SupervisorNode)


if __name__ == '__main__':
    sys.exit(main())
