"""Between the interface's data and rclpy: types by name, quality of service, endpoints, time."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription

from wm_eval_ros.errors import ConfigError
from wm_eval_ros.wire import topics
from wm_eval_ros.wire.codec import MessageTypes


def message_type(name: str) -> Any:
    """
    Import a message or service class by its name, such as ``sensor_msgs/msg/JointState``.

    :raises ConfigError: the package is not installed or has no such type
    """
    try:
        package, kind, type_name = name.split('/')
        return getattr(import_module(f'{package}.{kind}'), type_name)
    except (ValueError, ImportError, AttributeError):
        raise ConfigError(f'message type {name!r} cannot be imported; write it as '
                          'package/msg/Type and install its package') from None


#: makes our messages of rclpy's classes
TYPES = MessageTypes(message_type)


def qos_profile(qos: topics.Qos) -> QoSProfile:
    """Translate."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=qos.depth,
        reliability=ReliabilityPolicy.RELIABLE if qos.reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=(DurabilityPolicy.TRANSIENT_LOCAL if qos.latched
                    else DurabilityPolicy.VOLATILE),
    )


def publisher(node: Node, type_name: str, topic: str, qos: topics.Qos) -> Publisher:
    """Create a publisher whose quality of service parameters can override."""
    return node.create_publisher(
        message_type(type_name), topic, qos_profile(qos),
        qos_overriding_options=QoSOverridingOptions.with_default_policies())


def subscription(
    node: Node, type_name: str, topic: str, qos: topics.Qos, callback: Callable[..., None],
    *, raw: bool = False,
) -> Subscription:
    """Create a subscription whose quality of service parameters can override."""
    return node.create_subscription(
        message_type(type_name), topic, callback, qos_profile(qos), raw=raw,
        qos_overriding_options=QoSOverridingOptions.with_default_policies())


def ready_text(name: str, episode: int | None = None) -> str:
    """Return what a node says on `node_ready`."""
    return name if episode is None else f'{name} {episode}'


class Ready:
    """Latches this node's name on `node_ready` once it can take part in a run."""

    def __init__(self, node: Node) -> None:
        """Create the publisher; nothing is said yet."""
        self._node = node
        self._publisher = publisher(
            node, topics.TYPES[topics.NODE_READY], topics.NODE_READY, topics.LATCHED)

    def announce(self, episode: int | None = None) -> None:
        """Say that the node can take part, or that it has entered this episode."""
        message = message_type(topics.TYPES[topics.NODE_READY])()
        message.data = ready_text(self._node.get_name(), episode)
        self._publisher.publish(message)
