"""Who publishes on a topic, by the graph: found out often, asked in full when it changed."""

from __future__ import annotations

import time

from rclpy.node import Node

from wm_eval_ros.safety.authors import Authors, Endpoint

#: looks between two full questions where the number of publishers stays the same
LOOKS_A_FULL_ONE = 20
#: what the graph calls an endpoint whose node it does not know (yet)
_UNKNOWN = '_NODE_NAME_UNKNOWN_'


class Authorship:
    """Asks the graph; :class:`Authors` judges."""

    def __init__(self, node: Node, topic: str, author: str, *, only_one: bool) -> None:
        """
        Look at nothing yet.

        :param topic: topic, relative or absolute
        :param author: name of the node that may publish, in the namespace of this one
        :param only_one: as :class:`Authors` has it
        """
        self._node = node
        self._topic = node.resolve_topic_name(topic)
        self._authors = Authors(self._topic, f'{node.get_namespace().rstrip("/")}/{author}',
                                only_one=only_one)
        self._count = -1
        self._looks = 0

    def trouble(self) -> str | None:
        """Return who should not be there, empty: nobody; None: nothing new since the last look."""
        count = self._node.count_publishers(self._topic)
        self._looks += 1
        if count == self._count and self._looks < LOOKS_A_FULL_ONE and not self._authors.waiting:
            return None
        self._count, self._looks = count, 0
        return self._authors.trouble([
            Endpoint(bytes(info.endpoint_gid), None if info.node_name == _UNKNOWN else
                     f'{info.node_namespace.rstrip("/")}/{info.node_name}')
            for info in self._node.get_publishers_info_by_topic(self._topic)], time.monotonic_ns())
