"""Whether a retrained model takes the place of the one before it."""

from __future__ import annotations

from dataclasses import dataclass

from wm_eval_ros.records import Verdict
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
    #: success under the new condition is shown to be what it was under the old one, less a margin
    back: bool


def judge(new: Contrast, old: Contrast, regained: Contrast, *, margin: float,
          back_margin: float) -> Promotion:
    """
    Decide about a retrained model.

    Under the new condition it must not be shown to be worse than the model before it, and it must
    be shown to be better, or to be back. Under the old one the whole interval of the paired
    difference must lie above minus the margin. Either is a test of non-inferiority: that a loss
    was not shown is not enough, so too few episodes pass nothing.

    :param new: the retrained model (first) against the one before it (second), under the shift
    :param old: the same two without it
    :param regained: the retrained model under the shift (first) against the one before it without
        (second): what the shift still costs
    :param margin: loss of success under the old condition that is accepted, >= 0
    :param back_margin: loss of success against the old condition that still counts as back, >= 0
    """
    back = _not_inferior(regained, back_margin)
    conditions = (_new(new, regained, back, back_margin), _old(old, margin))
    verdicts = [c.verdict for c in conditions]
    verdict = next((v for v in (Verdict.FAIL, Verdict.INCONCLUSIVE) if v in verdicts),
                   Verdict.PASS)
    return Promotion(verdict, conditions, back is Verdict.PASS)


def _new(contrast: Contrast, regained: Contrast, back: Verdict, margin: float) -> Condition:
    verdict = Verdict.INCONCLUSIVE
    if contrast.better is Better.SECOND:
        verdict = Verdict.FAIL
    elif back is Verdict.PASS or contrast.better is Better.FIRST:
        verdict = Verdict.PASS
    said = {Verdict.PASS: 'shown to be back', Verdict.FAIL: 'shown not to be back'}
    return Condition('new condition', verdict,
                     f'{contrast.sentence}; {said.get(back, "not shown to be back")}: against the '
                     f'old condition {_gap(regained)}, a loss of {margin:g} counts as back')


def _old(contrast: Contrast, margin: float) -> Condition:
    return Condition('old condition', _not_inferior(contrast, margin),
                     f'{_gap(contrast)}, a loss of {margin:g} is accepted; {contrast.sentence}')


def _not_inferior(contrast: Contrast, margin: float) -> Verdict:
    """Return PASS where a loss of the margin is ruled out, FAIL where it is shown."""
    interval = contrast.success.difference.interval
    if interval is None:
        return Verdict.INCONCLUSIVE
    if interval.low >= -margin:
        return Verdict.PASS
    return Verdict.FAIL if interval.high < -margin else Verdict.INCONCLUSIVE


def _gap(contrast: Contrast) -> str:
    gap = contrast.success.difference
    if gap.value is None or gap.interval is None:
        return f'no difference is known ({gap.why})'
    return f'difference {gap.value:+.3f} [{gap.interval.low:.3f}, {gap.interval.high:.3f}]'
