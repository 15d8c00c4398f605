"""Evidence against exchangeability: rare where there is none, quick where there is."""

from __future__ import annotations

import numpy as np
import pytest

from wm_eval_ros.stats.exchangeable import PowerJumper, RankedScores


def test_p_values_are_ranks_with_ties_against_them() -> None:
    ranks = RankedScores([1.0, 2.0, 3.0])
    assert ranks.p_value(2.5) == 2 / 4
    assert ranks.p_value(2.5) == 3 / 5
    assert ranks.p_value(9.0) == 1 / 6
    assert ranks.p_value(-1.0) == 7 / 7


def test_a_bet_is_its_density_at_the_p_value() -> None:
    # all four share the capital; e p^(e-1) at 1/16: 1, 2, 2, 0.1 * 16^0.9
    assert PowerJumper().update(1 / 16) == pytest.approx((1 + 2 + 2 + 0.1 * 16**0.9) / 4)


def test_looking_after_every_episode_errs_no_more_often_than_promised() -> None:
    rng = np.random.default_rng(4)
    lost = {0.05: 0, 0.01: 0}
    runs = 1500
    for _ in range(runs):
        ranks, process = RankedScores(rng.normal(size=70)), PowerJumper()
        highest = max(process.update(ranks.p_value(score)) for score in rng.normal(size=150))
        for alpha in lost:
            lost[alpha] += highest >= 1 / alpha
    # three standard errors above alpha would be 0.067 and 0.018
    assert lost[0.05] / runs <= 0.05
    assert lost[0.01] / runs <= 0.01


def test_ties_and_cut_scores_do_not_raise_the_rate() -> None:
    rng = np.random.default_rng(5)
    lost, runs = 0, 600
    for _ in range(runs):
        def draw(n: int) -> list[float]:
            scores = np.round(rng.normal(size=n), 1)
            return np.where(scores > 1.6, np.inf, scores).tolist()
        ranks, process = RankedScores(draw(70)), PowerJumper()
        lost += max(process.update(ranks.p_value(s)) for s in draw(150)) >= 20
    assert lost / runs <= 0.05


@pytest.mark.parametrize('calm', [0, 300])
def test_a_shift_is_found_soon_however_long_it_was_calm(calm: int) -> None:
    rng = np.random.default_rng(6)
    found = []
    for _ in range(40):
        ranks, process = RankedScores(rng.normal(size=70)), PowerJumper()
        for score in rng.normal(size=calm):
            process.update(ranks.p_value(score))
        after = 0
        while process.update(ranks.p_value(rng.normal() + 2.0)) < 20 and after < 200:
            after += 1
        found.append(after)
    assert np.median(found) <= 15
