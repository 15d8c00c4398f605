"""How good a world model is on held-out episodes: error against persistence, and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from wm_eval_ros.errors import BagError
from wm_eval_ros.models.protocol import KnowsSpread, Latent, TrainedModel
from wm_eval_ros.training.columns import Columns
from wm_eval_ros.training.trajectory import Trajectory
from wm_eval_ros.training.windows import cut

#: windows evaluated at most: evenly spread over all
MOST_WINDOWS = 4096


@torch.no_grad()
def evaluate(
    model: TrainedModel, held: Sequence[Trajectory], horizon: int, observed: int = 1
) -> dict[str, Any]:
    """
    Score a model open loop.

    Errors are root mean squares over windows and features, each feature in units of its standard
    deviation in training. Persistence predicts that nothing changes; a ratio below 1 beats it.

    :param held: episodes the model was not trained on
    :param horizon: steps imagined without correction; shortened to the longest episode
    :param observed: slots encoded one after the other before imagining begins, for families with
        a memory
    :returns: ``one_step_rmse``, ``one_step_persistence``, ``one_step_ratio``; per imagined step
        ``rmse``, ``persistence``; ``coverage90``: share of one-step outcomes within the central
        90 % interval predicted for them, None where the model predicts none; ``windows``,
        ``horizon``
    :raises BagError: no episode has a slot after those observed
    """
    columns = Columns.of(model.spec.interface)
    longest = max((len(t.features) for t in held), default=0)
    horizon = max(1, min(horizon, longest - observed))
    found = _imagined(model, held, horizon, observed, columns)
    scale = model.tensors['feature_scale']
    seen = found.features[:, :1]
    rmse = _rms((model.decode(found.rollout) - found.features[:, 1:]) / scale)
    still = _rms((seen - found.features[:, 1:]) / scale)
    return {
        'one_step_rmse': rmse[0], 'one_step_persistence': still[0],
        'one_step_ratio': rmse[0] / still[0] if still[0] else None,
        'rmse': rmse, 'persistence': still,
        'coverage90': _coverage(model, held, observed, columns),
        'windows': len(found.features), 'horizon': horizon,
    }


@dataclass(frozen=True)
class _Imagined:
    #: (N, D)
    start: Latent
    #: (N, H, A)
    actions: torch.Tensor
    #: (N, H, D)
    rollout: Latent
    #: in physical units, the first of the slot imagined from, (N, H + 1, F)
    features: torch.Tensor


def _imagined(
    model: TrainedModel, held: Sequence[Trajectory], horizon: int, observed: int, columns: Columns
) -> _Imagined:
    """Encode the observed slots of windows in their order and imagine the rest."""
    windows = cut(held, observed - 1 + horizon)
    if not len(windows):
        raise BagError(f'no held-out episode has {observed + horizon} consecutive slots; hold '
                       'longer ones out')
    features, before, actions = windows.gather(windows.spread_over(MOST_WINDOWS))
    z = model.encode(features[:, 0, :columns.seen], prev_action=before)
    for t in range(1, observed):
        z = model.encode(features[:, t, :columns.seen], z, actions[:, t - 1])
    coming = actions[:, observed - 1:]
    return _Imagined(z, coming, model.predict(z, coming),
                     columns.named(features[:, observed - 1:]))


def _rms(error: torch.Tensor) -> list[float]:
    """(N, H, F) -> H root mean squares."""
    return [float(v) for v in error.square().mean((0, 2)).sqrt()]


def _coverage(model: TrainedModel, held: Sequence[Trajectory], observed: int,
              columns: Columns) -> float | None:
    """
    Share of one-step outcomes within the central 90 % of the predictive distribution.

    That is taken as a Gaussian of the predicted mean and spread, over the members of an ensemble
    as in Lakshminarayanan et al. 2017.
    """
    names = getattr(model, 'latent_names', ())[:len(columns.names)]
    if not isinstance(model, KnowsSpread) or names != columns.names:
        return None
    found = _imagined(model, held, 1, observed, columns)
    f = found.features.shape[-1]
    unit = model.tensors['feature_scale']
    spread = model.spread(found.start, found.actions)[:, 0, :f] * unit
    off = (found.features[:, 1] - model.decode(found.rollout)[:, 0]).abs()
    return float((off <= 1.6449 * spread).float().mean())
