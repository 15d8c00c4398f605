"""Does the model foresee what happens, and better than saying that nothing changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from wm_eval_ros.metrics.base import (
    Bools,
    count_value,
    Floats,
    mean_value,
    missing,
    Values,
)
from wm_eval_ros.metrics.dependence import by_episode_or_block, cluster_distribution
from wm_eval_ros.metrics.pairing import Errors
from wm_eval_ros.metrics.table import Run, TableMetric
from wm_eval_ros.records import MetricValue
from wm_eval_ros.stats.mean import cluster_ratio

_METHOD = 'bootstrap over episodes'
_NO_PAIR = 'no imagined latent met an encoded one of its episode'
_NOT_DRIVEN = 'in every pair somebody else drove: shadow mode, a fallback or an operator'


def executed(run: Run, steps: int) -> tuple[Errors, int]:
    """
    Keep the forecasts whose commands were the ones driven, up to the slot foreseen.

    :returns: their errors, and how many were left out because somebody else drove meanwhile
    """
    found = run.vectors.pairing.errors(steps)
    sent, own = run.driven.pairs(found.slots, steps)
    return found.where(sent & own), int(np.sum(sent & ~own))


def finite(errors: Errors) -> Bools:
    """Say which errors are numbers; the others are counted, never averaged."""
    return np.isfinite(errors.model) & np.isfinite(errors.persistence)


def _sums(run: Run, errors: Errors) -> tuple[Floats, Floats, Floats]:
    """Sum of model error, of persistence error, and number of pairs of each episode."""
    _, at = np.unique(run.driven.episodes(errors.slots), return_inverse=True)
    weights = (errors.model, errors.persistence, np.ones(len(at)))
    sums = [np.bincount(at, w).astype(float) for w in weights]
    return sums[0], sums[1], sums[2]


def step_errors(run: Run, steps: int, errors: Errors, why: str) -> Values:
    """
    Mean error of the model and of persistence over the same pairs, and their ratio.

    A model is not judged by those of its forecasts that are numbers: where one is none, neither
    its mean error nor the ratio has a value.

    :param errors: at that number of steps
    :param why: reason that stands where there is none
    """
    names = [f'{kind}[h={steps}]' for kind in
             ('prediction_error', 'persistence_error', 'prediction_ratio')]
    good = finite(errors)
    n, bad = int(np.sum(good)), int(np.sum(~good))
    if len(good) == 0:
        return tuple(missing(name, '1', why) for name in names)
    if n == 0:
        return tuple(missing(name, '1', _not_finite(bad, bad)) for name in names)
    model, persistence, sizes = _sums(run, errors.where(good))
    world = mean_value(names[1], '1', n, cluster_ratio(persistence, sizes), _METHOD)
    if bad:
        why = _not_finite(bad, len(good))
        rest = f'{why}; over the others it is {np.sum(model) / n:.6g}'
        return (missing(names[0], '1', rest, n), _with(world, why),
                missing(names[2], '1', why, n))
    return (mean_value(names[0], '1', n, cluster_ratio(model, sizes), _METHOD), world,
            _ratio(names[2], n, model, persistence))


def _not_finite(bad: int, n: int) -> str:
    return f'{bad} of {n} forecasts, or the latents they are held against, are not finite'


def _with(value: MetricValue, why: str) -> MetricValue:
    """Add a reason to those a figure has."""
    return replace(value, why='; '.join(filter(None, (value.why, why))))


def _ratio(name: str, n: int, model: Floats, persistence: Floats) -> MetricValue:
    if np.sum(persistence) <= 0:
        return missing(name, '1', 'the world stood still: persistence makes no error', n)
    return mean_value(name, '1', n, cluster_ratio(model, persistence), _METHOD)


def useful_horizon(ratios: Mapping[int, MetricValue]) -> MetricValue:
    """
    Return up to how many steps the model is shown to beat persistence, from the first step on.

    The steps are tested in order until the first at which the interval of the ratio does not lie
    below 1. Such a fixed sequence needs no correction (Maurer, Hothorn and Lehmacher, 1995): a
    model that is no better at any step gets more than 0 as often as the first test errs.

    :param ratios: error ratio by number of steps
    :returns: None where the first step could not be tested; n is the number of tests
    """
    name = 'useful_prediction_horizon'
    best = 0
    while (ratio := ratios.get(best + 1)) is not None and ratio.interval is not None:
        if not ratio.interval.high < 1:
            return MetricValue(name, float(best), 'steps', best + 1,
                               why=f'not shown to beat persistence at {best + 1} steps')
        best += 1
    why = ratio.why if ratio is not None else 'no forecast reaches further'
    if best == 0:
        return missing(name, 'steps', f'at 1 step: {why}')
    return MetricValue(name, float(best), 'steps', best, why=f'at {best + 1} steps: {why}')


class Prediction(TableMetric):
    """One-step and h-step error of executed plans, beside persistence."""

    def values(self, run: Run) -> Values:
        """Return the error at every step that was imagined, and how far it is useful."""
        curve: dict[int, Values] = {}
        pairs = bad = excluded = 0
        for steps in range(1, max(run.vectors.pairing.steps, 1) + 1):
            errors, others = executed(run, steps)
            good = finite(errors)
            pairs, excluded = pairs + len(good), excluded + others
            bad += int(np.sum(~good))
            if len(good) or steps == 1:
                curve[steps] = step_errors(run, steps, errors,
                                           _NOT_DRIVEN if others else _NO_PAIR)
        return (*(v for values in curve.values() for v in values),
                useful_horizon({h: values[2] for h, values in curve.items()}),
                _count('prediction_nonfinite', bad, pairs, _NOT_DRIVEN if excluded else _NO_PAIR),
                _count('prediction_excluded', excluded, pairs + excluded, _NO_PAIR),
                *replanning(run))


def _count(name: str, count: int, n: int, why: str) -> MetricValue:
    return count_value(name, count, n) if n else missing(name, '1', why)


def replanning(run: Run) -> Values:
    """Return how far each plan lies from what is left of the plan before it, over its slots."""
    found = run.vectors.pairing.replans()
    sent, own = run.driven.pairs(found.slots, 1)
    good = sent & own & np.isfinite(found.model)
    why = 'no two successive plans were imagined in latents and driven'
    slots = found.slots[good]
    owners = by_episode_or_block(run.driven.episodes(slots), slots)
    return cluster_distribution('plan_inconsistency', '1', found.model[good], owners, why)
