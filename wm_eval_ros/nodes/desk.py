"""The operator's desk: services and joystick of the supervisor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from rclpy.node import Node

from wm_eval_ros.nodes.ros import Endpoints, message_type, qos_profile
from wm_eval_ros.safety.joystick import Joystick
from wm_eval_ros.wire import topics

#: makes of a callback one whose errors end no process; it answers them then
Outlive = Callable[[Callable[[Any], str]], Callable[[Any], str]]


class Desk(Protocol):
    """What an operator may ask; each answers why not, empty: done."""

    def take_over(self, taken: bool) -> str:
        """Take over, or let go."""
        ...

    def clear_stop(self) -> str:
        """Lift a stop or a fallback."""
        ...

    def operate(self, action: tuple[float, ...]) -> None:
        """Command, shape (A,)."""
        ...


def serve(node: Node, desk: Desk, outlive: Outlive) -> None:
    """Offer the services."""
    services = topics.Qos(depth=10)

    def offer(kind: str, name: str, ask: Callable[[Any], str]) -> None:
        ask = outlive(ask)

        def answer(request: Any, response: Any) -> Any:
            response.message = ask(request)
            response.success = not response.message
            return response

        node.create_service(message_type(kind), name, answer, qos_profile=qos_profile(services))

    offer('std_srvs/srv/SetBool', topics.TAKE_OVER, lambda request: desk.take_over(request.data))
    offer('std_srvs/srv/Trigger', topics.CLEAR_STOP, lambda request: desk.clear_stop())


def listen(ends: Endpoints, joystick: Joystick, desk: Desk, outlive: Outlive) -> None:
    """Hear the joystick."""
    def hear(message: Any) -> str:
        action = joystick.command(message.axes, message.buttons)
        if action is not None:
            desk.operate(action)
        return ''

    ends.subscription('sensor_msgs/msg/Joy', topics.OPERATOR_JOY, topics.SENSOR, outlive(hear))
