"""A model asked again: imagined futures of recorded states, read in physical units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from wm_eval_ros.config.scenario import PlannerSettings
from wm_eval_ros.models.protocol import Decodes, WorldModel
from wm_eval_ros.stats.regression import ridge_fit
from wm_eval_ros.training.fidelity_data import Evidence, Floats, Ints, Windows

#: latents -> features in physical units, (..., D) -> (..., F)
Reader = Callable[[torch.Tensor], Floats]
#: commands held in turn by half of the candidates
_SEGMENTS = 3
#: windows imagined at once
_BATCH = 4096


@dataclass(frozen=True)
class Asked:
    """A model with what reads its latents."""

    model: WorldModel
    read: Reader
    #: the model decodes latents itself; else a linear probe reads them
    decodes: bool

    @torch.inference_mode()
    def imagine(self, latents: torch.Tensor, actions: Floats) -> torch.Tensor:
        """
        Roll out, in batches.

        :param latents: (N, D)
        :param actions: in [-1, 1], (N, H, A)
        :returns: (N, H, D)
        """
        commands = torch.as_tensor(actions, dtype=torch.float32)
        return torch.cat([self.model.predict(latents[at:at + _BATCH], commands[at:at + _BATCH])
                          for at in range(0, len(commands), _BATCH)])

    def foresee(self, latents: torch.Tensor, actions: Floats) -> Floats:
        """Return imagined features in physical units, (N, H, F)."""
        return self.read(self.imagine(latents, actions))


@torch.inference_mode()
def asked(model: WorldModel, windows: Windows) -> Asked:
    """
    Return the model with what reads its latents: itself, or a ridge probe on recorded states.

    :param windows: recorded states that the probe is fitted on
    """
    if isinstance(model, Decodes):
        decode = model.decode
        return Asked(model, lambda z: np.asarray(decode(z).double().numpy(), np.float64), True)
    probe = ridge_fit(windows.latents.double().numpy(), windows.features[:, 0])

    def read(z: torch.Tensor) -> Floats:
        flat = z.reshape(-1, z.shape[-1]).double().numpy()
        return probe.predict(flat).reshape(*z.shape[:-1], -1)

    return Asked(model, read, False)


def encode_states(model: WorldModel, windows: Windows) -> torch.Tensor:
    """Encode the states of windows one by one, without what came before, (N, D)."""
    obs = torch.as_tensor(windows.features[:, 0], dtype=torch.float32)
    before = torch.as_tensor(windows.before, dtype=torch.float32)
    return model.encode(obs, None, before, torch.zeros(len(obs), dtype=torch.bool))


def scales(evidence: Evidence) -> Floats:
    """
    Return the standard deviation of each feature over all recorded slots, (F,).

    One that does not vary is infinite: nothing is expressed in units of it.
    """
    std = np.concatenate([t.features for t in evidence.trajectories]).std(axis=0)
    return np.where(std > 1e-9, std, np.inf)


def candidates(
    settings: PlannerSettings, count: int, horizon: int, width: int, rng: np.random.Generator
) -> Floats:
    """
    Draw command sequences as a search would, independent of the state.

    Half are first-order autoregressive noise of the search's spread and correlation, half a few
    commands held in turn, uniform and often at the limit.

    :returns: in [-1, 1], within ``planner.action_limit``, (count, horizon, width)
    """
    limit = settings.action_limit
    noise = rng.standard_normal((count, horizon, width))
    for h in range(1, horizon):
        noise[:, h] = (settings.noise_beta * noise[:, h - 1]
                       + (1 - settings.noise_beta**2) ** 0.5 * noise[:, h])
    out = noise * max(settings.noise_std, settings.noise_floor)
    held = count // 2
    values = rng.uniform(-1.5, 1.5, (held, _SEGMENTS, width)) * limit
    ends = rng.uniform(0, horizon, (held, _SEGMENTS - 1, 1))
    segment = (np.arange(horizon) >= ends).sum(axis=1)                    # (held, H)
    out[:held] = np.take_along_axis(values, segment[..., None], axis=1)
    return np.clip(out, -limit, limit)


def pick(windows: Windows, count: int, rng: np.random.Generator) -> Windows:
    """Return so many windows drawn without replacement, in their order; all if there are less."""
    if len(windows) <= count:
        return windows
    chosen: Ints = np.sort(rng.choice(len(windows), size=count, replace=False))
    return windows.take(chosen)
