"""Decisions of the shipped model, made, recorded, and made again from the record alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from wm_eval_ros.config.scenario import find_scenario, load_scenario, Scenario
from wm_eval_ros.models.load import load_model
from wm_eval_ros.models.protocol import WorldModel
from wm_eval_ros.planning.cem import CemPlanner
from wm_eval_ros.planning.decision import Decider, Inputs, Reading
from wm_eval_ros.planning.record import cycle_record, published, skipped
from wm_eval_ros.planning.schedule import Slot
from wm_eval_ros.records import (
    CycleRecord,
    CycleStatus,
    EpisodeEvent,
    EventKind,
    InputRef,
)
from wm_eval_ros.training.replan import inputs_of, Outcome, replan, Replanner, Ticks
from wm_eval_ros.wire.fields import feature_names

PERIOD_NS = 50_000_000
#: what a gate sent, and nobody proposed
FOREIGN = (-0.25, 0.75)


@pytest.fixture(scope='module', autouse=True)
def one_thread() -> Iterator[None]:
    """The planner's own number of threads: another one may round otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope='module')
def scenario() -> Scenario:
    return load_scenario(find_scenario('reacher'), {'planner.samples': 32})


@pytest.fixture(scope='module')
def model(scenario: Scenario) -> WorldModel:
    return load_model(scenario)


@pytest.fixture(scope='module')
def recorded(scenario: Scenario, model: WorldModel) -> tuple[list[EpisodeEvent],
                                                            list[CycleRecord]]:
    """
    Two episodes of ten slots: skipped ones, one without input, one that was never sent.

    Up to slot 5 somebody else drove: another command than the one of slot 2 was in force.
    """
    rng = np.random.default_rng(0)
    ticks = Ticks()
    interface = scenario.interface
    decider = Decider(interface, model, CemPlanner(scenario.planner, model, interface, ticks),
                      stale_ns=2**61)
    events, cycles = [], []
    for episode in range(2):
        events.append(EpisodeEvent(0, episode, EventKind.START, value=7.0 + episode))
        decider.begin_episode(7 + episode)
        executed: tuple[float, ...] = ()
        for k in range(10):
            slot = Slot(10 * episode + k, k * PERIOD_NS)
            times = {'stamp_ns': k, 'episode': episode, 'period_ns': PERIOD_NS,
                     'deadline_ns': PERIOD_NS}
            if k in (3, 4):
                cycles.append(skipped(slot, **times))
                continue
            inputs = Inputs(tuple(Reading(InputRef(s.topic, k), rng.normal(
                size=len(feature_names(s)))) for s in interface.observations),
                None if interface.goal is None else Reading(
                    InputRef(interface.goal.topic, 0),
                    rng.normal(size=len(feature_names(interface.goal)))),
                FOREIGN if k == 5 else executed)
            if k == 6:
                inputs = replace(inputs, observations=(None, *inputs.observations[1:]))
            # one iteration, two, three, one, ...: as the time allows
            decision = decider.decide(slot.number, inputs, k, 0, ticks.after(1 + k % 3))
            record = cycle_record(slot, decision, start_ns=0, inputs=inputs, **times)
            if decision.action is not None and k != 8:
                decider.sent(slot.number, decision.action)
                executed = decision.action
                record = published(record, 'command', decision.action, stamp_ns=k, steady_ns=k,
                                   system_ns=k)
            elif k == 8:
                record = replace(record, status=CycleStatus.SKIPPED,
                                 reason='the episode ended before the plan')
            cycles.append(record)
    return events, cycles


@pytest.fixture
def again(scenario: Scenario, model: WorldModel, recorded: tuple[list[EpisodeEvent],
                                                               list[CycleRecord]],
          ) -> Callable[..., list[Outcome]]:
    """Return what plans all slots again, after a change of the record of one of them."""
    def run(slot: int | None = None, **changes: object) -> list[Outcome]:
        events, cycles = recorded
        cycles = [replace(c, **changes) if c.slot == slot else c for c in cycles]
        return [one.outcome for one in replan(Replanner(scenario, model), events, cycles)]
    return run


def test_every_decision_comes_out_the_same_to_the_bit(
    again: Callable[..., list[Outcome]], recorded: tuple[list[EpisodeEvent], list[CycleRecord]],
) -> None:
    assert [c.iterations for c in recorded[1][:10]] == [1, 2, 3, 0, 0, 3, 0, 2, 3, 1]
    episode = [Outcome.IDENTICAL] * 3 + [Outcome.NO_DECISION] * 2 + [
        Outcome.IDENTICAL, Outcome.NO_DECISION] + [Outcome.IDENTICAL] * 3
    assert again() == episode * 2


def test_cost_latent_and_rollout_come_out_the_same_too(
    scenario: Scenario, model: WorldModel,
    recorded: tuple[list[EpisodeEvent], list[CycleRecord]],
) -> None:
    events, cycles = recorded
    assert all(one.differs == () for one in replan(Replanner(scenario, model), events, cycles))
    changed = [replace(c, cost=c.cost + 1e-9) if c.slot == 2 else c for c in cycles]
    found = list(replan(Replanner(scenario, model), events, changed))[2]
    assert (found.outcome, found.differs) == (Outcome.DIFFERENT, ('cost',))
    assert found.why == 'the same command on other grounds'


def test_a_command_that_does_not_follow_is_different_and_so_is_what_took_another_for_executed(
    again: Callable[..., list[Outcome]], scenario: Scenario, model: WorldModel,
    recorded: tuple[list[EpisodeEvent], list[CycleRecord]],
) -> None:
    assert [c.executed for c in recorded[1]][2:6] == [recorded[1][1].action, (), (), FOREIGN]
    found = again(2, action=(0.5, 0.5))
    # what was in force up to slot 5 was another one all the same
    assert found[:6] == [Outcome.IDENTICAL] * 2 + [Outcome.DIFFERENT] + [
        Outcome.NO_DECISION] * 2 + [Outcome.IDENTICAL]
    # the second episode begins anew
    assert found[10:13] == [Outcome.IDENTICAL] * 3
    assert again(5, executed=(0.5, 0.5))[5] is Outcome.DIFFERENT


def test_a_record_of_an_earlier_version_took_the_planners_own_command_for_executed(
    again: Callable[..., list[Outcome]],
) -> None:
    # of slot 9 the record says the same as slot 7's action does: slot 8 was never sent
    assert again(9, executed=())[9] is Outcome.IDENTICAL
    assert again(5, executed=())[5] is Outcome.DIFFERENT


def test_another_input_or_goal_is_another_decision(
    again: Callable[..., list[Outcome]], recorded: tuple[list[EpisodeEvent], list[CycleRecord]],
) -> None:
    first = recorded[1][0]
    assert again(0, observation=(0.1, *first.observation[1:]))[0] is Outcome.DIFFERENT
    assert again(0, goal=(9.0, *first.goal[1:]))[0] is Outcome.DIFFERENT
    assert again(0, iterations=2)[0] is Outcome.DIFFERENT


def test_what_the_record_does_not_hold_cannot_be_planned_again(
    scenario: Scenario, model: WorldModel, again: Callable[..., list[Outcome]],
    recorded: tuple[list[EpisodeEvent], list[CycleRecord]],
) -> None:
    events, cycles = recorded
    assert again(0, goal=())[:3] == [Outcome.NOT_REPLAYABLE] * 3

    def outcomes(events: list[EpisodeEvent], cycles: list[CycleRecord]) -> list[str]:
        return [f'{one.outcome}: {one.why}'.rstrip(': ')
                for one in replan(Replanner(scenario, model), events, cycles)]

    without = outcomes(events, [c for c in cycles if c.slot != 1])
    assert without[0] == 'identical'
    assert without[1].startswith('not replayable: slots 1 to 1 are not in the bag')
    assert without[9:12] == ['identical'] * 3
    assert 'START' in outcomes(events[1:], cycles)[0]
    anew = [replace(c, slot=c.slot - 5) if 5 <= c.slot < 10 else c for c in cycles]
    assert 'slot 0 stands where 5 should' in outcomes(events, anew)[5]


def test_a_planner_that_was_started_anew_carries_nothing_over(
    scenario: Scenario, model: WorldModel,
    recorded: tuple[list[EpisodeEvent], list[CycleRecord]],
) -> None:
    events, cycles = recorded
    warm_up = replace(cycles[3], status=CycleStatus.WARMUP, slot=0, episode=0)
    # what the first slots of a new process decide, with the slots in between lost
    restarted = [*cycles[:5], warm_up, warm_up,
                 *(replace(c, slot=c.slot + 7) for c in cycles[:3])]
    found = [one.outcome for one in replan(Replanner(scenario, model), events[:1], restarted)]
    assert found == [Outcome.IDENTICAL] * 3 + [Outcome.NO_DECISION] * 2 + [Outcome.IDENTICAL] * 3


def test_an_exception_leaves_the_rest_of_its_episode_unknown(
    again: Callable[..., list[Outcome]],
) -> None:
    found = again(7, status=CycleStatus.EXCEPTION, reason='ValueError: x', action=())
    assert found[7:10] == [Outcome.NOT_REPLAYABLE] * 3
    assert found[10] is Outcome.IDENTICAL


def test_an_injected_fault_leaves_the_planner_as_it_was(
    scenario: Scenario, model: WorldModel,
    recorded: tuple[list[EpisodeEvent], list[CycleRecord]],
) -> None:
    events, cycles = recorded
    # slot 1 fails after its encoding; slot 2 is then decided with the draws slot 1 would have had
    ticks = Ticks()
    decider = Decider(scenario.interface, model,
                      planner := CemPlanner(scenario.planner, model, scenario.interface, ticks),
                      stale_ns=2**61)
    decider.begin_episode(7)
    made = []
    for cycle in cycles[:3]:
        plan = planner.plan
        if cycle.slot == 1:
            def planner_fails(*_: object, **__: object) -> None:
                raise RuntimeError
            planner.plan = planner_fails
        decision = decider.decide(cycle.slot, inputs_of(scenario.interface, cycle), 0, -1,
                                  ticks.after(cycle.iterations))
        planner.plan = plan
        if decision.plan is None:
            made.append(replace(cycle, status=CycleStatus.EXCEPTION, action=(), iterations=0,
                                reason='PlanningFault: timing.planner_exception'))
            continue
        decider.sent(cycle.slot, cycle.action)
        made.append(replace(cycle, action=decision.action, cost=decision.plan.cost,
                            latent=decision.latent,
                            rollout=decision.plan.rollout.numpy()))
    found = [one.outcome for one in replan(Replanner(scenario, model), events, made)]
    assert found == [Outcome.IDENTICAL, Outcome.NO_DECISION, Outcome.IDENTICAL]


def test_ticks_are_counted_from_now_on() -> None:
    ticks = Ticks()
    assert ticks.after(3) == 4
    assert [ticks(), ticks(), ticks.after(1)] == [1, 2, 4]
