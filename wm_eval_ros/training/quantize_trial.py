"""
A grid of cells tried: closed loop on the same starts, and asked about states of those episodes.

The reference is the model as it is. Each cell drives the scenario's planner in process, from the
same starts, with the same latencies and search noise; on states that the reference came through
it is asked what candidates cost and how far off it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
import math
from pathlib import Path

import numpy as np
import torch

from wm_eval_ros.config.scenario import PlannerSettings, Scenario
from wm_eval_ros.errors import BagError, ConfigError
from wm_eval_ros.models.protocol import TrainedModel
from wm_eval_ros.planning.charge import read_trace
from wm_eval_ros.planning.imagination import Imagination
from wm_eval_ros.planning.load import make_planner
from wm_eval_ros.planning.protocol import Plan, Planner
from wm_eval_ros.plants.load import make_plant
from wm_eval_ros.records import EventKind
from wm_eval_ros.stats.correlation import spearman
from wm_eval_ros.stats.estimate import Estimate
from wm_eval_ros.stats.paired import paired_difference
from wm_eval_ros.stats.proportion import clopper_pearson
from wm_eval_ros.training.columns import Columns
from wm_eval_ros.training.evaluate import evaluate
from wm_eval_ros.training.export import LEAST_RANK
from wm_eval_ros.training.fidelity_asked import candidates
from wm_eval_ros.training.fidelity_data import Floats
from wm_eval_ros.training.quantize import GROUP, quantized, size
from wm_eval_ros.training.quantize_latency import latencies, States
from wm_eval_ros.training.quantize_record import (
    Cell,
    CellResult,
    Driven,
    Imagined,
    Trial,
)
from wm_eval_ros.training.settings import WITH_MEMORY
from wm_eval_ros.training.simulate import Outcome, rollout_episodes, Timing
from wm_eval_ros.training.trajectory import Trajectory

#: reports (steps done, steps in all, a few words)
Progress = Callable[[int, int, str], None]

#: plants without a world that could be driven here
_NOT_SIMULATED = ('hardware', 'replay', 'stimulus')
#: latency of a command where the scenario has that of its own machine [ms], as recipes try models
_DRAWN_MS = (10.0, 40.0)
#: imagined steps of the second error
_LAST = 10
#: slots that a model with a memory observes before it is asked how far off it is
_OBSERVED = 8


@dataclass(frozen=True)
class Questions:
    """How much is tried."""

    #: seeds of the episodes, the same for every cell
    seeds: Sequence[int]
    #: states from which candidates are ranked
    states: int = 40
    #: inputs that share a scale under ``group``
    group: int = GROUP
    #: of the states and candidates drawn
    seed: int = 0


class _Heard:
    """A planner, and what it was given and said, episode by episode."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        #: of each slot
        self.costs: list[list[float]] = []
        self.goals: list[list[Floats]] = []

    def reset(self, seed: int) -> None:
        """Begin an episode."""
        self.costs.append([])
        self.goals.append([])
        self._planner.reset(seed)

    def plan(self, latent: torch.Tensor, goal: torch.Tensor, deadline_ns: int, *,
             elapsed_steps: int = 1, in_flight: torch.Tensor | None = None) -> Plan:
        """Decide."""
        plan = self._planner.plan(latent, goal, deadline_ns, elapsed_steps=elapsed_steps,
                                  in_flight=in_flight)
        self.costs[-1].append(plan.cost)
        self.goals[-1].append(np.asarray(goal.double().numpy(), np.float64))
        return plan


def require_tryable(scenario: Scenario) -> None:
    """
    Refuse a scenario that cannot be driven in process as its nodes would drive it.

    :raises ConfigError: a robot, a goal seen in an image, or commands in flight
    """
    if scenario.plant.kind in _NOT_SIMULATED:
        raise ConfigError(f'scenario {scenario.name!r}: plant.kind is {scenario.plant.kind}; '
                          'cells are tried in a simulator, name a scenario that has one')
    if scenario.interface.goal_image is not None:
        raise ConfigError(f'scenario {scenario.name!r}: its goal is an image, which is not drawn '
                          'in process')
    if scenario.planner.delay_steps:
        raise ConfigError(f'planner.delay_steps: {scenario.planner.delay_steps}; commands in '
                          'flight are not followed in process, name a scenario with 0')


def timing_of(scenario: Scenario) -> Timing:
    """
    Return when things happen: the latency declared, drawn between the ends of a trace, or drawn.

    :raises ConfigError: the trace cannot be read
    """
    settings = scenario.planner
    if settings.latency_trace:
        trace = read_trace(Path(settings.latency_trace))
        low, high = min(trace), max(trace)
    else:
        declared = settings.latency_ms >= 0
        low, high = (round(1e6 * ms) for ms in (
            (settings.latency_ms,) * 2 if declared else _DRAWN_MS))
    return Timing(period_ns=round(settings.period_ms * 1e6), latency_ns=(low, high),
                  limit_ns=round(scenario.plant.time_limit_s * 1e9))


def try_grid(
    scenario: Scenario, model: TrainedModel, grid: Sequence[Cell], questions: Questions,
    progress: Progress | None = None,
) -> Trial:
    """
    Try every cell.

    :param grid: the reference first, as :func:`.quantize.cells` makes it
    :param progress: told of the episodes of all cells
    :raises ConfigError: the scenario cannot be driven in process, or its planner does not imagine
    """
    require_tryable(scenario)
    scenario = replace(scenario, planner=replace(
        scenario.planner, engine='torch', precision='fp32'))
    bench, found = _Bench(scenario, questions, len(grid), progress), list[CellResult]()
    for cell in grid:
        made = quantized(model, cell, questions.group)
        driven = bench.drive(made, cell.name)
        if not found:
            bench.keep(model)
        first = found[0].driven.solved if found else driven.solved
        gained, lost = (sum(a and not b for a, b in zip(one, other, strict=True))
                        for one, other in ((driven.solved, first), (first, driven.solved)))
        found.append(CellResult(
            cell, *size(model, cell, questions.group), driven,
            paired_difference(gained, lost, len(first)), gained, lost, bench.ask(made)))
    timed = latencies(grid, model, bench.states, scenario,
                      np.random.default_rng([questions.seed, 2]))
    return Trial(tuple(replace(r, latency=timed[r.cell][0], why_no_latency=timed[r.cell][1])
                       for r in found), LEAST_RANK)


class _Bench:
    """The plant, the starts, and what the reference went through."""

    def __init__(self, scenario: Scenario, questions: Questions, count: int,
                 progress: Progress | None) -> None:
        self._scenario, self._questions = scenario, questions
        self._plant, self._timing = make_plant(scenario), timing_of(scenario)
        self._count, self._progress, self._done = count, progress, 0
        self._seen = Columns.of(scenario.interface).seen

    def drive(self, model: TrainedModel, name: str) -> Driven:
        """Run the episodes of a cell."""
        settings = self._scenario.planner
        made = make_planner(settings, model, self._scenario.interface)
        self._heard = _Heard(made)
        self._outcomes = rollout_episodes(
            self._plant, self._heard, self._scenario.interface, self._questions.seeds,
            model=model, timing=self._timing, progress=partial(self._told, name))
        self._done += len(self._outcomes)
        imagined = any(math.isfinite(cost) for costs in self._heard.costs for cost in costs)
        if not imagined and not any(o.nonfinite for o in self._outcomes):
            raise ConfigError(f'planner.planner: {settings.planner} plans without the model; '
                              'name a scenario whose planner imagines')
        return _driven(self._outcomes, self._heard.costs, self._timing.period_ns)

    def keep(self, model: TrainedModel) -> None:
        """Keep what the episodes just run went through: they are the reference's."""
        self._kept = self._outcomes
        drawn = np.random.default_rng([self._questions.seed, 1])
        every = [(e, t) for e, o in enumerate(self._kept) for t in range(len(o.plan_ns))]
        chosen = np.sort(drawn.choice(len(every), min(self._questions.states, len(every)),
                                      replace=False))
        self._slots = [every[i] for i in chosen]
        self._goals = [self._heard.goals[e][t] for e, t in self._slots]
        self._drawn = [_candidates(self._scenario.planner, model.spec.action_dim, drawn)
                       for _ in self._slots]
        latents = self._encoded(model)
        self.states = States(latents, self._goals, self._drawn)
        self._costs = self._costs_of(model, latents)

    def ask(self, model: TrainedModel) -> Imagined:
        """Ask a model about the states of the reference's episodes."""
        costs = self._costs_of(model, self._encoded(model))
        ranks = [_rank(a, b) for a, b in zip(costs, self._costs, strict=True)]
        known = [r for r in ranks if r is not None]
        return Imagined(float(np.median(known)) if known else None,
                        min(known) if known else None, len(known),
                        *errors(model, [o.trajectory for o in self._kept]))

    @torch.inference_mode()
    def _encoded(self, model: TrainedModel) -> torch.Tensor:
        """Encode the episodes as the loop did, and return the states chosen, (S, D)."""
        found: dict[tuple[int, int], torch.Tensor] = {}
        last = dict(self._slots)  # ascending: the last slot of each episode
        for e, end in last.items():
            t, z = self._kept[e].trajectory, None
            rows = torch.as_tensor(t.features[:, :self._seen], dtype=torch.float32)
            before = torch.as_tensor(np.vstack([t.before[None], t.actions[:-1]]),
                                     dtype=torch.float32)
            for i in range(end + 1):
                z = model.encode(rows[i:i + 1], z, before[i:i + 1], torch.tensor([i == 0]))
                found[e, i] = z
        return torch.cat([found[slot] for slot in self._slots])

    @torch.inference_mode()
    def _costs_of(self, model: TrainedModel, latents: torch.Tensor) -> list[Floats]:
        """Return what a model finds the candidates of each state cost, S arrays (K,)."""
        imagine = Imagination('quantize', self._scenario.planner, model, self._scenario.interface)
        return [np.asarray(imagine(
            z[None], torch.as_tensor(goal, dtype=torch.float32),
            torch.as_tensor(drawn, dtype=torch.float32),
            torch.Generator().manual_seed(0))[1].double().numpy(), np.float64)
            for z, goal, drawn in zip(latents, self._goals, self._drawn, strict=True)]

    def _told(self, name: str, done: int, total: int, words: str) -> None:
        if self._progress is not None:
            self._progress(self._done + done, self._count * total, f'{name}: {words}')


def _candidates(settings: PlannerSettings, actions: int, rng: np.random.Generator) -> Floats:
    return candidates(settings, settings.samples, settings.horizon // settings.action_repeat,
                      actions, rng)


def _rank(costs: Floats, reference: Floats) -> float | None:
    good = np.isfinite(costs) & np.isfinite(reference)
    return spearman(costs[good], reference[good]).value


def _driven(outcomes: Sequence[Outcome], costs: Sequence[Sequence[float]], period_ns: int
            ) -> Driven:
    """Return what became of the episodes, and whether their costs told it."""
    solved = tuple(o.kind is EventKind.SUCCESS for o in outcomes)
    took = tuple(len(o.plan_ns) * period_ns * 1e-9 for o in outcomes)
    mean = tuple(_mean_finite(c) for c in costs)
    known = np.isfinite(mean)
    cost = np.array(mean)[known]
    failed = ~np.array(solved)[known]
    alike = ('all of them solved' if not failed.any() else
             'none of them solved' if failed.all() else '')
    slots = min(len(c) for c in costs)
    early = np.array([_mean_finite(c[:slots]) for c in costs])
    begun = np.isfinite(early)
    # a failure comes after every success, whenever it ended
    order = np.where(failed, np.inf, np.array(took)[known])
    order = np.where(np.isinf(order), 1.0 + 2.0 * max(took), order)
    return Driven(solved, took, mean, sum(o.nonfinite for o in outcomes),
                  clopper_pearson(sum(solved), len(solved)),
                  _told(cost, failed.astype(float), alike),
                  _told(cost, order, alike if failed.all() else ''),
                  _told(early[begun], 1.0 - np.array(solved, float)[begun], alike), slots)


def _told(cost: Floats, outcome: Floats, alike: str) -> Estimate:
    if alike:
        return Estimate(None, why=f'{len(cost)} episodes, {alike}: nothing to tell apart')
    return spearman(cost, outcome)


def _mean_finite(costs: Sequence[float]) -> float:
    finite = [c for c in costs if math.isfinite(c)]
    return math.fsum(finite) / len(finite) if finite else math.nan


def errors(
    model: TrainedModel, episodes: Sequence[Trajectory]
) -> tuple[float | None, float | None, float | None, float | None, int]:
    """
    Return the errors after one step and after ten, those of persistence, and how many steps.

    The last slot of an episode ends with the episode, not with its period: it is left out.
    """
    whole = [replace(t, features=t.features[:-1], actions=t.actions[:-1]) for t in episodes]
    observed = _OBSERVED if model.spec.family in WITH_MEMORY else 1
    if 'feature_scale' not in model.tensors:
        return None, None, None, None, 0
    try:
        found = evaluate(model, whole, _LAST, observed)
    except BagError:
        return None, None, None, None, 0
    return (found['rmse'][0], found['rmse'][-1], found['persistence'][0],
            found['persistence'][-1], found['horizon'])
