"""The sample of slots is bounded, whole where it can be, and blind to the order of records."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
import numpy as np

from wm_eval_ros.metrics.vectors import BlockSample, PlanSample, StateSample

LAYOUT = np.dtype([('slot', '<i8'), ('pad', '<i8', (7,))])


def packed(slot: int) -> bytes:
    row = np.zeros(1, LAYOUT)
    row['slot'] = slot
    return row.tobytes()


def kept(slots: list[int], budget: int) -> list[int]:
    sample = BlockSample(4, budget)
    for slot in slots:
        if sample.takes(slot):
            sample.add(slot, LAYOUT, packed(slot))
    found: list[int] = sample.rows()['slot'].tolist()
    return found


@given(count=st.integers(1, 90), budget=st.integers(0, 6000),
       order=st.randoms(use_true_random=False))
def test_what_is_kept_does_not_depend_on_the_order(count: int, budget: int, order: Any) -> None:
    slots = [s for s in range(count) if s % 5]
    want = kept(slots, budget)
    order.shuffle(slots)
    assert kept(slots, budget) == want
    assert len(want) * LAYOUT.itemsize <= budget
    blocks = {s // 4 for s in want}
    assert want == sorted(s for s in slots if s // 4 in blocks)


def test_a_run_within_the_budget_is_kept_whole() -> None:
    assert kept(list(range(90)), 90 * LAYOUT.itemsize) == list(range(90))
    assert 0 < len(kept(list(range(90)), 45 * LAYOUT.itemsize)) <= 45


def test_the_blocks_kept_lie_all_over_the_run() -> None:
    found = kept(list(range(40_000)), 4000 * LAYOUT.itemsize)
    assert len(found) == 4000
    counts = np.histogram(found, 10, (0, 40_000))[0]
    assert counts.min() > 250


def test_a_state_is_kept_as_recorded(scenes: ModuleType) -> None:
    sample = StateSample()
    sample.update(scenes.cycle(3, episode=2, latent=[1, 2], rollout=[[5, 6], [7, 8]],
                               observation=(0.1, 0.2, 0.3), action=(0.4,)))
    row = sample.rows()[0]
    assert (row['slot'], row['episode']) == (3, 2)
    assert row['latent'].tolist() == [1, 2]
    assert row['imagined'].tolist() == [5, 6]
    assert row['observation'].tolist() == [0.1, 0.2, 0.3]
    assert row['action'].tolist() == [0.4]


def test_the_layout_of_most_slots_is_the_runs(scenes: ModuleType) -> None:
    sample = StateSample()
    for slot in range(5):
        sample.update(scenes.cycle(slot, latent=[1, 2] if slot else [1], action=(0.4,)))
    assert sample.rows()['slot'].tolist() == [1, 2, 3, 4]


def test_of_large_latents_a_plan_keeps_entries_all_over(scenes: ModuleType) -> None:
    sample = PlanSample()
    latent = np.arange(1000.0)
    sample.update(scenes.cycle(0, latent=latent, rollout=[latent] * 70,
                               rollout_std=[latent] * 70))
    sample.update(scenes.cycle(1, latent=latent, rollout=[latent] * 70))
    row = sample.rows()[0]
    assert len(sample.rows()) == 1
    assert row['rollout'].shape == (64, 64)
    assert (row['latent'][0], row['latent'][-1]) == (0, 999)


def test_a_latent_too_large_to_probe_is_left_out(scenes: ModuleType) -> None:
    sample = StateSample()
    sample.update(scenes.cycle(0, latent=np.zeros(1025)))
    assert len(sample.rows()) == 0


def test_asking_whether_a_slot_is_kept_opens_no_block() -> None:
    sample = BlockSample(4, 6000)
    assert all(sample.takes(slot) for slot in range(4000))
    assert sample.blocks == 0
    sample.add(7, LAYOUT, packed(7))
    assert sample.blocks == 1
