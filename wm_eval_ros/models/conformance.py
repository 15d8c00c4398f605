"""Does a world model keep the protocol? For the tests of this package and of yours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from wm_eval_ros.models.protocol import (
    Decodes,
    Differentiable,
    DifferentiableUncertainty,
    EncodesGoal,
    KnowsConstraints,
    KnowsDivergence,
    KnowsSpread,
    KnowsUncertainty,
    KnowsValue,
    Latent,
    Proposes,
    Rewards,
    WorldModel,
    WorldModelSpec,
)
from wm_eval_ros.wire.fields import joined_names

#: random commands tried from each latent
_COMMANDS = 8


@dataclass(frozen=True, slots=True)
class _Case:
    """One model and what it is tried on."""

    model: WorldModel
    #: (B, F)
    obs: torch.Tensor
    #: command in force, (B, A)
    before: torch.Tensor
    #: (B, H, A)
    actions: torch.Tensor
    #: of ``obs``, (B, D)
    z: Latent

    @property
    def first(self) -> torch.Tensor:
        """Return rows where an episode begins: every second, (B,)."""
        return torch.arange(len(self.obs)) % 2 == 0


def check_world_model(
    model: WorldModel, *, batch: int = 5, horizon: int = 7, obs: torch.Tensor | None = None
) -> list[str]:
    """
    Try a world model on random inputs.

    :param batch: number of rows tried, >= 2
    :param horizon: imagined steps tried, >= 2
    :param obs: rows tried, (B, F), of a model that does not take any; None: random ones
    :returns: one sentence per broken promise; empty: it conforms
    """
    rng = torch.Generator().manual_seed(0)
    width = model.spec.action_dim
    if obs is None:
        obs = _random_observations(model.spec, batch, rng)
    batch = len(obs)
    before = torch.rand((batch, width), generator=rng) * 2 - 1
    actions = torch.rand((batch, horizon, width), generator=rng) * 2 - 1
    z = model.encode(obs, None, before, torch.zeros(batch, dtype=torch.bool))
    if z.ndim != 2 or len(z) != batch:
        return [f'encode returns shape {tuple(z.shape)} for {batch} rows; it must be ({batch}, D)']
    out = model.predict(z, actions)
    if tuple(out.shape) != (batch, horizon, z.shape[1]):
        return [f'predict returns shape {tuple(out.shape)}; it must be '
                f'({batch}, {horizon}, {z.shape[1]})']
    case = _Case(model, obs, before, actions, z)
    return [*_values(case, out), *_carry(case), *_abilities(case, out)]


def _close(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Say whether two ways to the same numbers led to the same, but for rounding."""
    return torch.allclose(one, other, rtol=1e-3, atol=1e-4)


def _random_observations(
    spec: WorldModelSpec, batch: int, rng: torch.Generator
) -> torch.Tensor:
    """Return numbers about 0, then pixels from 0 to 1, (B, F)."""
    seen = len(spec.feature_names) - len(joined_names(spec.interface.unseen))
    numbers = torch.randn((batch, seen), generator=rng)
    pixels = torch.rand((batch, spec.interface.pixels), generator=rng)
    return torch.cat([numbers, pixels], -1)


def _values(case: _Case, out: Latent) -> Iterator[str]:
    """Check type, finiteness, determinism, independence and that actions have an effect."""
    model, z, actions = case.model, case.z, case.actions
    if z.dtype != torch.float32 or out.dtype != torch.float32:
        yield f'latents are {z.dtype} and {out.dtype}; they must be float32'
    if not bool(torch.isfinite(z).all() and torch.isfinite(out).all()):
        yield 'finite input gives latents that are not finite'
    kept = (z.clone(), actions.clone())
    again = model.predict(z, actions, generator=torch.Generator().manual_seed(1))
    same = model.predict(z, actions, generator=torch.Generator().manual_seed(1))
    if not torch.equal(again, same):
        yield 'predict gives two answers for one input and one seed'
    if not (torch.equal(z, kept[0]) and torch.equal(actions, kept[1])):
        yield 'predict writes into its inputs'
    if not _close(model.predict(z[:1], actions[:1]), out[:1]):
        yield 'the answer for one row depends on the other rows of the batch'
    shared = model.predict(z[:1], actions)
    if shared.shape != out.shape or not _close(
            shared, model.predict(z[:1].expand(len(actions), -1), actions)):
        yield 'predict does not share one latent among all action sequences'
    prefix = model.predict(z, actions[:, :-1])
    if not _close(prefix, out[:, :-1]):
        yield 'a step depends on actions after it'
    if torch.allclose(model.predict(z, -actions), out, rtol=0, atol=1e-7):
        yield 'the prediction does not depend on the actions'


def _carry(case: _Case) -> Iterator[str]:
    """Check what is carried: forgotten where an episode begins, and of each row its own."""
    model, obs, z, action = case.model, case.obs.flip(0), case.z, case.actions[:, 0]
    kept = [v.clone() for v in (obs, z, action)]
    after = model.encode(obs, z, action, case.first)
    if after.shape != z.shape or not bool(torch.isfinite(after).all()):
        yield (f'encode from a latent before returns shape {tuple(after.shape)} or values that '
               f'are not finite; it must be {tuple(z.shape)}')
        return
    if not torch.equal(after, model.encode(obs, z, action, case.first)):
        yield 'encode gives two answers for one input'
    if not all(torch.equal(v, k) for v, k in zip((obs, z, action), kept, strict=True)):
        yield 'encode writes into its inputs'
    if not _close(after[case.first], model.encode(obs)[case.first]):
        yield 'where an episode begins, the latent before is not forgotten'
    rows = [model.encode(obs[i:i + 1], z[i:i + 1], action[i:i + 1], case.first[i:i + 1])
            for i in range(len(obs))]
    if not _close(torch.cat(rows), after):
        yield 'the latent of one row depends on the other rows of the batch'
    if isinstance(model, Decodes) and model.spec.interface.pixels == 0 == len(
            model.spec.interface.unseen):
        seen = model.encode(model.decode(model.predict(z, case.actions)[:, 0]), z, action)
        if not bool(torch.isfinite(seen).all()
                    and torch.isfinite(model.predict(seen, case.actions)).all()):
            yield 'observing what was imagined gives latents that are not finite'


def _abilities(case: _Case, out: Latent) -> Iterator[str]:
    """Check what the model says it can do besides."""
    model, z, actions = case.model, case.z, case.actions
    batch, horizon = actions.shape[:2]
    features = len(model.spec.feature_names)
    if isinstance(model, Decodes):
        decoded = model.decode(out)
        if tuple(decoded.shape) != (batch, horizon, features):
            yield (f'decode returns shape {tuple(decoded.shape)}; it must be '
                   f'({batch}, {horizon}, {features})')
    if isinstance(model, KnowsUncertainty):
        yield from _head('uncertainty', (batch, horizon),
                         lambda rows: model.uncertainty(z[rows], actions[rows]), doubt=True)
    if isinstance(model, KnowsSpread):
        yield from _head('spread', tuple(out.shape),
                         lambda rows: model.spread(z[rows], actions[rows]), doubt=True)
    if isinstance(model, KnowsDivergence):
        action = actions[:, 0]
        seen = model.encode(case.obs.flip(0), z, action)
        yield from _head('divergence', (batch,),
                         lambda rows: model.divergence(z[rows], action[rows], seen[rows]),
                         doubt=True)
    yield from _twins(case, out)
    yield from _heads(case, out)
    if isinstance(model, Proposes):
        yield from _proposals(model, z)


def _twins(case: _Case, out: Latent) -> Iterator[str]:
    """Check what gradients and compiled rollouts are made of against what is planned with."""
    model, z, actions = case.model, case.z, case.actions
    if isinstance(model, Differentiable):
        if not (_alike(model.rolled(z, actions), out)
                and _alike(model.rolled(z[:1], actions), model.predict(z[:1], actions))):
            yield 'rolled does not give what predict gives'
        with torch.inference_mode(False), torch.enable_grad():
            asked = actions.clone().requires_grad_(True)
            if not model.rolled(z.clone(), asked).requires_grad:
                yield 'rolled lets no gradient through to the actions'
    if isinstance(model, DifferentiableUncertainty):
        rollout, doubt = model.rolled_with_uncertainty(z, actions)
        if not _alike(rollout, out):
            yield 'rolled_with_uncertainty does not give what predict gives'
        if not isinstance(model, KnowsUncertainty):
            yield 'the model has rolled_with_uncertainty, and no uncertainty'
        elif not _alike(doubt, model.uncertainty(z, actions)):
            yield 'rolled_with_uncertainty does not give what uncertainty gives'


def _heads(case: _Case, out: Latent) -> Iterator[str]:
    """Check the terms of an objective that a model gives, see ``planner.goal_weight`` and on."""
    model, obs, z, actions = case.model, case.obs, case.z, case.actions
    batch, horizon = actions.shape[:2]
    if isinstance(model, EncodesGoal):
        width = _width(model.encode_goal(obs))
        yield from _head('encode_goal', (batch, width), lambda rows: model.encode_goal(obs[rows]))
        yield from _head('code', (batch, width), lambda rows: model.code(z[rows]))
        yield from _head('code', (batch, horizon, width), lambda rows: model.code(out[rows]))
    if isinstance(model, Rewards):
        taken_in = torch.cat([z[:, None], out[:, :-1]], 1)
        yield from _head('rewards', (batch, horizon),
                         lambda rows: model.rewards(taken_in[rows], actions[rows]))
    if isinstance(model, KnowsValue):
        yield from _head('value', (batch,), lambda rows: model.value(z[rows]))
    if isinstance(model, KnowsConstraints):
        width = _width(model.constraints(z))
        yield from _head('constraints', (batch, width), lambda rows: model.constraints(z[rows]))
        yield from _head('constraints', (batch, horizon, width),
                         lambda rows: model.constraints(out[rows]))


def _proposals(model: Proposes, z: Latent) -> Iterator[str]:
    """Check what is drawn by a policy prior: of commands, by the generator that it is given."""
    spec: WorldModelSpec = model.spec  # type: ignore[attr-defined]
    goal = _random_goal(spec, torch.Generator().manual_seed(2))
    kept = torch.get_rng_state()
    one, again = (model.propose(z, goal, generator=torch.Generator().manual_seed(1))
                  for _ in range(2))
    shape = (len(z), spec.action_dim)
    if tuple(one.shape) != shape or not bool((one.abs() <= 1).all()):
        yield f'propose must give {shape}, finite and in [-1, 1]'
    elif not torch.equal(one, again):
        yield 'propose gives two answers for one input and one seed'
    if not torch.equal(kept, torch.get_rng_state()):
        yield 'propose draws from the global generator; use the one it is given'


def _random_goal(spec: WorldModelSpec, rng: torch.Generator) -> torch.Tensor:
    """Return a goal vector of the interface, (G,)."""
    goal, image = spec.interface.goal, spec.interface.goal_image
    numbers = torch.randn(0 if goal is None else len(joined_names([goal])), generator=rng)
    return torch.cat([numbers, torch.rand(0 if image is None else image.size, generator=rng)])


def _head(
    name: str, shape: tuple[int, ...], ask: Callable[[slice], torch.Tensor], *, doubt: bool = False
) -> Iterator[str]:
    """
    Check what is asked of rows: its shape, its values, and that it is reproducible.

    :param ask: returns it of some rows of the case
    :param doubt: it grows with doubt, from 0
    """
    value = ask(slice(None))
    good = tuple(value.shape) == shape and bool(value.isfinite().all())
    if not good or (doubt and not bool((value >= 0).all())):
        yield f'{name} must be {shape}, finite{" and nowhere negative" if doubt else ""}'
    elif not torch.equal(value, ask(slice(None))):
        yield f'{name} gives two answers for one input'
    elif not _close(ask(slice(1)), value[:1]):
        yield f'the {name} of one row depends on the other rows of the batch'


def _alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and _close(one, other)


def _width(found: torch.Tensor) -> int:
    return found.shape[-1] if found.ndim == 2 else 1


@torch.inference_mode()
def action_sensitivity(model: WorldModel, z: Latent, generator: torch.Generator) -> float:
    """
    Say how much the imagined next latent depends on the command.

    Root of the mean variance over random commands, uniform in [-1, 1], of the next latent, over
    the root mean square of its change. Entries that repeat the command itself are left out.

    :param z: latents to start from, (B, D), of states the model knows
    :returns: 0 for a model that does not listen
    """
    batch, width = len(z), model.spec.action_dim
    actions = torch.rand((batch * _COMMANDS, 1, width), generator=generator) * 2 - 1
    start = z.repeat_interleave(_COMMANDS, dim=0)
    after = model.predict(start, actions)[:, 0]
    echo = (after[:, :, None] - actions).abs().amax(dim=0).amin(dim=1) < 1e-6
    after, start = after[:, ~echo].double(), start[:, ~echo].double()
    change = float((after - start).square().mean()) if after.numel() else 0.0
    if not change > 0:
        return 0.0
    spread = after.reshape(batch, _COMMANDS, -1).var(dim=1).mean()
    return float((spread / change).sqrt())
