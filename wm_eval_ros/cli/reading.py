"""A bag read once into figures, traces and checks."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
import sys
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from wm_eval_ros.cli.progress import Progress
from wm_eval_ros.errors import BagError
from wm_eval_ros.records import Verdict

if TYPE_CHECKING:
    from wm_eval_ros.bag.message import RawMessage
    from wm_eval_ros.bag.preflight import Finding
    from wm_eval_ros.bag.reader import Bag
    from wm_eval_ros.metrics.table import Run
    from wm_eval_ros.report.checks import Check
    from wm_eval_ros.report.trace import TraceCollector
    from wm_eval_ros.scoring.scorecard import Scorecard
    from wm_eval_ros.scoring.scorer import Scorer

T = TypeVar('T')

#: records between two looks at the clock
_TICK = 8192
#: messages of one topic handed over at once
_BATCH = 16384


@dataclass(frozen=True)
class Scored:
    """A scored bag with all that the report draws."""

    card: Scorecard
    run: Run
    trace: TraceCollector
    checks: tuple[Check, ...]
    #: the bag, to take the camera's images from, and whether it was read as a damaged one
    path: Path
    salvage: bool = False


def score_bag(path: Path | str, *, salvage: bool = False) -> Scorecard:
    """
    Score a bag.

    :param salvage: score what can be read of a damaged bag
    :raises BagError: not readable, not of this package, or of a newer schema
    """
    return read(path, salvage=salvage).card


def read(path: Path | str, *, salvage: bool = False) -> Scored:
    """
    Look a bag over, then fold it into figures and traces.

    :raises BagError: not readable, not of this package, of a newer schema, or broken
    """
    from wm_eval_ros.bag.preflight import preflight
    from wm_eval_ros.bag.reader import open_bag
    from wm_eval_ros.report.checks import evidence
    from wm_eval_ros.report.trace import TraceCollector
    from wm_eval_ros.scoring.scorer import Scorer
    scorer, trace = Scorer(), TraceCollector()
    with open_bag(path, salvage=salvage) as bag:
        _require_ours(bag)
        note(f'looking {bag.path} over ...')
        findings = preflight(bag).findings
        note('')
        if not salvage:
            _refuse_broken(bag, findings)
        _fold(bag, scorer, trace)
    card = scorer.compute()
    checks = (*_preflight_checks(findings), *evidence(card))
    return Scored(card, scorer.run(), trace, checks, Path(path), salvage)


class _Batch:
    """Messages of one topic on their way to the scorer: numbers only, many at a time."""

    def __init__(self, topic: str, stamp_of: Callable[[RawMessage], int] | None) -> None:
        self._topic, self._stamp_of = topic, stamp_of
        self._clear()

    def _clear(self) -> None:
        self._stamps, self._logs, self._sequences = array('q'), array('q'), array('Q')

    def add(self, message: RawMessage, scorer: Scorer) -> None:
        """Take one message in; a full batch goes on."""
        self._logs.append(message[0])
        self._sequences.append(message[3])
        if self._stamp_of is not None:
            self._stamps.append(self._stamp_of(message))
        if len(self._logs) >= _BATCH:
            self.flush(scorer)

    def flush(self, scorer: Scorer) -> None:
        """Hand over what has gathered."""
        stamps = np.array(self._stamps, np.int64) if self._stamp_of else None
        scorer.update_samples(self._topic, stamps, np.array(self._logs, np.int64),
                              np.array(self._sequences, np.uint64))
        self._clear()


def _fold(bag: Bag, scorer: Scorer, trace: TraceCollector) -> None:
    """Fold the whole bag; the same figures as from ``bag.records()``, in half the time."""
    from wm_eval_ros.bag.decode import header_stamp_ns
    from wm_eval_ros.bag.reader import record_decoder
    ours = {c: decode for c in bag.connections if (decode := record_decoder(c))}
    stamped = bag.decoder.is_stamped
    batches = {c: _Batch(c.topic, header_stamp_ns if stamped(c.type) else None)
               for c in bag.connections}
    for message in progress(bag.messages(), sum(bag.declared.values())):
        decode = ours.get(message[1])
        if decode is None:
            batches[message[1]].add(message, scorer)
            continue
        record = decode(bag.decoder.decode(message))
        scorer.update(record)
        trace.update(record)
    for connection, batch in batches.items():
        if connection not in ours:
            batch.flush(scorer)


def holds_ours(bag: Bag) -> bool:
    """Say whether a bag holds records of this package."""
    from wm_eval_ros.wire.codec import CYCLE_TYPE, EVENT_TYPE
    return bool({CYCLE_TYPE, EVENT_TYPE} & set(bag.topics.values()))


def _require_ours(bag: Bag) -> None:
    from wm_eval_ros.wire.codec import CYCLE_TYPE, EVENT_TYPE
    if holds_ours(bag):
        return
    have = ', '.join(f'{topic} ({kind})' for topic, kind in sorted(bag.topics.items()))
    raise BagError(f'{bag.path}: no {CYCLE_TYPE} and no {EVENT_TYPE}; it holds '
                   f'{have or "nothing"}. A robot bag is scored with `wm-eval openloop`')


def _refuse_broken(bag: Bag, findings: Sequence[Finding]) -> None:
    broken = [f.what for f in findings if f.severity == 'error']
    if broken:
        more = f' (and {len(broken) - 1} more)' if len(broken) > 1 else ''
        raise BagError(f'{bag.path}: {broken[0]}{more}; --salvage scores what can be read')


def _preflight_checks(findings: Sequence[Finding]) -> tuple[Check, ...]:
    from wm_eval_ros.report.checks import Check
    verdicts = {'info': Verdict.PASS, 'warning': Verdict.INCONCLUSIVE, 'error': Verdict.ERROR}
    return tuple(Check(f'{f.kind} {f.topic}'.strip(), verdicts[str(f.severity.value)], f.what,
                       'preflight') for f in findings)


def note(text: str) -> None:
    """Show one passing line on a terminal's stderr, in place of the last."""
    if sys.stderr.isatty():
        sys.stderr.write(f'\r\033[K{text}')
        sys.stderr.flush()


def progress(records: Iterable[T], total: int) -> Iterator[T]:
    """Pass records through under a progress bar."""
    shown = Progress('reading', total)
    count = 0
    for count, record in enumerate(records, 1):
        yield record
        if count % _TICK == 0:
            shown.update(count, 'messages')
    shown.close()
