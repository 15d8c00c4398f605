"""The perturbation `command.second_publisher`: another writer of commands, of another process."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.timer import Timer

from wm_eval_ros.nodes.parameters import Parameters, run_scenario, RunSettings
from wm_eval_ros.nodes.process import run_node, spin_until, Stop
from wm_eval_ros.nodes.ros import message_type, qos_profile
from wm_eval_ros.perturb import catalogue
from wm_eval_ros.perturb.processes import SecondPublisher
from wm_eval_ros.perturb.schedule import schedule
from wm_eval_ros.records import EpisodeEvent, EventKind
from wm_eval_ros.wire import codec, topics
from wm_eval_ros.wire.fields import CommandWriter

NAME = 'command.second_publisher'


class SecondPublisherNode:
    """Silent until the plant says that the perturbation is on; its writer exists only then."""

    def __init__(self) -> None:
        """Read the parameters, listen to the events."""
        self.node = Node('second_publisher', automatically_declare_parameters_from_overrides=True)
        parameters = Parameters(self.node)
        self.scenario = run_scenario(parameters.declare(RunSettings))
        parameters.close()
        self._command = self.scenario.interface.command
        self._writer = CommandWriter(self._command, message_type)
        # another quality of service would not be heard
        self._as_the_planner = topics.proposal(
            round(self.scenario.planner.period_ms * 1e6),
            round(self.scenario.supervisor.liveliness_ms * 1e6))
        self._seed = 0
        self._acting: tuple[Publisher, Timer] | None = None
        self.node.create_subscription(
            message_type(topics.TYPES[topics.EPISODE_EVENT]), topics.EPISODE_EVENT,
            self._on_event, qos_profile(topics.LATCHED))

    def spin(self, executor: SingleThreadedExecutor, stop: Stop) -> None:
        """Follow the events until told to stop."""
        spin_until(executor, stop)

    def finish(self, executor: SingleThreadedExecutor) -> None:
        """Fall silent."""
        self._end()

    def _on_event(self, message: Any) -> None:
        event = codec.event_from_msg(message)
        if event.kind is EventKind.START:
            self._seed = int(event.value)
        elif event.kind is EventKind.PERTURB_ON and event.label == NAME:
            self._begin(event)
        elif event.kind is EventKind.PERTURB_OFF and event.label == NAME:
            self._end()

    def _begin(self, event: EpisodeEvent) -> None:
        plans = [p for p in schedule(self.scenario.perturbations, self._seed) if p.name == NAME]
        plan = next((p for p in plans if p.severity == event.value), None)
        if plan is None or self._acting is not None:
            return
        made: SecondPublisher = catalogue.make(
            NAME, plan.severity, np.random.default_rng(plan.seed), plan.parameters)
        topic = self._command.topic
        publisher = self.node.create_publisher(
            message_type(self._command.type),
            topic if made.on_actuators else topics.proposed(topic),
            qos_profile(topics.COMMAND if made.on_actuators else self._as_the_planner))
        timer = self.node.create_timer(1.0 / made.hz, lambda: self._publish(publisher, made),
                                       clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._acting = publisher, timer

    def _publish(self, publisher: Publisher, made: SecondPublisher) -> None:
        message = message_type(self._command.type)()
        low, high = np.array(self._command.low), np.array(self._command.high)
        self._writer.write(message, made.command(low, high))
        if hasattr(message, 'header'):
            codec.set_stamp(message.header.stamp, int(self.node.get_clock().now().nanoseconds))
        publisher.publish(message)

    def _end(self) -> None:
        if self._acting is not None:
            publisher, timer = self._acting
            self.node.destroy_timer(timer)
            self.node.destroy_publisher(publisher)
            self._acting = None


def main() -> int:
    """Entry point of the process."""
    return run_node(SecondPublisherNode)


if __name__ == '__main__':
    sys.exit(main())
