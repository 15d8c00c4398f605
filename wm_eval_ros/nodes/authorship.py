"""Who publishes on a topic, by the graph: found out often, asked in full when it changed."""

from __future__ import annotations

import time

from rclpy.node import Node

#: looks between two full questions where the number of publishers stays the same
LOOKS_A_FULL_ONE = 20
#: how long an endpoint may be known without its node [ns]: a killed one lingers for the 20 s of
#: the lease of its participant
PATIENT_NS = 25_000_000_000
#: what the graph calls an endpoint whose node it does not know (yet)
_UNKNOWN = '_NODE_NAME_UNKNOWN_'


class Authorship:
    """
    Finds publishers that nobody authorised.

    Without DDS security a node's name is what it says it is: this finds accidents, and intruders
    who do not hide.
    """

    def __init__(self, node: Node, topic: str, author: str, *, only_one: bool) -> None:
        """
        Look at nothing yet.

        :param topic: topic, relative or absolute
        :param author: name of the node that may publish, in the namespace of this one
        :param only_one: a second publisher of that name is none of ours either; false where a
            dead one lingers in the graph and liveliness tells them apart
        """
        self._node = node
        self._topic = node.resolve_topic_name(topic)
        self._author = node.get_namespace().rstrip('/') + '/' + author
        self._only_one = only_one
        self._count = -1
        self._looks = 0
        #: endpoints without a known node, and since when [ns, steady]
        self._unknown: dict[bytes, int] = {}

    def trouble(self) -> str | None:
        """Return who should not be there, empty: nobody; None: nothing new since the last look."""
        count = self._node.count_publishers(self._topic)
        self._looks += 1
        if count == self._count and self._looks < LOOKS_A_FULL_ONE and not self._unknown:
            return None
        self._count, self._looks = count, 0
        now_ns = time.monotonic_ns()
        seen: dict[bytes, int] = {}
        known = []
        for info in self._node.get_publishers_info_by_topic(self._topic):
            gid = bytes(info.endpoint_gid)
            if info.node_name == _UNKNOWN:
                seen[gid] = self._unknown.get(gid, now_ns)
            if gid not in seen or now_ns - seen[gid] > PATIENT_NS:
                known.append(info.node_namespace.rstrip('/') + '/' + info.node_name)
        self._unknown = seen
        return self._told(known)

    def _told(self, names: list[str]) -> str:
        others = sorted({name for name in names if name != self._author})
        if others:
            return f'{", ".join(others)} publishes on {self._topic} beside {self._author}'
        if self._only_one and len(names) > 1:
            return f'{len(names)} publishers named {self._author} on {self._topic}'
        return ''
