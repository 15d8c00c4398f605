"""How long to watch until a rate is shown to lie on one side of a bound."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
import pytest
from scipy import stats

from wm_eval_ros.stats.exposure import exposure_for_bound
from wm_eval_ros.stats.rate import poisson_rate


@pytest.mark.parametrize(('bound', 'want'), [(1.0, 3.68888), (0.5, 7.37776)])
def test_no_event_expected_takes_the_rule_of_3_7(bound: float, want: float) -> None:
    # the upper limit of no event in t is -ln(0.025) / t
    found = exposure_for_bound(0.0, bound)
    assert found is not None
    assert (found.events, found.exposure) == (0, pytest.approx(want, abs=1e-4))


@settings(max_examples=40)
@given(st.floats(0.01, 0.6), st.sampled_from([0.5, 0.8, 0.95]))
def test_the_plan_keeps_what_it_promises_for_a_rate_below(rate: float, power: float) -> None:
    found = exposure_for_bound(rate, 1.0, power)
    assert found is not None
    limits = [poisson_rate(c, found.exposure).high for c in (found.events, found.events + 1)]
    # so many events just show it, one more does not
    assert limits[0] == pytest.approx(1.0) and limits[1] > 1.0
    assert stats.poisson.cdf(found.events, rate * found.exposure) >= power


@settings(max_examples=40)
@given(st.floats(1.8, 20.0), st.sampled_from([0.5, 0.8, 0.95]))
def test_the_plan_keeps_what_it_promises_for_a_rate_above(rate: float, power: float) -> None:
    found = exposure_for_bound(rate, 1.0, power)
    assert found is not None
    limits = [poisson_rate(c, found.exposure).low for c in (found.events, found.events - 1)]
    assert limits[0] == pytest.approx(1.0) and limits[1] < 1.0
    assert stats.poisson.sf(found.events - 1, rate * found.exposure) >= power


def test_a_rate_too_near_its_bound_is_not_searched_for_ever() -> None:
    assert exposure_for_bound(0.999, 1.0) is None


@pytest.mark.parametrize(('rate', 'bound', 'power'), [
    (1.0, 1.0, 0.8), (-1.0, 1.0, 0.8), (0.5, 0.0, 0.8), (0.5, 1.0, 1.0)])
def test_questions_without_an_answer_are_refused(
        rate: float, bound: float, power: float) -> None:
    with pytest.raises(ValueError, match='needs rate'):
        exposure_for_bound(rate, bound, power)
