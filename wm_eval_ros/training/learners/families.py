"""Which learner trains which family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

import torch

from wm_eval_ros import plugins
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.models.checkpoint import GROUP
from wm_eval_ros.models.encoders import IMAGE, PIXELS
from wm_eval_ros.training.columns import Columns
from wm_eval_ros.training.learners.ensemble import EnsembleLearner
from wm_eval_ros.training.learners.jepa import JepaLearner
from wm_eval_ros.training.learners.protocol import Learner
from wm_eval_ros.training.learners.rssm import RssmLearner
from wm_eval_ros.training.learners.seeded import seeded
from wm_eval_ros.training.learners.step import StepLearner
from wm_eval_ros.training.settings import TrainSettings
from wm_eval_ros.training.trajectory import Dataset
from wm_eval_ros.training.windows import Windows

_STATE_LEARNERS: dict[str, type[JepaLearner | RssmLearner]] = {
    'jepa': JepaLearner, 'rssm': RssmLearner}


def make_learner(
    settings: TrainSettings, data: Dataset, windows: Windows, generator: torch.Generator,
    start: Mapping[str, torch.Tensor] | None = None,
) -> Learner:
    """
    Make the learner of the family that the settings name.

    :param data: whose features and step these are
    :param windows: what the features' scales are taken from
    :param start: tensors to go on from, their normalisation with them; None: fresh ones
    :raises ConfigError: a family that cannot see what the interface has
    """
    if settings.family == 'ensemble':
        return EnsembleLearner(settings, windows, generator, start)
    columns, kind = Columns.of(data.interface), _STATE_LEARNERS.get(settings.family)
    family = plugins.load(GROUP, settings.family)
    sizes = {f.name: getattr(settings, f.name) for f in fields(family.architecture)
             if hasattr(settings, f.name)}
    if settings.family == 'jepa':
        sizes |= _frame(columns)
    elif columns.seen != len(columns.names):
        raise ConfigError(f'family: {settings.family} sees all of its features and no images; '
                          'with interface.images or interface.unseen train a jepa')
    arch = family.architecture(features=len(columns.names), actions=windows.actions.shape[1],
                               **sizes)
    with seeded(generator):
        net = family.network_for(arch, data.feature_names, data.dt_s)
    if kind is None:
        return StepLearner(net, arch, settings, windows, start)
    return kind(net, arch, settings, windows, start, columns)


def _frame(columns: Columns) -> dict[str, int | str]:
    """Return what a jepa is to know of the frames it encodes."""
    if columns.pixels not in (0, PIXELS):
        raise ConfigError('interface.images: a jepa sees one image of '
                          f'{IMAGE[1]} x {IMAGE[0]} pixels')
    return {'inputs': columns.seen, 'encoder': 'cnn' if columns.pixels else 'dense'}
