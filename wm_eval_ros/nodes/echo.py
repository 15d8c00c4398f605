"""The echo: a device that answers every sample at once, the floor of what a planner can reach."""

from __future__ import annotations

from dataclasses import dataclass, replace
import sys
from typing import Any

import numpy as np
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from wm_eval_ros.config.schema import setting
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.nodes.host_link import answer_clock
from wm_eval_ros.nodes.manifest import run_info
from wm_eval_ros.nodes.parameters import Parameters, run_scenario, RunSettings
from wm_eval_ros.nodes.process import run_node, spin_until, Stop
from wm_eval_ros.nodes.ros import Endpoints, message_type, Ready, wait_acked
from wm_eval_ros.planning.episodes import Episodes
from wm_eval_ros.wire import codec, topics
from wm_eval_ros.wire.fields import CommandWriter
from wm_eval_ros.wire.header import header_stamp_ns

#: name of it in results
ECHO = 'echo'


@dataclass(frozen=True, kw_only=True)
class EchoSettings:
    """What is answered."""

    topic: str = setting('', doc="topic whose samples are answered: one of the interface's or the "
                         "camera's; empty: the first observation")


class EchoNode:
    """Takes the planner's place and name; a command of zero with the stamp of what it answers."""

    def __init__(self) -> None:
        """Read the parameters, make the endpoints."""
        self.node = Node('planner', automatically_declare_parameters_from_overrides=True)
        parameters = Parameters(self.node)
        run = parameters.declare(RunSettings)
        self.scenario = scenario = run_scenario(run)
        echo = parameters.declare(EchoSettings)
        parameters.close()
        interface, command = scenario.interface, scenario.interface.command
        topic = echo.topic or interface.observations[0].topic
        kinds = {s.topic: s.type for s in interface.seen}
        camera = topics.camera(scenario.plant.camera_encoding)
        kinds.setdefault(camera, topics.TYPES[camera])
        if topic not in kinds:
            raise ConfigError(f'topic: no {topic!r} to answer; there are {", ".join(kinds)}')
        self._message: Any = message_type(command.type)()
        CommandWriter(command, message_type).write(self._message, np.array(command.zero))
        self._episodes = Episodes()
        ends = self._ends = Endpoints(self.node, scenario, run.nodes)
        ends.subscription(topics.TYPES[topics.EPISODE_EVENT], topics.EPISODE_EVENT,
                          topics.LATCHED, self._on_event)
        watched = topics.proposal(round(scenario.planner.period_ms * 1e6),
                                  round(scenario.supervisor.liveliness_ms * 1e6))
        self._commands = ends.publisher(command.type, topics.proposed(command.topic), watched)
        # none is ever sent: an echo has no schedule; the listeners wait for somebody to match
        self._cycles = ends.publisher(topics.TYPES[topics.PLANNER_CYCLE], topics.PLANNER_CYCLE,
                                      topics.TELEMETRY)
        self._info = ends.publisher(topics.TYPES[topics.RUN_INFO], topics.RUN_INFO,
                                    topics.LATCHED)
        ends.subscription(kinds[topic], topic, topics.SENSOR, self._answer, raw=True)
        for other in (s for s in interface.observations if s.topic != topic):
            # listened to as a planner would, and of no use
            ends.subscription(other.type, other.topic, topics.SENSOR, lambda data: None, raw=True)
        answer_clock(self.node)
        self._ready = Ready(self.node, ends)
        self._run_id = run.run_id

    def spin(self, executor: SingleThreadedExecutor, stop: Stop) -> None:
        """Answer until told to stop."""
        # not before: the process has its priority and its processors now
        self.tell()
        spin_until(executor, stop, self._ready.announce_when_matched)

    def finish(self, executor: SingleThreadedExecutor) -> None:
        """Wait until the last word was taken."""
        wait_acked(self._info)

    def tell(self) -> None:
        """Publish the run's manifest."""
        own = replace(self.scenario.planner, planner=ECHO, model='', model_sha256='')
        message = message_type(topics.TYPES[topics.RUN_INFO])()
        message.data = codec.run_info_to_json(run_info(self.scenario, own, self._run_id, None, {}))
        self._info.publish(message)

    def _on_event(self, message: Any) -> None:
        event = codec.event_from_msg(message)
        if self._episodes.told(event) and self._episodes.current is not None:
            self._ready.announce(event.episode)

    def _answer(self, data: bytes) -> None:
        stamp_ns = header_stamp_ns(data)
        if stamp_ns is None or self._episodes.current is None:
            return
        codec.set_stamp(self._message.header.stamp, stamp_ns)
        self._commands.publish(self._message)


def main() -> int:
    """Entry point of the process."""
    return run_node(EchoNode)


if __name__ == '__main__':
    sys.exit(main())
