"""What crossed the link between a test host and a device, as packed rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
import struct

import numpy as np

from wm_eval_ros.metrics.rows import RowBuffer, Rows
from wm_eval_ros.records import ClockExchange, FIRMWARE, LinkEvent, LinkKind

EVENT = np.dtype([('topic', '<i8'), ('stamp', '<i8'), ('steady', '<i8'), ('source', '<i8'),
                  ('received', '<i8')])
EXCHANGE = np.dtype([('server', '<i8'), ('sent', '<i8'), ('asked', '<i8'), ('answered', '<i8'),
                     ('received', '<i8')])
_FIVE = struct.Struct('<5q')


@dataclass(frozen=True)
class Link:
    """What was recorded of a link; every table in an order of its own making, without twins."""

    #: topic -> messages that the host sent; fields as in EVENT, by time
    sent: Mapping[str, Rows] = field(default_factory=dict)
    #: topic -> messages that came back
    received: Mapping[str, Rows] = field(default_factory=dict)
    #: device node -> exchanges with it; fields as in EXCHANGE, by time
    exchanges: Mapping[str, Rows] = field(default_factory=dict)
    #: topic -> commands that acted at an actuator, by the micro-controller's time
    actuated: Mapping[str, Rows] = field(default_factory=dict)
    #: topic -> when zero acted for want of a command, the same way
    watchdog: Mapping[str, Rows] = field(default_factory=dict)
    #: exchanges with the micro-controller
    firmware: Rows = field(default_factory=lambda: np.zeros(0, EXCHANGE))


class LinkLog:
    """Fold of the records of a link; it does not depend on their order."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._events = {kind: RowBuffer(EVENT) for kind in LinkKind}
        self._exchanges = RowBuffer(EXCHANGE)
        self._names: dict[str, int] = {}

    def update(self, record: LinkEvent | ClockExchange) -> None:
        """
        Take a record in.

        :raises struct.error: a number is beyond what 64 bits hold
        """
        if isinstance(record, ClockExchange):
            self._exchanges.append(_FIVE.pack(
                self._number(record.server), record.client_send_ns, record.server_receive_ns,
                record.server_send_ns, record.client_receive_ns))
            return
        ref = record.ref
        self._events[record.kind].append(_FIVE.pack(
            self._number(ref.topic), ref.stamp_ns, ref.steady_ns, ref.source_ns, ref.received_ns))

    def link(self) -> Link:
        """Return the link as recorded so far."""
        exchanges = self._by_name(self._exchanges, 'server', 'sent')
        firmware = exchanges.pop(FIRMWARE, np.zeros(0, EXCHANGE))
        return Link(self._by_name(self._events[LinkKind.SENT], 'topic', 'steady'),
                    self._by_name(self._events[LinkKind.RECEIVED], 'topic', 'steady'), exchanges,
                    self._by_name(self._events[LinkKind.ACTUATED], 'topic', 'source'),
                    self._by_name(self._events[LinkKind.WATCHDOG], 'topic', 'source'), firmware)

    def _number(self, name: str) -> int:
        return self._names.setdefault(name, len(self._names))

    def _by_name(self, buffer: RowBuffer, owner: str, time: str) -> dict[str, Rows]:
        rows = buffer.rows()
        found = {}
        for name, number in sorted(self._names.items()):
            own = np.unique(rows[rows[owner] == number])
            if len(own):
                found[name] = own[np.argsort(own[time], kind='stable')]
        return found
