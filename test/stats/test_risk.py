"""Risk against coverage, by hand and against all orders of ties."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise, permutations

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from wm_eval_ros.stats.risk import _Order, aurc

#: keeps a figure in the test report
Record = Callable[[str, object], None]

DECISIONS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5)), min_size=1, max_size=5)


def area_of(losses: list[float]) -> float:
    return float(np.mean(np.cumsum(losses) / np.arange(1, len(losses) + 1)))


def test_by_hand() -> None:
    # accepted in the order 0, 1, 0, 1: risks 0, 1/2, 1/3, 1/2
    found = aurc([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1])
    assert found.coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert found.risk == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert found.area.value == pytest.approx((1 / 2 + 1 / 3 + 1 / 2) / 4)
    # best order 0, 0, 1, 1: risks 0, 0, 1/3, 1/2
    assert found.excess.value == pytest.approx((1 / 2 + 1 / 3 + 1 / 2 - 1 / 3 - 1 / 2) / 4)
    assert found.area.why == 'no episodes given: its spread is unknown'


@given(DECISIONS)
def test_ties_are_the_mean_over_all_their_orders(pairs: list[tuple[int, int]]) -> None:
    scores, losses = zip(*pairs, strict=True)
    areas = [area_of([pairs[i][1] for i in order])
             for order in permutations(range(len(pairs)))
             if all(scores[a] >= scores[b] for a, b in pairwise(order))]
    found = aurc(scores, losses)
    assert found.area.value == pytest.approx(np.mean(areas), abs=1e-9)
    best = min(area_of(list(order)) for order in permutations(losses))
    assert found.excess.value == pytest.approx(found.area.value - best, abs=1e-9)


@given(DECISIONS)
def test_the_order_of_the_input_changes_no_bit(pairs: list[tuple[int, int]]) -> None:
    scores, losses = (np.array(one, float) / 3 for one in zip(*pairs, strict=True))
    found, turned = aurc(scores, losses), aurc(scores[::-1], losses[::-1])
    assert found.area == turned.area
    assert found.excess == turned.excess
    assert found.risk.tolist() == turned.risk.tolist()


@settings(max_examples=60)
@given(DECISIONS, st.data())
def test_counting_a_decision_twice_is_having_it_twice(pairs: list[tuple[int, int]],
                                                      data: st.DataObject) -> None:
    scores, losses = (np.array(one, float) for one in zip(*pairs, strict=True))
    counts = data.draw(st.lists(st.integers(0, 3), min_size=len(pairs), max_size=len(pairs))
                       .filter(any))
    want = aurc(np.repeat(scores, counts), np.repeat(losses, counts)).area.value
    found = _Order(scores, losses).areas(np.array([counts, counts], float),
                                         np.arange(len(counts)))
    assert found == pytest.approx([want, want], abs=1e-9)


def test_scoring_by_the_loss_itself_has_no_excess() -> None:
    losses = np.random.default_rng(0).gamma(2, size=200)
    found = aurc(-losses, losses, np.arange(200) // 10)
    assert found.excess == (0.0, 0.0, 0.0, '')
    assert aurc(losses, losses).area.value > losses.mean() > found.area.value


def test_the_interval_needs_five_episodes_and_is_reproducible() -> None:
    rng = np.random.default_rng(1)
    scores, losses, groups = rng.normal(size=90), rng.gamma(2, size=90), np.arange(90) // 10
    found = aurc(scores, losses, groups)
    assert found.area == aurc(scores, losses, groups).area
    assert found.area != aurc(scores, losses, groups, seed=1).area
    assert found.area.low is not None and found.area.high is not None
    assert found.area.low < found.area.value < found.area.high
    few = aurc(scores, losses, np.arange(90) // 30)
    assert few.area[1:] == (None, None, 'an interval needs 5 episodes, has 3')


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match='of no samples'):
        aurc([], [])
    with pytest.raises(ValueError, match=r'lengths \[2, 1\] differ'):
        aurc([1, 2], [1])
    with pytest.raises(ValueError, match='loss: 1 of 1 are not finite'):
        aurc([1], [float('inf')])


@pytest.mark.slow
def test_the_interval_covers(record_property: Record) -> None:
    # 40 episodes of 10 decisions; the truth from a million of them
    def run(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        hard = np.repeat(rng.normal(0, 0.5, count), 10)
        noise = rng.normal(size=10 * count)
        return -(hard + noise), np.exp(hard + 0.5 * noise + rng.normal(0, 0.5, 10 * count))

    rng, runs = np.random.default_rng(2), 300
    truth = aurc(*run(100_000, rng))
    hits = np.zeros(2, int)
    for _ in range(runs):
        found = aurc(*run(40, rng), np.repeat(np.arange(40), 10))
        for at, (one, want) in enumerate([(found.area, truth.area), (found.excess, truth.excess)]):
            assert one.low is not None and one.high is not None and want.value is not None
            hits[at] += one.low <= want.value <= one.high
    record_property('coverage', (hits / runs).tolist())
    assert np.all(hits / runs >= 0.9)
