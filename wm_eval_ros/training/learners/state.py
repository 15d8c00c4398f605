"""What the training of families that imagine in a state of their own has in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from wm_eval_ros.models.architecture import Architecture
from wm_eval_ros.models.state_space import StateNetwork
from wm_eval_ros.training.columns import Columns
from wm_eval_ros.training.learners.network import NetworkLearner
from wm_eval_ros.training.settings import TrainSettings
from wm_eval_ros.training.windows import Windows


@dataclass(frozen=True)
class Batch:
    """Windows of L transitions; their first C slots are observed, U steps imagined from each."""

    #: what is seen of each slot, (B, L + 1, I)
    frames: torch.Tensor
    #: standardised features, (B, L + 1, F)
    features: torch.Tensor
    #: command in force at the begin of each slot, (B, L + 1, A)
    before: torch.Tensor
    #: (B, L, A)
    actions: torch.Tensor

    def coming(self, steps: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """
        Return what is needed to imagine so many steps from every slot that has as many ahead.

        :returns: command in force (B C, A), commands (B C, U, A), features to come (B C, U, F)
        """
        actions, features = (v.unfold(1, steps, 1).transpose(2, 3).flatten(0, 1)
                             for v in (self.actions, self.features[:, 1:]))
        return self.before[:, :self.actions.shape[1] - steps + 1].flatten(0, 1), actions, features


class StateLearner(NetworkLearner):
    """
    One module with a state.

    :param net: with fresh weights, not yet normalised
    :param columns: what the columns of the windows are
    """

    _net: StateNetwork

    def __init__(
        self, net: StateNetwork, arch: Architecture, settings: TrainSettings, windows: Windows,
        start: Mapping[str, torch.Tensor] | None, columns: Columns,
    ) -> None:
        named = replace(windows, features=columns.named(windows.features))
        super().__init__(net, arch, settings, named, start)
        self._settings, self._columns = settings, columns

    @torch.no_grad()
    def errors(
        self, features: torch.Tensor, before: torch.Tensor, actions: torch.Tensor
    ) -> torch.Tensor:
        """Return the errors of the imagined features in units of the change, (B, U, F)."""
        self._net.eval()
        batch, last = self._batch(features, before, actions), self.context - 1
        state = self._net.observe(batch.frames[:, 0], None)
        for t in range(last):
            state = self._net.step(state, batch.before[:, t], actions[:, t])
            state = self._net.observe(batch.frames[:, t + 1], state)
        imagined = self._net.unrolled(state, batch.before[:, last], actions[:, last:])
        return self._off(batch.features[:, last], state, imagined, batch.features[:, last + 1:])

    def _batch(
        self, features: torch.Tensor, before: torch.Tensor, actions: torch.Tensor
    ) -> Batch:
        net = self._net
        x = (self._columns.named(features) - net.feature_mean) / net.feature_scale
        return Batch(net.given(features), x, torch.cat([before[:, None], actions], 1), actions)

    def _off(
        self, seen: torch.Tensor, state: torch.Tensor, imagined: torch.Tensor, true: torch.Tensor
    ) -> torch.Tensor:
        """
        Return the errors of what is read out of imagined states, in units of the change.

        :param seen: features of the slots imagined from, (B, F)
        :param state: of these slots, (B, S)
        :param imagined: (B, U, S)
        :param true: (B, U, F)
        """
        found = self._net.read(imagined)
        if self._net.anchored:
            found = found + (seen - self._net.read(state))[:, None]
        return self._in_changes(found - true)

    def _in_changes(self, off: torch.Tensor) -> torch.Tensor:
        """Standardised features to units of one step's change, (..., F)."""
        return off * (self._net.feature_scale / self._net.delta_scale)
