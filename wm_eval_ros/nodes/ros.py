"""Between the interface's data and rclpy: types by name, quality of service, endpoints, time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import wraps
from importlib import import_module
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.duration import Duration
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    LivelinessPolicy,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
)
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription

from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.errors import BagError, ConfigError, FieldPathError
from wm_eval_ros.nodes.topic_list import readers, writers
from wm_eval_ros.records import NO_SEQUENCE
from wm_eval_ros.wire import topics
from wm_eval_ros.wire.codec import MessageTypes
from wm_eval_ros.wire.fields import CommandWriter


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


#: what of a quality of service parameters may override
_OVERRIDABLE = (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY,
                QoSPolicyKind.DURABILITY)
#: how long the acknowledgement of the last word is waited for [s]
ACK_S = 0.5
#: pause between two looks at what has been acknowledged [s]
ACK_LOOK_S = 0.005
#: makes our messages of rclpy's classes
TYPES = MessageTypes(message_type)
#: what a bag player says on `node_ready` behind its last message
BAG_ENDED = 'the bag has ended'


def qos_profile(qos: topics.Qos) -> QoSProfile:
    """Translate."""
    watched: dict[str, Any] = {}
    if qos.deadline_ns:
        watched['deadline'] = Duration(nanoseconds=qos.deadline_ns)
    if qos.lease_ns:
        watched |= {'liveliness': LivelinessPolicy.AUTOMATIC,
                    'liveliness_lease_duration': Duration(nanoseconds=qos.lease_ns)}
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=qos.depth,
        reliability=ReliabilityPolicy.RELIABLE if qos.reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=(DurabilityPolicy.TRANSIENT_LOCAL if qos.latched
                    else DurabilityPolicy.VOLATILE),
        **watched,
    )


class Endpoints:
    """
    Makes a node's publishers and subscriptions, and says when all of them have met the others.

    Until both sides of a DDS connection know each other, what is sent is lost.
    """

    def __init__(self, node: Node, scenario: Scenario, nodes: Collection[str]) -> None:
        """
        Make no endpoint yet.

        :param nodes: the nodes that take part in the run
        """
        self._node = node
        self._readers = readers(scenario, nodes)
        self._writers = set(writers(scenario, nodes))
        self._publishers: list[tuple[Publisher, int]] = []
        self._subscriptions: list[tuple[Subscription, int]] = []

    def publisher(self, type_name: str, topic: str, qos: topics.Qos) -> Publisher:
        """Create a publisher whose quality of service parameters can override."""
        made = self._node.create_publisher(
            message_type(type_name), topic, qos_profile(qos),
            qos_overriding_options=QoSOverridingOptions(_OVERRIDABLE))
        self._publishers.append((made, len(self._readers.get(topic, ()))))
        return made

    def subscription(
        self, type_name: str, topic: str, qos: topics.Qos, callback: Callable[..., object],
        *, raw: bool = False, events: SubscriptionEventCallbacks | None = None,
    ) -> Subscription:
        """
        Create a subscription whose quality of service parameters can override.

        A message that is none of this version's is left out with a warning: whoever can publish
        on a topic must not be able to end the nodes that listen to it.
        """
        made = self._node.create_subscription(
            message_type(type_name), topic, self._heed(topic, callback), qos_profile(qos), raw=raw,
            event_callbacks=events,
            qos_overriding_options=QoSOverridingOptions(_OVERRIDABLE))
        self._subscriptions.append((made, int(topic in self._writers)))
        return made

    def _heed(self, topic: str, callback: Callable[..., object]) -> Callable[..., None]:
        # rclpy asks for the signature: whether the callback takes the message's info
        @wraps(callback)
        def heed(*given: Any) -> None:
            try:
                callback(*given)
            except BagError as error:
                self._node.get_logger().warning(f'{topic}: a message is left out: {error}',
                                                throttle_duration_sec=10.0)

        return heed

    def withdraw(self, subscription: Subscription) -> None:
        """Take one subscription back."""
        self._subscriptions = [s for s in self._subscriptions if s[0] is not subscription]
        self._node.destroy_subscription(subscription)

    def destroy(self) -> None:
        """Take every endpoint back."""
        for publisher, _ in self._publishers:
            self._node.destroy_publisher(publisher)
        for subscription, _ in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def unmatched(self) -> str:
        """Name the endpoints that still wait for another; empty: all have met."""
        alone = [p.topic_name for p, wanted in self._publishers
                 if p.get_subscription_count() < wanted]
        alone += [s.topic_name for s, wanted in self._subscriptions
                  if s.get_publisher_count() < wanted]
        return ', '.join(sorted(set(alone)))


def wait_acked(publisher: Publisher, within_s: float = ACK_S) -> bool:
    """
    Wait until every reader has what was sent, at most this long; say whether it has.

    In short looks: rclpy keeps the interpreter while it waits, also from the other threads.
    """
    end = time.monotonic() + within_s
    while not publisher.wait_for_all_acked(Duration(nanoseconds=0)):
        if time.monotonic() > end:
            return False
        time.sleep(ACK_LOOK_S)
    return True


def finite_command(node: Node, reader: CommandWriter, message: Any) -> NDArray[np.float64] | None:
    """Return a command that a plant can obey, shape (A,); None: it is not one."""
    try:
        action = reader.read(message)
    except FieldPathError as error:
        node.get_logger().error(str(error), throttle_duration_sec=5.0)
        return None
    return action if np.isfinite(action).all() else None


def sequence_of(info: Mapping[str, Any]) -> int:
    """Return the publication sequence number of a message's info, NO_SEQUENCE without one."""
    number = info.get('publication_sequence_number')
    return NO_SEQUENCE if number is None else int(number)


def ready_text(name: str, episode: int | None = None) -> str:
    """Return what a node says on `node_ready`."""
    return name if episode is None else f'{name} {episode}'


class Ready:
    """Latches this node's name on `node_ready` once it can take part in a run."""

    def __init__(self, node: Node, endpoints: Endpoints) -> None:
        """Create the publisher; nothing is said yet."""
        self._node = node
        self._endpoints = endpoints
        self._said = False
        self._publisher = endpoints.publisher(
            topics.TYPES[topics.NODE_READY], topics.NODE_READY, topics.LATCHED)

    @property
    def announced(self) -> bool:
        """Whether this node has said that it can take part."""
        return self._said

    def announce_when_matched(self) -> bool:
        """Announce the node once all its endpoints have met the others; say whether it has."""
        if not self._said:
            alone = self._endpoints.unmatched()
            if alone:
                self._node.get_logger().warning(f'nobody at the other end yet: {alone}',
                                                throttle_duration_sec=10.0, skip_first=True)
            else:
                self._said = True
                self.announce()
        return self._said

    def announce(self, episode: int | None = None) -> None:
        """Say that the node can take part, or that it has entered this episode."""
        message = message_type(topics.TYPES[topics.NODE_READY])()
        message.data = ready_text(self._node.get_name(), episode)
        self._publisher.publish(message)
