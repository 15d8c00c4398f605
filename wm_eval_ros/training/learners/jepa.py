"""Training of the joint-embedding predictive architecture."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from wm_eval_ros.models.architecture import Architecture
from wm_eval_ros.models.encoders import ImageEncoder
from wm_eval_ros.models.jepa import JepaNetwork
from wm_eval_ros.training.columns import Columns
from wm_eval_ros.training.learners.state import StateLearner
from wm_eval_ros.training.settings import TrainSettings
from wm_eval_ros.training.windows import Windows

#: images that mean and scale of the pixels are taken from
_LOOKED_AT = 2000
#: weight of standardised features, of those of codes, where both shape them
_GROUND = 5.0


def spread_loss(codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Return how far codes are from being spread out: what keeps them from all being the same.

    VICReg (Bardes et al. 2022, arXiv:2105.04906), equations 1 and 3: the mean over the numbers of
    a code of what its standard deviation lacks to 1, and the squared covariances of two different
    numbers, summed, over how many numbers there are.

    :param codes: (N, G)
    """
    off = codes - codes.mean(0)
    covariance = off.T @ off / (len(codes) - 1)
    variance = covariance.diagonal()
    lack = torch.relu(1 - (variance + 1e-4).sqrt()).mean()
    return lack, (covariance.square().sum() - variance.square().sum()) / codes.shape[1]


class JepaLearner(StateLearner):
    """
    Codes that can be foreseen and are spread out, and a read-out that changes neither.

    With ``grounded`` the read-out's gradients reach the encoder, too, and the features are what
    keeps codes apart. What an image shows that stands still, such as a goal, is foreseen without
    error, and codes left to themselves may hold little else (the slow features of Sobal et al.
    2022, arXiv:2211.10831).

    The error of foreseen codes is counted in units of a step's change: of the features, since the
    codes' own would shrink with them. Gradients reach the encoder by way of the codes to be
    foreseen, too; that all codes become the same would make that error vanish, and is what
    :func:`spread_loss` prevents.
    """

    _net: JepaNetwork

    def __init__(
        self, net: JepaNetwork, arch: Architecture, settings: TrainSettings, windows: Windows,
        start: Mapping[str, torch.Tensor] | None, columns: Columns,
    ) -> None:
        super().__init__(net, arch, settings, windows, start, columns)
        if start is None and isinstance(net.encoder, ImageEncoder):
            rows = windows.features[::max(1, len(windows.features) // _LOOKED_AT)]
            net.encoder.look(rows[:, columns.numbers:columns.seen])

    def loss(
        self, features: torch.Tensor, before: torch.Tensor, actions: torch.Tensor,
        generator: torch.Generator,
    ) -> torch.Tensor:
        """Return what training makes smaller, a scalar."""
        self._net.train()
        batch, s = self._batch(features[0], before[0], actions[0]), self._settings
        codes: torch.Tensor = self._net.encoder(batch.frames)
        states = torch.cat([codes, torch.cat([codes[:, :1], codes[:, :-1]], 1)], -1)
        begin = states[:, :self.context].flatten(0, 1)
        in_force, coming, true = batch.coming(s.unroll)
        imagined = self._net.unrolled(begin, in_force, coming)
        target = codes[:, 1:].unfold(1, s.unroll, 1).transpose(2, 3).flatten(0, 1)
        foreseen = (imagined[..., :self._net.latent] - target).square().mean()
        if s.grounded:
            read, off = self._net.read(states) - batch.features, self._net.read(imagined) - true
            return foreseen + _GROUND * (read.square().mean() + off.square().mean())
        change = (self._net.delta_scale / self._net.feature_scale).square().mean()
        lack, covariance = spread_loss(codes.flatten(0, 1))
        seen = batch.features[:, :self.context].flatten(0, 1)
        read = self._in_changes(self._net.read(states.detach()) - batch.features)
        off = self._off(seen, begin.detach(), imagined.detach(), true)
        return (foreseen / change + s.variance_weight * lack + s.covariance_weight * covariance
                + read.square().mean() + off.square().mean())
