"""Areas of pairs that are compared on terms of their own."""

from __future__ import annotations

import numpy as np
import pytest

from wm_eval_ros.stats.matched import matched_auroc
from wm_eval_ros.stats.roc import auroc


def wins(positive: list[float], negative: list[float]) -> np.ndarray[tuple[int, ...],
                                                                     np.dtype[np.float64]]:
    high, low = np.array(positive)[:, None], np.array(negative)[None, :]
    return np.asarray((high > low) + (high == low) / 2)


def test_with_all_pairs_it_is_the_area_under_the_curve() -> None:
    rng = np.random.default_rng(3)
    high, low = rng.normal(0.7, 1, 13).round(1).tolist(), rng.normal(0, 1, 17).round(1).tolist()
    assert matched_auroc(wins(high, low)) == pytest.approx((*auroc(high, low)[:3], ''))


def test_of_pairs_that_cannot_be_compared_nothing_is_said() -> None:
    nan = np.nan
    found = matched_auroc([[1, 0, nan], [nan, 1, 0.5], [nan, nan, nan]])
    # 1 + 0 + 1 + 0.5 of four pairs
    assert found.value == 0.625
    assert matched_auroc([[nan, nan]]).value is None
    assert matched_auroc(np.zeros((0, 3))).value is None


def test_without_a_lost_pair_the_limit_is_of_pairs_without_a_common_sample() -> None:
    nan = np.nan
    # at most two of these pairs share no sample: 0.025 ** (1 / 2)
    found = matched_auroc([[1, nan], [1, 1], [1, nan]])
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.025**0.5)
    assert matched_auroc([[0.0]]).high == pytest.approx(0.975)


def test_one_sample_in_a_class_has_no_interval() -> None:
    found = matched_auroc([[1, 0]])
    assert (found.value, found.low) == (0.5, None)
    assert found.why


def test_a_list_is_refused() -> None:
    with pytest.raises(ValueError, match='needs'):
        matched_auroc([1, 0])


@pytest.mark.slow
@pytest.mark.parametrize('shift', [0.0, 0.8])
def test_its_interval_covers_though_windows_differ(shift: float) -> None:
    """Maxima over common windows of unequal length, 40 against 40 episodes, 600 runs."""
    rng = np.random.default_rng(5)

    def run(m: int, n: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        lengths = rng.integers(3, 30, m), rng.integers(3, 30, n)
        high = [rng.normal(size=k) + shift for k in lengths[0]]
        low = [rng.normal(size=k) for k in lengths[1]]
        table = np.empty((m, n))
        for i, a in enumerate(high):
            for j, b in enumerate(low):
                both = min(len(a), len(b))
                table[i, j] = a[:both].max() > b[:both].max()
        return table

    truth = float(np.mean([run(60, 60).mean() for _ in range(60)]))
    assert shift > 0 or abs(truth - 0.5) < 0.01
    hits = 0
    for _ in range(600):
        found = matched_auroc(run(40, 40))
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= truth <= found.high
    assert 0.93 <= hits / 600 <= 0.975
