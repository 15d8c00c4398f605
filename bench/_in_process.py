"""Episodes of a task in this process, in the time of `lockstep`, as records of the nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from wm_eval_ros import plugins
from wm_eval_ros.config.scenario import find_scenario, load_scenario, Scenario
from wm_eval_ros.config.schema import to_plain
from wm_eval_ros.models.load import load_model
from wm_eval_ros.perturb.catalogue import make
from wm_eval_ros.perturb.protocol import HasDuration
from wm_eval_ros.planning.decision import Decider, Inputs, Reading
from wm_eval_ros.planning.record import cycle_record, published
from wm_eval_ros.planning.schedule import Slot
from wm_eval_ros.plants.episode import EpisodeJudge
from wm_eval_ros.plants.mujoco_plant import MujocoPlant
from wm_eval_ros.records import (
    ClockMode,
    EpisodeEvent,
    EventKind,
    InputRef,
    Record,
    RunInfo,
)
from wm_eval_ros.surprise.assemble import scope_of
from wm_eval_ros.training.simulate import Observer
from wm_eval_ros.wire.fields import feature_names

MS = 1_000_000
#: all iterations, as in lockstep with a declared latency
NO_DEADLINE_NS = 2**62


@dataclass(frozen=True)
class Fault:
    """A change of the world, and when in the episode it begins."""

    name: str
    severity: float
    start_s: float


class Task:
    """A shipped scenario with its checkpoint; episodes are a function of their seed alone."""

    def __init__(self, name: str) -> None:
        self.scenario: Scenario = load_scenario(find_scenario(name), {'clock': 'lockstep'})
        scenario, settings = self.scenario, self.scenario.planner
        torch.set_num_threads(1)
        self.model = load_model(scenario)
        planner = plugins.load('wm_eval_ros.planners', settings.planner)(
            settings, self.model, scenario.interface)
        self._decider = Decider(scenario.interface, self.model, planner,
                                stale_ns=round(settings.stale_ms * MS))
        self._plant = MujocoPlant(scenario.plant.task, scenario.interface)
        self._observer = Observer(scenario.interface)
        self._period_ns = round(settings.period_ms * MS)
        self._latency_ns = round(settings.latency_ms * MS)
        self._slot = 0

    def run(self, seeds: list[int], fault: Fault | None = None) -> list[Record]:
        """Run episodes, one a seed, under a fault or none."""
        return [self._info(seeds), *(r for number, seed in enumerate(seeds)
                                     for r in self._episode(number, seed, fault))]

    def _info(self, seeds: list[int]) -> RunInfo:
        scenario, planner = self.scenario, self.scenario.planner
        scope = scope_of(scenario, self.model.spec.sha256)
        return RunInfo(
            1, f'{scenario.name}-{seeds[0]}', scenario.name, scope.task, ClockMode.LOCKSTEP,
            seeds[0], len(seeds), planner.planner, self._period_ns,
            round(planner.deadline_ms * MS), scenario.plant.time_limit_s, '',
            model={'sha256': scope.model_sha256}, settings=to_plain(scenario))

    def _episode(self, number: int, seed: int, fault: Fault | None) -> Iterator[Record]:
        plant, begin_ns = self._plant, number * 10**12
        plant.reset(seed)
        plant.disturb([])
        self._decider.begin_episode(seed)
        self._executed: tuple[float, ...] = ()
        judge = EpisodeJudge(plant, self.scenario.plant.time_limit_s)
        judge.begin()
        yield EpisodeEvent(begin_ns, number, EventKind.START, '', seed)
        on = False
        verdict = None
        while verdict is None:
            if fault is not None and not on and plant.time_ns >= fault.start_s * 1e9:
                on = self._begin(fault, seed)
                yield EpisodeEvent(begin_ns + plant.time_ns, number, EventKind.PERTURB_ON,
                                   fault.name, fault.severity)
            if on and fault is not None and plant.time_ns >= self._until_ns:
                plant.disturb([])
            now_ns = begin_ns + plant.time_ns
            inputs = self._inputs(now_ns)
            slot = Slot(self._slot, now_ns)
            self._slot += 1
            decision = self._decider.decide(slot.number, inputs, now_ns, begin_ns, NO_DEADLINE_NS)
            assert decision.action is not None, decision.reason
            done_ns = now_ns + self._latency_ns
            self._decider.sent(slot.number, decision.action)
            self._executed = decision.action
            record = cycle_record(
                slot, decision, stamp_ns=now_ns, episode=number, start_ns=now_ns,
                period_ns=self._period_ns, deadline_ns=self._period_ns, inputs=inputs)
            record = replace(record, rollout_std=self._decider.spread(decision))
            yield published(record, 'command', decision.action, stamp_ns=done_ns,
                            steady_ns=done_ns, system_ns=done_ns)
            verdict = self._advance(judge, self._latency_ns)
            if verdict is None:
                plant.apply(np.array(decision.action))
                verdict = self._advance(judge, self._period_ns - self._latency_ns)
        yield EpisodeEvent(begin_ns + plant.time_ns, number, verdict, '', plant.time_ns / 1e9)

    def _begin(self, fault: Fault, seed: int) -> bool:
        instance = make(fault.name, fault.severity, np.random.default_rng([seed, 7]), {})
        self._plant.disturb([instance.world_change()])
        lasts_s = instance.lasts_s() if isinstance(instance, HasDuration) else 1e9
        self._until_ns = self._plant.time_ns + int(lasts_s * 1e9)
        return True

    def _inputs(self, now_ns: int) -> Inputs:
        values = self._observer.row(self._plant)
        readings, at = [], 0
        for stream, size in zip(self.scenario.interface.observations, self._sizes(), strict=True):
            readings.append(Reading(InputRef(stream.topic, now_ns), values[at:at + size]))
            at += size
        goal = self.scenario.interface.goal
        target = self._observer.goal(self._plant.goal()).numpy().astype(float)
        return Inputs(tuple(readings), None if goal is None else Reading(
            InputRef(goal.topic, now_ns), target), self._executed)

    def _sizes(self) -> list[int]:
        return [len(feature_names(s)) for s in self.scenario.interface.observations]

    def _advance(self, judge: EpisodeJudge, duration_ns: int) -> EventKind | None:
        for _ in range(duration_ns // self._plant.step_ns):
            self._plant.advance(self._plant.step_ns)
            found = judge.verdict()
            if found is not None:
                return found[0]
        return None
