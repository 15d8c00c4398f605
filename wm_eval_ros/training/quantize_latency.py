"""How long planning takes in the precisions that an engine really runs; no others are claimed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
import time

import numpy as np
import torch

from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.errors import WmEvalError
from wm_eval_ros.models.protocol import TrainedModel
from wm_eval_ros.planning.imagination import Imagination
from wm_eval_ros.training.export import with_ranges
from wm_eval_ros.training.fidelity_data import Floats, Windows
from wm_eval_ros.training.quantize_record import ALL, Cell, EngineTime, REFERENCE

#: batches that are timed, in turn with torch
_BATCHES = 30
_WARM_UP = 3
_TORCH = ('torch', 'fp32')


@dataclass(frozen=True)
class States:
    """What is imagined while the clock runs."""

    #: (S, D)
    latents: torch.Tensor
    #: S vectors (G,)
    goals: Sequence[Floats]
    #: commands of the candidates of each state, S arrays (K, H / action_repeat, A)
    candidates: Sequence[Floats]


def engines_of(cell: Cell) -> tuple[tuple[tuple[str, str], ...], str]:
    """
    Return engine and precision of what runs a cell, or why nothing does.

    >>> engines_of(Cell('int8', 'all', 'channel'))
    ((('openvino', 'int8'),), '')
    >>> engines_of(Cell('int4', 'all', 'group'))
    ((), 'no engine here computes with 4 bits')
    """
    if cell.bits == REFERENCE:
        return (_TORCH, ('openvino', 'fp32')), ''
    if cell.bits not in ('bf16', 'int8'):
        return (), f'no engine here computes with {cell.bits.removeprefix("int")} bits'
    if cell.module != ALL:
        return (), 'an engine runs the whole model in one precision'
    if cell.granularity not in ('', 'channel'):
        return (), 'the engine has a scale for each output'
    return (('openvino', cell.bits),), ''


def latencies(
    grid: Sequence[Cell], model: TrainedModel, states: States, scenario: Scenario,
    rng: np.random.Generator,
) -> dict[Cell, tuple[tuple[EngineTime, ...], str]]:
    """
    Time a batch of candidates on the engines of each cell, each in turn with torch.

    :param model: the reference; an engine makes its own weights of it
    """
    found: dict[Cell, tuple[tuple[EngineTime, ...], str]] = {}
    for cell in grid:
        asked, why = engines_of(cell)
        times: list[EngineTime] = []
        for engine, precision in asked:
            try:
                times.append(_timed(engine, precision, model, states, scenario, rng))
            except WmEvalError as error:
                why = str(error)
        found[cell] = tuple(times), '' if times else why
    return found


def _timed(
    engine: str, precision: str, model: TrainedModel, states: States, scenario: Scenario,
    rng: np.random.Generator,
) -> EngineTime:
    """
    Time one engine.

    :raises WmEvalError: it is not installed, cannot run the precision or differs from torch
    """
    settings = scenario.planner
    beside = Imagination('quantize', settings, model, scenario.interface)
    if precision == 'int8':
        model = with_ranges(model, _windows(states), settings, rng)
    wanted = replace(settings, engine=engine, precision=precision)
    own = Imagination('quantize', wanted, model, scenario.interface)
    seconds = np.array([[_batch(one, states, i % len(states.goals)) for one in (own, beside)]
                        for i in range(_WARM_UP + _BATCHES)])[_WARM_UP:]
    return EngineTime(engine, precision, float(np.median(seconds[:, 0])) * 1e3,
                      float(np.median(seconds[:, 0] / seconds[:, 1])))


@torch.inference_mode()
def _batch(imagine: Imagination, states: States, at: int) -> float:
    goal, actions = (torch.as_tensor(v[at], dtype=torch.float32)
                     for v in (states.goals, states.candidates))
    rng = torch.Generator().manual_seed(0)
    begun = time.perf_counter()
    imagine(states.latents[at:at + 1], goal, actions, rng)
    return time.perf_counter() - begun


def _windows(states: States) -> Windows:
    """Return the states as what ranges are taken of: nothing but the latents counts."""
    count, (_, horizon, width) = len(states.latents), np.shape(states.candidates[0])
    return Windows(states.latents, np.zeros((count, horizon + 1, 0)), np.zeros((count, width)),
                   np.zeros((count, horizon, width)), np.zeros(count, np.int64), None)
