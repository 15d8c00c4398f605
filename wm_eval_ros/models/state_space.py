"""
Families that imagine in a state of their own and read the features out of it.

Their latent is that of :mod:`wm_eval_ros.models.network`, [features F | command in force A |
state S]: what is imagined is the state alone, and the features in front are its read-out. Where
the features themselves were observed, the read-out is anchored to them: an imagined feature is
the one observed plus the difference of the read-outs of both states, so that an error that the
read-out makes in both is not taken for a motion.
"""

from __future__ import annotations

import torch

from wm_eval_ros.models.network import Network
from wm_eval_ros.models.protocol import Latent


class StateNetwork(Network):
    """Networks of a family with a state: how it moves, and what it shows."""

    #: the features are observed, not only read out of the state
    anchored: bool = True

    def given(self, obs: torch.Tensor) -> torch.Tensor:
        """Return what :meth:`observe` takes of observations in physical units, (..., I)."""
        return (obs - self.feature_mean) / self.feature_scale

    def observe(self, x: torch.Tensor, state: torch.Tensor | None) -> torch.Tensor:
        """
        Take an observation in.

        :param x: of :meth:`given`, (B, I)
        :param state: as it was foreseen for this step, (B, S); None: an episode begins
        :returns: (B, S)
        """
        raise NotImplementedError

    def step(
        self, state: torch.Tensor, before: torch.Tensor, action: torch.Tensor
    ) -> torch.Tensor:
        """
        Foresee the state one step on.

        :param state: (B, S)
        :param before: command in force until the action takes effect, (B, A)
        :param action: (B, A)
        :returns: (B, S)
        """
        raise NotImplementedError

    def read(self, state: torch.Tensor) -> torch.Tensor:
        """Return the standardised features of states, (..., S) to (..., F)."""
        raise NotImplementedError

    def begin(self, x: torch.Tensor, state: torch.Tensor) -> Latent:
        """Return what is in front of a latent just encoded: the features, (B, F)."""
        return x if self.anchored else self.read(state)

    def unrolled(
        self, state: torch.Tensor, before: torch.Tensor, actions: torch.Tensor
    ) -> torch.Tensor:
        """Foresee the states after each of the actions, (B, H, A) to (B, H, S)."""
        found = []
        for action in actions.unbind(1):
            state = self.step(state, before, action)
            before = action
            found.append(state)
        return torch.stack(found, 1)

    def encoded(
        self, obs: torch.Tensor, prev: Latent | None, action: torch.Tensor,
        is_first: torch.Tensor | None,
    ) -> Latent:
        """Take one time step in; see :meth:`Network.encoded`. An episode begins without `prev`."""
        x = self.given(obs)
        starts = torch.zeros(len(x), dtype=torch.bool) if is_first is None else is_first
        if prev is None or bool(starts.all()):
            state = self.observe(x, None)
        else:
            before, foreseen = self.parted(prev)
            state = self.observe(x, self.step(foreseen, before, action))
            if bool(starts.any()):
                state = torch.where(starts[:, None], self.observe(x, None), state)
        return torch.cat([self.begin(x, state), action, state], -1)

    def rolled(self, z: Latent, actions: torch.Tensor) -> Latent:
        """Imagine steps, each from the one before; see :meth:`Network.rolled`."""
        before, state = self.parted(z)
        states = self.unrolled(state, before, actions)
        # one product for all steps: the read-out takes no part in imagining
        moved = self.read(states) - self.read(state)[:, None]
        return torch.cat([z[:, None, :self.features] + moved, actions, states], -1)

    def parted(self, z: Latent) -> tuple[torch.Tensor, torch.Tensor]:
        """Return command in force and state of latents, (..., A) and (..., S)."""
        return z[..., self.features:-self.carry], z[..., -self.carry:]
