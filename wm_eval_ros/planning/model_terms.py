"""Terms of an objective that the model's own heads give: of latents, not of features."""

from __future__ import annotations

import torch

from wm_eval_ros.config.interface import Interface
from wm_eval_ros.config.scenario import PlannerSettings
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.models.protocol import (
    EncodesGoal,
    KnowsConstraints,
    KnowsValue,
    Latent,
    Rewards,
    WorldModel,
)

#: setting -> what a model must know for it, and how that is said
_NEEDS: dict[str, tuple[type, str]] = {
    'goal_weight': (EncodesGoal, 'encodes no goals'),
    'reward_weight': (Rewards, 'foresees no rewards'),
    'constraint_weight': (KnowsConstraints, 'knows no constraints'),
}


class ModelTerms:
    """
    What a model says of rollouts, lower is better.

    :raises ConfigError: a weight for what the model does not know, or a goal that is no
        observation
    """

    def __init__(
        self, settings: PlannerSettings, model: WorldModel, interface: Interface
    ) -> None:
        self._settings, self._model = settings, model
        for name, (ability, lack) in _NEEDS.items():
            if getattr(settings, name) and not isinstance(model, ability):
                raise ConfigError(f'planner.{name}: model {model.spec.name!r} {lack}; set it to 0')
        if settings.goal_weight:
            require_observable_goal(interface)
        self._goal: tuple[torch.Tensor, torch.Tensor] | None = None
        #: columns of the latent that hold the command in force, (A,)
        self.in_force = _command_columns(model) if settings.jerk_weight else []

    def stage(self, rollout: Latent, goal: torch.Tensor) -> torch.Tensor | None:
        """Return what each imagined step costs, (K, H, D) to (K, H); None: nothing asked."""
        settings, model, found = self._settings, self._model, []
        if settings.goal_weight:
            assert isinstance(model, EncodesGoal)
            apart = (model.code(rollout) - self._encoded(model, goal)).square().mean(-1)
            # at the goal itself the distance has no direction: its gradient there is 0
            found.append(settings.goal_weight
                         * apart.clamp(min=torch.finfo(apart.dtype).tiny).sqrt())
        if settings.constraint_weight:
            assert isinstance(model, KnowsConstraints)
            beyond = model.constraints(rollout).clamp(min=0.0).sum(-1)
            found.append(settings.constraint_weight * beyond)
        return torch.stack(found).sum(0) if found else None

    def missed(self, start: Latent, rollout: Latent, actions: torch.Tensor) -> torch.Tensor | None:
        """
        Return the rewards foreseen, with their sign turned.

        :param start: latents that the rollouts begin at, (K, D)
        :returns: (K,); None: nothing asked
        """
        model = self._model
        if not self._settings.reward_weight:
            return None
        assert isinstance(model, Rewards)
        taken_in = torch.cat([start[:, None], rollout[:, :-1]], 1)
        won = model.rewards(taken_in, actions).sum(1)
        if isinstance(model, KnowsValue):
            won = won + model.value(rollout[:, -1])
        return -self._settings.reward_weight * won

    def _encoded(self, model: EncodesGoal, goal: torch.Tensor) -> torch.Tensor:
        """Return the code of a goal, found once for each goal, (C,)."""
        if self._goal is None or not torch.equal(self._goal[0], goal):
            with torch.inference_mode(False), torch.no_grad():
                kept = goal.clone()
                self._goal = kept, model.encode_goal(kept[None])[0].clone()
        return self._goal[1]


def require_observable_goal(interface: Interface) -> None:
    """
    Refuse a goal that is not what would be observed at it.

    :raises ConfigError: names what the goal lacks
    """
    wanted = [field for stream in interface.observations for field in stream.fields]
    given = list(interface.goal.fields) if interface.goal is not None else []
    if [_turned(f) for f in wanted] != [_turned(f) for f in given]:
        raise ConfigError(
            f'planner.goal_weight: the goal is encoded as an observation, of the fields '
            f'{", ".join(wanted) or "(none)"}; interface.goal has {", ".join(given) or "none"}: '
            'give it as many of the same kind')
    seen, image = interface.images, interface.goal_image
    if len(seen) > 1 or [(i.width, i.height) for i in seen] != (
            [] if image is None else [(image.width, image.height)]):
        raise ConfigError('planner.goal_weight: the goal is encoded as an observation; give '
                          'interface.goal_image the size of the one image that the model sees, '
                          'and none where it sees none')


def _turned(field: str) -> bool:
    """Say whether a field gives two features."""
    return field.endswith(':angle')


def _command_columns(model: WorldModel) -> list[int]:
    command, names = model.spec.interface.command, list(getattr(model, 'latent_names', ()))
    wanted = [f'{command.topic}.{field}' for field in command.fields]
    if not set(wanted) <= set(names):
        raise ConfigError(f'planner.jerk_weight: the latents of model {model.spec.name!r} do not '
                          'name the command in force; set it to 0')
    return [names.index(name) for name in wanted]
