"""What is kept of latents and rollouts for plotting."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from wm_eval_ros.report import trace as trace_module
from wm_eval_ros.report.trace import MAX_ENTRIES, TraceCollector


def collected(scenes: ModuleType, *slots: int, size: int = 2, steps: int = 2) -> TraceCollector:
    trace = TraceCollector()
    for slot in slots:
        trace.update(scenes.cycle(slot, latent=np.full(size, slot),
                                  rollout=np.full((steps, size), slot + 0.5)))
    return trace


def test_slots_stand_in_order_whatever_the_order_they_came_in(scenes: ModuleType) -> None:
    found = collected(scenes, 2, 0, 1, 4).episode(0)
    assert found.slots.tolist() == [0, 1, 2, 4]
    assert found.observed[:, 0].tolist() == [0, 1, 2, 4]
    assert found.begins.tolist() == [0, 1, 2, 3]
    assert found.imagined[:, 0, 0].tolist() == [0.5, 1.5, 2.5, 4.5]
    assert np.isnan(found.spread).all()


def test_rollouts_of_different_lengths_end_in_nothing(scenes: ModuleType) -> None:
    trace = TraceCollector()
    trace.update(scenes.cycle(0, latent=[1, 2], rollout=[[3, 4]],
                              rollout_std=np.float32([[5, 6]])))
    trace.update(scenes.cycle(1, latent=[1, 2], rollout=[[3, 4], [5, 6]]))
    found = trace.episode(0)
    assert found.imagined.shape == (2, 2, 2)
    assert np.isnan(found.imagined[0, 1]).all()
    assert found.spread[0, 0].tolist() == [5, 6]


def test_a_slot_recorded_twice_is_one(scenes: ModuleType) -> None:
    assert collected(scenes, 0, 1, 1).episode(0).slots.tolist() == [0, 1]


def test_warm_up_and_latents_of_another_size_are_left_out(scenes: ModuleType) -> None:
    trace = collected(scenes, 0, 1)
    trace.update(scenes.cycle(2, 'WARMUP', latent=[1, 2]))
    trace.update(scenes.cycle(3, latent=[1, 2, 3]))
    assert trace.episode(0).slots.tolist() == [0, 1]
    assert trace.left_out == 1
    assert trace.numbers() == [0]
    assert trace.numbers(least=3) == []


def test_of_a_wide_latent_the_first_entries_are_kept(scenes: ModuleType) -> None:
    trace = collected(scenes, 0, size=40)
    assert trace.size == 40
    assert trace.episode(0).observed.shape == (1, MAX_ENTRIES)
    assert trace.episode(0).imagined.shape == (1, 2, MAX_ENTRIES)


def test_memory_is_bounded_by_keeping_every_second_rollout(
        scenes: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    # a rollout of 2 steps and 2 entries takes 16 bytes: six of them fit
    monkeypatch.setattr(trace_module, 'ROLLOUT_BYTES', 100)
    trace = collected(scenes, *range(12))
    assert trace.stride == 2
    assert trace.episode(0).slots[trace.episode(0).begins].tolist() == [0, 2, 4, 6, 8, 10]
    assert len(trace.episode(0).slots) == 12


def test_slots_beyond_the_limit_are_counted(
        scenes: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_module, 'MAX_SLOTS', 3)
    trace = collected(scenes, *range(5))
    assert trace.left_out == 2
    assert trace.episode(0).slots.tolist() == [0, 1, 2]
