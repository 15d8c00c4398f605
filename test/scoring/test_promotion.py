"""A retrained model is promoted on evidence, not for want of it."""

from __future__ import annotations

import pytest

from wm_eval_ros.records import Interval, MetricValue, Verdict
from wm_eval_ros.scoring.compare import Better, Contrast, Effect
from wm_eval_ros.scoring.promotion import judge, Promotion
from wm_eval_ros.stats.paired import mcnemar_exact, paired_difference


def contrast(only_new: int, only_old: int, both: int, pairs: int) -> Contrast:
    """Return the comparison of a retrained model (first) with the one before it."""
    def rate(good: int) -> MetricValue:
        return MetricValue('success_rate', good / pairs, '1', pairs)

    found = paired_difference(only_new, only_old, pairs)
    shown = mcnemar_exact(only_new, only_old) <= 0.05
    better = Better.NEITHER if not shown else (
        Better.FIRST if only_new > only_old else Better.SECOND)
    gap = MetricValue('success_rate', found.value, '1', pairs, Interval(found.low, found.high))
    effect = Effect('success_rate', '1', True, rate(both + only_new), rate(both + only_old), gap,
                    better)
    return Contrast('A', 'B', True, '', None, effect, (), (), better, 'as compared')


def kept(lost: int, pairs: int) -> Contrast:
    """Return a comparison with a model that solves all, of which this one loses some."""
    return contrast(0, lost, pairs - lost, pairs)


def asked(new: Contrast, old: Contrast, regained: Contrast, margin: float = 0.1) -> Promotion:
    return judge(new, old, regained, margin=margin, back_margin=0.15)


#: Tango's lower limit of 0 - 0 of 49 is -0.073, of 24 -0.138, of 8 -0.324
SAME = kept(0, 49)


@pytest.mark.parametrize(('new', 'old', 'regained', 'verdict', 'back'), [
    pytest.param(contrast(24, 0, 0, 24), SAME, kept(0, 24), Verdict.PASS, True, id='cured'),
    pytest.param(contrast(17, 0, 0, 24), SAME, kept(7, 24), Verdict.PASS, False,
                 id='better-but-not-back'),
    # 23 of 24: a loss of 0.20 is not ruled out, though the rate lies in the old interval
    pytest.param(contrast(23, 0, 0, 24), SAME, kept(1, 24), Verdict.PASS, False,
                 id='better-and-perhaps-back'),
    pytest.param(contrast(3, 0, 1, 24), SAME, kept(20, 24), Verdict.INCONCLUSIVE, False,
                 id='better-is-not-shown: p = 0.25'),
    pytest.param(contrast(1, 0, 48, 49), SAME, kept(0, 49), Verdict.PASS, True,
                 id='was-never-bad-and-is-back'),
    pytest.param(contrast(1, 0, 7, 8), SAME, kept(0, 8), Verdict.INCONCLUSIVE, False,
                 id='all-of-eight-is-no-proof-of-being-back'),
    pytest.param(contrast(0, 10, 0, 24), SAME, kept(24, 24), Verdict.FAIL, False, id='worse'),
    pytest.param(contrast(0, 7, 93, 100), SAME, kept(7, 100), Verdict.FAIL, True,
                 id='worse-though-back'),
    # Tango's lower limit of 0 - 1 of 49 is -0.107, of 0 - 20 of 49 far below -0.1
    pytest.param(contrast(24, 0, 0, 24), kept(1, 49), kept(0, 24), Verdict.INCONCLUSIVE, True,
                 id='a-loss-of-a-tenth-is-not-ruled-out'),
    pytest.param(contrast(24, 0, 0, 24), kept(20, 49), kept(0, 24), Verdict.FAIL, True,
                 id='forgot-the-old-condition'),
])
def test_the_gate(new: Contrast, old: Contrast, regained: Contrast, verdict: Verdict,
                  back: bool) -> None:
    found = asked(new, old, regained)
    assert (found.verdict, found.back) == (verdict, back)


def test_a_wider_margin_accepts_what_a_narrow_one_does_not_rule_out() -> None:
    parts = contrast(24, 0, 0, 24), kept(1, 49), kept(0, 24)
    assert asked(*parts, margin=0.106).verdict is Verdict.INCONCLUSIVE
    assert asked(*parts, margin=0.108).verdict is Verdict.PASS
