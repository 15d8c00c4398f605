"""Hold a bag against its seals: is it what was recorded, and if not, from where on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from wm_eval_ros.audit.difference import Change, Difference, difference, Digests
from wm_eval_ros.audit.keys import key_id
from wm_eval_ros.audit.reading import chained, Found, Place, place
from wm_eval_ros.audit.sources import bag_source, sidecar_source, Source
from wm_eval_ros.bag.reader import Bag, open_bag
from wm_eval_ros.errors import BagError
from wm_eval_ros.records import NameEnum

Told = Callable[[int], None]


class Outcome(NameEnum):
    """What the seals say of a bag."""

    #: every message is the one recorded, to the final seal
    INTACT = 'intact'
    #: so is every message up to the last seal; the recorder ended without a final one
    OPEN = 'open'
    #: it is not what was recorded
    TAMPERED = 'tampered'
    #: nothing was ever sealed, or all of it was removed
    UNSEALED = 'not sealed'
    #: a key was given, and the seals are not signed
    UNSIGNED = 'unsigned'


@dataclass(frozen=True, slots=True)
class Bad:
    """The first record that is not what was recorded."""

    change: Change
    #: place in the order of the file, from 0
    index: int
    #: records from there on that were sealed, and that are there, until both agree again
    was: int
    now: int
    #: what stands there now; None behind the end
    place: Place | None
    #: topics of which there are fewer messages than sealed, and how many fewer
    missing: tuple[tuple[str, int], ...]
    #: numbers of the checkpoints before and after it
    between: tuple[int | None, int | None]


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found."""

    outcome: Outcome
    #: messages in the bag
    messages: int = 0
    #: of them vouched for by the seals
    sealed: int = 0
    #: behind the last seal, where none is final: recorded then, or put there by whoever can write
    unsealed: int = 0
    checkpoints: int = 0
    #: name of the key the seals are signed with; empty: unsigned
    signer: str = ''
    #: whether that is the key that was given
    trusted: bool = False
    #: whoever can write bag and sidecar can make such seals for other messages
    accidents_only: bool = True
    bad: Bad | None = None
    #: what is wrong with the seals themselves
    faults: tuple[str, ...] = ()
    #: what is wrong with the files, as an index or a summary that no seal covers; empty: nothing
    damage: str = ''
    notes: tuple[str, ...] = ()


def verify(path: Path, key: bytes | None = None, told: Told = lambda _: None) -> Verification:
    """
    Verify a bag.

    :param key: public key it must be signed with, 32 bytes; None: any, or none
    :param told: is told now and then how many messages were read
    :raises BagError: no bag
    :raises MissingExtraError: it is signed, and `cryptography` is not installed
    """
    try:
        with open_bag(path) as bag:
            return _verified(bag, path, key, told)
    except BagError as error:
        damage = str(error)
    with open_bag(path, salvage=True) as bag:
        return replace(_verified(bag, path, key, told), damage=damage)


def _verified(bag: Bag, path: Path, key: bytes | None, told: Told) -> Verification:
    inside, beside = bag_source(bag, key), sidecar_source(path, key)
    sources = [s for s in (inside, beside) if s is not None and (s.checkpoints or s.fault)]
    if not sources:
        return Verification(Outcome.UNSEALED, sum(bag.declared.values()))
    faults = [s.fault for s in sources if s.fault]
    faults += _contradictions(inside, beside)
    notes = tuple(_notes(inside, beside))
    usable = [s for s in sources if s.checkpoints]
    if usable and usable[0].checkpoints[0].salt != usable[-1].checkpoints[0].salt:
        # of another recording: nothing of it says anything about these messages
        usable = usable[:1]
    if not usable:
        return Verification(Outcome.TAMPERED, sum(bag.declared.values()), faults=tuple(faults),
                            notes=notes)
    salt = bytes.fromhex(usable[0].checkpoints[0].salt)
    found = chained(bag, salt, {c.index for s in usable for c in s.checkpoints}, told)
    bad = _first_bad(bag, usable, found)
    longest = max(usable, key=lambda s: (s.final, s.index))
    signer = longest.key
    broken, trusted = bad is not None or bool(faults), key is not None and bool(signer)
    messages = len(found.links)
    sealed = min(longest.index, messages)
    return Verification(
        _outcome(longest, broken=broken, unsigned=key is not None and not signer), messages,
        sealed, unsealed=0 if longest.final else messages - sealed,
        checkpoints=len(longest.checkpoints),
        signer=key_id(bytes.fromhex(signer)) if signer else '', trusted=trusted,
        accidents_only=not trusted, bad=bad, faults=tuple(faults), notes=notes)


def _outcome(source: Source, *, broken: bool, unsigned: bool) -> Outcome:
    if broken:
        return Outcome.TAMPERED
    if unsigned:
        return Outcome.UNSIGNED
    return Outcome.INTACT if source.final else Outcome.OPEN


def _contradictions(inside: Source, beside: Source | None) -> Iterator[str]:
    """Yield where bag and sidecar do not say the same."""
    if beside is None:
        return
    for mine, theirs in zip(inside.checkpoints, beside.checkpoints, strict=False):
        if mine.salt != theirs.salt:
            yield f'{beside.name} is of another recording than the seals in the bag'
            return
        if mine != theirs:
            yield f'checkpoint {mine.number} is not the same in the bag and in {beside.name}'
            return


def _notes(inside: Source, beside: Source | None) -> Iterator[str]:
    if beside is None:
        yield 'no sidecar: checkpoints cut off together with the end of the bag would not show'
    elif len(inside.checkpoints) < len(beside.checkpoints) and not inside.fault:
        yield (f'the bag holds {len(inside.checkpoints)} of {len(beside.checkpoints)} '
               f'checkpoints; the rest is taken from {beside.name}')


def _first_bad(bag: Bag, sources: Sequence[Source], found: Found) -> Bad | None:
    """Return the earliest record that any of the sources contradicts."""
    apart = [(d, s) for s in sources if (d := _apart(s, found)) is not None]
    if not apart:
        return None
    first, source = min(apart, key=lambda pair: pair[0].index)
    missing = Counter(source.counts())
    missing.subtract(found.counts)
    return Bad(first.change, first.index, first.was, first.now, place(bag, first.index),
               tuple(sorted((t, n) for t, n in missing.items() if n > 0)),
               _between(source, first.index))


def _apart(source: Source, found: Found) -> Difference | None:
    """Compare with one source; messages behind its last checkpoint are its own matter."""
    sealed = source.links()
    links = found.links if source.final else _covered(sealed, found.links)
    apart = difference(sealed, links)
    if apart is not None:
        return apart
    before = 0
    for checkpoint in source.checkpoints:
        if found.heads.get(checkpoint.index) != checkpoint.head:
            # digests that begin alike: only the head knows, to the checkpoint
            span = checkpoint.index - before
            return Difference(Change.EDIT, before, span, span)
        before = checkpoint.index
    return None


def _covered(sealed: Digests, found: Digests) -> Digests:
    """Return the records up to where the last one sealed stands; what follows is not sealed."""
    if np.array_equal(sealed, found[:len(sealed)]) or not len(sealed):
        return found[:len(sealed)]
    ends = np.flatnonzero(found == sealed[-1])
    return found[:int(ends[-1]) + 1] if len(ends) else found[:len(sealed)]


def _between(source: Source, index: int) -> tuple[int | None, int | None]:
    after = next((c.number for c in source.checkpoints if c.index > index), None)
    before = [c.number for c in source.checkpoints if c.index <= index]
    return (before[-1] if before else None), after
