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
from rclpy.serialization import deserialize_message

from wm_eval_ros.audit.seal import seal_of
from wm_eval_ros.bag.limits import Limits
from wm_eval_ros.bag.recording import Recording
from wm_eval_ros.config.recorder import RecorderSettings
from wm_eval_ros.config.schema import setting
from wm_eval_ros.errors import RecordingError, RunError
from wm_eval_ros.nodes.parameters import Parameters, run_scenario, RunSettings
from wm_eval_ros.nodes.process import drain, run_node, spin_in_batches, SPIN_S, Stop
from wm_eval_ros.nodes.ros import (
    Endpoints,
    message_type,
    qos_profile,
    Ready,
    sequence_of,
    TYPES,
    wait_acked,
)
from wm_eval_ros.nodes.topic_list import run_topics
from wm_eval_ros.records import ClockMode, EpisodeEvent, EventKind
from wm_eval_ros.wire import codec, topics

#: queue of a subscription [messages]: 10 s of a fast bus, should the host leave us no core
DEPTH = 10_000
#: and of one whose messages are large: 10 s of a camera at 30 Hz
LARGE_DEPTH = 300
LARGE = frozenset({'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage',
                   'sensor_msgs/msg/PointCloud2'})
#: longest that word of a failure is given to reach the others [s]
FAREWELL_S = 0.3


@dataclass(frozen=True, kw_only=True)
class BagSettings:
    """Where the bag goes."""

    bag: str = setting('', doc='folder of the bag, new or empty; empty: bag_ and the time of day')
    match_timeout_s: float = setting(
        30.0, doc='how long a topic of the interface is waited for', unit='s', low=0.1)


def limits(settings: RecorderSettings) -> Limits:
    """Return the settings in bytes and nanoseconds."""
    return Limits(round(settings.queue_mib * 2**20), round(settings.min_free_gib * 2**30),
                  settings.min_free_share, stall_ns=round(settings.stall_s * 1e9))


class RecorderNode:
    """Subscribes to every topic of the run as offered, and hands on what comes, undecoded."""

    def __init__(self) -> None:
        """Read the parameters and open the bag."""
        self.node = Node('recorder', automatically_declare_parameters_from_overrides=True)
        parameters = Parameters(self.node)
        run = parameters.declare(RunSettings)
        self.scenario = scenario = run_scenario(run)
        settings = parameters.declare(RecorderSettings, scenario.recorder)
        self._settings = parameters.declare(BagSettings)
        parameters.close()
        wanted = run_topics(scenario, settings.exclude, run.nodes)
        self._wanted = {self.node.resolve_topic_name(name): kind for name, kind in wanted.items()}
        self._subscriptions: dict[str, Any] = {}
        self._count = 0
        self._event_topic = self.node.resolve_topic_name(topics.EPISODE_EVENT)
        self._last_event = b''
        folder = self._settings.bag or time.strftime('bag_%Y%m%d_%H%M%S')
        self._recording = Recording(
            Path(folder), limits(settings), self.node.resolve_topic_name(topics.RECORDER_STATUS),
            seal=seal_of(Path(folder), audit=settings.audit, signing_key=settings.signing_key),
            stamp_ns=lambda: self.node.get_clock().now().nanoseconds)
        ends = Endpoints(self.node, scenario, run.nodes)
        self._status = ends.publisher(
            topics.TYPES[topics.RECORDER_STATUS], topics.RECORDER_STATUS, topics.TELEMETRY)
        self._events = ends.publisher(
            topics.TYPES[topics.EPISODE_EVENT], topics.EPISODE_EVENT, topics.LATCHED)
        self._ready = Ready(self.node, ends)

    def spin(self, executor: SingleThreadedExecutor, stop: Stop) -> None:
        """Match every topic, say so, record until told to stop."""
        end = time.monotonic() + self._settings.match_timeout_s
        while (missing := self._unmatched()) and not stop:
            self._discover()
            executor.spin_once(timeout_sec=SPIN_S / 2)
            self._look()
            if time.monotonic() > end:
                raise RunError(f'nobody publishes within {self._settings.match_timeout_s:g} s: '
                               f'{", ".join(sorted(missing))}')
        self._ready.announce()
        spin_in_batches(executor, stop, lambda: self._count, self._look)

    def finish(self, executor: SingleThreadedExecutor) -> None:
        """
        Write what has already arrived; close the bag.

        :raises RecordingError: the recording failed
        """
        told = bool(self._recording.failure)
        if not told:
            drain(executor, lambda: self._count)
        self._count_publishers()
        try:
            self._recording.close()
        except RecordingError as error:
            if not told:
                self._tell_failure(str(error))
            raise
        self._publish_statuses()

    def _look(self) -> None:
        """
        Publish what is on the disk, or that nothing more will be.

        :raises RecordingError: the recording failed
        """
        self._recording.watch()
        failure = self._recording.failure
        if failure:
            self._tell_failure(failure)
            raise RecordingError(failure)
        self._publish_statuses()

    def _tell_failure(self, reason: str) -> None:
        """Publish that nothing more is written, and wait a moment until it was heard."""
        self._publish_statuses()
        self._events.publish(codec.event_to_msg(self._farewell(reason), TYPES))
        for publisher in (self._status, self._events):
            wait_acked(publisher, FAREWELL_S)

    def _publish_statuses(self) -> None:
        found = self._recording.statuses()
        if found:
            self._count_publishers()
        for _, data in found:
            self._status.publish(data)

    def _count_publishers(self) -> None:
        for topic, subscription in self._subscriptions.items():
            self._recording.publishers(topic, subscription.get_publisher_count())

    def _farewell(self, reason: str) -> EpisodeEvent:
        """Return the event of the failure, in the episode of the last event that came."""
        stamp_ns, episode = self.node.get_clock().now().nanoseconds, 0
        if self._last_event:
            last = codec.event_from_msg(deserialize_message(
                self._last_event, message_type(topics.TYPES[topics.EPISODE_EVENT])))
            episode = last.episode
            if self.scenario.clock is not ClockMode.REALTIME:
                # simulated time goes by the world's stamps alone
                stamp_ns = last.stamp_ns
        return EpisodeEvent(stamp_ns, episode, EventKind.RECORDER_FAILED, reason,
                            source=self.node.get_name())

    def _unmatched(self) -> set[str]:
        return {topic for topic in self._wanted if topic not in self._subscriptions
                or self._subscriptions[topic].get_publisher_count() < 1}

    def _discover(self) -> None:
        for topic, kind in self._wanted.items():
            if topic in self._subscriptions:
                continue
            offers = self.node.get_publishers_info_by_topic(topic)
            if offers:
                self._subscribe(topic, kind or offers[0].topic_type,
                                [offer.qos_profile for offer in offers])

    def _subscribe(self, topic: str, kind: str, offers: list[Any]) -> None:
        """Ask for the most that every publisher offers, as `ros2 bag record` does."""
        asked = topics.Qos(
            depth=LARGE_DEPTH if kind in LARGE else DEPTH,
            reliable=all(o.reliability is ReliabilityPolicy.RELIABLE for o in offers),
            latched=all(o.durability is DurabilityPolicy.TRANSIENT_LOCAL for o in offers))
        # events come from many nodes, and not all of them may be known yet
        alone = len(offers) == 1 and topic.rpartition('/')[2] != topics.EPISODE_EVENT
        self._recording.add_topic(topic, kind, asked, gapless=asked.reliable and alone)
        self._subscriptions[topic] = self.node.create_subscription(
            message_type(kind), topic, self._callback(topic),  # type: ignore[arg-type]
            qos_profile(asked), raw=True)

    def _callback(self, topic: str) -> Callable[[bytes, dict[str, Any]], None]:
        def write(data: bytes, info: dict[str, Any]) -> None:
            put(data, info)
            # the executor makes a wait set for each message; what else waits is taken at once
            subscription = self._subscriptions[topic]
            with subscription.handle:
                for _ in range(DEPTH):
                    more = subscription.handle.take_message(subscription.msg_type, True)
                    if more is None:
                        return
                    put(*more)

        def put(data: bytes, info: dict[str, Any]) -> None:
            log_ns = info.get('received_timestamp') or time.time_ns()
            self._recording.put(topic, data, log_ns, info.get('source_timestamp') or log_ns,
                                sequence_of(info))
            self._count += 1
            if topic == self._event_topic:
                self._last_event = data

        return write


def main() -> int:
    """Entry point of the process."""
    return run_node(RecorderNode)


if __name__ == '__main__':
    sys.exit(main())
