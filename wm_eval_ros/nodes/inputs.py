"""The newest sample of every input, kept by the callbacks and read by the planning thread."""

from __future__ import annotations

from collections.abc import Callable, Collection
import threading
import time
from typing import Any

import numpy as np
from rclpy.node import Node

from wm_eval_ros.config.interface import ImageStream, Interface, Stream
from wm_eval_ros.errors import FieldPathError
from wm_eval_ros.nodes.ros import Endpoints, sequence_of
from wm_eval_ros.nodes.topic_list import sensed
from wm_eval_ros.planning.decision import Inputs, Reading
from wm_eval_ros.records import InputRef, NEVER_NS
from wm_eval_ros.wire import codec, topics
from wm_eval_ros.wire.fields import feature_names, StreamReader
from wm_eval_ros.wire.pixels import PixelReader


class InputBuffer:
    """Subscribes to what the planner sees, and to its goal; holds the newest reading of each."""

    def __init__(
        self, node: Node, ends: Endpoints, interface: Interface, qos: topics.Qos,
        nodes: Collection[str],
    ) -> None:
        """
        Subscribe; `qos` is for observations and images, the goal is latched.

        :param nodes: the nodes that take part in the run
        """
        self._node = node
        self._lock = threading.Lock()
        self._names = [s.topic for s in interface.seen]
        self._goal, self._goal_image = interface.goal, interface.goal_image
        self._newest: dict[str, Reading] = {}
        heard: list[tuple[Stream | ImageStream, str, topics.Qos]] = [
            (s, sensed(s.topic, nodes), qos) for s in interface.seen]
        heard += [(g, g.topic, topics.LATCHED) for g in interface.goals]
        for stream, topic, wanted in heard:
            ends.subscription(stream.type, topic, wanted, self._callback(stream, topic))

    def snapshot(self) -> Inputs:
        """Return the newest readings."""
        with self._lock:
            goal, image = (None if g is None else self._newest.get(g.topic)
                           for g in (self._goal, self._goal_image))
            return Inputs(tuple(self._newest.get(n) for n in self._names), goal,
                          goal_image=image)

    def complete_stamp_ns(self) -> int | None:
        """Return the stamp all observations share, None while they differ or are missing."""
        with self._lock:
            stamps = {r.ref.stamp_ns if (r := self._newest.get(n)) else None
                      for n in self._names}
        return stamps.pop() if len(stamps) == 1 else None

    def _callback(self, stream: Stream | ImageStream, topic: str,
                  ) -> Callable[[Any, dict[str, Any]], None]:
        image = isinstance(stream, ImageStream)
        reader = PixelReader(stream) if isinstance(stream, ImageStream) else StreamReader(stream)
        resolved = self._node.resolve_topic_name(topic)

        def store(message: Any, info: dict[str, Any]) -> None:
            steady_ns = time.monotonic_ns()
            try:
                values = reader.read(message)
            except FieldPathError as error:
                self._node.get_logger().error(str(error), throttle_duration_sec=5.0)
                return
            header = getattr(message, 'header', None)
            stamp_ns = codec.stamp_ns(header.stamp) if header is not None else time.time_ns()
            ref = InputRef(resolved, stamp_ns, info.get('source_timestamp', NEVER_NS),
                           info.get('received_timestamp', NEVER_NS), steady_ns,
                           sequence_of(info))
            with self._lock:
                self._newest[stream.topic] = Reading(ref, values, image)

        # rclpy passes the message info only to callbacks with two positional parameters
        return store


def made_up(interface: Interface) -> Inputs:
    """Return zeros as the reading of every stream: what a planner is warmed up with."""
    def reading(stream: Stream | ImageStream) -> Reading:
        image = isinstance(stream, ImageStream)
        size = stream.size if isinstance(stream, ImageStream) else len(feature_names(stream))
        return Reading(InputRef(stream.topic, 0), np.zeros(size), image)

    goal, image = (None if g is None else reading(g)
                   for g in (interface.goal, interface.goal_image))
    return Inputs(tuple(reading(s) for s in interface.seen), goal, goal_image=image)
