"""Which learner trains which family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

import torch

from wm_eval_ros import plugins
from wm_eval_ros.models.checkpoint import GROUP
from wm_eval_ros.training.learners.ensemble import EnsembleLearner
from wm_eval_ros.training.learners.protocol import Learner
from wm_eval_ros.training.learners.step import StepLearner
from wm_eval_ros.training.settings import TrainSettings
from wm_eval_ros.training.windows import Windows


def make_learner(
    settings: TrainSettings, windows: Windows, generator: torch.Generator,
    start: Mapping[str, torch.Tensor] | None = None,
) -> Learner:
    """
    Make the learner of the family that the settings name.

    :param windows: what the features' scales are taken from
    :param start: tensors to go on from, their normalisation with them; None: fresh ones
    """
    if settings.family == 'ensemble':
        return EnsembleLearner(settings, windows, generator, start)
    family = plugins.load(GROUP, settings.family)
    sizes = {f.name: getattr(settings, f.name) for f in fields(family.architecture)
             if hasattr(settings, f.name)}
    arch = family.architecture(features=windows.features.shape[1],
                               actions=windows.actions.shape[1], **sizes)
    with torch.random.fork_rng(devices=[]):
        # torch's layers draw their weights from the global generator alone
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        net = family.network(arch)
    return StepLearner(net, arch, settings, windows, start)

