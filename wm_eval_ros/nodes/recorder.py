"""The recorder node: raw serialized messages into a rosbag2 MCAP folder, in its own process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
import sys
import time
from typing import Any

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

from wm_eval_ros.bag.writer import BagWriter
from wm_eval_ros.config.recorder import RecorderSettings
from wm_eval_ros.config.schema import setting
from wm_eval_ros.errors import RunError
from wm_eval_ros.nodes.parameters import Parameters, run_scenario, RunSettings
from wm_eval_ros.nodes.process import drain, run_node, spin_in_batches, SPIN_S, Stop
from wm_eval_ros.nodes.ros import Endpoints, message_type, qos_profile, Ready, sequence_of
from wm_eval_ros.nodes.topic_list import run_topics
from wm_eval_ros.wire import topics

#: queue of every subscription [messages]
DEPTH = 1000


@dataclass(frozen=True, kw_only=True)
class BagSettings:
    """Where the bag goes."""

    bag: str = setting('', doc='folder of the bag, new or empty; empty: bag_ and the time of day')
    match_timeout_s: float = setting(
        30.0, doc='how long a topic of the interface is waited for', unit='s', low=0.1)


class RecorderNode:
    """Subscribes to every topic of the run as offered, and writes what comes, undecoded."""

    def __init__(self) -> None:
        """Read the parameters and open the bag."""
        self.node = Node('recorder', automatically_declare_parameters_from_overrides=True)
        parameters = Parameters(self.node)
        run = parameters.declare(RunSettings)
        self.scenario = scenario = run_scenario(run)
        settings = parameters.declare(RecorderSettings, scenario.recorder)
        self._settings = parameters.declare(BagSettings)
        parameters.close()
        self._wanted = {self.node.resolve_topic_name(name): kind
                        for name, kind in run_topics(scenario, settings.exclude).items()}
        self._subscriptions: dict[str, Any] = {}
        self._count = 0
        folder = self._settings.bag or time.strftime('bag_%Y%m%d_%H%M%S')
        self._writer = BagWriter(Path(folder))
        self._ready = Ready(self.node, Endpoints(self.node, scenario, run.nodes))

    def spin(self, executor: SingleThreadedExecutor, stop: Stop) -> None:
        """Match every topic, say so, record until told to stop."""
        end = time.monotonic() + self._settings.match_timeout_s
        while (missing := self._unmatched()) and not stop:
            self._discover()
            executor.spin_once(timeout_sec=SPIN_S / 2)
            if time.monotonic() > end:
                raise RunError(f'nobody publishes within {self._settings.match_timeout_s:g} s: '
                               f'{", ".join(sorted(missing))}')
        self._ready.announce()
        spin_in_batches(executor, stop, lambda: self._count, self._writer.tick)

    def finish(self, executor: SingleThreadedExecutor) -> None:
        """Write what has already arrived; close the bag."""
        drain(executor, lambda: self._count)
        self._writer.close()

    def _unmatched(self) -> set[str]:
        return {topic for topic in self._wanted if topic not in self._subscriptions
                or self._subscriptions[topic].get_publisher_count() < 1}

    def _discover(self) -> None:
        for topic, kind in self._wanted.items():
            if topic in self._subscriptions:
                continue
            offers = self.node.get_publishers_info_by_topic(topic)
            if offers:
                self._subscribe(topic, kind, [offer.qos_profile for offer in offers])

    def _subscribe(self, topic: str, kind: str, offers: list[Any]) -> None:
        """Ask for the most that every publisher offers, as `ros2 bag record` does."""
        asked = topics.Qos(
            depth=DEPTH,
            reliable=all(o.reliability is ReliabilityPolicy.RELIABLE for o in offers),
            latched=all(o.durability is DurabilityPolicy.TRANSIENT_LOCAL for o in offers))
        self._writer.add_topic(topic, kind, qos=asked)
        self._subscriptions[topic] = self.node.create_subscription(
            message_type(kind), topic, self._callback(topic),  # type: ignore[arg-type]
            qos_profile(asked), raw=True)

    def _callback(self, topic: str) -> Callable[[bytes, dict[str, Any]], None]:
        def write(data: bytes, info: dict[str, Any]) -> None:
            log_ns = info.get('received_timestamp') or time.time_ns()
            self._writer.write(topic, data, log_ns, info.get('source_timestamp') or log_ns,
                               sequence_of(info))
            self._count += 1

        return write


def main() -> int:
    """Entry point of the process."""
    return run_node(RecorderNode)


if __name__ == '__main__':
    sys.exit(main())
