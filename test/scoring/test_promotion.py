"""A retrained model is promoted on evidence, not for want of it."""

from __future__ import annotations

import pytest

from wm_eval_ros.records import Interval, MetricValue, Verdict
from wm_eval_ros.scoring.compare import Better, Contrast, Effect
from wm_eval_ros.scoring.promotion import judge
from wm_eval_ros.stats.paired import mcnemar_exact, paired_difference

#: 49 of 49 before the shift
BEFORE = Interval(0.927, 1.0, 0.95, 'Clopper-Pearson')


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


SAME = contrast(0, 0, 49, 49)


@pytest.mark.parametrize(('new', 'old', 'verdict', 'back'), [
    pytest.param(contrast(24, 0, 0, 24), SAME, Verdict.PASS, True, id='cured'),
    pytest.param(contrast(17, 0, 0, 24), SAME, Verdict.PASS, False, id='better-but-not-back'),
    pytest.param(contrast(3, 0, 1, 24), SAME, Verdict.INCONCLUSIVE, False,
                 id='better-is-not-shown: p = 0.25'),
    pytest.param(contrast(1, 0, 23, 24), SAME, Verdict.PASS, True,
                 id='was-never-bad-and-is-back'),
    pytest.param(contrast(0, 10, 0, 24), SAME, Verdict.FAIL, False, id='worse'),
    pytest.param(contrast(0, 7, 93, 100), SAME, Verdict.FAIL, True,
                 id='worse-though-within-the-old-interval'),
    # Tango's lower limit of 0 - 1 of 49 is -0.107, of 0 - 20 of 49 far below -0.1
    pytest.param(contrast(24, 0, 0, 24), contrast(0, 1, 48, 49), Verdict.INCONCLUSIVE, True,
                 id='a-loss-of-a-tenth-is-not-ruled-out'),
    pytest.param(contrast(24, 0, 0, 24), contrast(0, 20, 29, 49), Verdict.FAIL, True,
                 id='forgot-the-old-condition'),
])
def test_the_gate(new: Contrast, old: Contrast, verdict: Verdict, back: bool) -> None:
    found = judge(new, old, BEFORE, 0.1)
    assert (found.verdict, found.back) == (verdict, back)


def test_a_wider_margin_accepts_what_a_narrow_one_does_not_rule_out() -> None:
    new, old = contrast(24, 0, 0, 24), contrast(0, 1, 48, 49)
    assert judge(new, old, BEFORE, 0.106).verdict is Verdict.INCONCLUSIVE
    assert judge(new, old, BEFORE, 0.108).verdict is Verdict.PASS
