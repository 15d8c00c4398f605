"""A bag read once into figures, traces and checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TYPE_CHECKING, TypeVar

from wm_eval_ros.cli.progress import Progress
from wm_eval_ros.errors import BagError
from wm_eval_ros.records import Verdict

if TYPE_CHECKING:
    from wm_eval_ros.bag.preflight import Finding, Inspection
    from wm_eval_ros.bag.reader import Bag, Part
    from wm_eval_ros.metrics.table import Run
    from wm_eval_ros.report.checks import Check
    from wm_eval_ros.report.trace import TraceCollector
    from wm_eval_ros.scoring.scorecard import Scorecard
    from wm_eval_ros.scoring.scorer import Scorer

T = TypeVar('T')

#: messages between two looks at the clock
_TICK = 8192


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
    Look a bag over and fold it into figures and traces, in one pass.

    What is wrong with a bag may show at its end only: nothing is returned, and so nothing written,
    before all of it was looked at.

    :raises BagError: not readable, not of this package, of a newer schema, or broken
    """
    from wm_eval_ros.bag.preflight import Inspection
    from wm_eval_ros.bag.reader import open_bag
    from wm_eval_ros.report.checks import evidence
    from wm_eval_ros.report.trace import TraceCollector
    from wm_eval_ros.scoring.scorer import Scorer
    scorer, trace = Scorer(), TraceCollector()
    with open_bag(path, salvage=salvage) as bag:
        _require_ours(bag)
        inspection = Inspection(bag)
        try:
            _fold(bag, inspection, scorer, trace)
        except BagError as error:
            # a record that is none knows its topic, not its bag
            told = str(error)
            raise BagError(told if str(path) in told else f'{path}: {told}') from None
        findings = inspection.result().findings
        if not salvage:
            _refuse_broken(bag, findings)
    card = scorer.compute()
    checks = (*_preflight_checks(findings), *evidence(card))
    return Scored(card, scorer.run(), trace, checks, Path(path), salvage)


def _fold(bag: Bag, inspection: Inspection, scorer: Scorer, trace: TraceCollector) -> None:
    """Read the whole bag once; the same figures as from ``bag.records()``, many times faster."""
    from wm_eval_ros.bag.reader import record_decoder
    from wm_eval_ros.bag.recorder_checks import last_word
    ours = {c: decode for c in bag.connections if (decode := record_decoder(c))}
    total = sum(bag.declared.values())
    for part in progress(bag.parts(), total, lambda part: len(part.columns)):
        inspection.add(part)
        decode = ours.get(part.connection)
        if decode is None:
            rows = part.columns.rows
            scorer.update_samples(part.connection.topic, part.stamps_ns, rows['log_ns'],
                                  rows['sequence'])
            continue
        for message in _decoded(bag, part, inspection):
            record = decode(message)
            inspection.add_record(record)
            scorer.update(record)
            trace.update(record)
    if (told := last_word(bag)) is not None:
        scorer.update(told)


def _decoded(bag: Bag, part: Part, inspection: Inspection) -> Iterator[Any]:
    """Yield the messages with their fields; in salvage one that has none is noted, not lost."""
    for message in part.messages():
        try:
            fields = bag.decoder.decode(message)
        except BagError as error:
            if not bag.salvage:
                raise
            inspection.add_broken(part.connection, error)
        else:
            yield fields


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


def progress(
    items: Iterable[T], total: int, size: Callable[[T], int] | None = None,
) -> Iterator[T]:
    """
    Pass messages through under a progress bar.

    :param total: number of messages
    :param size: messages in an item, None: one
    """
    shown = Progress('reading', total)
    count = seen = 0
    for item in items:
        yield item
        count += 1 if size is None else size(item)
        if count - seen >= _TICK:
            seen = count
            shown.update(count, 'messages')
    shown.close()
