"""The recurrent state space of DreamerV3, as its PyTorch port has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import math
from typing import Any

import torch

from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.models.adapters.adapter import (
    Adapter,
    fresh_rows,
    here,
    Layout,
    Readout,
    unflattened,
)
from wm_eval_ros.models.protocol import Latent


class DreamerV3(Adapter):
    """
    ``WorldModel`` of NM512/dreamerv3-torch, to the signatures of commit 6ef8646d807c.

    Used are ``encoder(obs)``, ``heads['decoder'](feat)`` and of ``dynamics`` ``obs_step``,
    ``img_step``, ``get_feat`` and ``get_dist``, always with ``sample=False``: the most likely
    state, so that the same plan costs the same. The latent is [stoch | deter | statistics], flat;
    build the model with ``config.device`` as the layout's, for it makes its initial state there.
    ``obs_step`` changes its inputs where some rows begin an episode and others do not: here it is
    asked for the two kinds apart.

    :param keys: columns of the features that each of its observation keys holds
    :param image_key: key of the image, (B, height, width, 3) in [0, 1]; '': it sees none
    """

    family = 'dreamerv3'

    def __init__(
        self, scenario: Scenario, upstream: Any, layout: Layout, *, name: str,
        keys: Mapping[str, Sequence[int]], image_key: str = '', readout: Readout | None = None,
    ) -> None:
        super().__init__(scenario, upstream, layout, name=name, readout=readout)
        self._keys, self._image_key = {k: list(v) for k, v in keys.items()}, image_key
        columns = sorted(c for found in self._keys.values() for c in found)
        if any(not 0 <= c < self._count for c in columns):
            raise ConfigError(f'keys: columns {columns}; the observations have {self._count} '
                              'numbers')
        if image_key:
            self._require_image()
        self._order = [c for found in self._keys.values() for c in found]
        if readout is None and columns == list(range(len(self.spec.feature_names))):
            self._readout = self._head
            self.decode = self._decode
        # the initial state has every part of a state, in its shape
        first = upstream.dynamics.initial(1)
        self._statistics = [k for k in first if k not in ('stoch', 'deter')]
        self._parts = {k: tuple(first[k].shape[1:])
                       for k in ('stoch', 'deter', *self._statistics)}

    @torch.inference_mode()
    def encode(
        self,
        obs: torch.Tensor,
        prev: Latent | None = None,
        prev_action: torch.Tensor | None = None,
        is_first: torch.Tensor | None = None,
    ) -> Latent:
        """Return the posterior of a step; see the protocol."""
        embed = self.upstream.encoder(self._observation(obs))
        first = fresh_rows(prev, is_first, len(obs))
        command = self._commands(self._executed(prev_action, len(obs)))
        out = torch.empty(len(obs), self._size)
        for rows, begins in ((first, True), (~first, False)):
            if bool(rows.any()):
                state = None if begins or prev is None else self._state(prev[rows])
                flag = self._there(torch.full((int(rows.sum()),), float(begins)))
                found, _ = self.upstream.dynamics.obs_step(
                    state, command[rows], embed[self._there(rows)], flag, sample=False)
                out[rows] = self._flat(found)
        return out

    @torch.inference_mode()
    def predict(
        self, z: Latent, actions: torch.Tensor, *, generator: torch.Generator | None = None
    ) -> Latent:
        """Roll the prior forward, (B, D), (B, H, A) to (B, H, D)."""
        state, found = self._state(z.expand(len(actions), -1)), []
        for command in self._commands(actions).unbind(1):
            state = self.upstream.dynamics.img_step(state, command, sample=False)
            found.append(self._flat(state))
        return torch.stack(found, 1)

    @torch.inference_mode()
    def divergence(self, prev: Latent, prev_action: torch.Tensor, z: Latent) -> torch.Tensor:
        """(B, D), (B, A), (B, D) -> (B,): KL(posterior || prior) of a step, in nats."""
        dynamics = self.upstream.dynamics
        prior = dynamics.img_step(self._state(prev), self._commands(prev_action), sample=False)
        after, before = (dynamics.get_dist(state) for state in (self._state(z), prior))
        if 'logit' not in self._statistics:
            after, before = after._dist, before._dist
        # rounding may leave a little less than nothing
        return here(torch.distributions.kl_divergence(after, before)).clamp(min=0.0)

    @property
    def _size(self) -> int:
        return sum(math.prod(shape) for shape in self._parts.values())

    def _flat(self, state: Mapping[str, torch.Tensor]) -> Latent:
        return torch.cat([here(state[k]).flatten(1) for k in self._parts], -1)

    def _state(self, z: Latent) -> dict[str, torch.Tensor]:
        return unflattened(self._there(z), self._parts)

    def _observation(self, obs: torch.Tensor) -> dict[str, torch.Tensor]:
        numbers = self._numbers(obs)
        found = {k: numbers[:, columns] for k, columns in self._keys.items()}
        return {**found, self._image_key: self._image(obs)} if self._image_key else found

    def _newest(self, z: Latent) -> torch.Tensor:
        """Return upstream's feature vector, (N, E)."""
        found: torch.Tensor = self.upstream.dynamics.get_feat(self._state(z))
        return found

    def _head(self, feat: torch.Tensor) -> torch.Tensor:
        """Return the modes of the decoder's heads, in the order of the features, (N, F)."""
        heads = self.upstream.heads['decoder'](feat)
        found = here(torch.cat([heads[k].mode() for k in self._keys], -1))
        if self.layout.obs_mean:
            found = (found * torch.tensor(self.layout.obs_scale)[self._order]
                     + torch.tensor(self.layout.obs_mean)[self._order])
        return found[:, torch.tensor(self._order).argsort()]
