"""Whether a latency curve holds in real time: runs with the latency injected, held against it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from wm_eval_ros.errors import BagError
from wm_eval_ros.metrics.base import missing
from wm_eval_ros.records import ClockMode, MetricValue, Verdict
from wm_eval_ros.scoring.board import Bracket
from wm_eval_ros.scoring.curves import change, holds, Success
from wm_eval_ros.scoring.scorecard import Scorecard, value_json
from wm_eval_ros.scoring.sweep import condition, INJECTED, LATENCY, Point, point_of

#: decisions at their median may take this much longer than what was injected [1], [ms]
_LONGER, _LONGER_MS = 1.02, 1.0


@dataclass(frozen=True)
class Confirmation:
    """A run in real time with a latency injected, and what the curve said of it before."""

    bag: str
    #: injected [ms]
    latency_ms: float
    #: the curve: success is there; None: the latency lies between what held and what was lost
    predicted: bool | None
    #: in real time
    success: MetricValue
    #: success is there in real time; None: not decided
    holds: bool | None
    #: success less that of the curve at this latency, on the same starts
    change: MetricValue
    #: quantiles of the decision latency as it was [ms], None where there are none
    p50_ms: float | None
    p99_ms: float | None
    verdict: Verdict
    sentence: str
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it in JSON's own types."""
        return {
            'bag': self.bag, 'latency_ms': self.latency_ms, 'predicted': self.predicted,
            'success': value_json(self.success), 'holds': self.holds,
            'change': value_json(self.change), 'decision_latency_p50_ms': self.p50_ms,
            'decision_latency_p99_ms': self.p99_ms, 'verdict': str(self.verdict),
            'sentence': self.sentence, 'notes': list(self.notes)}


@dataclass(frozen=True)
class Prediction:
    """What a curve says, for runs in real time to be held against."""

    #: a run of the curve: what it has in common with all others
    reference: tuple[str, Scorecard]
    points: Sequence[Point]
    bracket: Bracket
    bound: float
    strict: bool
    #: settings that follow the latency, by dotted key
    following: Collection[str] = ()

    def at(self, latency_ms: float) -> bool | None:
        """Say whether success is there at a latency; None: not known."""
        held, lost = self.bracket
        if held is not None and latency_ms <= held:
            return True
        return False if lost is not None and latency_ms >= lost else None

    def confirm(self, bag: str, card: Scorecard) -> Confirmation:
        """
        Hold a run in real time against the curve.

        PASS: it says the same as the curve. FAIL: success is shown to be lost where the curve has
        it, by the upper limit. INCONCLUSIVE: the curve is cautious, or nothing is shown.

        :raises BagError: the run is of another clock, or differs from those of the curve
        """
        _require_alike(bag, card, self.reference, self.following)
        point = point_of(card, INJECTED, bag)
        own = Success(point.x or 0.0, point.outcomes, point.seedless)
        there, predicted = holds(own, self.bound, self.strict), self.at(own.x)
        values = {v.name: v.value for v in card.values}
        p50, p99 = (values.get(f'decision_latency.{q}') for q in ('p50', 'p99'))
        lost = holds(own, self.bound, strict=True) is False
        verdict, word = _judged(predicted, there, lost=lost)
        text = (f'{word}: with {own.x:g} ms injected {_counted(own)} in real time (p50 '
                f'{_ms(p50)}, p99 {_ms(p99)}), by the curve success is '
                f'{_PREDICTED[predicted]}')
        return Confirmation(bag, own.x, predicted, point.success, there, self._change(own), p50,
                            p99, verdict, text, _slow(own.x, p50))

    def _change(self, own: Success) -> MetricValue:
        same = next((p for p in self.points if p.x == own.x), None)
        if same is None:
            return missing('success_change', '1', 'the curve has no point at this latency')
        return change(own, Success(own.x, same.outcomes, same.seedless))


_PREDICTED = {True: 'there', False: 'lost', None: 'not known there'}


def _judged(predicted: bool | None, there: bool | None, *, lost: bool) -> tuple[Verdict, str]:
    if predicted is not None and predicted == there:
        return Verdict.PASS, 'confirmed'
    if predicted and lost:
        return Verdict.FAIL, 'refuted'
    if predicted is False and there:
        return Verdict.INCONCLUSIVE, 'the curve is cautious'
    return Verdict.INCONCLUSIVE, 'not decided'


def _counted(own: Success) -> str:
    return f'{own.won:g} of {own.n} succeed'


def _ms(value: float | None) -> str:
    return 'not known' if value is None else f'{value:.4g} ms'


def _slow(latency_ms: float, p50_ms: float | None) -> tuple[str, ...]:
    """Say where the host took longer than what was to be injected."""
    if p50_ms is None or p50_ms <= _LONGER * latency_ms + _LONGER_MS:
        return ()
    return (f'decisions took {p50_ms:.4g} ms at their median, {latency_ms:g} were injected: this '
            'host is too slow for the point',)


def _require_alike(bag: str, card: Scorecard, reference: tuple[str, Scorecard],
                   following: Collection[str]) -> None:
    clock = str(card.manifest.get('clock', ''))
    if clock != ClockMode.REALTIME:
        raise BagError(f'{bag}: its clock is {clock or "not known"}; a curve is confirmed by runs '
                       'in realtime')
    ours, theirs = (condition(each, f'{LATENCY},{INJECTED}') for each in (card, reference[1]))
    odd = sorted(k for k in ours.keys() | theirs.keys()
                 if k not in ('clock', *following) and ours.get(k) != theirs.get(k))
    if odd:
        raise BagError(f'{bag}: differs from {reference[0]} in {", ".join(odd[:4])} also; only '
                       f'the clock and {INJECTED} may')
