"""Whether a retrained model takes the place of the one before it."""

from __future__ import annotations

from dataclasses import dataclass

from wm_eval_ros.records import Interval, Verdict
from wm_eval_ros.scoring.compare import Better, Contrast


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that is asked before a model is promoted."""

    name: str
    verdict: Verdict
    #: what was asked and found, in one sentence
    sentence: str


@dataclass(frozen=True, slots=True)
class Promotion:
    """The decision and its grounds."""

    #: PASS: promote; FAIL: shown to be no better, or worse; INCONCLUSIVE: not shown
    verdict: Verdict
    conditions: tuple[Condition, ...]
    #: success under the new condition lies within the old interval, or above it
    back: bool


def judge(new: Contrast, old: Contrast, before: Interval, margin: float) -> Promotion:
    """
    Decide about a retrained model.

    Under the new condition it must not be shown to be worse than the model before it, and it must
    be shown to be better, or its success must not lie below the interval that the success had
    before the shift. Under the old one the whole interval of the paired difference must lie above
    minus the margin: that a loss was not shown is not enough (a test of non-inferiority).

    :param new: the retrained model (first) against the one before it (second), under the shift
    :param old: the same two without it
    :param before: interval of the old model's success without the shift
    :param margin: loss of success under the old condition that is accepted, >= 0
    """
    rate = new.success.first.value
    back = rate is not None and rate >= before.low
    conditions = (_new(new, before, back=back), _old(old, margin))
    verdicts = [c.verdict for c in conditions]
    verdict = next((v for v in (Verdict.FAIL, Verdict.INCONCLUSIVE) if v in verdicts),
                   Verdict.PASS)
    return Promotion(verdict, conditions, back)


def _new(contrast: Contrast, before: Interval, *, back: bool) -> Condition:
    verdict = Verdict.INCONCLUSIVE
    if contrast.better is Better.SECOND:
        verdict = Verdict.FAIL
    elif back or contrast.better is Better.FIRST:
        verdict = Verdict.PASS
    where = 'not below' if back else 'below'
    return Condition('new condition', verdict,
                     f'{contrast.sentence}; {where} the old interval, from {before.low:.3f} on')


def _old(contrast: Contrast, margin: float) -> Condition:
    gap = contrast.success.difference
    if gap.value is None or gap.interval is None:
        return Condition('old condition', Verdict.INCONCLUSIVE, contrast.sentence)
    low, high = gap.interval.low, gap.interval.high
    verdict = Verdict.PASS if low >= -margin else Verdict.INCONCLUSIVE
    if high < -margin:
        verdict = Verdict.FAIL
    return Condition('old condition', verdict,
                     f'difference {gap.value:+.3f} [{low:.3f}, {high:.3f}], a loss of '
                     f'{margin:g} is accepted; {contrast.sentence}')
