"""How wrong imagined futures are, in physical units, and whether the model knows it."""

from __future__ import annotations

import numpy as np
import torch

from wm_eval_ros.metrics.base import count_value, missing, Values
from wm_eval_ros.metrics.calibration import abstention, calibration, Residuals
from wm_eval_ros.metrics.interpretability import probed
from wm_eval_ros.models.protocol import KnowsSpread
from wm_eval_ros.records import MetricValue
from wm_eval_ros.stats.regression import linear_probe
from wm_eval_ros.stats.special import normal_quantile
from wm_eval_ros.training.fidelity_asked import Asked, encode_states
from wm_eval_ros.training.fidelity_data import Floats, Windows
from wm_eval_ros.training.fidelity_figures import mean, ratio, reported, rms, with_why

#: states a latent probe is fitted on at most
MOST_PROBED = 2000


def unit_of(feature: str) -> str:
    """
    Return the unit of a feature by its field path; joints may turn or slide.

    >>> [unit_of(n) for n in ('tip_pose.pose.position.x', 'joint_states.position[a]:cos')]
    ['m', '1']
    """
    path = feature.partition('.')[2]
    if path.endswith((':cos', ':sin')) or 'orientation' in path:
        return '1'
    known = {'pose.position': 'm', 'linear': 'm/s', 'angular': 'rad/s',
             'position[': 'rad or m', 'velocity[': 'rad/s or m/s', 'effort[': 'N m or N'}
    return next((unit for part, unit in known.items() if part in path), 'of the interface')


def prediction(
    names: tuple[str, ...], windows: Windows, foreseen: Floats, scale: Floats
) -> Values:
    """
    Return probe error and persistence of each feature at the reported steps, and their ratio.

    :param names: of the features, (F,)
    :param foreseen: imagined features under the executed commands, (N, H, F)
    :param scale: standard deviation of each feature, (F,)
    """
    found: list[MetricValue] = []
    for h in reported(foreseen.shape[1]):
        seen, start = windows.features[:, h], windows.features[:, 0]
        good = np.isfinite(seen).all(axis=1) & np.isfinite(foreseen[:, h - 1]).all(axis=1)
        error = (foreseen[good, h - 1] - seen[good]) ** 2
        still = (start[good] - seen[good]) ** 2
        episodes = windows.episodes[good]
        found.append(ratio(
            f'probe_ratio[h={h}]', '1', (error / scale**2).sum(-1), (still / scale**2).sum(-1),
            episodes, 'the world stood still: persistence makes no error'))
        for f, name in enumerate(names):
            for kind, squares in (('probe_error', error), ('probe_persistence', still)):
                found.append(rms(f'{kind}[{name}, h={h}]', unit_of(name), squares[:, f],
                                 episodes))
    bad = int(np.sum(~np.isfinite(foreseen).all(axis=(1, 2))))
    return (*found, count_value('probe_nonfinite', bad, len(foreseen)))


@torch.inference_mode()
def confidence(asked: Asked, windows: Windows, imagined: torch.Tensor) -> Values:
    """
    Return calibration and risk-coverage of the model's predicted spread.

    :param imagined: latents under the executed commands, (N, H, D)
    """
    model = asked.model
    horizon = imagined.shape[1]
    names = [f'{kind}[h={h}]' for h in reported(horizon)
             for kind in ('calibration_ece', 'calibration_mce', 'coverage90')]
    names += ['aurc', 'aurc_excess']
    if not isinstance(model, KnowsSpread):
        return tuple(missing(n, '1', 'the model predicts no spread') for n in names)
    actions = torch.as_tensor(windows.actions, dtype=torch.float32)
    spread = model.spread(windows.latents, actions).double().numpy()
    found: list[MetricValue] = []
    steps = {h: _residuals(asked, windows, imagined, spread, h) for h in reported(horizon)}
    for h, residuals in steps.items():
        found += [*calibration(residuals, h), coverage(residuals, h)]
    return (*found, *abstention(steps[1]))


def coverage(found: Residuals, step: int) -> MetricValue:
    """Return the share of outcomes within the central 90 % predicted: which way it is wrong."""
    name = f'coverage90[h={step}]'
    if not found.error.size:
        return missing(name, '1', 'no outcome met a prediction of spread')
    inside = np.mean(np.abs(found.error / found.std) <= normal_quantile(0.95), axis=1)
    return mean(name, '1', inside, found.episodes)


def _residuals(
    asked: Asked, windows: Windows, imagined: torch.Tensor, spread: Floats, step: int
) -> Residuals:
    """Return realised less imagined latents at a step; entries of zero spread are left out."""
    later = Windows(windows.latents, windows.features[:, step:], windows.actions[:, step - 1],
                    windows.actions[:, step - 1:], windows.episodes, None)
    seen = encode_states(asked.model, later).double().numpy()
    error = seen - imagined[:, step - 1].double().numpy()
    std = spread[:, step - 1]
    known = np.isfinite(error).all(1) & np.isfinite(std).all(1)
    columns = (std[known] > 0).all(axis=0)
    return Residuals(error[known][:, columns], std[known][:, columns], windows.episodes[known])


def interpretability(asked: Asked, names: tuple[str, ...], windows: Windows) -> Values:
    """Return held-out R^2 of a linear probe from the latent to each feature, and its null."""
    some = windows.spread_over(MOST_PROBED)
    latents = some.latents.double().numpy()
    own = set(getattr(asked.model, 'latent_names', ()))
    found: list[MetricValue] = []
    for f, name in enumerate(names):
        value, null = probed(name, len(some), linear_probe(latents, some.features[:, 0, f],
                                                           some.episodes))
        trivial = 'trivial: the latent holds this feature itself' if name in own else ''
        found += [with_why(value, trivial), null]
    return tuple(found)
