"""A recorded robot to rehearse with: the sensors of a bag, which wait for nobody."""

from __future__ import annotations

from collections import Counter
import sys
import time

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher

from wm_eval_ros.bag.playback import Playback, sensor_topics, Timed
from wm_eval_ros.bag.read_ahead import ReadAhead
from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.config.replay import ReplaySettings
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.nodes.parameters import Parameters, run_scenario, RunSettings
from wm_eval_ros.nodes.process import run_node, SPIN_S, Stop
from wm_eval_ros.nodes.ros import BAG_ENDED, Endpoints, message_type, wait_acked
from wm_eval_ros.nodes.topic_list import PLAYER
from wm_eval_ros.wire import topics

#: a message sent later than this after it was due was not kept up with [ns]
LATE_NS = 10_000_000


class BagPlayerNode:
    """
    Publishes the sensor topics of a scenario out of a bag, serialized as they were recorded.

    It begins when everybody of the run who reads them is there. It hears no command, and
    publishes none.

    :raises ConfigError: no bag is named, or a topic is one of commands
    :raises BagError: the bag cannot be read, or lacks what the model sees
    """

    def __init__(self) -> None:
        """Read the parameters, the times of the bag, and its first messages."""
        self.node = Node(PLAYER, automatically_declare_parameters_from_overrides=True)
        parameters = Parameters(self.node)
        run = parameters.declare(RunSettings)
        self.scenario = run_scenario(run)
        settings = parameters.declare(ReplaySettings, self.scenario.replay)
        parameters.close()
        if not settings.bag:
            raise ConfigError('bag: none is named; give -p bag:=FOLDER, or replay.bag in the '
                              'scenario')
        self._bag = open_bag(settings.bag)
        interface = self.scenario.interface
        played = sensor_topics(interface, self._bag.topics, self.node.resolve_topic_name)
        self._ends = Endpoints(self.node, self.scenario, run.nodes)
        goals = [goal.topic for goal in interface.goals]
        self._publishers: dict[str, Publisher] = {name: self._ends.publisher(
            stream.type, stream.topic,
            topics.LATCHED if stream.topic in goals else topics.SENSOR_OFFER)
            for name, stream in played.items()}
        ready = topics.NODE_READY
        self._ended = self._ends.publisher(topics.TYPES[ready], ready, topics.LATCHED)
        playback = Playback(self._bag, tuple(played), settings)
        for note in playback.notes:
            self.node.get_logger().warning(note)
        self._ahead = ReadAhead(playback.messages())
        #: messages sent, by topic of the bag
        self.sent: Counter[str] = Counter()
        #: how many of them were sent late, and how late the latest was [ns]
        self.late = self.latest_ns = 0

    def spin(self, executor: SingleThreadedExecutor, stop: Stop) -> None:
        """Wait for the readers, then play until the bag ends."""
        while not stop and (missing := self._ends.unmatched()):
            self.node.get_logger().info(f'nobody reads yet: {missing}',
                                        throttle_duration_sec=10.0, skip_first=True)
            executor.spin_once(timeout_sec=SPIN_S)
        self._begin_ns, self._origin_ns = time.monotonic_ns(), time.time_ns()
        while not stop and not self._ahead.ended:
            timed = self._ahead.take(SPIN_S)
            if timed is not None and self._wait(executor, stop, self._begin_ns + timed.due_ns):
                self._send(timed)
        if self._ahead.ended:
            message = message_type(topics.TYPES[topics.NODE_READY])()
            message.data = BAG_ENDED
            self._ended.publish(message)

    def finish(self, executor: SingleThreadedExecutor) -> None:
        """Wait until the last messages were taken; say what was played."""
        self._ahead.close()
        for publisher in (*self._publishers.values(), self._ended):
            wait_acked(publisher)
        self._bag.close()
        sent = ', '.join(f'{topic} {number}' for topic, number in self.sent.items())
        self.node.get_logger().info(
            f'sent: {sent or "nothing"}; more than {LATE_NS / 1e6:g} ms late: {self.late}, at '
            f'most {self.latest_ns / 1e6:.1f} ms')

    def _wait(self, executor: SingleThreadedExecutor, stop: Stop, due_ns: int) -> bool:
        """Handle callbacks until a message is due; say whether it is to be sent at all."""
        while not stop:
            left_ns = due_ns - time.monotonic_ns()
            if left_ns <= 0:
                return True
            executor.spin_once(timeout_sec=min(SPIN_S, left_ns / 1e9))
        return False

    def _send(self, timed: Timed) -> None:
        self._publishers[timed.topic].publish(timed.dated(self._origin_ns))
        late_ns = time.monotonic_ns() - self._begin_ns - timed.due_ns
        self.sent[timed.topic] += 1
        self.late += late_ns > LATE_NS
        self.latest_ns = max(self.latest_ns, late_ns)


def main() -> int:
    """Entry point of the process."""
    return run_node(BagPlayerNode)


if __name__ == '__main__':
    sys.exit(main())
