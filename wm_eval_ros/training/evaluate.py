"""How good a world model is on held-out episodes: error against persistence, and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from wm_eval_ros.models.ensemble import EnsembleModel
from wm_eval_ros.training.trajectory import Trajectory
from wm_eval_ros.training.windows import cut, Windows

#: windows evaluated at most: evenly spread over all
MOST_WINDOWS = 4096


@torch.no_grad()
def evaluate(model: EnsembleModel, held: Sequence[Trajectory], horizon: int) -> dict[str, Any]:
    """
    Score a model open loop.

    Errors are root mean squares over windows and features, each feature in units of its standard
    deviation in training. Persistence predicts that nothing changes; a ratio below 1 beats it.

    :param held: episodes the model was not trained on
    :param horizon: steps imagined without correction; shortened to the longest episode
    :returns: ``one_step_rmse``, ``one_step_persistence``, ``one_step_ratio``; per imagined step
        ``rmse``, ``persistence``; ``coverage90``: share of one-step outcomes within the central
        90 % interval predicted for them; ``windows``, ``horizon``
    """
    horizon = max(1, min(horizon, max(len(t.features) for t in held) - 1))
    windows = cut(held, horizon)
    stride = max(1, len(windows) // MOST_WINDOWS)
    features, before, actions = windows.gather(torch.arange(0, len(windows), stride))
    z = model.encode(features[:, 0], prev_action=before)
    scale = model.latent_scale[:features.shape[-1]]
    imagined = model.decode(model.predict(z, actions))
    rmse = _rms((imagined - features[:, 1:]) / scale)
    still = _rms((features[:, :1] - features[:, 1:]) / scale)
    return {
        'one_step_rmse': rmse[0], 'one_step_persistence': still[0],
        'one_step_ratio': rmse[0] / still[0] if still[0] else None,
        'rmse': rmse, 'persistence': still, 'coverage90': _coverage(model, held),
        'windows': len(features), 'horizon': horizon,
    }


def _rms(error: torch.Tensor) -> list[float]:
    """(N, H, F) -> H root mean squares."""
    return [float(v) for v in error.square().mean((0, 2)).sqrt()]


def _coverage(model: EnsembleModel, held: Sequence[Trajectory]) -> float:
    """
    Share of one-step outcomes within the central 90 % of the predictive distribution.

    The mixture of the members is taken as a Gaussian of its mean and variance
    (Lakshminarayanan et al. 2017).
    """
    windows: Windows = cut(held, 1)
    stride = max(1, len(windows) // MOST_WINDOWS)
    features, before, actions = windows.gather(torch.arange(0, len(windows), stride))
    t = model.tensors
    z = (features - t['feature_mean']) / t['feature_scale']
    x = torch.cat([z[:, 0], before, actions[:, 0]], dim=-1)
    mean, logvar = model.net.head(x.expand(model.arch.members, *x.shape))
    variance = logvar.exp().mean(0) + mean.var(0, correction=0)
    outcome = (features[:, 1] - features[:, 0] - t['delta_mean']) / t['delta_scale']
    inside = (outcome - mean.mean(0)).abs() <= 1.6449 * variance.sqrt()
    return float(inside.float().mean())
