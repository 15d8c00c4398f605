"""The objective: distances worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from wm_eval_ros.config.scenario import ConstraintTerm, ObjectiveTerm, PlannerSettings
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.planning.objective import goal_names, Objective

NAMES = ('tip.x', 'tip.y', 'cup.x', 'cup.y')
#: two steps of one candidate: the tip walks from (0, 0) to (3, 4), the cup stays at (0, 4)
FEATURES = torch.tensor([[[0.0, 0.0, 0.0, 4.0], [3.0, 4.0, 0.0, 4.0]]])
GOAL = torch.tensor([7.0])


def cost(interface: Any, *terms: ObjectiveTerm, spread: float = 0.0, **changes: Any) -> float:
    objective = Objective(PlannerSettings(objective=terms, **changes), NAMES, interface)
    actions = torch.tensor([[[1.0], [0.0]]])
    return float(objective(FEATURES, GOAL, actions, torch.full((1, 2), spread)))


ORIGIN = ObjectiveTerm(features=('tip.x', 'tip.y'), target=('0', '0.0'))
CUP = ObjectiveTerm(features=('tip.x', 'tip.y'), target=('cup.x', 'cup.y'))
AT_GOAL = ObjectiveTerm(features=('tip.x',), target=('goal.position[0]',))


@pytest.mark.parametrize(('terms', 'changes', 'want'), [
    pytest.param((ORIGIN,), {}, (0 + 5) / 2, id='distance-to-numbers'),
    pytest.param((CUP,), {}, (4 + 3) / 2, id='distance-between-features'),
    pytest.param((AT_GOAL,), {}, (7 + 4) / 2, id='distance-to-a-goal-field'),
    pytest.param((ObjectiveTerm(features=ORIGIN.features, target=ORIGIN.target, weight=2.0,
                                shape='square'),), {}, 2 * (0 + 25) / 2, id='weighted-square'),
    pytest.param((ORIGIN, CUP), {}, (0 + 5 + 4 + 3) / 2, id='terms-add-up'),
    pytest.param((ORIGIN,), {'terminal_weight': 2.0}, 2.5 + 2 * 5, id='last-step-extra'),
    pytest.param((ORIGIN,), {'control_weight': 4.0}, 2.5 + 4 * 0.5, id='mean-squared-command'),
    pytest.param((ORIGIN,), {'jerk_weight': 4.0}, 2.5 + 4 * 0.5, id='change-of-the-command'),
    # x is 0, then 3
    pytest.param((ORIGIN,), {'constraints': (ConstraintTerm(feature='tip.x', high=1.0),)},
                 2.5 + (0 + 2) / 2, id='above-its-bound'),
    pytest.param((ORIGIN,), {'constraints': (
        ConstraintTerm(feature='tip.x', low=0.5, high=4.0, weight=3.0),)},
                 2.5 + 3 * (0.5 + 0) / 2, id='below-its-bound-weighted'),
    pytest.param((ORIGIN,), {'terminal_weight': 1.0, 'constraints': (
        ConstraintTerm(feature='tip.x', high=1.0),)}, 2.5 + 1 + 5 + 2, id='last-step-of-bounds'),
    pytest.param((ORIGIN,), {'uncertainty_weight': 3.0}, 2.5 + 3 * 0.25, id='disagreement'),
])
def test_cost_is_what_the_text_says(
    terms: tuple[ObjectiveTerm, ...], changes: dict[str, Any], want: float, interface: Any
) -> None:
    assert cost(interface, *terms, spread=0.25, **changes) == pytest.approx(want)


def test_goal_fields_are_named_by_topic(interface: Any) -> None:
    assert goal_names(interface) == ('goal.position[0]',)


@pytest.mark.parametrize(('bounds', 'says'), [
    pytest.param(ConstraintTerm(feature='tip.x'), 'neither low nor high', id='no-bound'),
    pytest.param(ConstraintTerm(feature='tip.x', low=2.0, high=1.0), 'is above', id='crossed'),
    pytest.param(ConstraintTerm(feature='tip.z', low=0.0), 'did you mean', id='misspelt'),
])
def test_bounds_that_cannot_be_kept_are_refused(
    bounds: ConstraintTerm, says: str, interface: Any
) -> None:
    with pytest.raises(ConfigError, match=rf'planner\.constraints\[0\].*{says}'):
        cost(interface, ORIGIN, constraints=(bounds,))
