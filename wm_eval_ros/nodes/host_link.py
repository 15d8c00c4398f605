"""The test host's end of the link to a device: what it sends, what comes back, whose clock."""

from __future__ import annotations

from collections.abc import Callable
import time
from typing import Any

from rclpy.node import Node

from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.nodes.ros import Endpoints, message_type, sequence_of, TYPES
from wm_eval_ros.records import ClockExchange, InputRef, LinkEvent, LinkKind, NEVER_NS
from wm_eval_ros.wire import codec, topics
from wm_eval_ros.wire.header import header_stamp_ns

#: time between two bursts of questions to the device's clock [s]
EVERY_S = 10.0
#: questions at the start, and in each later burst
AT_START, LATER = 60, 20
#: an arrival that the middleware noted longer ago than this is taken at its callback [ns]
_LONGEST_NS = 10**9


class HostLink:
    """
    Publishes a :class:`LinkEvent` for each sample and each command, and asks for the clock.

    :raises ConfigError: the command carries no stamp, so that no answer can be joined
    """

    def __init__(self, node: Node, ends: Endpoints, scenario: Scenario) -> None:
        command = scenario.interface.command
        kind = message_type(command.type)
        if not hasattr(kind(), 'header'):
            raise ConfigError(f'plant.link: {command.type} carries no stamp; a command is joined '
                              'to what it answers by its stamp')
        self._node = node
        self._events = ends.publisher(topics.TYPES[topics.LINK_EVENT], topics.LINK_EVENT,
                                      topics.TELEMETRY)
        self._exchanges = ends.publisher(topics.TYPES[topics.CLOCK_EXCHANGE],
                                         topics.CLOCK_EXCHANGE, topics.TELEMETRY)
        for topic in (topics.proposed(command.topic), command.topic):
            ends.subscription(command.type, topic, topics.ROBOT_SENSOR,
                              self._came(node.resolve_topic_name(topic)), raw=True)
        self._service = message_type('wm_eval_ros/srv/ClockProbe')
        self._clock = node.create_client(self._service, topics.CLOCK_PROBE)
        self._left = 0
        self._asked: Any = None
        node.create_timer(EVERY_S, lambda: self.ask(LATER))

    def noting(self, topic: str, publish: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return what publishes a message of a topic and then says when that was."""
        name = self._node.resolve_topic_name(topic)

        def noted(message: Any) -> None:
            steady_ns, system_ns = time.monotonic_ns(), time.time_ns()
            publish(message)
            self._tell(LinkKind.SENT, InputRef(
                name, codec.stamp_ns(message.header.stamp), system_ns, NEVER_NS, steady_ns))

        return noted

    def ask(self, times: int) -> None:
        """Begin a burst of so many questions, one after the other; an older burst ends."""
        if self._asked is not None:
            self._asked.cancel()
        self._left = times
        if self._clock.service_is_ready():
            self._ask()

    @property
    def asking(self) -> bool:
        """A burst goes on."""
        return self._left > 0 and self._clock.service_is_ready()

    def _ask(self) -> None:
        request = self._service.Request()
        request.client_send_ns = time.time_ns()
        self._asked = self._clock.call_async(request)
        self._asked.add_done_callback(lambda future: self._answered(request, future))

    def _answered(self, request: Any, future: Any) -> None:
        now_ns = time.time_ns()
        if future.cancelled() or future.exception() is not None:
            return
        answer = future.result()
        self._exchanges.publish(codec.exchange_to_msg(ClockExchange(
            'planner', request.client_send_ns, answer.server_receive_ns, answer.server_send_ns,
            now_ns), TYPES))
        self._left -= 1
        if self._left > 0:
            self._ask()

    def _came(self, topic: str) -> Callable[[bytes, dict[str, Any]], None]:
        def take(data: bytes, info: dict[str, Any]) -> None:
            steady_ns, system_ns = time.monotonic_ns(), time.time_ns()
            received_ns = info.get('received_timestamp') or NEVER_NS
            waited_ns = system_ns - received_ns
            if received_ns != NEVER_NS and 0 <= waited_ns < _LONGEST_NS:
                # the middleware took it while this thread was busy
                steady_ns -= waited_ns
            self._tell(LinkKind.RECEIVED, InputRef(
                topic, header_stamp_ns(data) or 0, info.get('source_timestamp', NEVER_NS),
                received_ns, steady_ns, sequence_of(info)))

        return take

    def _tell(self, kind: LinkKind, ref: InputRef) -> None:
        self._events.publish(codec.link_to_msg(LinkEvent(kind, ref), TYPES))


def answer_clock(node: Node) -> None:
    """Offer what the system clock of this device says, as ``clock_probe``."""
    def answer(request: Any, response: Any) -> Any:
        response.server_receive_ns = time.time_ns()
        response.server_send_ns = time.time_ns()
        return response

    node.create_service(message_type('wm_eval_ros/srv/ClockProbe'), topics.CLOCK_PROBE, answer)
