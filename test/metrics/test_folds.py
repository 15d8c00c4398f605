"""Folds do not depend on the order of records, nor on how samples are handed in."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from hypothesis import given, HealthCheck, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from wm_eval_ros.errors import BagError
from wm_eval_ros.metrics.pairing import Pairing, WINDOW
from wm_eval_ros.metrics.schedule import missed_runs
from wm_eval_ros.records import CycleRecord, CycleStatus, NO_SEQUENCE, Record, SampleRecord
from wm_eval_ros.scoring.scorecard import Scorecard
from wm_eval_ros.scoring.scorer import FAMILIES, score, Scorer
from wm_eval_ros.stats.distance import squared_error

SLOW = settings(max_examples=12, deadline=None,
                suppress_health_check=[HealthCheck.function_scoped_fixture])


@SLOW
@given(order=st.randoms(use_true_random=False), seed=st.integers(0, 5))
def test_order_of_arrival_changes_no_bit(scenes: ModuleType, order: Any, seed: int) -> None:
    records = scenes.rich_run(seed, episodes=6, slots=15)
    want = score(records).to_json()
    order.shuffle(records)
    scorer = Scorer()
    for at, record in enumerate(records):
        scorer.update(record)
        if at == len(records) // 2:
            # reading on the way changes nothing that comes after
            scorer.compute()
    assert scorer.compute().to_json() == want


@pytest.fixture(scope='module')
def rich(scenes: ModuleType) -> tuple[list[Record], Scorecard]:
    records: list[Record] = scenes.rich_run()
    return records, score(records)


@pytest.mark.parametrize('make', FAMILIES, ids=lambda f: f.__name__)
def test_a_family_alone_gives_what_it_gives_in_the_scorer(
        rich: tuple[list[Record], Scorecard], make: Callable[..., Any]) -> None:
    records, card = rich
    alone = make()
    for record in records:
        alone.update(record)
    for value in alone.compute():
        assert card[value.name] == value


def test_samples_in_arrays_give_what_samples_one_by_one_give(scenes: ModuleType) -> None:
    records = scenes.busy_run()
    one, many = Scorer(), Scorer()
    samples = [r for r in records if isinstance(r, SampleRecord)]
    for record in records:
        one.update(record)
        if not isinstance(record, SampleRecord):
            many.update(record)
    many.update_samples('/joint_states', np.array([s.stamp_ns for s in samples]),
                        np.array([s.log_ns for s in samples]),
                        np.array([s.sequence for s in samples], np.uint64))
    assert many.compute().to_json() == one.compute().to_json()
    one.update(SampleRecord('/bare', None, 5))
    many.update_samples('/bare', None, np.array([5]), np.array([NO_SEQUENCE], np.uint64))
    assert many.compute().to_json() == one.compute().to_json()


def test_duplicates_are_counted_and_change_no_figure(
        rich: tuple[list[Record], Scorecard]) -> None:
    records, once = rich
    twice = score([*records, *records])
    cycles = sum(isinstance(r, CycleRecord) and r.status != CycleStatus.WARMUP for r in records)
    assert twice['slots.duplicate'].value == cycles
    changed = {v.name for v, w in zip(once.values, twice.values, strict=True) if v != w}
    # a warm-up call has no slot of its own to tell it from another
    assert changed == {'slots.duplicate', 'plan_latency_warmup.max'}


def test_a_slot_number_no_integer_holds_is_counted_and_left_out(scenes: ModuleType) -> None:
    records = scenes.busy_run()
    card = score([*records, scenes.cycle(2**63)])
    assert card.counts['cycles_malformed'] == 1
    assert card.identity_bytes() == score(records).identity_bytes()


def test_a_newer_manifest_is_refused(scenes: ModuleType) -> None:
    with pytest.raises(BagError, match='schema 99'):
        score([scenes.info(schema_version=99)])


@pytest.mark.parametrize(('end_ms', 'due'), [
    pytest.param(90.0, 1, id='the-episode-ended-within-the-deadline'),
    pytest.param(100.0, 2, id='the-deadline-had-passed-at-the-end'),
])
def test_a_plan_withheld_at_the_end_of_its_episode_is_no_miss(
    scenes: ModuleType, end_ms: float, due: int,
) -> None:
    from dataclasses import replace

    from wm_eval_ros.records import CycleStatus, NEVER_NS
    sent, late = scenes.cycle(0), scenes.cycle(1)
    withheld = replace(late, status=CycleStatus.SKIPPED, action=(), command_stamp_ns=None,
                       publish_ns=NEVER_NS, publish_system_ns=NEVER_NS)
    card = score([scenes.info(), scenes.event('START'), sent, withheld,
                  scenes.event('SUCCESS', at_ms=end_ms)])
    assert card['slots.due'].value == due
    assert card['deadline_miss_rate'].value == (due - 1) / due


def test_a_huge_gap_in_slot_numbers_costs_no_memory() -> None:
    runs = missed_runs(np.array([True, True]), np.array([0, 2**50]))
    assert runs.tolist() == [2**50]


def test_pairing_keeps_its_ring_and_pairs_a_long_run(scenes: ModuleType) -> None:
    pairing = Pairing()
    count = WINDOW + 50
    for slot in range(count):
        pairing.update(scenes.cycle(slot, latent=[slot, 0], rollout=[[slot + 1, 0], [slot, 0]]))
    one, two = pairing.errors(1), pairing.errors(2)
    assert one.slots.tolist() == list(range(count - 1))
    assert two.slots.tolist() == list(range(count - 2))
    assert np.all(one.model == 0)
    assert np.all(two.model == 2)
    assert np.all(two.persistence == 2)


@SLOW
@given(order=st.randoms(use_true_random=False), seed=st.integers(0, 9), batch=st.integers(1, 9))
def test_pairs_are_those_that_every_pair_of_slots_gives(
        scenes: ModuleType, order: Any, seed: int, batch: int) -> None:
    rng = np.random.default_rng(seed)
    cycles = [scenes.cycle(int(slot), episode=int(slot) // 20, latent=rng.normal(size=2),
                           rollout=rng.normal(size=(int(rng.integers(5)), 2)))
              for slot in np.flatnonzero(rng.random(60) < 0.8)]
    want = {(a.slot, h): float(squared_error(a.rollout[h - 1], b.latent)) for a in cycles
            for b in cycles if a.episode == b.episode and 0 < (h := b.slot - a.slot)
            <= len(a.rollout)}
    order.shuffle(cycles)
    pairing = Pairing()
    for at, cycle in enumerate(cycles):
        pairing.update(cycle)
        if at % batch == 0:
            pairing.errors(1)
    found = {(slot, h): error for h in range(1, pairing.steps + 1)
             for slot, error in zip(*(x.tolist() for x in pairing.errors(h)[:2]), strict=True)}
    assert found == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize('step', [1, 4096, 5000, 2**40])
def test_slots_far_apart_do_not_disturb_each_other(scenes: ModuleType, step: int) -> None:
    pairing = Pairing()
    for base in (0, step, 2 * step, 3 * step):
        for slot in (2 * base, 2 * base + 1):
            pairing.update(scenes.cycle(slot, episode=base, latent=[slot % 2],
                                        rollout=[[1 - slot % 2]]))
    found = pairing.errors(1)
    assert found.slots.tolist() == [0, 2 * step, 4 * step, 6 * step]
    assert not np.any(found.model)


def test_rollouts_of_unequal_length_pair_as_far_as_they_reach(scenes: ModuleType) -> None:
    pairing = Pairing()
    pairing.update(scenes.cycle(0, latent=[0], rollout=[[1]]))
    pairing.update(scenes.cycle(1, latent=[1], rollout=[[2], [3], [4]]))
    pairing.update(scenes.cycle(2, latent=[2]))
    pairing.update(scenes.cycle(3, latent=[3, 3]))
    assert pairing.errors(1).slots.tolist() == [0, 1]
    assert pairing.errors(1).model.tolist() == [0, 0]
    assert len(pairing.errors(2).slots) == 0


def test_a_slot_recorded_twice_and_differently_pairs_with_nothing(scenes: ModuleType) -> None:
    cycles = [scenes.cycle(k, latent=[k, 1], rollout=[[k + 1, 1], [k + 2, 1]]) for k in range(4)]
    other = scenes.cycle(1, latent=[9, 1], rollout=[[9, 1]])
    for order in ([*cycles, other], [other, *cycles], [*cycles, other, cycles[1]],
                  [*cycles[::-1], other]):
        pairing = Pairing()
        for cycle in order:
            pairing.update(cycle)
        assert pairing.errors(1).slots.tolist() == [2]
        assert pairing.errors(2).slots.tolist() == [0]
        assert pairing.replans().slots.tolist() == [2]
