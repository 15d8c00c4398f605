"""The objective of a scenario as a function of imagined features; lower is better."""

from __future__ import annotations

from collections.abc import Sequence
import math

import torch

from wm_eval_ros.config.interface import Interface, Stream
from wm_eval_ros.config.scenario import ConstraintTerm, ObjectiveTerm, PlannerSettings
from wm_eval_ros.config.schema import did_you_mean
from wm_eval_ros.errors import ConfigError


def goal_names(interface: Interface) -> tuple[str, ...]:
    """Return the names of the goal vector's entries, ``topic.field`` each; () without a goal."""
    return () if interface.goal is None else _names(interface.goal)


class Objective:
    """
    Weighted distances of imagined features to their targets.

    Of each candidate: mean over steps of the summed terms and of how far features lie beyond
    their bounds, plus ``terminal_weight`` times the last step's, plus ``control_weight`` times
    the mean squared action, plus ``jerk_weight`` times its mean squared change, plus
    ``uncertainty_weight`` times the mean disagreement of the model's members.

    :param feature_names: what a latent decodes to, in order
    :raises ConfigError: no term, a name neither the model nor the goal has, or bounds that
        nothing keeps
    """

    def __init__(
        self, settings: PlannerSettings, feature_names: Sequence[str], interface: Interface
    ) -> None:
        if not (settings.objective or settings.goal_weight or settings.reward_weight):
            raise ConfigError('planner.objective: no term, and neither goal_weight nor '
                              'reward_weight; say what the imagined future should reach')
        self.terminal_weight = settings.terminal_weight
        self.control_weight = settings.control_weight
        self.jerk_weight = settings.jerk_weight
        self.uncertainty_weight = settings.uncertainty_weight
        self._terms = [_Term(t, f'planner.objective[{i}]', feature_names, goal_names(interface))
                       for i, t in enumerate(settings.objective)]
        self._bounds = [_Bounds(t, f'planner.constraints[{i}]', feature_names)
                        for i, t in enumerate(settings.constraints)]

    def __call__(
        self,
        features: torch.Tensor,
        goal: torch.Tensor,
        actions: torch.Tensor,
        spread: torch.Tensor | None = None,
        *,
        before: torch.Tensor | None = None,
        more: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """
        Cost of each candidate.

        :param features: imagined, in physical units, (K, H, F)
        :param goal: (G,)
        :param actions: in [-1, 1], (K, H, A)
        :param spread: disagreement of the model's members, (K, H)
        :param before: command in force before the first, (A,); None: its change costs nothing
        :param more: what each step costs besides, (K, H)
        :returns: (K,)
        """
        stage = torch.zeros(features.shape[:2]) if more is None else more
        for term in self._terms:
            stage = stage + term(features, goal)
        for bounds in self._bounds:
            stage = stage + bounds(features)
        cost = stage.mean(1)
        if self.terminal_weight:
            cost = cost + self.terminal_weight * stage[:, -1]
        if self.control_weight:
            cost = cost + self.control_weight * actions.square().mean((1, 2))
        if self.jerk_weight:
            cost = cost + self.jerk_weight * _jerk(actions, before)
        if self.uncertainty_weight and spread is not None:
            cost = cost + self.uncertainty_weight * spread.mean(1)
        return cost


class _Term:
    """One term, its names resolved to indices once."""

    def __init__(
        self, term: ObjectiveTerm, where: str, features: Sequence[str], goal: Sequence[str]
    ) -> None:
        if len(term.features) != len(term.target) or not term.features:
            raise ConfigError(f'{where}: {len(term.features)} features and {len(term.target)} '
                              'targets; give one target for each feature')
        self._columns = [_index(name, features, f'{where}.features') for name in term.features]
        self._targets = [_target(name, features, goal, f'{where}.target') for name in term.target]
        self._weight, self._square = term.weight, term.shape == 'square'

    def __call__(self, features: torch.Tensor, goal: torch.Tensor) -> torch.Tensor:
        """(K, H, F), (G,) -> (K, H)."""
        squares = torch.zeros(features.shape[:2])
        for column, (kind, value) in zip(self._columns, self._targets, strict=True):
            want = (goal[int(value)] if kind == 'goal' else
                    features[..., int(value)] if kind == 'feature' else value)
            squares += (features[..., column] - want).square()
        if self._square:
            return self._weight * squares
        if squares.requires_grad:
            # at the target itself the distance has no direction: its gradient there is 0, not NaN
            squares = squares.clamp(min=torch.finfo(squares.dtype).tiny)
        return self._weight * squares.sqrt()


class _Bounds:
    """What a feature should keep within."""

    def __init__(self, term: ConstraintTerm, where: str, features: Sequence[str]) -> None:
        if term.low is None and term.high is None:
            raise ConfigError(f'{where}: neither low nor high; give at least one')
        if term.low is not None and term.high is not None and term.low > term.high:
            raise ConfigError(f'{where}: low {term.low:g} is above high {term.high:g}; no value '
                              'keeps both')
        self._column = _index(term.feature, features, f'{where}.feature')
        self._low, self._high, self._weight = term.low, term.high, term.weight

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """(K, H, F) -> (K, H)."""
        value = features[..., self._column]
        # a value that is not finite stays so, and is judged by that
        return self._weight * (value - value.clamp(self._low, self._high)).abs()


def _jerk(actions: torch.Tensor, before: torch.Tensor | None) -> torch.Tensor:
    """Return the mean squared change of commands, (K, H, A) to (K,)."""
    first = actions[:, :1] if before is None else before.expand(len(actions), 1, -1)
    return (actions - torch.cat([first, actions[:, :-1]], 1)).square().mean((1, 2))


def _index(name: str, names: Sequence[str], where: str) -> int:
    if name not in names:
        raise ConfigError(f'{where}: the model predicts no {name!r}{did_you_mean(name, names)}')
    return list(names).index(name)


def _target(
    name: str, features: Sequence[str], goal: Sequence[str], where: str
) -> tuple[str, float]:
    if name in goal:
        return 'goal', list(goal).index(name)
    if name in features:
        return 'feature', list(features).index(name)
    try:
        number = float(name)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(f'{where}: {name!r} is no goal field, feature or finite number'
                          f'{did_you_mean(name, [*goal, *features])}')
    return 'number', number


def _names(stream: Stream) -> tuple[str, ...]:
    return tuple(f'{stream.topic}.{name}' for field in stream.fields for name in _numbers(field))


def _numbers(field: str) -> tuple[str, ...]:
    """Return the names of a field's numbers: of an angle there are two."""
    body = field.removesuffix(':angle')
    return (field,) if body == field else (f'{body}:cos', f'{body}:sin')
