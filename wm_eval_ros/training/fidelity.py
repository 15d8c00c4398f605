"""
Asking a recorded run's model again: is what it imagines right, and right for the command given.

Everything is computed from the bag, the checkpoint and, where the plant is MuJoCo, the simulator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.errors import CheckpointError, WmEvalError
from wm_eval_ros.metrics.base import missing, Values
from wm_eval_ros.models.checkpoint import (
    find_checkpoint,
    load_checkpoint,
    load_spec,
    shipped_checkpoints,
)
from wm_eval_ros.models.load import load_model
from wm_eval_ros.models.protocol import WorldModel
from wm_eval_ros.records import MetricValue, RunInfo
from wm_eval_ros.training.fidelity_actions import (
    Contrasts,
    contrasts,
    divergence,
    following,
    NO_ORACLE,
)
from wm_eval_ros.training.fidelity_asked import (
    Asked,
    asked,
    candidates,
    encode_states,
    pick,
    scales,
)
from wm_eval_ros.training.fidelity_data import Evidence, Floats, Windows, windows
from wm_eval_ros.training.fidelity_figures import ratio, reported
from wm_eval_ros.training.fidelity_prediction import confidence, interpretability, prediction
from wm_eval_ros.training.fidelity_ranking import ranking

#: layout of fidelity.json; raised whenever a reader of the old layout would misread the new
FIDELITY_SCHEMA = 1
#: windows whose future is imagined under the executed commands, at most
MOST_WINDOWS = 4096
_NO_IMAGES = 'the model decodes no images'
#: recorded states imagined between two looks at the clock
_CHUNK = 16

#: reports (steps done, steps in all, a few words)
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Questions:
    """How much is asked."""

    #: imagined steps; 0: those of the scenario's planner
    horizon: int = 0
    #: recorded states from which other commands are tried
    states: int = 200
    #: command sequences tried from each, an even number
    samples: int = 32
    seed: int = 0


@dataclass(frozen=True)
class Found:
    """The model that is asked, and what to know about it."""

    model: WorldModel
    #: sha256 in the run's manifest; empty: the run had no model
    recorded: str
    notes: tuple[str, ...] = ()
    #: folder of its checkpoint; None: it has none
    folder: Path | None = None

    @property
    def same(self) -> bool:
        """Whether it is the model that drove the run."""
        return bool(self.recorded) and self.recorded == self.model.spec.sha256


class OfRun(Protocol):
    """Whatever knows the manifest of a run, and the scenario in it."""

    @property
    def info(self) -> RunInfo:
        """The manifest."""
        ...

    @property
    def scenario(self) -> Scenario:
        """The scenario."""
        ...


def find_model(evidence: OfRun, checkpoint: str = '') -> Found:
    """
    Find the model of a run by the sha256 in its manifest, or take the one that is named.

    :param checkpoint: path or name of a checkpoint; empty: the run's own
    :raises CheckpointError: no checkpoint has that sha256, or the named one does not fit
    """
    facts, interface = evidence.info.model, evidence.scenario.interface
    recorded = str(facts.get('sha256', ''))
    if checkpoint:
        folder = find_checkpoint(checkpoint)
        model = load_checkpoint(folder, interface=interface)
        if model.spec.sha256 == recorded:
            return Found(model, recorded, folder=folder)
        what = (f'the run was driven by {facts.get("name")!r}, sha256 {recorded[:16]}...'
                if recorded else 'the run was driven without a model')
        return Found(model, recorded, (
            f'asked is {model.spec.name!r}, sha256 {model.spec.sha256[:16]}...; {what}',), folder)
    if not recorded:
        raise CheckpointError('the run was driven without a model; name one with --model')
    if facts.get('family') == 'oracle':
        model = load_model(evidence.scenario)
        note = () if model.spec.sha256 == recorded else (
            'this oracle is of another MuJoCo or task than the recorded one',)
        return Found(model, recorded, note)
    for name in (evidence.scenario.planner.model, *shipped_checkpoints()):
        if _sha256(name) == recorded:
            folder = find_checkpoint(name)
            return Found(load_checkpoint(folder, interface=interface), recorded, folder=folder)
    raise CheckpointError(f'no checkpoint here has the sha256 of the run, {recorded[:16]}... '
                          f'({facts.get("name")!r}); name it with --model')


def _sha256(name: str) -> str:
    try:
        return load_spec(find_checkpoint(name)).sha256
    except CheckpointError:
        return ''


def oracle_of(evidence: Evidence) -> tuple[WorldModel | None, str]:
    """Return the true dynamics of the run, or why there are none."""
    if evidence.scenario.plant.kind != 'mujoco':
        return None, NO_ORACLE
    if evidence.latency_ns is None:
        return None, 'no command was sent, so that its latency is not known'
    try:
        from wm_eval_ros.plants.oracle import OracleModel
        return OracleModel(evidence.info.task, evidence.scenario.interface,
                           period_ns=evidence.info.period_ns,
                           latency_ns=evidence.latency_ns), ''
    except ModuleNotFoundError as error:
        return None, f'{error.name} is not installed, so there is no oracle'
    except WmEvalError as error:
        return None, str(error)


def ask(
    evidence: Evidence, model: WorldModel, questions: Questions, progress: Progress | None = None
) -> Values:
    """
    Ask everything.

    :param progress: told of the states from which other commands are tried
    """
    scenario, names = evidence.scenario, evidence.names
    horizon = questions.horizon or scenario.planner.horizon
    every = windows(evidence, model, horizon)
    own = asked(model, every)
    scale = scales(evidence)
    some = every.spread_over(MOST_WINDOWS)
    imagined = own.imagine(some.latents, some.actions)
    foreseen = own.read(imagined)
    truth, why = oracle_of(evidence)
    oracle = None if truth is None else asked(truth, every)
    rng = np.random.default_rng(questions.seed)
    chosen = pick(some, questions.states, rng)
    contrast = _contrast(evidence, own, oracle, chosen, questions, horizon, rng, progress)
    found = (*prediction(names, some, foreseen, scale), *_floor(oracle, some, scale, horizon),
             *following(some, foreseen, contrast, chosen, scenario.planner.action_limit),
             *divergence(contrast, chosen, scale), *ranking(contrast, chosen, scenario, names),
             *confidence(own, some, imagined), *interpretability(own, names, some),
             *(missing(f'{kind}[h={h}]', unit, _NO_IMAGES) for h in reported(horizon)
               for kind, unit in (('psnr', 'dB'), ('ssim', '1'))))
    return found if not why else tuple(_because(v, why) for v in found)


def _because(value: MetricValue, why: str) -> MetricValue:
    """Say why there is no oracle where a figure needs one."""
    if value.why != NO_ORACLE:
        return value
    return missing(value.name, value.unit, why, value.n)


def _contrast(
    evidence: Evidence, own: Asked, oracle: Asked | None, chosen: Windows, questions: Questions,
    horizon: int, rng: np.random.Generator, progress: Progress | None,
) -> Contrasts:
    """Imagine drawn commands from the chosen states, in chunks that show how far it is."""
    width = chosen.actions.shape[2]
    parts: list[Contrasts] = []
    for at in range(0, len(chosen), _CHUNK):
        near = chosen.take(np.arange(at, min(at + _CHUNK, len(chosen))))
        actions = np.stack([candidates(evidence.scenario.planner, questions.samples, horizon,
                                       width, rng) for _ in range(len(near))])
        states = None if oracle is None else encode_states(oracle.model, near)
        parts.append(contrasts(own, oracle, near, states, actions))
        if progress is not None:
            progress(min(at + _CHUNK, len(chosen)), len(chosen), 'states')
    truths = [p.oracle for p in parts if p.oracle is not None]
    return Contrasts(np.concatenate([p.actions for p in parts]),
                     np.concatenate([p.model for p in parts]),
                     np.concatenate(truths) if len(truths) == len(parts) else None)


def _floor(oracle: Asked | None, some: Windows, scale: Floats, horizon: int) -> Values:
    """Return the oracle's own error: what jitter and rounding of the record leave unexplained."""
    if oracle is None:
        return tuple(missing(f'oracle_ratio[h={h}]', '1', NO_ORACLE) for h in reported(horizon))
    told = oracle.foresee(encode_states(oracle.model, some), some.actions)
    found = []
    for h in reported(horizon):
        seen = some.features[:, h]
        good = np.isfinite(seen).all(axis=1) & np.isfinite(told[:, h - 1]).all(axis=1)
        error, still = ((v[good] - seen[good]) / scale for v in (
            told[:, h - 1], some.features[:, 0]))
        found.append(ratio(f'oracle_ratio[h={h}]', '1', (error**2).sum(-1), (still**2).sum(-1),
                           some.episodes[good], 'the world stood still'))
    return tuple(found)


def to_dict(bag: str, evidence: Evidence, found: Found, questions: Questions,
            values: Values) -> dict[str, Any]:
    """Return everything of ``fidelity.json`` but the figures' own JSON."""
    spec = found.model.spec
    return {
        'schema_version': FIDELITY_SCHEMA, 'bag': bag, 'scenario': evidence.info.scenario,
        'clock': str(evidence.info.clock), 'episodes': evidence.episodes,
        'model': {'name': spec.name, 'family': spec.family, 'sha256': spec.sha256,
                  'recorded_sha256': found.recorded, 'same': found.same},
        'latency_ms': None if evidence.latency_ns is None else evidence.latency_ns / 1e6,
        'horizon': questions.horizon or evidence.scenario.planner.horizon,
        'states': questions.states, 'samples': questions.samples, 'seed': questions.seed,
        'notes': list(found.notes), 'values': list(values)}
