"""Training that goes on from a checkpoint: new data, mixed with a replay of the old."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
import math
import time
from typing import Any, cast

import torch

from wm_eval_ros import plugins
from wm_eval_ros.config.schema import build, setting, to_plain
from wm_eval_ros.config.software import git_commit
from wm_eval_ros.errors import BagError, ConfigError
from wm_eval_ros.models.checkpoint import GROUP
from wm_eval_ros.models.protocol import TrainedModel, WorldModel, WorldModelSpec
from wm_eval_ros.training.evaluate import evaluate
from wm_eval_ros.training.fit import Fit
from wm_eval_ros.training.settings import FAMILIES, Progress, TrainSettings
from wm_eval_ros.training.trainer import finite_windows, split, TrainResult
from wm_eval_ros.training.trajectory import Dataset, Trajectory


@dataclass(frozen=True, kw_only=True)
class ContinueSettings:
    """How a model is trained further."""

    steps: int = setting(1500, doc='most gradient steps', low=1, high=10_000_000)
    learning_rate: float = setting(2e-3, doc='peak learning rate', low=1e-7, high=1.0)
    new_share: float = setting(
        0.5, doc='share of each batch drawn from the new data, the rest from the replay', low=0.01,
        high=1.0)
    patience: int = setting(20, doc='validations without gain before training stops', low=1)
    seed: int = setting(0, doc='seed of split and batches', low=0, high=2**53)


def continue_training(
    model: WorldModel, new: Dataset, replay: Dataset | None, settings: ContinueSettings,
    provenance: Mapping[str, Any], progress: Progress | None = None,
) -> TrainResult:
    """
    Train a model further; its normalisation stays as it is.

    A normalisation taken anew would change what every weight means. What is validated is mixed as
    what is trained on, so that the kept weights are those of the best mixture. Those it began with
    are validated too: if nothing better came of them they are the result, and that says so.

    :param replay: data of the conditions the model was good in; None: only the new ones count
    :param provenance: laid over that of the model's first training
    :raises ConfigError: of a family that is not trained here, or no validation since was finite
    :raises BagError: too few episodes or slots, values that are not finite or too large, or data
        of another interface or period than the model's
    """
    if model.spec.family not in FAMILIES:
        raise ConfigError(f'{model.spec.name}: a model of the family {model.spec.family}; trained '
                          f'further are: {", ".join(FAMILIES)}')
    trainable = cast('TrainedModel', model)
    begun, cpu = time.monotonic(), time.process_time()
    base = _settings(model.spec, settings)
    parts = [p for p in (new, replay) if p is not None]
    for part in parts:
        _require_fit(model.spec, part)
    halves = [split(part, base.val_share, base.seed) for part in parts]
    trained, held = ([half[side] for half in halves] for side in (0, 1))
    share = settings.new_share if replay is not None else 1.0
    weights = _weights(trained, share, base.window), _weights(held, share, base.window)
    fit = Fit(new, finite_windows(_all(trained), base.window),
              finite_windows(_all(held), base.window), base, start=trainable.tensors,
              weights=weights)
    steps = fit.run(progress or (lambda done, total, words: None))
    spec = replace(model.spec, provenance={
        **model.spec.provenance, 'torch_version': torch.__version__, 'settings': to_plain(base),
        'steps': steps, 'episodes': sum(p.episodes for p in parts),
        'transitions': sum(p.transitions for p in parts),
        'sources': [s for p in parts for s in p.sources], 'new_share': share,
        'data_sha256': [p.sha256 for p in parts], 'git_commit': git_commit(), **provenance,
        'improved': fit.improved,
        'validation_before': fit.before if math.isfinite(fit.before) else None,
        'validation_lowest': fit.lowest,
        'trained_at_ns': time.time_ns(), 'train_cpu_s': time.process_time() - cpu,
        'train_wall_s': time.monotonic() - begun})
    result: TrainedModel = plugins.load(GROUP, spec.family)(spec, fit.best)
    return TrainResult(result, evaluate(result, _all(held), base.horizon, base.observed), steps,
                       time.monotonic() - begun, fit.improved)


def _settings(spec: WorldModelSpec, settings: ContinueSettings) -> TrainSettings:
    """Return the settings of the first training, of this architecture, with the new ones."""
    made = spec.provenance.get('settings')
    known = {f.name for f in fields(TrainSettings)}
    plain = {**(made if isinstance(made, dict) else {}), 'family': spec.family,
             **{n: v for n, v in spec.architecture.items() if n in known},
             'steps': settings.steps, 'learning_rate': settings.learning_rate,
             'patience': settings.patience, 'seed': settings.seed}
    return build(TrainSettings, plain, f'{spec.name}: provenance.settings')


def _require_fit(spec: WorldModelSpec, part: Dataset) -> None:
    where = ', '.join(part.sources[:2]) or 'the data'
    if part.feature_names != spec.feature_names:
        raise BagError(f'{where}: features {", ".join(part.feature_names[:3])}, ...; the model '
                       f'has {", ".join(spec.feature_names[:3])}, ...: give data of its scenario')
    command, own = part.interface.command, spec.interface.command
    if (command.fields, command.low, command.high) != (own.fields, own.low, own.high):
        raise BagError(f'{where}: other command fields or limits than the model was trained with')
    if abs(part.dt_s - spec.dt_s) > 1e-9:
        raise BagError(f'{where}: a slot of {part.dt_s:g} s; a step of the model takes '
                       f'{spec.dt_s:g} s')


def _all(parts: list[list[Trajectory]]) -> list[Trajectory]:
    return [t for part in parts for t in part]


def _weights(parts: list[list[Trajectory]], share: float, length: int) -> torch.Tensor:
    """
    Return how often each window is to be drawn, (N,): the first part's make up `share`.

    :raises BagError: a part has no window of this length
    """
    shares = (share, 1.0 - share)[:len(parts)]
    counts = [sum(max(0, len(t.features) - length) for t in part) for part in parts]
    for count, name in zip(counts, ('new data', 'replay'), strict=False):
        if not count:
            raise BagError(f'{name}: no {length + 1} consecutive slots, or none in the episodes '
                           'held out; mine longer windows, or more episodes')
    return torch.cat([torch.full((n,), s / n) for n, s in zip(counts, shares, strict=True)])
