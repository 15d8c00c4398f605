"""Several files read as one, by log time, with no more of each in memory than must be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from wm_eval_ros.bag.columns import Columns, EMPTY, joined

#: a time after every other [ns]
_NEVER = 2**63 - 1


@dataclass(slots=True)
class Source:
    """Messages of one file in their order, begun when they are needed."""

    begin: Callable[[], Iterator[Columns]]
    #: no message is earlier [ns, system]
    bound_ns: int
    #: what was read and not passed on
    head: Columns = EMPTY
    stream: Iterator[Columns] | None = None

    def advance(self) -> None:
        """Read on; what comes later is not before the last message that was read."""
        if self.stream is None:
            self.stream = self.begin()
        more = next(self.stream, None)
        if more is None:
            self.bound_ns = _NEVER
        elif len(more):
            self.head = joined((self.head.released(), more))
            self.bound_ns = int(more.log_ns[-1])

    def split(self, before_ns: int) -> Columns:
        """Take out what is earlier than a time."""
        if before_ns == _NEVER:
            taken, self.head = self.head, EMPTY
            return taken
        cut = int(np.searchsorted(self.head.log_ns, before_ns))
        taken, self.head = self.head[:cut], self.head[cut:]
        return taken


def merged(sources: Sequence[Source]) -> Iterator[Columns]:
    """
    Yield the messages of all files by log time; equal times by file, then as each file gives them.

    :param sources: in the order of their files
    """
    if len(sources) == 1:
        yield from sources[0].begin()
        return
    while True:
        limit = min((source.bound_ns for source in sources), default=_NEVER)
        found = joined([source.split(limit) for source in sources])
        if len(found):
            log_ns = found.log_ns
            ordered = bool(np.all(log_ns[1:] >= log_ns[:-1]))
            yield found if ordered else found[np.argsort(log_ns, kind='stable')]
        if limit == _NEVER:
            return
        for source in sources:
            if source.bound_ns == limit:
                source.advance()
