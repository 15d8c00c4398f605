"""Training of the recurrent state space model."""

from __future__ import annotations

import torch

from wm_eval_ros.models.rssm import gaussian_kl, RssmNetwork
from wm_eval_ros.training.learners.state import Batch, StateLearner


class RssmLearner(StateLearner):
    """
    Evidence bound along what is observed, and the error of what is imagined from each slot.

    The bound is that of PlaNet (Hafner et al. 2019, arXiv:1811.04551, equation 3): reconstruction
    less KL(posterior || prior), samples of the posterior drawn in every slot. Its unit of
    reconstruction is one step's change of each feature, so that the posterior is as sharp as a
    step needs. The KL moves the prior more than the posterior (balancing, Hafner et al. 2021,
    arXiv:2010.02193, section 2.2) and counts from ``free_nats`` on. What is imagined is rolled
    along the means, as planners will.
    """

    _net: RssmNetwork

    def loss(
        self, features: torch.Tensor, before: torch.Tensor, actions: torch.Tensor,
        generator: torch.Generator,
    ) -> torch.Tensor:
        """Return what training makes smaller, a scalar."""
        self._net.train()
        batch = self._batch(features[0], before[0], actions[0])
        states, foreseen, samples = self._observed(batch, generator)
        shown = torch.cat([self._net.parts(states)[0], samples], -1)
        rebuilt = self._in_changes(self._net.decoder(shown) - batch.features)
        divergence = self._divergence(states[:, 1:], foreseen) / self._net.features
        first, off = self._imagined(batch, states)
        return (off.square().mean() + rebuilt.square().mean()
                + self._settings.kl_weight * divergence + self._noise(first, off[:, 0]))

    def _observed(
        self, batch: Batch, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """
        Go along a window from slot to slot.

        :returns: states (B, L + 1, S), those foreseen for all but the first (B, L, S), and
            samples of the posteriors (B, L + 1, N)
        """
        net, state = self._net, None
        states, foreseen, samples = [], [], []
        for t in range(batch.frames.shape[1]):
            state = net.observe(batch.frames[:, t], state)
            h, mean, log = net.parts(state)
            noise = torch.randn(mean.shape, generator=generator)
            sample = mean + log.exp() * noise
            states.append(state)
            samples.append(sample)
            if t < batch.actions.shape[1]:
                state = net.moved_by(h, sample, batch.before[:, t], batch.actions[:, t])
                foreseen.append(state)
        return torch.stack(states, 1), torch.stack(foreseen, 1), torch.stack(samples, 1)

    def _divergence(self, states: torch.Tensor, foreseen: torch.Tensor) -> torch.Tensor:
        """Return the balanced KL beyond the free nats, in nats."""
        (_, mean_q, log_q), (_, mean_p, log_p) = map(self._net.parts, (states, foreseen))
        to_prior = gaussian_kl(mean_q.detach(), log_q.detach(), mean_p, log_p)
        to_posterior = gaussian_kl(mean_q, log_q, mean_p.detach(), log_p.detach())
        free, share = self._settings.free_nats, self._settings.kl_balance
        return (share * to_prior.clamp(min=free) + (1 - share) * to_posterior.clamp(min=free)
                ).mean()

    def _imagined(
        self, batch: Batch, states: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the first imagined states (B C, S) and errors in units of the change."""
        before, actions, true = batch.coming(self._settings.unroll)
        begin = states[:, :self.context].flatten(0, 1)
        imagined = self._net.unrolled(begin, before, actions)
        seen = batch.features[:, :self.context].flatten(0, 1)
        return imagined[:, 0], self._off(seen, begin, imagined, true)

    def _noise(self, state: torch.Tensor, off: torch.Tensor) -> torch.Tensor:
        """Negative log-likelihood of one step's error; nothing but the read-out feels it."""
        log = self._net.log_error(state.detach())
        return (0.5 * (off.detach() * (-log).exp()).square() + log).mean()
