"""The messages of a bag, in the order of its file, as the chain sees them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.audit.chain import Chain, leaf, LINK_BYTES, topic_digest
from wm_eval_ros.bag.message import RawMessage
from wm_eval_ros.bag.reader import Bag
from wm_eval_ros.errors import BagError
from wm_eval_ros.records import NO_SEQUENCE
from wm_eval_ros.wire.codec import CYCLE_TYPE


@dataclass(slots=True)
class Found:
    """What a bag holds."""

    #: begin of each leaf, shape (N,)
    links: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    #: head of the chain at the places asked for, hexadecimal
    heads: dict[int, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Place:
    """One message, and where it stands."""

    index: int
    topic: str
    #: slot, where it is a planner cycle
    slot: int | None
    #: last slot recorded before it, None: none
    after_slot: int | None
    #: [ns, system]
    log_ns: int
    #: name of the storage file, and the place in it [bytes]
    file: str
    offset: int


def chained(
    bag: Bag, salt: bytes, at: Collection[int], told: Callable[[int], None] = lambda _: None,
) -> Found:
    """
    Read all of a bag into a chain.

    :param at: numbers of messages after which the head is wanted
    :param told: is told now and then how many messages were read
    :raises BagError: the bag is damaged
    """
    digests = [topic_digest(c.topic, c.type, c.text) for c in bag.connections]
    names = [c.topic for c in bag.connections]
    chain, links, wanted = Chain(salt), bytearray(), frozenset(at)
    found = Found()
    if 0 in wanted:
        found.heads[0] = chain.head.hex()
    for _, columns in bag.stored():
        rows = columns.rows
        sequence = np.where(rows['sequence'] == np.uint64(NO_SEQUENCE), 0, rows['sequence'])
        for number, log_ns, publish_ns, seq, data in zip(
                rows['connection'].tolist(), rows['log_ns'].tolist(),
                rows['publish_ns'].tolist(), sequence.tolist(), columns.payloads(), strict=True):
            digest = leaf(digests[number], log_ns, publish_ns, seq, data)
            chain.add(names[number], digest)
            links += digest[:LINK_BYTES]
            if chain.index in wanted:
                found.heads[chain.index] = chain.head.hex()
        told(chain.index)
    found.links, found.counts = np.frombuffer(bytes(links), '<u8'), chain.counts
    return found


def place(bag: Bag, index: int) -> Place | None:
    """Say what stands at a place in the order of the file; None behind its end."""
    seen, after = 0, None
    for file, columns in bag.stored():
        size = len(columns)
        upto = columns[:max(0, min(size, index - seen))]
        after = _last_slot(bag, list(upto.messages(bag.connections))) or after
        if index < seen + size:
            row = columns[index - seen:index - seen + 1]
            message = next(row.messages(bag.connections))
            offset = file.place_of(row.rows[0]) if hasattr(file, 'place_of') else 0
            return Place(index, message.topic, _slot(bag, message),
                         None if after is None else after[0], message.log_ns, file.path.name,
                         offset)
        seen += size
    return None


def _last_slot(bag: Bag, messages: list[RawMessage]) -> tuple[int] | None:
    """Return the slot of the last planner cycle of some messages, in a tuple as it may be 0."""
    slots: Iterator[int | None] = (
        _slot(bag, m) for m in reversed(messages) if m.type == CYCLE_TYPE)
    found = next((slot for slot in slots if slot is not None), None)
    return None if found is None else (found,)


def _slot(bag: Bag, message: RawMessage) -> int | None:
    if message.type != CYCLE_TYPE:
        return None
    try:
        fields: Any = bag.decoder.decode(message)
        return int(fields.slot)
    except (BagError, AttributeError):
        return None
