"""One decision: refusals by input, what a plug-in may do wrong, and the record of it."""

from __future__ import annotations

from dataclasses import replace
import math

import numpy as np
import pytest
import torch

from wm_eval_ros.config.interface import CommandStream, Interface, Stream
from wm_eval_ros.planning.decision import Decider, Inputs, MOST_UNSEEN, Reading
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


def test_between_two_hosts_a_sample_is_as_old_as_its_arrival() -> None:
    now = [5_000 * MS]
    made = Decider(INTERFACE, None, Fixed([0.0]), stale_ns=200 * MS,  # type: ignore[arg-type]
                   clock=lambda: now[0], by_arrival=True)
    made.begin_episode(0)
    # stamped by a clock that is 10 s behind
    given = Inputs((Reading(InputRef('/joint_states', 100 * MS, steady_ns=4_900 * MS),
                            np.zeros(2)),), inputs().goal)
    assert made.decide(0, given, 10_100 * MS, 0, 2**62).status is CycleStatus.OK
    now[0] += 101 * MS
    assert made.decide(1, given, 10_201 * MS, 0, 2**62).status is CycleStatus.STALE_INPUT
    made_up = Inputs((Reading(InputRef('/joint_states', 0), np.zeros(2)),), inputs().goal)
    assert made.decide(2, made_up, 0, 0, 2**62).status is CycleStatus.OK, 'a warm-up plans'


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
    assert planner.elapsed == [1, 1, 3]


def test_a_plan_that_was_not_sent_is_where_the_warm_start_stands_all_the_same() -> None:
    made = decider([math.nan])
    planner: Fixed = made._planner  # type: ignore[assignment]
    for slot in (0, 1):
        assert made.decide(slot, inputs(), 110 * MS, 0, 2**62).action is None
    planner.answer = ValueError('no plan')
    made.decide(2, inputs(), 110 * MS, 0, 2**62)
    made.decide(3, inputs(), 110 * MS, 0, 2**62)
    assert planner.elapsed == [1, 1, 1, 2], 'a planner that raised has moved nothing on'


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
    made.sent(0, (1.0,))
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
    made.sent(0, (1.0,))
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


class Walks:
    """Planner and model of a counter: a latent is the sum of the commands since the START."""

    spec = None

    def __init__(self) -> None:
        self.cost, self.nonfinite = 0.0, 0
        self.in_flight: list[object] = []
        self.before: list[object] = []

    def reset(self, seed: int) -> None:
        pass

    def encode(self, obs: torch.Tensor, prev: torch.Tensor | None, prev_action: object,
               is_first: torch.Tensor) -> torch.Tensor:
        self.before.append(None if prev is None else float(prev))
        assert bool(is_first) is (len(self.before) == 1)
        return torch.zeros(1, 1) if prev is None else prev

    def predict(self, z: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        return z[:, None] + actions.cumsum(1)

    def plan(self, latent: torch.Tensor, goal: torch.Tensor, deadline_ns: int, *,
             elapsed_steps: int = 1, in_flight: torch.Tensor | None = None) -> Plan:
        self.in_flight.append(None if in_flight is None else in_flight.flatten().tolist())
        finite = math.isfinite(self.cost)
        return Plan(actions=torch.zeros(3, 1), rollout=torch.full((3, 1), 9.0) if finite else None,
                    cost=self.cost, nonfinite=self.nonfinite)

    def spread(self, z: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        return actions.abs()


def walking(delay_steps: int = 0) -> tuple[Walks, Decider]:
    both = Walks()
    made = Decider(INTERFACE, both, both, stale_ns=200 * MS,  # type: ignore[arg-type]
                   delay_steps=delay_steps)
    made.begin_episode(0)
    return both, made


def executed(command: float) -> Inputs:
    return replace(inputs(), executed=(command,))


def test_slots_that_passed_unseen_are_imagined_under_the_command_in_force() -> None:
    both, made = walking()
    for slot, command in ((0, 1.0), (1, 4.0), (4, 4.0), (5, -2.0)):
        made.decide(slot, executed(command), 110 * MS, 0, 2**62)
    # 4.0 is the upper end: 1 in two slots that nobody saw
    assert both.before == [None, 0.0, 2.0, 2.0]


def test_a_memory_that_saw_nothing_for_long_begins_anew() -> None:
    both, made = walking()
    for slot in (0, 1 + MOST_UNSEEN, 3 + 2 * MOST_UNSEEN):
        made.decide(slot, executed(4.0), 110 * MS, 0, 2**62)
    assert both.before == [None, float(MOST_UNSEEN), None]


def test_a_memory_that_does_not_stay_finite_begins_anew() -> None:
    both, made = walking()
    made.decide(0, executed(4.0), 110 * MS, 0, 2**62)
    both.predict = lambda z, actions: z[:, None] + math.nan * actions  # type: ignore[method-assign]
    made.decide(2, executed(4.0), 110 * MS, 0, 2**62)
    assert both.before == [None, None]


def test_commands_in_flight_are_those_that_act_before_this_one() -> None:
    both, made = walking(delay_steps=2)
    # 1.0 is the middle of the range, 4.0 its upper end, and rest a third below the middle
    for slot, command in ((0, 4.0), (1, 1.0), (2, -2.0), (4, 4.0)):
        given = replace(inputs(), executed=()) if slot == 0 else executed(2.5)
        made.decide(slot, given, 110 * MS, 0, 2**62)
        made.sent(slot, (command,))
    rest = pytest.approx(-1 / 3)
    assert both.in_flight[0] == [rest, rest], 'nothing was sent'
    assert both.in_flight[1] == [0.5, 1.0], 'what is in force, until the first command acts'
    assert both.in_flight[2] == [1.0, 0.0]
    assert both.in_flight[3] == [-1.0, -1.0], 'a slot without a command holds the one before'
    made.begin_episode(1)
    both.before.clear()
    made.decide(5, inputs(), 110 * MS, 0, 2**62)
    assert both.in_flight[4] == [rest, rest], 'another episode'


def test_no_delay_means_nothing_is_in_flight() -> None:
    both, made = walking()
    made.decide(0, inputs(), 110 * MS, 0, 2**62)
    assert both.in_flight == [None]


def test_the_rollout_begins_at_the_slot_also_where_commands_are_in_flight() -> None:
    _, made = walking(delay_steps=2)
    decision = made.decide(0, executed(4.0), 110 * MS, 0, 2**62)
    assert decision.plan is not None and decision.plan.rollout is not None
    assert decision.plan.rollout.flatten().tolist() == [1.0, 2.0, 9.0, 9.0, 9.0]
    spread = made.spread(decision)
    assert spread is not None
    assert spread.flatten().tolist() == [1.0, 1.0, 0.0, 0.0, 0.0]


def test_a_plan_chosen_among_nothing_is_sent_only_while_an_earlier_one_lasts() -> None:
    both, made = walking()

    def asked(slot: int, cost: float) -> CycleStatus:
        both.cost, both.nonfinite = cost, 0 if math.isfinite(cost) else 4
        return made.decide(slot, inputs(), 110 * MS, 0, 2**62).status

    lost, sent = CycleStatus.INVALID_OUTPUT, CycleStatus.OK
    assert asked(0, math.nan) is lost
    assert asked(1, 1.0) is sent
    assert [asked(slot, math.nan) for slot in (2, 3, 4)] == [sent, sent, lost]
    assert asked(5, 1.0) is sent
    assert made.decide(9, inputs(), 110 * MS, 0, 2**62).reason == ''
    both.cost, both.nonfinite = math.nan, 4
    assert 'no candidate was finite' in made.decide(12, inputs(), 110 * MS, 0, 2**62).reason
