"""One decision: refusals by input, what a plug-in may do wrong, and the record of it."""

from __future__ import annotations

from dataclasses import replace
import math

import numpy as np
import pytest
import torch

from wm_eval_ros.config.interface import CommandStream, Interface, Stream
from wm_eval_ros.planning.decision import Decider, Inputs, Reading
from wm_eval_ros.planning.protocol import Plan
from wm_eval_ros.planning.record import cycle_record, published, skipped
from wm_eval_ros.planning.schedule import Slot
from wm_eval_ros.records import CycleStatus, InputRef, NEVER_NS

MS = 1_000_000
INTERFACE = Interface(
    observations=(Stream(topic='joint_states', type='t', fields=('position[0]', 'position[1]')),),
    goal=Stream(topic='goal', type='t', fields=('pose.position.x',)),
    command=CommandStream(topic='c', type='t', fields=('effort[0]',), low=(-2.0,), high=(4.0,)))


class Fixed:
    """A planner that returns what it is told, or raises it."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.elapsed: list[int] = []

    def reset(self, seed: int) -> None:
        self.elapsed.clear()

    def plan(self, latent: torch.Tensor, goal: torch.Tensor, deadline_ns: int, *,
             elapsed_steps: int = 1, in_flight: torch.Tensor | None = None) -> Plan:
        self.elapsed.append(elapsed_steps)
        if isinstance(self.answer, Exception):
            raise self.answer
        return Plan(actions=torch.tensor([self.answer]), rollout=None, cost=math.nan)


def decider(answer: object) -> Decider:
    made = Decider(INTERFACE, None, Fixed(answer), stale_ns=200 * MS)  # type: ignore[arg-type]
    made.begin_episode(0)
    return made


def inputs(stamp_ns: int = 100 * MS, values: tuple[float, ...] = (0.0, 1.0),
           goal: float | None = 0.5) -> Inputs:
    reading = Reading(InputRef('/joint_states', stamp_ns), np.array(values))
    target = None if goal is None else Reading(InputRef('/goal', 0), np.array([goal]))
    return Inputs((reading,), target)


def test_a_plan_becomes_a_command_in_its_own_units() -> None:
    decision = decider([1.0]).decide(0, inputs(), 110 * MS, 0, 2**62)
    assert decision.status is CycleStatus.OK
    assert decision.action == (4.0,)


@pytest.mark.parametrize(('given', 'status', 'says'), [
    pytest.param(Inputs((None,), inputs().goal), CycleStatus.NO_INPUT, 'joint_states', id='none'),
    pytest.param(inputs(stamp_ns=49 * MS), CycleStatus.NO_INPUT, 'this episode', id='old-episode'),
    pytest.param(inputs(goal=None), CycleStatus.NO_INPUT, 'goal', id='no-goal'),
    pytest.param(inputs(values=(0.0, math.nan)), CycleStatus.NO_INPUT, 'not finite', id='nan'),
    pytest.param(inputs(goal=math.inf), CycleStatus.NO_INPUT, 'not finite', id='nan-goal'),
])
def test_unusable_inputs_are_named_and_nothing_is_planned(
    given: Inputs, status: CycleStatus, says: str,
) -> None:
    decision = decider([1.0]).decide(0, given, 110 * MS, 50 * MS, 2**62)
    assert decision.status is status
    assert says in decision.reason
    assert decision.action is None
    assert decision.infer_start_ns == NEVER_NS


def test_a_sample_older_than_allowed_is_stale() -> None:
    made = decider([1.0])
    assert made.decide(0, inputs(), 300 * MS, 0, 2**62).status is CycleStatus.OK
    assert made.decide(1, inputs(), 300 * MS + 1, 0, 2**62).status is CycleStatus.STALE_INPUT


@pytest.mark.parametrize(('answer', 'status'), [
    pytest.param(ValueError('no\nplan'), CycleStatus.EXCEPTION, id='raises'),
    pytest.param([math.nan], CycleStatus.INVALID_OUTPUT, id='nan'),
    pytest.param([0.0, 0.0], CycleStatus.EXCEPTION, id='too-wide-to-scale'),
])
def test_what_a_planner_does_wrong_is_recorded(answer: object, status: CycleStatus) -> None:
    decision = decider(answer).decide(0, inputs(), 110 * MS, 0, 2**62)
    assert decision.action is None
    assert decision.status in (status, CycleStatus.INVALID_OUTPUT)
    assert decision.reason
    assert '\n' not in decision.reason
    assert decision.infer_end_ns >= decision.infer_start_ns > 0


def test_the_warm_start_is_told_how_many_slots_have_passed() -> None:
    made = decider([0.0])
    planner: Fixed = made._planner  # type: ignore[assignment]
    for slot in (0, 1, 4):
        made.decide(slot, inputs(), 110 * MS, 0, 2**62)
        made.sent(slot)
    assert planner.elapsed == [1, 1, 3]


def test_published_is_late_only_past_the_deadline() -> None:
    decision = decider([0.0]).decide(0, inputs(), 110 * MS, 0, 2**62)
    record = cycle_record(Slot(3, 1000), decision, stamp_ns=110 * MS, episode=2, start_ns=1001,
                          period_ns=50, deadline_ns=50, inputs=inputs())
    on_time = published(record, '/c', (0.0,), stamp_ns=5, steady_ns=1050, system_ns=5)
    late = published(record, '/c', (0.0,), stamp_ns=5, steady_ns=1051, system_ns=5)
    assert (on_time.status, late.status) == (CycleStatus.OK, CycleStatus.LATE)
    assert [ref.topic for ref in record.inputs] == ['/joint_states'], 'the goal is not sensed'
    passed = skipped(Slot(4, 1050), stamp_ns=1, episode=2, period_ns=50, deadline_ns=50)
    assert passed.status is CycleStatus.SKIPPED
    assert passed.start_ns == NEVER_NS


class Foresees(Fixed):
    """A planner whose plan has a rollout, over a model that knows its spread."""

    spec = None

    def plan(self, latent: torch.Tensor, goal: torch.Tensor, deadline_ns: int, *,
             elapsed_steps: int = 1, in_flight: torch.Tensor | None = None) -> Plan:
        return Plan(actions=torch.zeros(2, 1), rollout=torch.ones(2, 3), cost=0.0)

    def encode(self, obs: torch.Tensor, *_: object) -> torch.Tensor:
        return torch.zeros(1, 3)

    def predict(self, z: torch.Tensor, actions: torch.Tensor, **_: object) -> torch.Tensor:
        raise AssertionError('the rollout of the plan is the one to be judged')

    def spread(self, z: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        assert (z.shape, actions.shape) == ((1, 3), (1, 2, 1))
        return torch.full((1, 2, 3), 0.5)


def test_the_spread_of_the_chosen_rollout_is_asked_of_the_model() -> None:
    both = Foresees(None)
    made = Decider(INTERFACE, both, both, stale_ns=200 * MS)  # type: ignore[arg-type]
    made.begin_episode(0)
    found = made.spread(made.decide(0, inputs(), 100 * MS, 0, 0))
    assert found is not None
    assert found.tolist() == [[0.5] * 3] * 2


class Remembers(Foresees):
    """A recurrent model whose latent holds what it is told of the step that led to it."""

    def encode(self, obs: torch.Tensor, prev: object = None,
               prev_action: torch.Tensor | None = None, *_: object) -> torch.Tensor:
        return torch.full((1, 3), math.nan if prev_action is None else float(prev_action[0, 0]))

    def divergence(self, prev: torch.Tensor, prev_action: torch.Tensor,
                   z: torch.Tensor) -> torch.Tensor:
        return prev_action[:, 0]


def test_what_led_to_a_slot_is_the_command_that_was_executed_not_the_one_proposed() -> None:
    both = Remembers(None)
    made = Decider(INTERFACE, both, both, stale_ns=200 * MS)  # type: ignore[arg-type]
    made.begin_episode(0)
    first = made.decide(0, inputs(), 100 * MS, 0, 0)
    assert first.latent is not None and np.isnan(first.latent).all()
    made.sent(0)
    # proposed was 1.0, the middle of the range; a gate sent 4.0, its upper end
    seen = replace(inputs(), executed=(4.0,))
    second = made.decide(1, seen, 150 * MS, 0, 0)
    assert first.action == (1.0,)
    assert second.latent is not None and second.latent.tolist() == [1.0] * 3
    record = cycle_record(Slot(1, 0), second, stamp_ns=0, episode=0, start_ns=0, period_ns=1,
                          deadline_ns=1, inputs=seen)
    assert record.executed == (4.0,)


def test_the_divergence_is_of_the_step_that_was_executed() -> None:
    both = Remembers(None)
    made = Decider(INTERFACE, both, both, stale_ns=200 * MS)  # type: ignore[arg-type]
    made.begin_episode(0)
    made.decide(0, inputs(), 100 * MS, 0, 0)
    made.sent(0)
    assert made.divergence(made.decide(1, replace(inputs(), executed=(-2.0,)), 150 * MS, 0, 0)
                           ) == -1.0


def test_a_model_without_spread_gives_none() -> None:
    made = decider([0.0])
    assert made.spread(made.decide(0, inputs(), 100 * MS, 0, 0)) is None


def test_the_record_holds_what_the_decision_saw() -> None:
    made = decider([0.0])
    decision = made.decide(3, inputs(), 100 * MS, 0, 0)
    kept = cycle_record(Slot(3, 0), decision, stamp_ns=100 * MS, episode=0, start_ns=0,
                        period_ns=50 * MS, deadline_ns=50 * MS, inputs=inputs())
    assert kept.observation == (0.0, 1.0)
    assert kept.peak_memory_bytes > 0
    unseen = Inputs((None,), None)
    refused = made.decide(4, unseen, 100 * MS, 0, 0)
    record = cycle_record(Slot(4, 0), refused, stamp_ns=100 * MS, episode=0, start_ns=0,
                          period_ns=50 * MS, deadline_ns=50 * MS, inputs=unseen)
    assert record.observation == ()
