"""The memory of pairing, and what it pairs, when rollouts come late."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from wm_eval_ros.metrics import pairing as module
from wm_eval_ros.metrics.pairing import BATCH, Pairing

SIZE, HORIZON = 16, 8


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> int:
    """Return a budget of 300 slots with rollouts of 8 x 16 numbers."""
    budget = 300 * SIZE * HORIZON * 4
    monkeypatch.setattr(module, 'BUDGET', budget)
    return budget


def fill(scenes: ModuleType, bare: int, count: int, horizons: list[int]) -> Pairing:
    """Take cycles in, the first ones without a rollout, the others with rollouts in turn."""
    rng = np.random.default_rng(0)
    pairing = Pairing()
    for slot in range(count):
        latent = rng.normal(size=SIZE)
        rollout = rng.normal(size=(HORIZON, SIZE))[:horizons[slot % len(horizons)]]
        pairing.update(scenes.cycle(slot, latent=latent,
                                    rollout=None if slot < bare else rollout))
    return pairing


@pytest.mark.parametrize('bare', [0, 1, BATCH, 3 * BATCH + 7])
def test_the_budget_holds_whether_a_rollout_comes_first_or_late(
        scenes: ModuleType, small: int, bare: int) -> None:
    pairing = fill(scenes, bare, 4 * BATCH, [HORIZON])
    assert pairing.nbytes == small
    for steps in (1, HORIZON):
        found = pairing.errors(steps)
        assert found.slots.tolist() == list(range(bare, 4 * BATCH - steps))
        assert np.all(np.isfinite(found.model))


def test_a_ring_that_shrinks_pairs_what_one_large_enough_pairs(
        scenes: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 2 * BATCH + 50
    large = fill(scenes, 5, count, [0, 1, 3, HORIZON])
    monkeypatch.setattr(module, 'BUDGET', 300 * SIZE * HORIZON * 4)
    monkeypatch.setattr(module, 'BATCH', 40)
    found = fill(scenes, 5, count, [0, 1, 3, HORIZON])
    for steps in range(1, HORIZON + 1):
        for one, other in zip(found.errors(steps), large.errors(steps), strict=True):
            assert one.tolist() == other.tolist()
    assert found.replans().model.tolist() == large.replans().model.tolist()


def test_a_slot_recorded_twice_stays_doubtful_when_the_ring_shrinks(
        scenes: ModuleType, small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, 'BATCH', 1)
    pairing = Pairing()
    one, other = np.ones(SIZE), np.zeros(SIZE)
    for slot, latent, steps in ((0, one, 1), (1, one, 0), (1, other, 0), (2, one, HORIZON)):
        pairing.update(scenes.cycle(slot, latent=latent, rollout=np.ones((steps, SIZE))))
    assert pairing.nbytes == small
    assert pairing.errors(1).slots.tolist() == []
