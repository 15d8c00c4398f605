"""What was done to a sequence of records, told from the digests of what was and what is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.records import NameEnum

Digests = NDArray[np.uint64]


class Change(NameEnum):
    """What was done, as far as digests show it."""

    #: one record stands where another stood
    EDIT = 'edit'
    #: records stand where none did
    INSERTION = 'insertion'
    #: records that others followed are gone
    DELETION = 'deletion'
    #: the same records in another order
    REORDER = 'reorder'
    #: everything from a place on is gone
    TRUNCATION = 'truncation'
    #: several foreign records stand where others stood
    SPLICE = 'splice'
    #: more than one of these
    SEVERAL = 'several changes'


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two sequences part, and where they meet again."""

    change: Change
    #: first record that is not what it was
    index: int
    #: records from there on that were, and that are, until they meet again
    was: int
    now: int


def difference(was: Digests, now: Digests) -> Difference | None:
    """
    Compare the digests of the records as sealed with those of the records found.

    :param was: shape (N,)
    :param now: shape (M,)
    :returns: None where they are equal

    >>> a = np.arange(5, dtype=np.uint64)
    >>> difference(a, a) is None
    True
    >>> difference(a, np.delete(a, 2))
    Difference(change=<Change.DELETION: 'deletion'>, index=2, was=1, now=0)
    """
    first = _common(was, now)
    if first == len(was) == len(now):
        return None
    rest = min(len(was), len(now)) - first
    last = min(_common(was[::-1], now[::-1]), rest)
    gone, come = was[first:len(was) - last], now[first:len(now) - last]
    return Difference(_change(gone, come, at_end=last == 0), first, len(gone), len(come))


def _common(a: Digests, b: Digests) -> int:
    """Return how many entries agree from the begin on."""
    size = min(len(a), len(b))
    apart = np.flatnonzero(a[:size] != b[:size])
    return int(apart[0]) if len(apart) else size


def _change(gone: Digests, come: Digests, *, at_end: bool) -> Change:
    if not len(come):
        return Change.TRUNCATION if at_end else Change.DELETION
    if not len(gone):
        return Change.INSERTION
    if len(gone) == len(come) and np.array_equal(np.sort(gone), np.sort(come)):
        return Change.REORDER
    if len(gone) == len(come) == 1:
        return Change.EDIT
    return Change.SEVERAL if np.isin(come, gone).any() else Change.SPLICE
