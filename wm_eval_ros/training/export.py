"""
Fit a trained model for planning with fewer bits, and say what that costs and gains.

Half of the states drawn from a run set the ranges of int8, the other half are what every engine is
tried on: does it order candidates as torch does, and how long does it take. The ranges are those
of the function that is planned with: where ``planner.uncertainty_weight`` is above 0, of the one
that knows its uncertainty, in which values may be larger.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
import time

import numpy as np
from numpy.typing import NDArray
import torch

from wm_eval_ros.config.scenario import PlannerSettings
from wm_eval_ros.errors import BagError, CheckpointError, ConfigError
from wm_eval_ros.models.compiled import Function, RANGES, Ranges, ranges_of
from wm_eval_ros.models.protocol import (
    Differentiable,
    DifferentiableUncertainty,
    TrainedModel,
)
from wm_eval_ros.planning.imagination import Imagination
from wm_eval_ros.stats.correlation import spearman
from wm_eval_ros.training.fidelity_asked import candidates, pick
from wm_eval_ros.training.fidelity_data import Evidence, Floats, Windows, windows

Flags = NDArray[np.bool_]

#: engine and precision, in the order of the table; the first is the reference
ENGINES = (('torch', 'fp32'), ('openvino', 'fp32'), ('openvino', 'bf16'), ('openvino', 'int8'))
#: least rank correlation of candidate costs at which int8 is worth exporting
LEAST_RANK = 0.985
#: command sequences imagined from each state for the ranges
_TRIED = 16
#: least share of the candidates of a state, and of the states, that an engine is judged by
_LEAST_LEFT = 0.5


@dataclass(frozen=True)
class Trial:
    """How an engine did beside torch on the same candidates."""

    engine: str
    precision: str
    #: Spearman's correlation of candidate costs with those of torch, over the candidates finite in
    #: both, median and smallest over the states ranked; None: not tried, costs all alike, or too
    #: few of them finite
    rank: float | None
    rank_min: float | None
    #: time of one batch of candidates, over that of torch beside it, median over the states
    time_ratio: float | None
    #: median time of one batch of candidates [ms]
    batch_ms: float | None
    states: int
    #: candidates whose cost was not finite in one of the two, over all states
    left_out: int = 0
    #: why it was not tried, or of which states nothing is known
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
    :raises ConfigError: torch, the reference, cannot be tried, such as without an objective
    :raises CheckpointError: the family cannot be compiled, or too little of what it imagines is
        finite
    """
    settings = evidence.scenario.planner
    if settings.horizon % settings.action_repeat:
        raise ConfigError(f'planner.action_repeat: {settings.action_repeat}; planner.horizon, '
                          f'{settings.horizon} steps, must be a multiple of it')
    rng = np.random.default_rng(seed)
    every = pick(windows(evidence, model, settings.horizon), states, rng)
    if len(every) < 2 or every.goals is None:
        raise BagError(f'{len(every)} states with their goal in the run; at least 2 are needed')
    order = rng.permutation(len(every))
    half = len(order) // 2
    made = with_ranges(model, every.take(np.sort(order[:half])), settings, rng)
    trials = _tried(evidence, made, every.take(np.sort(order[half:])), rng, progress)
    if trials[0].rank is None:
        raise CheckpointError(f'model {model.spec.name!r}: nothing to hold the engines against: '
                              f'in torch, {trials[0].why}')
    return Export(made, trials)


def with_ranges(
    model: TrainedModel, states: Windows, settings: PlannerSettings, rng: np.random.Generator
) -> TrainedModel:
    """
    Return the model with the ranges of int8 in its provenance.

    Of what the model imagines only rollouts that are finite count.

    :raises CheckpointError: the family cannot be compiled, or nothing it imagines is finite
    """
    function = _planned_with(model, settings)
    actions = np.repeat(np.concatenate([
        _drawn(settings, _TRIED, model.spec.action_dim, rng) for _ in range(len(states))]),
        settings.action_repeat, axis=1)
    inputs = (states.latents.repeat_interleave(_TRIED, 0),
              torch.as_tensor(actions, dtype=torch.float32))
    finite = _finite(function, inputs)
    if not bool(finite.any()):
        raise CheckpointError(f'model {model.spec.name!r}: nothing it imagines of the states of '
                              'this run is finite')
    found: Ranges = ranges_of(function, tuple(value[finite] for value in inputs))
    told = {**model.spec.provenance, RANGES: {k: list(v) for k, v in found.items()}}
    spec = replace(model.spec, provenance=told)
    return type(model)(spec, model.tensors)  # type: ignore[call-arg]


def _planned_with(model: TrainedModel, settings: PlannerSettings) -> Function:
    """Return what an engine would compile for a planner of these settings."""
    if settings.uncertainty_weight > 0:
        if isinstance(model, DifferentiableUncertainty):
            return model.rolled_with_uncertainty
    elif isinstance(model, Differentiable):
        return model.rolled
    lacking = 'rolled_with_uncertainty' if settings.uncertainty_weight > 0 else 'rolled'
    raise CheckpointError(f'model {model.spec.name!r} of the family {model.spec.family} '
                          f'cannot be compiled: it has no {lacking}')


@torch.inference_mode()
def _finite(function: Function, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Return which of what is imagined is finite in all its numbers, (N,)."""
    found = function(*inputs)
    parts = found if isinstance(found, tuple) else (found,)
    return torch.stack([torch.isfinite(part).flatten(1).all(1) for part in parts]).all(0)


def _drawn(settings: PlannerSettings, count: int, width: int, rng: np.random.Generator) -> Floats:
    """Return the commands of candidates, each to be held for ``action_repeat`` steps."""
    return candidates(settings, count, settings.horizon // settings.action_repeat, width, rng)


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
            if not asked:
                raise  # without the reference the others have nothing to be held against
            asked.append(str(error))
    costs = np.full((len(ENGINES), len(states), settings.samples), np.nan)
    seconds = np.full((len(ENGINES), len(states)), np.nan)
    for at in range(len(states)):
        drawn = _drawn(settings, settings.samples, model.spec.action_dim, rng)
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
    for _ in range(3):
        _costs(one, states, 0, _drawn(settings, settings.samples, len(states.before[0]), rng))
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
        return Trial(*ENGINES[i], None, None, None, None, 0, 0, one)
    finite = np.isfinite(costs[i]) & np.isfinite(costs[0])               # (S, K)
    enough = finite.sum(1) >= max(2, _LEAST_LEFT * finite.shape[1])
    known, why = _ranks(costs[i], costs[0], finite, enough), ''
    if not enough.all():
        why = (f'{int((~enough).sum())} of {len(enough)} states not ranked: fewer than '
               f'{_LEAST_LEFT:.0%} of their candidates are finite')
    elif not known:
        why = 'candidates cost all the same'
    if enough.mean() < _LEAST_LEFT:
        known = []
    return Trial(
        *ENGINES[i], float(np.median(known)) if known else None, min(known) if known else None,
        float(np.median(seconds[i] / seconds[0])), float(np.median(seconds[i])) * 1e3,
        int(enough.sum()), int((~finite).sum()), why)


def _ranks(own: Floats, torchs: Floats, finite: Flags, enough: Flags) -> list[float]:
    """Return the rank correlations of the states that have one."""
    found = [spearman(own[s][finite[s]], torchs[s][finite[s]]).value
             for s in np.flatnonzero(enough)]
    return [rank for rank in found if rank is not None]
