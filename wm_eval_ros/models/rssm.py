"""
Recurrent state space model, after PlaNet (Hafner et al. 2019, arXiv:1811.04551) and Dreamer.

The state is a deterministic part h, carried by a gated recurrent unit, and a Gaussian one. Before
a step is observed the Gaussian is the prior p(s | h), after it the posterior q(s | h, x). Both
imagining and encoding go on from its mean, so that one plan always costs the same; samples are
drawn in training. A latent holds mean and logarithmic deviation of the Gaussian, so that how far
an observation moved it, KL(q || p), follows from recorded latents alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from wm_eval_ros.models.architecture import Architecture
from wm_eval_ros.models.modules import DYNAMICS, ENCODER, READ_OUT
from wm_eval_ros.models.network import dense, NetworkModel
from wm_eval_ros.models.protocol import Latent
from wm_eval_ros.models.state_space import StateNetwork

#: bounds of the logarithmic deviation, approached softly
LOW, HIGH = -5.0, 1.0


@dataclass(frozen=True)
class RssmArchitecture(Architecture):
    """Sizes of the networks; what ``spec.architecture`` holds."""

    #: numbers of the deterministic state
    deterministic: int = 64
    #: numbers of the stochastic state
    stochastic: int = 16


def gaussian_kl(
    mean_q: torch.Tensor, log_q: torch.Tensor, mean_p: torch.Tensor, log_p: torch.Tensor
) -> torch.Tensor:
    """
    Return KL(q || p) of diagonal Gaussians in nats, (..., N) to (...).

    :param log_q: logarithm of the standard deviation

    >>> one, zero = torch.ones(1), torch.zeros(1)
    >>> float(gaussian_kl(one, zero, zero, zero))
    0.5
    """
    ratio = (2 * (log_q - log_p)).exp()
    off = ((mean_q - mean_p) * (-log_p).exp()).square()
    return (log_p - log_q + 0.5 * (ratio + off - 1)).sum(-1)


class RssmNetwork(StateNetwork):
    """Recurrence, prior, posterior, decoder and what the decoder errs by."""

    def __init__(self, arch: RssmArchitecture) -> None:
        h, s, a = arch.deterministic, arch.stochastic, arch.actions
        super().__init__(arch, carry=h + 2 * s)
        self.deterministic, self.stochastic = h, s
        inner = [arch.hidden] * arch.layers
        self.recurrence = nn.GRUCell(s + 2 * a, h)
        self.prior = dense([h, arch.hidden, 2 * s], arch.activation)
        self.posterior = dense([h + arch.features, arch.hidden, 2 * s], arch.activation)
        self.decoder = dense([h + s, *inner, arch.features], arch.activation)
        self.noise = dense([h + s, arch.hidden, arch.features], arch.activation)

    def parts(self, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return deterministic part, mean and logarithmic deviation, of (..., S)."""
        h, n = self.deterministic, self.stochastic
        return state[..., :h], state[..., h:h + n], state[..., h + n:]

    def observe(self, x: torch.Tensor, state: torch.Tensor | None) -> torch.Tensor:
        """Take an observation in: the Gaussian becomes the posterior."""
        h = (x.new_zeros(len(x), self.deterministic) if state is None
             else state[..., :self.deterministic])
        return torch.cat([h, self._bounded(self.posterior(torch.cat([h, x], -1)))], -1)

    def step(
        self, state: torch.Tensor, before: torch.Tensor, action: torch.Tensor
    ) -> torch.Tensor:
        """Foresee the state one step on: the Gaussian is the prior."""
        h, mean, _ = self.parts(state)
        return self.moved_by(h, mean, before, action)

    def moved_by(
        self, h: torch.Tensor, s: torch.Tensor, before: torch.Tensor, action: torch.Tensor
    ) -> torch.Tensor:
        """Foresee from a sample s of the stochastic state, or from its mean."""
        h = self.recurrence(torch.cat([s, before, action], -1), h)
        return torch.cat([h, self._bounded(self.prior(h))], -1)

    def read(self, state: torch.Tensor) -> torch.Tensor:
        """Decode the mean."""
        found: torch.Tensor = self.decoder(state[..., :-self.stochastic])
        return found

    def log_error(self, state: torch.Tensor) -> torch.Tensor:
        """Return the logarithmic deviation of a step's error, in units of the change, (..., F)."""
        found: torch.Tensor = self.noise(state[..., :-self.stochastic])
        return found.clamp(-8.0, 4.0)

    def divergence(self, foreseen: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        """Return KL(posterior || prior) of states of one step, (..., S) to (...), in nats."""
        _, mean_p, log_p = self.parts(foreseen)
        _, mean_q, log_q = self.parts(state)
        return gaussian_kl(mean_q, log_q, mean_p, log_p)

    def _bounded(self, raw: torch.Tensor) -> torch.Tensor:
        mean, log = raw.chunk(2, -1)
        return torch.cat([mean, LOW + (HIGH - LOW) * torch.sigmoid(log)], -1)


class RssmModel(NetworkModel):
    """World model of the family ``rssm``."""

    network = RssmNetwork
    architecture = RssmArchitecture
    #: module of the tensors whose names begin so
    modules: ClassVar[Mapping[str, str]] = {
        'posterior.': ENCODER, 'recurrence.': DYNAMICS, 'prior.': DYNAMICS,
        'decoder.': READ_OUT, 'noise.': READ_OUT}
    net: RssmNetwork

    @torch.inference_mode()
    def divergence(self, prev: Latent, prev_action: torch.Tensor, z: Latent) -> torch.Tensor:
        """
        Return KL(posterior || prior) of the step from one latent to the next, in nats.

        :param prev: (B, D)
        :param prev_action: executed between the two, in [-1, 1], (B, A)
        :param z: encoded from what was observed after it, (B, D)
        :returns: (B,)
        """
        before, state = self.net.parted(prev)
        return self.net.divergence(self.net.step(state, before, prev_action),
                                   self.net.parted(z)[1])

    @torch.inference_mode()
    def spread(self, z: Latent, actions: torch.Tensor) -> torch.Tensor:
        """
        Predict the standard deviation of the features of a rollout.

        The errors of the single steps, as a read-out of the state learned them, add up as if they
        were independent.

        :param z: (B, D)
        :param actions: in [-1, 1], (B, H, A)
        :returns: (B, H, D), in units of the latent; 0 for command and state: not told
        """
        z = z.expand(len(actions), -1)
        before, state = self.net.parted(z)
        states = self.net.unrolled(state, before, actions)
        unit = self.net.delta_scale / self.net.feature_scale
        variance = (2 * self.net.log_error(states)).exp().cumsum(1) * unit**2
        rest = variance.new_zeros(*variance.shape[:2], z.shape[-1] - self.net.features)
        return torch.cat([variance.sqrt(), rest], -1)
