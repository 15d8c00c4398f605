"""An actuator behind a serial line: commands to its micro-controller, and when they act."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
import sys
from typing import Any

import numpy as np
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from wm_eval_ros.config.schema import setting
from wm_eval_ros.errors import ConfigError, RunError
from wm_eval_ros.metrics.firmware_clock import Bounds, bounds_of
from wm_eval_ros.metrics.link_log import EXCHANGE
from wm_eval_ros.nodes.parameters import Parameters, run_scenario, RunSettings
from wm_eval_ros.nodes.process import run_node, SPIN_S, Stop
from wm_eval_ros.nodes.ros import Endpoints, finite_command, message_type, Ready, TYPES, wait_acked
from wm_eval_ros.nodes.serial_port import came_ns, SerialPort, set_out_ns
from wm_eval_ros.nodes.topic_list import ACTUATOR
from wm_eval_ros.records import ClockExchange, FIRMWARE, InputRef, LinkEvent, LinkKind, NEVER_NS
from wm_eval_ros.wire import codec, topics
from wm_eval_ros.wire.fields import CommandWriter
from wm_eval_ros.wire.serial_frames import Answer, Applied, Frame, MAX_VALUES, Status

#: exchanges that times are told by as they are heard: those of the last 20 s or so
LATEST = 200


@dataclass(frozen=True, kw_only=True)
class SerialSettings:
    """The line to the micro-controller."""

    port: str = setting(doc='serial port, such as `/dev/ttyUSB0`, or the pseudo-terminal of '
                        '`firmware_stand_in`')
    baud: int = setting(115200, doc='rate of the line; what its bytes take at this rate is known '
                        'of every exchange, so of a port without a line (native USB) the highest',
                        low=1200, high=4_000_000)


class SerialActuatorNode:
    """
    Sends each command on the command topic down a serial line (docs/serial.md).

    What it hears is published as it comes: a :class:`LinkEvent` for each command that acts, by the
    host's steady clock as far as that is known then, and a :class:`ClockExchange` for each answer,
    by which the scorer tells the same anew with what came later.

    :raises ConfigError: the port cannot be opened, or the commands cannot be joined
    """

    def __init__(self) -> None:
        """Read the parameters, make the endpoints, open the port."""
        self.node = Node(ACTUATOR, automatically_declare_parameters_from_overrides=True)
        parameters = Parameters(self.node)
        run = parameters.declare(RunSettings)
        self.scenario = scenario = run_scenario(run)
        serial = parameters.declare(SerialSettings)
        parameters.close()
        command = scenario.interface.command
        _require(scenario.plant.link, len(command.fields), command.type)
        self._reader = CommandWriter(command, message_type)
        self._topic = self.node.resolve_topic_name(command.topic)
        ends = Endpoints(self.node, scenario, run.nodes)
        self._events = ends.publisher(topics.TYPES[topics.LINK_EVENT], topics.LINK_EVENT,
                                      topics.TELEMETRY)
        self._exchanges = ends.publisher(topics.TYPES[topics.CLOCK_EXCHANGE],
                                         topics.CLOCK_EXCHANGE, topics.TELEMETRY)
        self._ready = Ready(self.node, ends)
        self._latest: deque[tuple[int, ...]] = deque(maxlen=LATEST)
        self._clock: Bounds | None = None
        self._status: Status | None = None
        self._baud = serial.baud
        self.port = SerialPort(serial.port, serial.baud, self._hear)
        # a command that is older than the next one is of no use to an actuator
        ends.subscription(command.type, command.topic, topics.SENSOR, self._on_command)

    def spin(self, executor: SingleThreadedExecutor, stop: Stop) -> None:
        """
        Hand commands on until told to stop.

        :raises RunError: the port went away
        """
        while not stop:
            executor.spin_once(timeout_sec=SPIN_S)
            self._ready.announce_when_matched()
            if self.port.lost:
                raise RunError(f'port: {self.port.path}: went away ({self.port.lost})')

    def finish(self, executor: SingleThreadedExecutor) -> None:
        """Hang up, and wait until the last word was taken: live and bag are to hold the same."""
        self.port.close()
        for publisher in (self._events, self._exchanges):
            wait_acked(publisher)
        if self.port.superseded:
            self.node.get_logger().warning(f'{self.port.superseded} commands were not sent: the '
                                           'line was still busy as the next one came')

    def _on_command(self, message: Any) -> None:
        action = finite_command(self.node, self._reader, message)
        if action is None:
            return
        try:
            self.port.send(codec.stamp_ns(message.header.stamp), tuple(action.tolist()))
        except ValueError as error:
            self.node.get_logger().error(f'{self._topic}: {error}', throttle_duration_sec=5.0)

    def _hear(self, frame: Frame, heard_ns: int) -> None:
        """Take a frame; in the thread of the port."""
        if not self._ready.announced:
            # one listener would have it and another not
            return
        if isinstance(frame, Answer):
            self._answered(frame, heard_ns)
        elif isinstance(frame, Applied):
            self._tell(LinkKind.ACTUATED, frame.applied_us, frame.stamp_ns,
                       frame.received_us * 1000, frame.sequence)
        elif isinstance(frame, Status):
            self._on_status(frame)

    def _answered(self, answer: Answer, heard_ns: int) -> None:
        exchange = ClockExchange(
            FIRMWARE, came_ns(answer, self._baud), answer.received_us * 1000,
            answer.sent_us * 1000, set_out_ns(answer, heard_ns, self._baud))
        self._exchanges.publish(codec.exchange_to_msg(exchange, TYPES))
        row = (0, exchange.client_send_ns, exchange.server_receive_ns, exchange.server_send_ns,
               exchange.client_receive_ns)
        self._latest.append(row)
        self._clock = bounds_of(np.array(self._latest, EXCHANGE))
        if self._clock is not None and not self._clock.hold:
            self.node.get_logger().warning("the micro-controller's clock was reset, or is off by "
                                           'more than 0.1 %', throttle_duration_sec=5.0)
            self._latest = deque([row], LATEST)
            self._clock = bounds_of(np.array(self._latest, EXCHANGE))

    def _tell(self, kind: LinkKind, at_us: int, stamp_ns: int = 0, received_ns: int = NEVER_NS,
              sequence: int = 0) -> None:
        steady_ns, half_ns = NEVER_NS, NEVER_NS
        if self._clock is not None:
            host, half = self._clock.host(np.array([at_us * 1000]))
            steady_ns, half_ns = int(host[0]), int(half[0])
        self._events.publish(codec.link_to_msg(LinkEvent(kind, InputRef(
            self._topic, stamp_ns, at_us * 1000, received_ns, steady_ns, sequence), half_ns),
            TYPES))

    def _on_status(self, status: Status) -> None:
        known, self._status = self._status, status
        if known is None:
            return
        if status.trips > known.trips:
            self._tell(LinkKind.WATCHDOG, status.at_us)
        for what, now, before in (('damaged frames', status.crc_errors, known.crc_errors),
                                  ('commands that never acted', status.dropped, known.dropped)):
            if now > before:
                self.node.get_logger().warning(f'the micro-controller counts {now} {what}',
                                               throttle_duration_sec=10.0)


def _require(linked: bool, values: int, kind: str) -> None:
    if not linked:
        raise ConfigError('plant.link: false; nobody would listen to when commands act')
    if values > MAX_VALUES:
        raise ConfigError(f'interface.command.fields: {values} of them; a command on the line has '
                          f'{MAX_VALUES} at most')
    if not hasattr(message_type(kind)(), 'header'):
        raise ConfigError(f'interface.command.type: {kind} carries no stamp; a command that acts '
                          'is joined to its message by it')


def main() -> int:
    """Entry point of the process."""
    return run_node(SerialActuatorNode)


if __name__ == '__main__':
    sys.exit(main())
