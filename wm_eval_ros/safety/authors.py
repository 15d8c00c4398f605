"""Who may publish on a topic, judged by what the graph says of its endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: how long an endpoint may be known without its node [ns]: a killed one lingers for the 20 s of
#: the lease of its participant
PATIENT_NS = 25_000_000_000
#: how long an endpoint that came while we looked may take to be named [ns]
NAMING_NS = 5_000_000_000


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A publisher in the graph."""

    gid: bytes
    #: name of its node with the namespace; None: the graph does not know it
    node: str | None


class Authors:
    """
    Finds publishers that nobody authorised.

    Without DDS security a node's name is what it says it is: this finds accidents, and intruders
    who do not hide.
    """

    def __init__(self, topic: str, author: str, *, only_one: bool) -> None:
        """
        Look at nothing yet.

        :param topic: absolute name of the topic, for the message
        :param author: full name of the node that may publish
        :param only_one: a second publisher of that name is none of ours either, and an endpoint
            without a name that was not here from the first is soon taken for foreign; false where
            liveliness tells the dead from the living
        """
        self._topic, self._author, self._only_one = topic, author, only_one
        #: endpoints that may be the rest of somebody killed: here from the first, or once named
        self._remains: set[bytes] | None = None
        #: endpoints without a known node, and since when [ns, steady]
        self._unnamed: dict[bytes, int] = {}

    @property
    def waiting(self) -> bool:
        """An endpoint is not named yet: time alone may make it foreign."""
        return bool(self._unnamed)

    def trouble(self, endpoints: Sequence[Endpoint], now_ns: int) -> str:
        """
        Return who should not be there; empty: nobody.

        :param now_ns: time of the look [ns, steady]
        """
        if self._remains is None:
            self._remains = {end.gid for end in endpoints}
        self._remains |= {end.gid for end in endpoints if end.node is not None}
        self._unnamed = {end.gid: self._unnamed.get(end.gid, now_ns)
                         for end in endpoints if end.node is None}
        nameless = [gid for gid, since_ns in self._unnamed.items()
                    if now_ns - since_ns > self._patience_ns(gid)]
        return self._told([end.node for end in endpoints if end.node is not None], len(nameless))

    def _patience_ns(self, gid: bytes) -> int:
        assert self._remains is not None
        return NAMING_NS if self._only_one and gid not in self._remains else PATIENT_NS

    def _told(self, names: Sequence[str], nameless: int) -> str:
        others = sorted({name for name in names if name != self._author})
        if nameless:
            others.append(f'a writer without a node ({nameless})')
        if others:
            return f'{", ".join(others)} publishes on {self._topic} beside {self._author}'
        if self._only_one and len(names) > 1:
            return f'{len(names)} publishers named {self._author} on {self._topic}'
        return ''
