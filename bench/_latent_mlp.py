"""
A planner of the mathematics of TD-MPC2 (Hansen et al. 2024, arXiv:2310.16828), fused.

What it does otherwise than step by step, without changing a value but for rounding: dynamics and
reward share their first product; the first step's latent is multiplied once, not once a candidate;
of the value heads only the two that are drawn are computed; the policy's own trajectories are
imagined once a decision, not once an iteration; groups of a simplex lie across the row, so that
their softmax runs along it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch.nn import functional

from wm_eval_ros.models.compiled import Compiled, Ranges, ranges_of


@dataclass(frozen=True)
class Sizes:
    """What is planned: names as in the paper."""

    samples: int = 512
    iterations: int = 6
    horizon: int = 3
    elites: int = 64
    policy: int = 24
    actions: int = 6
    latent: int = 512
    heads: int = 5
    group: int = 8
    bins: int = 101
    low: float = -10.0
    high: float = 10.0
    discount: float = 0.99
    temperature: float = 0.5
    min_std: float = 0.05
    max_std: float = 2.0
    log_std_min: float = -10.0
    log_std_max: float = 2.0


@dataclass(frozen=True)
class Layer:
    """Weights of a layer, transposed; with LayerNorm where ``scale`` is there."""

    weight: torch.Tensor
    bias: torch.Tensor
    scale: torch.Tensor | None = None
    shift: torch.Tensor | None = None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the layer's output before its activation."""
        y = torch.addmm(self.bias, x, self.weight)
        if self.scale is None:
            return y
        return functional.layer_norm(y, y.shape[-1:], self.scale, self.shift)


Weights = Mapping[str, list[Layer]]
#: states whose decisions set the ranges of int8
_CALIBRATED = 4


def regrouped(weights: Weights, sizes: Sizes) -> Weights:
    """Return the weights for latents whose groups lie across: entry k of group g at k G + g."""
    order = torch.arange(sizes.latent).view(-1, sizes.group).T.reshape(-1)

    def rows(layer: Layer) -> Layer:
        weight = torch.cat([layer.weight[:sizes.latent][order], layer.weight[sizes.latent:]])
        return Layer(weight.contiguous(), layer.bias, layer.scale, layer.shift)

    def columns(layer: Layer) -> Layer:
        assert layer.scale is not None and layer.shift is not None
        return Layer(layer.weight[:, order].contiguous(), layer.bias[order], layer.scale[order],
                     layer.shift[order])

    found = {name: [rows(layers[0]), *layers[1:]] for name, layers in weights.items()
             if name != 'encoder'}
    encoder = weights['encoder']
    return {**found, 'dynamics': [*found['dynamics'][:-1], columns(found['dynamics'][-1])],
            'encoder': [*encoder[:-1], columns(encoder[-1])]}


class LatentPlanner:
    """
    Plans by MPPI in the latent space of given weights.

    :param precision: fp32, bf16 or int8 of OpenVINO; empty: torch
    """

    def __init__(self, weights: Weights, sizes: Sizes, precision: str = '') -> None:
        self.sizes, w = sizes, regrouped(weights, sizes)
        self._w, d = w, sizes.latent
        pair = (w['dynamics'][0], w['reward'][0])
        both = torch.cat([layer.weight for layer in pair], 1)
        self._latent_in, self._action_in = both[:d].contiguous(), both[d:].contiguous()
        self._bias_in = torch.cat([layer.bias for layer in pair])
        self._bins = torch.linspace(sizes.low, sizes.high, sizes.bins)[:, None]
        self._mean = torch.zeros(sizes.horizon, sizes.actions)
        self._engines(precision)

    def _engines(self, precision: str) -> None:
        seen = [self._example() for _ in range(_CALIBRATED if precision == 'int8' else 1)]
        follow, imagine, heads = (list(column) for column in zip(*seen, strict=True))
        self.run_follow = _engine(self.follow, follow, precision)
        self.run_imagine = _engine(self.imagine, imagine, precision)
        self.run_heads = [_engine(self.head(i), heads, precision)
                          for i in range(self.sizes.heads)]

    def _example(self) -> tuple[tuple[torch.Tensor, ...], ...]:
        """Return inputs of the parts, as a decision about a random state makes them."""
        s = self.sizes
        z = self.encode(torch.randn(1, self._w['encoder'][0].weight.shape[0]))
        noise = torch.randn(s.horizon, s.policy, s.actions)
        _, gained, last = self.follow(z, noise)
        tried = torch.randn(s.horizon, s.samples - s.policy, s.actions).clamp(-1, 1)
        imagine = (z, tried, gained, last, torch.randn(s.samples, s.actions))
        return (z, noise), imagine, (self.imagine(*imagine)[0],)

    # the model ----------------------------------------------------------------------------------

    def encode(self, obs: torch.Tensor) -> torch.Tensor:
        """(1, O) -> (1, D)."""
        first, last = self._w['encoder']
        return self._simplex(last(functional.mish(first(obs))))

    def _simplex(self, x: torch.Tensor) -> torch.Tensor:
        shaped = x.reshape(x.shape[0], self.sizes.group, -1)
        return torch.softmax(shaped, 1).reshape(x.shape[0], -1)

    def _step(self, z: torch.Tensor, action: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the next latent and the reward; a latent of one row is that of every action."""
        shared = torch.addmm(self._bias_in, z, self._latent_in)
        first = shared + action @ self._action_in
        found = []
        for x, name in zip(first.chunk(2, -1), ('dynamics', 'reward'), strict=True):
            layers = self._w[name]
            x = functional.layer_norm(x, x.shape[-1:], layers[0].scale, layers[0].shift)
            x = functional.mish(layers[1](functional.mish(x)))
            found.append(layers[2](x))
        return self._simplex(found[0]), self._expected(found[1])

    def _expected(self, logits: torch.Tensor) -> torch.Tensor:
        x = torch.softmax(logits, -1) @ self._bins
        return torch.sign(x) * (torch.exp(x.abs()) - 1)

    def _policy(self, z: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
        first, second, last = self._w['policy']
        out = last(functional.mish(second(functional.mish(first(z)))))
        mean, spread = out.chunk(2, -1)
        s = self.sizes
        spread = s.log_std_min + 0.5 * (s.log_std_max - s.log_std_min) * (torch.tanh(spread) + 1)
        return torch.tanh(mean + eps * spread.exp())

    def follow(
        self, z: torch.Tensor, noise: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Play the policy: actions (H, P, A), their discounted rewards (P, 1), last latents."""
        actions, gained, discount = [], torch.zeros(noise.shape[1], 1), 1.0
        for eps in noise.unbind(0):
            actions.append(self._policy(z, eps))
            z, reward = self._step(z, actions[-1])
            gained, discount = gained + discount * reward, discount * self.sizes.discount
        return torch.stack(actions), gained, z

    def imagine(
        self, z: torch.Tensor, actions: torch.Tensor, gained: torch.Tensor, last: torch.Tensor,
        eps: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Roll candidates out, and let the policy act at the end of all trajectories.

        :returns: last latents with the policy's actions, (K, D + A), and rewards, (K, 1); the
            policy's own trajectories first
        """
        rewards, discount = torch.zeros(1, 1), 1.0
        for action in actions.unbind(0):
            z, reward = self._step(z, action)
            rewards, discount = rewards + discount * reward, discount * self.sizes.discount
        ends = torch.cat([last, z])
        return torch.cat([ends, self._policy(ends, eps)], -1), torch.cat([gained, rewards])

    def head(self, i: int) -> Callable[[torch.Tensor], torch.Tensor]:
        """Return the value head of that number, (K, D + A) -> (K, 1)."""
        first, second, last = self._w[f'value{i}']
        split = self.sizes.latent

        def value(x: torch.Tensor) -> torch.Tensor:
            y = x[:, :split] @ first.weight[:split] + (x[:, split:] @ first.weight[split:]
                                                       + first.bias)
            y = functional.layer_norm(y, y.shape[-1:], first.scale, first.shift)
            return self._expected(last(functional.mish(second(functional.mish(y)))))
        return value

    # the search ---------------------------------------------------------------------------------

    def values(self, z: torch.Tensor, actions: torch.Tensor, gained: torch.Tensor,
               last: torch.Tensor) -> torch.Tensor:
        """Return the value of every candidate, (K, 1): draws as the paper's planner does."""
        eps = torch.randn(self.sizes.samples, self.sizes.actions)
        ends, rewards = self.run_imagine(z, actions, gained, last, eps)
        drawn = torch.randperm(self.sizes.heads)[:2].tolist()
        value = sum(self.run_heads[i](ends)[0] for i in drawn) / 2
        return rewards + self.sizes.discount**self.sizes.horizon * value

    @torch.inference_mode()
    def plan(self, obs: torch.Tensor) -> torch.Tensor:
        """Return the first action, (A,), after all iterations."""
        s = self.sizes
        z = self.encode(obs)
        policy, gained, last = self.run_follow(z, torch.randn(s.horizon, s.policy, s.actions))
        mean, std = torch.zeros_like(self._mean), torch.full_like(self._mean, s.max_std)
        mean[:-1] = self._mean[1:]
        for _ in range(s.iterations):
            noise = torch.randn(s.horizon, s.samples - s.policy, s.actions)
            tried = torch.addcmul(mean[:, None], std[:, None], noise).clamp_(-1, 1)
            value = self.values(z, tried, gained, last).nan_to_num_(0)
            best = torch.topk(value[:, 0], s.elites)
            elites = torch.cat([policy, tried], 1)[:, best.indices]
            weight = torch.softmax(s.temperature * best.values, 0)[None, :, None]
            mean = (weight * elites).sum(1)
            std = (weight * (elites - mean[:, None]).square()).sum(1).sqrt_().clamp_(
                s.min_std, s.max_std)
        self._mean = mean
        chosen = elites[0, torch.multinomial(weight[0, :, 0], 1)[0]]
        return (chosen + std[0] * torch.randn(s.actions)).clamp(-1, 1)


def _engine(function: Callable[..., object], examples: list[tuple[torch.Tensor, ...]],
            precision: str) -> Callable[..., tuple[torch.Tensor, ...]]:
    if not precision:
        def eager(*inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
            found = function(*inputs)
            return found if isinstance(found, tuple) else (found,)
        return eager
    return Compiled(function, examples[0], precision=precision,
                    ranges=_ranges(function, examples) if precision == 'int8' else None)


def _ranges(function: Callable[..., object], examples: list[tuple[torch.Tensor, ...]]) -> Ranges:
    """Return the ranges over several examples."""
    found: dict[str, tuple[float, float]] = {}
    for example in examples:
        for name, (low, high) in ranges_of(function, example).items():
            least, most = found.get(name, (low, high))
            found[name] = min(low, least), max(high, most)
    return found
