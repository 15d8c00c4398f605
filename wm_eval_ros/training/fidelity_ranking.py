"""Would the model pick the same plan as the world: candidates scored in both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.metrics.base import missing, Values
from wm_eval_ros.planning.objective import Objective
from wm_eval_ros.stats.correlation import kendall, spearman
from wm_eval_ros.training.fidelity_actions import Contrasts, NO_ORACLE
from wm_eval_ros.training.fidelity_data import Floats, Windows
from wm_eval_ros.training.fidelity_figures import mean, ratio

NAMES = {'top1_regret': 'cost', 'top1_regret_share': '1',
         'ranking_spearman': '1', 'ranking_kendall': '1'}


@dataclass(frozen=True)
class Costs:
    """The objective of each candidate, lower is better, (S, K) each."""

    model: Floats
    oracle: Floats


def ranking(contrast: Contrasts, chosen: Windows, scenario: Scenario,
            names: tuple[str, ...]) -> Values:
    """
    Return what picking by the model costs in the world, and how alike both order candidates.

    :param names: of the features, (F,)
    """
    why = NO_ORACLE if contrast.oracle is None else _lacking(chosen, scenario, names)
    if contrast.oracle is None or why:
        return tuple(missing(name, unit, why) for name, unit in NAMES.items())
    objective = Objective(scenario.planner, names, scenario.interface)
    costs = Costs(costs_of(objective, contrast.model, contrast.actions, chosen),
                  costs_of(objective, contrast.oracle, contrast.actions, chosen))
    return scored(costs, chosen)


def _lacking(chosen: Windows, scenario: Scenario, names: tuple[str, ...]) -> str:
    if chosen.goals is None:
        return 'the goal was not recorded at every slot, so candidates cannot be scored'
    asked = [name for name in ('goal_weight', 'reward_weight', 'constraint_weight')
             if getattr(scenario.planner, name)]
    if asked:
        return (f"the objective asks the model's own heads ({', '.join(asked)}), which the world "
                'does not have')
    try:
        Objective(scenario.planner, names, scenario.interface)
    except ConfigError as error:
        return f'the scenario scores no future: {error}'
    return ''


@torch.inference_mode()
def costs_of(objective: Objective, futures: Floats, actions: Floats, chosen: Windows) -> Floats:
    """
    Return the scenario's objective of futures; the model's disagreement is left out.

    :param futures: features in physical units, (S, K, H, F)
    :param actions: in [-1, 1], (S, K, H, A)
    :returns: (S, K); NaN where a future is not finite
    """
    goals = np.zeros((len(chosen), 0)) if chosen.goals is None else chosen.goals
    rows = [objective(torch.as_tensor(f, dtype=torch.float32),
                      torch.as_tensor(g, dtype=torch.float32),
                      torch.as_tensor(a, dtype=torch.float32)).double().numpy()
            for f, g, a in zip(futures, goals, actions, strict=True)]
    return np.stack(rows)


def scored(costs: Costs, chosen: Windows) -> Values:
    """
    Return regret and rank correlations over states.

    ``top1_regret``: the world's cost of the model's pick less that of the best candidate, mean
    over states. ``top1_regret_share``: the sum of those over the sum of what a pick at random
    would lose: 0 is the best pick, 1 as good as chance. A candidate that is not finite is never
    picked; states where the world gives all candidates one cost say nothing of the order.
    """
    model = np.where(np.isfinite(costs.model), costs.model, np.inf)
    usable = np.isfinite(costs.oracle).all(axis=1) & np.isfinite(model).any(axis=1)
    rows = np.flatnonzero(usable)
    world, own = costs.oracle[rows], model[rows]
    episodes = chosen.episodes[rows]
    best = world.min(axis=1)
    regret = world[np.arange(len(rows)), own.argmin(axis=1)] - best if len(rows) else best
    chance = world.mean(axis=1) - best
    orders = [(spearman(o, w).value, kendall(o, w).value, e)
              for o, w, e in zip(_ranked(own), world, episodes, strict=True)]
    known = [(s, k, e) for s, k, e in orders if s is not None and k is not None]
    rho, tau, of = (np.array([row[i] for row in known]) for i in range(3))
    why = 'no state where the candidates differ in both'
    return (mean('top1_regret', NAMES['top1_regret'], regret, episodes),
            ratio('top1_regret_share', '1', regret, chance, episodes, why),
            mean('ranking_spearman', '1', rho.astype(float), of.astype(np.int64), why),
            mean('ranking_kendall', '1', tau.astype(float), of.astype(np.int64), why))


def _ranked(costs: Floats) -> Floats:
    """Replace infinite costs by one above all others: only the order counts."""
    finite = np.where(np.isfinite(costs), costs, np.nan)
    worst = np.nanmax(finite, axis=1, keepdims=True, initial=0.0, where=np.isfinite(finite))
    return np.where(np.isfinite(costs), costs, worst + 1.0)
