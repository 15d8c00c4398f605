"""The checker finds each way in which a model with a memory can break its promises."""

from __future__ import annotations

import pytest
import torch

from wm_eval_ros.models.conformance import check_world_model
from wm_eval_ros.models.protocol import Latent, WorldModelSpec


class Remembering:
    """Features, their running sum; `how` it breaks a promise."""

    def __init__(self, spec: WorldModelSpec, how: str = '') -> None:
        self.spec, self.how = spec, how

    def encode(self, obs: torch.Tensor, prev: Latent | None = None,
               prev_action: torch.Tensor | None = None,
               is_first: torch.Tensor | None = None) -> Latent:
        """Add the features to what is remembered."""
        past = torch.zeros_like(obs) if prev is None else prev[:, 3:]
        if self.how == 'writes' and prev is not None:
            prev.add_(1.0)
        if self.how == 'mixes' and prev is not None:
            past = past.mean(0).expand(len(obs), -1)
        if is_first is not None and self.how != 'holds on':
            past = past.masked_fill(is_first[:, None], 0.0)
        if self.how == 'draws' and prev is not None:
            past = past + torch.rand_like(past)
        if self.how == 'breaks' and prev is not None:
            past = past * torch.nan
        return torch.cat([obs, 0.5 * past + obs], -1)

    def predict(self, z: Latent, actions: torch.Tensor, *,
                generator: torch.Generator | None = None) -> Latent:
        """Add the sum of the commands."""
        if self.how == 'own rows':
            z = z[:len(actions)]
            return z[:, None] + torch.zeros(len(z), actions.shape[1], 1) + (
                actions[:len(z)].cumsum(1).sum(-1, keepdim=True))
        return z[:, None] + actions.cumsum(1).sum(-1, keepdim=True)

    def uncertainty(self, z: Latent, actions: torch.Tensor) -> torch.Tensor:
        """Return the size of the commands."""
        sizes = actions.abs().sum(-1)
        return -sizes if self.how == 'negative' else sizes + (
            sizes.mean() if self.how == 'joint' else 0.0)

    def spread(self, z: Latent, actions: torch.Tensor) -> torch.Tensor:
        """Return one for every entry."""
        width = 3 if self.how == 'narrow' else 6
        return torch.ones(*actions.shape[:2], width)

    def divergence(self, prev: Latent, prev_action: torch.Tensor, z: Latent) -> torch.Tensor:
        """Return how far the latents are apart."""
        off = (z - prev).square().sum(-1)
        return off[:, None] if self.how == 'columns' else off


def test_a_model_with_a_memory_keeps_the_protocol(spec: WorldModelSpec) -> None:
    assert check_world_model(Remembering(spec)) == []


@pytest.mark.parametrize(('how', 'sentence'), [
    ('writes', 'encode writes into its inputs'),
    ('mixes', 'the latent of one row depends on the other rows'),
    ('holds on', 'where an episode begins, the latent before is not forgotten'),
    ('draws', 'encode gives two answers for one input'),
    ('breaks', 'values that are not finite'),
    ('own rows', 'does not share one latent among all action sequences'),
    ('negative', 'uncertainty must be (5, 7), finite and nowhere negative'),
    ('joint', 'the uncertainty of one row depends on the other rows'),
    ('narrow', 'spread must be (5, 7, 6)'),
    ('columns', 'divergence must be (5,)'),
])
def test_the_checker_names_the_broken_promise(
    spec: WorldModelSpec, how: str, sentence: str,
) -> None:
    found = check_world_model(Remembering(spec, how))
    assert any(sentence in line for line in found), found
