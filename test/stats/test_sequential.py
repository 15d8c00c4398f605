"""The sequential sign test against exact fractions, and under peeking."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
import math

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
from numpy.typing import NDArray
import pytest
from scipy import integrate, stats

from wm_eval_ros.stats.power import expected_episodes_sequential
from wm_eval_ros.stats.sequential import (
    log_sign_e_value,
    log_sign_e_value_two_sided,
    reached,
    SignTest,
    win_share_sequence,
)

#: keeps a figure in the test report
Record = Callable[[str, object], None]

COUNTS = st.integers(0, 80).flatmap(lambda m: st.tuples(st.integers(0, m), st.just(m)))


def exact(s: int, m: int) -> Fraction:
    """Return E = sum over j <= s of C(m + 1, j) / ((m + 1) C(m, s)), a whole number over one."""
    total = term = 1
    for j in range(s):
        term = term * (m + 1 - j) // (j + 1)
        total += term
    return Fraction(total, (m + 1) * math.comb(m, s))


def log_of(value: Fraction) -> float:
    """Logarithm of a fraction beyond what a float holds."""
    shift = value.numerator.bit_length() - value.denominator.bit_length()
    return math.log(value / Fraction(2) ** shift) + shift * math.log(2)


@pytest.mark.parametrize(('s', 'm'), [(0, 0), (1, 1), (3, 4), (7, 7), (10, 40)])
def test_the_definition_is_the_integral(s: int, m: int) -> None:
    def likelihood(theta: float) -> float:
        return theta**s * (1 - theta)**(m - s)

    # the mean over (1/2, 1) is twice the integral
    want = 2**m * 2 * integrate.quad(likelihood, 0.5, 1, epsabs=0, epsrel=1e-12)[0]
    assert math.exp(log_sign_e_value(s, m)) == pytest.approx(want, rel=1e-9)
    both = 2**m * integrate.quad(likelihood, 0, 1, epsabs=0, epsrel=1e-12)[0]
    assert math.exp(log_sign_e_value_two_sided(s, m)) == pytest.approx(both, rel=1e-9)


@pytest.mark.parametrize(('s', 'want'), [(7, 255 / 8), (6, 127 / 7)])
def test_seven_straight_wins_decide_at_five_percent(s: int, want: float) -> None:
    # (2^(m + 1) - 1) / (m + 1)
    test = SignTest(two_sided=False)
    for _ in range(s):
        test.update(True, False)
    assert test.e_value == pytest.approx(want)
    assert test.decided == (want >= 20)
    assert test.better == ('a' if want >= 20 else '')


@pytest.mark.parametrize('m', [10, 300, 2000, 5000])
def test_the_logarithm_is_exact_for_thousands_of_pairs(m: int) -> None:
    at = sorted({0, 1, m // 3, m // 2 - 1, m // 2, m // 2 + 1, 2 * m // 3, m - 1, m})
    want = {s: exact(s, m) for s in {*at, *(m - s for s in at)}}
    for s in at:
        assert float(log_sign_e_value(s, m)) == pytest.approx(log_of(want[s]), rel=1e-9, abs=1e-9)
        both = (want[s] + want[m - s]) / 2
        assert float(log_sign_e_value_two_sided(s, m)) == pytest.approx(
            log_of(both), rel=1e-9, abs=1e-9)


@given(COUNTS)
def test_under_the_null_the_next_pair_leaves_it_in_expectation(counts: tuple[int, int]) -> None:
    s, m = counts
    for form in (log_sign_e_value, log_sign_e_value_two_sided):
        here, won, lost = (np.exp(form(*at)) for at in ((s, m), (s + 1, m + 1), (s, m + 1)))
        assert (won + lost) / 2 == pytest.approx(here, rel=1e-9)


@given(COUNTS)
def test_a_win_for_a_never_counts_against_a(counts: tuple[int, int]) -> None:
    s, m = counts
    assert log_sign_e_value(s + 1, m + 1) >= log_sign_e_value(s, m + 1)
    assert log_sign_e_value_two_sided(s, m) == pytest.approx(
        float(log_sign_e_value_two_sided(m - s, m)), abs=1e-9)


def test_counts_that_do_not_fit_are_refused() -> None:
    for form in (log_sign_e_value, log_sign_e_value_two_sided):
        with pytest.raises(ValueError, match='wins <= discordant'):
            form(3, 2)
    with pytest.raises(ValueError, match='wins <= discordant'):
        win_share_sequence(-1, 0)
    with pytest.raises(ValueError, match='alpha 1'):
        SignTest(alpha=1)


def test_pairs_that_agree_do_not_speak() -> None:
    test = SignTest()
    for outcome in (True, False, True):
        test.update(outcome, outcome)
    assert (test.pairs, test.discordant, test.e_value, test.p_value) == (3, 0, 1.0, 1.0)
    assert not test.decided


def test_once_decided_it_stays_decided() -> None:
    test = SignTest()
    for _ in range(8):
        test.update(False, True)
    assert test.decided and test.better == 'b'
    decided = test.p_value
    for _ in range(8):
        test.update(True, False)
    assert test.e_value < 1
    assert test.decided and test.better == 'b'
    assert test.p_value == decided == pytest.approx(9 / 256)


def test_an_e_value_beyond_floats_is_infinite_and_decided() -> None:
    test = SignTest(two_sided=False)
    for _ in range(1100):
        test.update(True, False)
    assert test.e_value == math.inf
    assert test.decided
    assert test.p_value == pytest.approx(0, abs=1e-300)


@given(COUNTS, st.sampled_from([0.9, 0.95]))
def test_the_win_share_holds_its_estimate_and_ends_where_the_ratio_is_alpha(
        counts: tuple[int, int], confidence: float) -> None:
    s, m = counts
    low, high = win_share_sequence(s, m, confidence)
    assert 0 <= low <= (s / m if m else 0.5) <= high <= 1
    mirrored = win_share_sequence(m - s, m, confidence)
    assert (low, high) == pytest.approx((1 - mirrored[1], 1 - mirrored[0]), abs=1e-9)
    for end in (low, high):
        if 0 < end < 1:
            # density of Beta(s + 1, m - s + 1), its uniform prior being 1
            assert stats.beta.pdf(end, s + 1, m - s + 1) == pytest.approx(
                1 - confidence, rel=1e-6)


def test_the_two_sided_test_decides_where_the_win_share_leaves_one_half_out() -> None:
    for m in range(1, 60):
        for s in range(m + 1):
            low, high = win_share_sequence(s, m)
            decided = bool(reached(log_sign_e_value_two_sided(s, m), 0.05))
            assert decided == (not low <= 0.5 <= high)


Outcomes = NDArray[np.bool_]


def pairs(p_a: float, p_b: float, shared: float, shape: tuple[int, int],
          rng: np.random.Generator) -> tuple[Outcomes, Outcomes]:
    """
    Outcomes of the same seeds: a share of them is decided by how hard the seed is.

    There the better policy solves what the worse one does; elsewhere they are independent.
    """
    a, b = rng.random(shape), rng.random(shape)
    same = rng.random(shape) < shared
    return a < p_a, np.where(same, a, b) < p_b


def walk(a: Outcomes, b: Outcomes, two_sided: bool) -> NDArray[np.bool_]:
    """Whether the test has been decided after each pair, shape (runs, pairs)."""
    s, m = np.cumsum(a & ~b, axis=1), np.cumsum(a ^ b, axis=1)
    form = log_sign_e_value_two_sided if two_sided else log_sign_e_value
    top = a.shape[1]
    table = np.array([[reached(form(min(i, j), j), 0.05) for i in range(top + 1)]
                      for j in range(top + 1)])
    return np.asarray(np.maximum.accumulate(table[m, s], axis=1))


@pytest.mark.slow
@pytest.mark.parametrize('two_sided', [False, True])
@pytest.mark.parametrize('p', [0.05, 0.3, 0.5, 0.8, 0.95])
def test_looking_after_every_pair_errs_at_most_in_five_percent(
        p: float, two_sided: bool, record_property: Record) -> None:
    runs, top = 20_000, 200
    a, b = pairs(p, p, 0.3, (runs, top), np.random.default_rng(21))
    rate = float(walk(a, b, two_sided)[:, -1].mean())
    record_property('false alarms', rate)
    assert rate <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
    plan = expected_episodes_sequential(p, p, 0.3, limit=top, two_sided=two_sided)
    want = plan.power + plan.wrong
    assert want <= 0.05
    assert rate == pytest.approx(want, abs=4 * math.sqrt(want / runs) + 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(('two_sided', 'shared'), [(False, 0.7), (True, 0.86)])
def test_half_against_seven_tenths_takes_fifty_pairs(
        two_sided: bool, shared: float, record_property: Record) -> None:
    # phi = shared * 0.6547: 0.46 one-sided, 0.56 two-sided
    runs, top = 5_000, 400
    a, b = pairs(0.7, 0.5, shared, (runs, top), np.random.default_rng(22))
    decided = walk(a, b, two_sided)
    taken = np.where(decided[:, -1], np.argmax(decided, axis=1) + 1, top)
    record_property('pairs and power', (float(taken.mean()), float(decided[:, -1].mean())))
    assert decided[:, -1].mean() >= 0.99
    assert taken.mean() <= 50 + 3 * taken.std() / math.sqrt(runs)
    phi = shared * 0.15 / math.sqrt(0.21 * 0.25)
    plan = expected_episodes_sequential(0.7, 0.5, phi, limit=top, two_sided=two_sided)
    assert plan.expected <= 50
    assert plan.power >= 0.99
    assert taken.mean() == pytest.approx(plan.expected, abs=4 * taken.std() / math.sqrt(runs))
    assert np.median(taken) == pytest.approx(plan.median, abs=2)


@pytest.mark.slow
@pytest.mark.parametrize('p', [0.05, 0.3, 0.5])
def test_three_thousand_looks_err_at_most_in_four_percent(p: float) -> None:
    for two_sided in (False, True):
        plan = expected_episodes_sequential(p, p, 0.3, limit=3000, two_sided=two_sided)
        assert plan.power + plan.wrong <= 0.0365


def test_the_class_walks_as_the_simulation_does() -> None:
    a, b = pairs(0.8, 0.5, 0.5, (20, 60), np.random.default_rng(23))
    want = walk(a, b, two_sided=True)
    for row in range(20):
        test = SignTest()
        for pair in range(60):
            test.update(bool(a[row, pair]), bool(b[row, pair]))
            assert test.decided == want[row, pair]


@pytest.mark.slow
@pytest.mark.parametrize('theta', [0.5, 0.7, 0.95])
def test_the_win_share_is_left_out_at_any_time_in_at_most_five_percent(
        theta: float, record_property: Record) -> None:
    runs, top = 20_000, 300
    won = np.random.default_rng(24).random((runs, top)) < theta
    s, m = np.cumsum(won, axis=1), np.arange(1, top + 1)
    outside = stats.beta.logpdf(theta, s + 1, m - s + 1) < math.log(0.05)
    rate = float(outside.any(axis=1).mean())
    record_property('false alarms', rate)
    assert rate <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
