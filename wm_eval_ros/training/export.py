"""
Fit a trained model for planning with fewer bits, and say what that costs and gains.

Half of the states drawn from a run set the ranges of int8, the other half are what every engine is
tried on: does it order candidates as torch does, and how long does it take.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
import time

import numpy as np
import torch

from wm_eval_ros.config.scenario import PlannerSettings
from wm_eval_ros.errors import BagError, CheckpointError, ConfigError
from wm_eval_ros.models.compiled import RANGES, Ranges, ranges_of
from wm_eval_ros.models.protocol import Differentiable, TrainedModel
from wm_eval_ros.planning.imagination import Imagination
from wm_eval_ros.stats.correlation import spearman
from wm_eval_ros.training.fidelity_asked import candidates, pick
from wm_eval_ros.training.fidelity_data import Evidence, Floats, Windows, windows

#: engine and precision, in the order of the table; the first is the reference
ENGINES = (('torch', 'fp32'), ('openvino', 'fp32'), ('openvino', 'bf16'), ('openvino', 'int8'))
#: least rank correlation of candidate costs at which int8 is worth exporting
LEAST_RANK = 0.985
#: command sequences imagined from each state for the ranges
_TRIED = 16


@dataclass(frozen=True)
class Trial:
    """How an engine did beside torch on the same candidates."""

    engine: str
    precision: str
    #: Spearman's correlation of candidate costs with those of torch, median and smallest over the
    #: states; None: not tried, or costs all alike
    rank: float | None
    rank_min: float | None
    #: time of one batch of candidates, over that of torch beside it, median over the states
    time_ratio: float | None
    #: median time of one batch of candidates [ms]
    batch_ms: float | None
    states: int
    #: why it was not tried
    why: str = ''


@dataclass(frozen=True)
class Export:
    """A model with ranges for int8, and how the engines did."""

    model: TrainedModel
    trials: tuple[Trial, ...]

    @property
    def good(self) -> bool:
        """Whether int8 orders candidates well enough."""
        rank = self.trials[-1].rank
        return rank is not None and rank >= LEAST_RANK


def export(
    evidence: Evidence, model: TrainedModel, *, states: int, seed: int,
    progress: Callable[[int, int, str], None] | None = None,
) -> Export:
    """
    Add ranges to a model and try every engine.

    :param states: drawn from the run, half for the ranges; at least 2
    :raises BagError: the run has too few states, or not every goal was recorded
    :raises CheckpointError: the family cannot be compiled
    """
    settings = evidence.scenario.planner
    rng = np.random.default_rng(seed)
    every = pick(windows(evidence, model, settings.horizon), states, rng)
    if len(every) < 2 or every.goals is None:
        raise BagError(f'{len(every)} states with their goal in the run; at least 2 are needed')
    order = rng.permutation(len(every))
    half = len(order) // 2
    made = with_ranges(model, every.take(np.sort(order[:half])), settings, rng)
    trials = _tried(evidence, made, every.take(np.sort(order[half:])), rng, progress)
    return Export(made, trials)


def with_ranges(
    model: TrainedModel, states: Windows, settings: PlannerSettings, rng: np.random.Generator
) -> TrainedModel:
    """Return the model with the ranges of int8 in its provenance."""
    if not isinstance(model, Differentiable):
        raise CheckpointError(f'model {model.spec.name!r} of the family {model.spec.family} '
                              'cannot be compiled: it has no rolled')
    actions = np.concatenate([
        candidates(settings, _TRIED, settings.horizon, model.spec.action_dim, rng)
        for _ in range(len(states))])
    found: Ranges = ranges_of(model.rolled, (
        states.latents.repeat_interleave(_TRIED, 0),
        torch.as_tensor(actions, dtype=torch.float32)))
    told = {**model.spec.provenance, RANGES: {k: list(v) for k, v in found.items()}}
    spec = replace(model.spec, provenance=told)
    return type(model)(spec, model.tensors)  # type: ignore[call-arg]


def _tried(
    evidence: Evidence, model: TrainedModel, states: Windows, rng: np.random.Generator,
    progress: Callable[[int, int, str], None] | None,
) -> tuple[Trial, ...]:
    settings, interface = evidence.scenario.planner, evidence.scenario.interface
    asked: list[Imagination | str] = []
    for engine, precision in ENGINES:
        wanted = replace(settings, engine=engine, precision=precision)
        try:
            asked.append(_warm(Imagination('export-model', wanted, model, interface), states,
                               settings, rng))
        except (ConfigError, CheckpointError) as error:
            asked.append(str(error))
    costs = np.full((len(ENGINES), len(states), settings.samples), np.nan)
    seconds = np.full((len(ENGINES), len(states)), np.nan)
    for at in range(len(states)):
        drawn = candidates(settings, settings.samples, settings.horizon, model.spec.action_dim,
                           rng)
        for i, one in enumerate(asked):
            if not isinstance(one, str):
                begun = time.perf_counter()
                costs[i, at] = _costs(one, states, at, drawn)
                seconds[i, at] = time.perf_counter() - begun
        if progress is not None:
            progress(at + 1, len(states), 'states')
    return tuple(_trial(i, one, costs, seconds) for i, one in enumerate(asked))


def _warm(
    one: Imagination, states: Windows, settings: PlannerSettings, rng: np.random.Generator
) -> Imagination:
    """Compile before anything is timed."""
    width = len(states.before[0])
    for _ in range(3):
        _costs(one, states, 0, candidates(settings, settings.samples, settings.horizon, width,
                                          rng))
    return one


@torch.inference_mode()
def _costs(one: Imagination, states: Windows, at: int, drawn: Floats) -> Floats:
    assert states.goals is not None
    goal = torch.as_tensor(states.goals[at], dtype=torch.float32)
    found = one(states.latents[at:at + 1], goal, torch.as_tensor(drawn, dtype=torch.float32),
                torch.Generator().manual_seed(0))[1]
    return np.asarray(found.double().numpy(), np.float64)


def _trial(i: int, one: Imagination | str, costs: Floats, seconds: Floats) -> Trial:
    if isinstance(one, str):
        return Trial(*ENGINES[i], None, None, None, None, 0, one)
    ranks = [spearman(a, b).value for a, b in zip(costs[i], costs[0], strict=True)]
    known = [r for r in ranks if r is not None]
    return Trial(
        *ENGINES[i], float(np.median(known)) if known else None, min(known) if known else None,
        float(np.median(seconds[i] / seconds[0])), float(np.median(seconds[i])) * 1e3,
        len(ranks), '' if known else 'candidates cost all the same')
