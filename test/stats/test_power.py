"""How many episodes: exact sums against enumeration, and against each other."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from wm_eval_ros.stats.exact_power import (
    boschloo_boundary,
    expected_half_width,
    lower_bound_power,
    no_loss_power,
    paired_chances,
    paired_power,
    unpaired_power,
)
from wm_eval_ros.stats.paired import boschloo, mcnemar_exact, paired_difference
from wm_eval_ros.stats.power import (
    episodes_for_gap,
    episodes_for_half_width,
    episodes_for_lower_bound,
    episodes_for_no_loss,
    episodes_for_quantile,
    expected_episodes_sequential,
)
from wm_eval_ros.stats.proportion import clopper_pearson
from wm_eval_ros.stats.sequential import SignTest

#: keeps a figure in the test report
Record = Callable[[str, object], None]


@pytest.mark.parametrize(('p1', 'p2', 'phi'), [(0.7, 0.5, 0.0), (0.7, 0.5, 0.4), (0.9, 0.2, -0.1)])
def test_the_four_outcomes_have_these_rates_and_this_correlation(p1: float, p2: float,
                                                                 phi: float) -> None:
    found = paired_chances(p1, p2, phi)
    assert sum(found) == pytest.approx(1)
    assert found.both + found.only_a == pytest.approx(p1)
    assert found.both + found.only_b == pytest.approx(p2)
    product_ = found.both * found.neither - found.only_a * found.only_b
    assert product_ / math.sqrt(p1 * (1 - p1) * p2 * (1 - p2)) == pytest.approx(phi)


def test_the_largest_correlation_is_where_the_better_never_loses() -> None:
    top = math.sqrt(0.5 * 0.3 / (0.7 * 0.5))
    assert paired_chances(0.7, 0.5, top).only_b == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match=r'correlation 0.7: .* allow -0.655 to 0.655'):
        paired_chances(0.7, 0.5, 0.7)
    with pytest.raises(ValueError, match='needs each in'):
        paired_chances(1.0, 0.5, 0)


@pytest.mark.parametrize(('p', 'n'), [(0.5, 1), (0.3, 12), (0.95, 40), (1.0, 7)])
def test_the_half_width_expected_is_the_mean_over_outcomes(p: float, n: int) -> None:
    widths = [clopper_pearson(k, n).high - clopper_pearson(k, n).low for k in range(n + 1)]
    want = stats.binom.pmf(np.arange(n + 1), n, p) @ widths / 2
    assert expected_half_width(p, n) == pytest.approx(want, abs=1e-9)


@pytest.mark.parametrize(('p', 'bound', 'n'), [(0.9, 0.8, 50), (1.0, 0.9, 36), (0.5, 0.4, 30)])
def test_the_power_of_a_bound_is_the_chance_of_outcomes_above_it(p: float, bound: float,
                                                                n: int) -> None:
    above = [clopper_pearson(k, n).low >= bound for k in range(n + 1)]
    want = stats.binom.pmf(np.arange(n + 1), n, p) @ np.array(above, float)
    assert lower_bound_power(p, bound, n) == pytest.approx(want, abs=1e-9)


@pytest.mark.parametrize(('p1', 'p2', 'phi', 'n'), [(0.8, 0.3, 0.2, 12), (0.7, 0.5, 0.6, 25)])
def test_the_power_of_mcnemar_is_the_sum_over_all_counts(p1: float, p2: float, phi: float,
                                                         n: int) -> None:
    chances = paired_chances(p1, p2, phi)
    rest = 1 - chances.only_a - chances.only_b
    cells = [(b, c) for b in range(n + 1) for c in range(n + 1 - b)
             if b > c and mcnemar_exact(b, c) <= 0.05]
    want = sum(stats.multinomial.pmf([b, c, n - b - c], n, [chances.only_a, chances.only_b, rest])
               for b, c in cells)
    assert paired_power(chances, n) == pytest.approx(want, abs=1e-9)


@pytest.mark.parametrize(('wins', 'losses', 'n'), [
    (0.0, 0.0, 20), (0.0, 0.05, 30), (0.1, 0.05, 25), (0.3, 0.5, 12)])
def test_the_power_to_rule_out_a_loss_is_the_sum_over_all_counts(wins: float, losses: float,
                                                                 n: int) -> None:
    chances = stats.multinomial(n, [wins, losses, 1 - wins - losses])
    want = sum(chances.pmf([b, c, n - b - c]) for b, c in product(range(n + 1), repeat=2)
               if b + c <= n and paired_difference(b, c, n, 0.9).low >= -0.2)
    assert no_loss_power(wins, losses, n, 0.2, 0.1) == pytest.approx(want)


@pytest.mark.parametrize(('wins', 'losses'), [(0.0, 0.0), (0.0, 0.01), (0.02, 0.04)])
def test_from_there_on_the_loss_is_ruled_out(wins: float, losses: float) -> None:
    found = episodes_for_no_loss(wins, losses, 0.1)
    assert found is not None
    powers = [no_loss_power(wins, losses, n, 0.1) for n in range(found - 1, found + 40)]
    assert powers[0] < 0.8 <= min(powers[1:])


@pytest.mark.parametrize('n', [1, 4, 7])
def test_the_boundary_is_where_boschloos_test_rejects(n: int) -> None:
    found = boschloo_boundary(n)
    for k1, k2 in product(range(n + 1), repeat=2):
        rejects = k1 > k2 and boschloo(k1, n, k2, n) <= 0.05
        assert rejects == (k1 >= found[k2])


def test_the_power_of_boschloo_is_the_sum_over_its_tables() -> None:
    n, p1, p2 = 7, 0.9, 0.3
    want = sum(stats.binom.pmf(k1, n, p1) * stats.binom.pmf(k2, n, p2)
               for k1, k2 in product(range(n + 1), repeat=2)
               if k1 > k2 and boschloo(k1, n, k2, n) <= 0.05)
    assert unpaired_power(p1, p2, n) == pytest.approx(want, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize('n', [20, 60, 150])
def test_boschloos_test_never_rejects_more_often_than_stated(
        n: int, record_property: Record) -> None:
    bounds = boschloo_boundary(n)
    k = np.arange(n + 1)
    sizes = [2 * float(stats.binom.pmf(k, n, p) @ stats.binom.sf(bounds - 1, n, p))
             for p in np.linspace(0.001, 0.999, 999)]
    record_property('size', max(sizes))
    assert 0.035 <= max(sizes) <= 0.05 + 1e-6


def test_the_quantiles_need_what_the_quantile_says() -> None:
    assert [episodes_for_quantile(q) for q in (0.5, 0.95, 0.99, 0.999)] == [5, 59, 299, 2995]
    with pytest.raises(ValueError, match='quantile 1'):
        episodes_for_quantile(1)


@pytest.mark.parametrize(('p', 'half'), [(0.5, 0.1), (0.9, 0.05), (1.0, 0.1)])
def test_one_episode_less_is_wider_than_wanted(p: float, half: float) -> None:
    n = episodes_for_half_width(p, half)
    assert n is not None
    assert expected_half_width(p, n) <= half < expected_half_width(p, n - 1)


@pytest.mark.parametrize(('p', 'bound', 'power'), [(0.95, 0.9, 0.8), (1.0, 0.9, 0.9),
                                                   (0.8, 0.5, 0.9), (0.6, 0.5, 0.8)])
def test_from_there_on_the_bound_is_reached(p: float, bound: float, power: float) -> None:
    n = episodes_for_lower_bound(p, bound, power)
    assert n is not None
    assert lower_bound_power(p, bound, n - 1) < power
    assert all(lower_bound_power(p, bound, m) >= power for m in range(n, 3 * n))


@pytest.mark.parametrize(('p1', 'p2', 'phi'), [(0.7, 0.5, 0.0), (0.5, 0.7, 0.3), (0.95, 0.8, 0.4),
                                               (0.6, 0.5, 0.8)])
def test_from_there_on_the_paired_gap_is_found(p1: float, p2: float, phi: float) -> None:
    n = episodes_for_gap(p1, p2, correlation=phi)
    assert n is not None
    chances = paired_chances(max(p1, p2), min(p1, p2), phi)
    assert paired_power(chances, n - 1) < 0.8
    assert all(paired_power(chances, m) >= 0.8 for m in range(n, 2 * n))


def test_the_unpaired_gap_by_enumeration_and_by_formula() -> None:
    # the classic formula says 93 of each for 0.5 against 0.7
    n = episodes_for_gap(0.7, 0.5)
    assert n == episodes_for_gap(0.5, 0.7)
    assert n is not None and 93 <= n <= 98
    assert unpaired_power(0.7, 0.5, n) >= 0.8 > unpaired_power(0.7, 0.5, n - 1)
    toothed = episodes_for_gap(0.99, 0.9)
    assert toothed == 100
    assert unpaired_power(0.99, 0.9, 95) >= 0.8 > unpaired_power(0.99, 0.9, 99)
    assert all(unpaired_power(0.99, 0.9, m) >= 0.8 for m in range(toothed, 125))
    # ((1.95996 sqrt(2 * 0.525 * 0.475) + 0.84162 sqrt(0.55 * 0.45 + 0.25)) / 0.05)^2 = 1564.7
    assert episodes_for_gap(0.55, 0.5) == 1565


@pytest.mark.slow
def test_the_formula_is_within_two_percent_where_it_takes_over() -> None:
    n = 1565
    assert unpaired_power(0.55, 0.5, n) == pytest.approx(0.8, abs=0.01)
    assert unpaired_power(0.55, 0.5, round(1.02 * n)) >= 0.8


def test_common_seeds_save_episodes() -> None:
    needed = [episodes_for_gap(0.7, 0.5, correlation=phi) for phi in (0.0, 0.2, 0.4, 0.6)]
    assert None not in needed
    assert needed == sorted(needed, reverse=True)
    assert len(set(needed)) == 4


@pytest.mark.parametrize('call', [
    pytest.param(lambda: episodes_for_half_width(0.5, 0.001), id='half-width'),
    pytest.param(lambda: episodes_for_lower_bound(0.9, 0.899), id='bound'),
    pytest.param(lambda: episodes_for_gap(0.5, 0.501), id='unpaired'),
    pytest.param(lambda: episodes_for_gap(0.5, 0.501, correlation=0.0), id='paired'),
])
def test_beyond_twenty_thousand_episodes_there_is_no_answer(call: object) -> None:
    assert callable(call)
    assert call() is None


@pytest.mark.parametrize(('call', 'match'), [
    pytest.param(lambda: episodes_for_gap(0.5, 0.5), 'no gap', id='gap'),
    pytest.param(lambda: episodes_for_gap(0.7, 0.5, power=1.0), 'power 1.0', id='power'),
    pytest.param(lambda: episodes_for_gap(0.7, 0.5, correlation=0.9), 'allow', id='phi'),
    pytest.param(lambda: episodes_for_lower_bound(0.5, 0.6), 'bound 0.6', id='bound'),
    pytest.param(lambda: episodes_for_half_width(0.5, 0.0), 'half-width 0.0', id='half'),
    pytest.param(lambda: expected_episodes_sequential(0.7, 0.5, limit=0), 'limit 0', id='limit'),
    pytest.param(lambda: expected_episodes_sequential(0.7, 0.5, alpha=0.0), 'alpha', id='alpha'),
])
def test_figures_out_of_range_are_refused(call: object, match: str) -> None:
    assert callable(call)
    with pytest.raises(ValueError, match=match):
        call()


@pytest.mark.parametrize('two_sided', [False, True])
def test_the_sequential_plan_is_the_mean_over_all_sequences(two_sided: bool) -> None:
    # alpha 0.4: decided by three straight wins, within the five pairs enumerated
    chances = paired_chances(0.8, 0.4, 0.3)
    outcomes = [(1, 1), (1, 0), (0, 1), (0, 0)]
    expected = power = wrong = 0.0
    for sequence in product(range(4), repeat=5):
        chance = math.prod(chances[i] for i in sequence)
        test, taken = SignTest(0.4, two_sided), 5
        for at, i in enumerate(sequence, 1):
            test.update(bool(outcomes[i][0]), bool(outcomes[i][1]))
            if test.decided:
                taken = at
                break
        expected += chance * taken
        power += chance * (test.better == 'a')
        wrong += chance * (test.better == 'b')
    found = expected_episodes_sequential(0.8, 0.4, 0.3, 0.4, 5, two_sided)
    assert found[:3] == pytest.approx((expected, power, wrong), abs=1e-9)
    assert power > 0 and (wrong > 0) == two_sided


def test_fifty_pairs_are_reached_from_these_correlations_on() -> None:
    for two_sided, phi in ((False, 0.451), (True, 0.554)):
        found = expected_episodes_sequential(0.7, 0.5, phi, two_sided=two_sided)
        assert found.expected <= 50
        assert found.power >= 0.9999
        assert expected_episodes_sequential(0.7, 0.5, phi - 0.002,
                                            two_sided=two_sided).expected > 50


def test_the_table_of_the_documentation_is_what_is_computed() -> None:
    page = (Path(__file__).resolve().parents[2] / 'docs' / 'statistics.md').read_text('utf-8')
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in page.splitlines()
            if line.startswith('| 0')]
    assert len(rows) == 6
    for row in rows:
        phi = float(row[0].split()[0])
        one, two = (expected_episodes_sequential(0.7, 0.5, phi, two_sided=both)
                    for both in (False, True))
        assert row[1:] == [str(episodes_for_gap(0.7, 0.5, 0.99, correlation=phi)),
                           f'{one.expected:.1f}', f'{two.expected:.1f}',
                           f'{one.ninety}, {two.ninety}']


def test_the_sequential_plan_counts_pairs_that_agree() -> None:
    # one-sided with no losses: decided at the seventh discordant pair, 7 / 0.2 = 35 on average
    top = math.sqrt(0.5 * 0.3 / (0.7 * 0.5))
    found = expected_episodes_sequential(0.7, 0.5, top, limit=2000, two_sided=False)
    assert found.expected == pytest.approx(35, abs=1e-6)
    assert found.power == pytest.approx(1)
    assert found.median == stats.nbinom.median(7, 0.2) + 7
    assert found.ninety == stats.nbinom.ppf(0.9, 7, 0.2) + 7


def test_equal_outcomes_are_never_decided() -> None:
    found = expected_episodes_sequential(0.5, 0.5, 1.0, limit=50)
    assert found == (50.0, 0.0, 0.0, None, None)
