"""Training: split by episode, fit, and what is known of the model afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import time
from typing import Any

import torch

from wm_eval_ros import plugins
from wm_eval_ros.config.schema import to_plain
from wm_eval_ros.config.software import git_commit, package_version
from wm_eval_ros.errors import BagError
from wm_eval_ros.models.checkpoint import GROUP
from wm_eval_ros.models.protocol import TrainedModel, WorldModelSpec
from wm_eval_ros.training.evaluate import evaluate
from wm_eval_ros.training.fit import Fit
from wm_eval_ros.training.settings import Progress, TrainSettings
from wm_eval_ros.training.trajectory import Dataset, Trajectory
from wm_eval_ros.training.windows import cut, Windows


@dataclass(frozen=True)
class TrainResult:
    """A trained model and what is known of it."""

    model: TrainedModel
    #: figures on the held-out episodes, see :func:`wm_eval_ros.training.evaluate.evaluate`
    report: dict[str, Any]
    steps: int
    seconds: float
    #: False: training went on from a model and made nothing better of it; this is that model still
    improved: bool = True


def split(dataset: Dataset, share: float, seed: int) -> tuple[list[Trajectory], list[Trajectory]]:
    """
    Split by episode into training and validation, at least one episode each.

    :raises BagError: fewer than two episodes
    """
    episodes = sorted({t.episode for t in dataset.trajectories})
    if len(episodes) < 2:
        raise BagError(f'{len(episodes)} usable episodes; training and validation need at least '
                       'one each: collect more')
    order = torch.randperm(len(episodes), generator=torch.Generator().manual_seed(seed)).tolist()
    count = min(len(episodes) - 1, max(1, round(share * len(episodes))))
    held = {episodes[i] for i in order[:count]}
    return ([t for t in dataset.trajectories if t.episode not in held],
            [t for t in dataset.trajectories if t.episode in held])


def train(
    dataset: Dataset, settings: TrainSettings, name: str, progress: Progress | None = None
) -> TrainResult:
    """
    Train a model on a data set; the same seed and thread count give the same weights.

    :param name: name the model will declare
    :raises BagError: too few episodes, too few slots, or values that are not finite or too large
    """
    begun, cpu = time.monotonic(), time.process_time()
    trained, held = split(dataset, settings.val_share, settings.seed)
    fit = Fit(dataset, finite_windows(trained, settings.window),
              finite_windows(held, settings.window), settings)
    steps = fit.run(progress or (lambda done, total, words: None))
    spec = _spec(dataset, settings, name, steps, fit.learner.architecture())
    spec.provenance.update(trained_at_ns=time.time_ns(), train_cpu_s=time.process_time() - cpu)
    model: TrainedModel = plugins.load(GROUP, settings.family)(spec, fit.best)
    report = evaluate(model, held, settings.horizon, settings.observed)
    return TrainResult(model, report, steps, time.monotonic() - begun)


def finite_windows(trajectories: Sequence[Trajectory], length: int) -> Windows:
    """
    Cut all windows of so many transitions.

    :raises BagError: there is none, or one holds a value that is not finite
    """
    windows = cut(trajectories, length)
    if not len(windows):
        raise BagError(f'no episode has {length + 1} consecutive slots; collect longer ones')
    if not bool(torch.isfinite(windows.features).all() and torch.isfinite(windows.actions).all()):
        raise BagError('observations or commands are not finite; score the bag to find them')
    return windows


def _spec(dataset: Dataset, settings: TrainSettings, name: str, steps: int,
          architecture: dict[str, Any]) -> WorldModelSpec:
    return WorldModelSpec(
        name=name, version='1', sha256='', family=settings.family, interface=dataset.interface,
        feature_names=dataset.feature_names, dt_s=dataset.dt_s,
        architecture=architecture,
        provenance={
            'package_version': package_version(), 'torch_version': torch.__version__,
            'settings': to_plain(settings), 'steps': steps, 'episodes': dataset.episodes,
            'transitions': dataset.transitions, 'sources': list(dataset.sources),
            'data_sha256': [dataset.sha256], 'git_commit': git_commit()})
