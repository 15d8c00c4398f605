"""Does a world model keep the protocol? For the tests of this package and of yours."""

from __future__ import annotations

import torch

from wm_eval_ros.models.protocol import Decodes, KnowsUncertainty, Latent, WorldModel

#: random commands tried from each latent
_COMMANDS = 8


def check_world_model(model: WorldModel, *, batch: int = 5, horizon: int = 7) -> list[str]:
    """
    Try a world model on random inputs.

    :param batch: number of rows tried, >= 2
    :param horizon: imagined steps tried, >= 2
    :returns: one sentence per broken promise; empty: it conforms
    """
    rng = torch.Generator().manual_seed(0)
    features, width = len(model.spec.feature_names), model.spec.action_dim
    obs = torch.randn((batch, features), generator=rng)
    before = torch.rand((batch, width), generator=rng) * 2 - 1
    actions = torch.rand((batch, horizon, width), generator=rng) * 2 - 1
    z = model.encode(obs, None, before, torch.zeros(batch, dtype=torch.bool))
    found: list[str] = []
    if z.ndim != 2 or len(z) != batch:
        return [f'encode returns shape {tuple(z.shape)} for {batch} rows; it must be ({batch}, D)']
    out = model.predict(z, actions)
    if tuple(out.shape) != (batch, horizon, z.shape[1]):
        return [f'predict returns shape {tuple(out.shape)}; it must be '
                f'({batch}, {horizon}, {z.shape[1]})']
    found += _check_values(model, z, actions, out)
    if isinstance(model, Decodes):
        decoded = model.decode(out)
        if tuple(decoded.shape) != (batch, horizon, features):
            found.append(f'decode returns shape {tuple(decoded.shape)}; it must be '
                         f'({batch}, {horizon}, {features})')
    if isinstance(model, KnowsUncertainty):
        spread = model.uncertainty(z, actions)
        if tuple(spread.shape) != (batch, horizon) or not bool((spread >= 0).all()):
            found.append(f'uncertainty must be ({batch}, {horizon}) and nowhere negative')
    return found


def _check_values(
    model: WorldModel, z: torch.Tensor, actions: torch.Tensor, out: torch.Tensor
) -> list[str]:
    found = []
    if z.dtype != torch.float32 or out.dtype != torch.float32:
        found.append(f'latents are {z.dtype} and {out.dtype}; they must be float32')
    if not bool(torch.isfinite(z).all() and torch.isfinite(out).all()):
        found.append('finite input gives latents that are not finite')
    kept = (z.clone(), actions.clone())
    again = model.predict(z, actions, generator=torch.Generator().manual_seed(1))
    same = model.predict(z, actions, generator=torch.Generator().manual_seed(1))
    if not torch.equal(again, same):
        found.append('predict gives two answers for one input and one seed')
    if not (torch.equal(z, kept[0]) and torch.equal(actions, kept[1])):
        found.append('predict writes into its inputs')
    if not torch.allclose(model.predict(z[:1], actions[:1]), out[:1], rtol=1e-3, atol=1e-4):
        found.append('the answer for one row depends on the other rows of the batch')
    prefix = model.predict(z, actions[:, :-1])
    if not torch.allclose(prefix, out[:, :-1], rtol=1e-3, atol=1e-4):
        found.append('a step depends on actions after it')
    if torch.allclose(model.predict(z, -actions), out, rtol=0, atol=1e-7):
        found.append('the prediction does not depend on the actions')
    return found


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
