"""Descent: action sequences follow the gradient of their cost, each on its own."""

from __future__ import annotations

import torch

from wm_eval_ros.models.protocol import Latent
from wm_eval_ros.planning.imagination import Imagination
from wm_eval_ros.planning.search import Search

#: of Adam (Kingma & Ba 2015), as published
_DECAY, _DECAY_SQUARE, _EPSILON = 0.9, 0.999, 1e-8


class Descent:
    """
    Adam on action sequences; made and stepped outside inference mode.

    A sequence whose cost or gradient is not finite takes no step.

    :param actions: (K, H, A)
    :param rate: largest change of a command by a step, but for the first few
    :param limit: commands are kept within this
    """

    def __init__(self, actions: torch.Tensor, rate: float, limit: float) -> None:
        self.actions, self._rate, self._limit = actions.clone(), rate, limit
        self._first, self._second = torch.zeros_like(actions), torch.zeros_like(actions)
        self._steps = 0
        #: of the actions as they are, infinite where not finite, (K,); None: not judged yet
        self.cost: torch.Tensor | None = None
        self._graph: tuple[torch.Tensor, torch.Tensor] | None = None

    def judge(self, search: Search, imagine: Imagination, z: Latent, goal: torch.Tensor) -> None:
        """Imagine the actions as they are, and let the search judge them."""
        leaf = self.actions.clone().requires_grad_()
        rollout, cost = imagine.with_gradients(z, goal, leaf)
        self._graph = leaf, cost
        self.cost = search.judge(self.actions, rollout.detach(), cost.detach())

    def step(self) -> None:
        """Follow the gradient of the costs last judged."""
        assert self._graph is not None and self.cost is not None
        leaf, cost = self._graph
        # costs of a batch do not depend on each other: the sum's gradient is that of each
        gradient, = torch.autograd.grad(cost.sum(), leaf)
        moves = torch.isfinite(gradient).flatten(1).all(1) & torch.isfinite(self.cost)
        gradient = torch.where(moves[:, None, None], gradient, 0.0)
        self._steps += 1
        self._first.lerp_(gradient, 1 - _DECAY)
        self._second.lerp_(gradient.square(), 1 - _DECAY_SQUARE)
        first = self._first / (1 - _DECAY ** self._steps)
        second = self._second / (1 - _DECAY_SQUARE ** self._steps)
        change = self._rate * first / (second.sqrt() + _EPSILON)
        self.actions = torch.where(moves[:, None, None], self.actions - change,
                                   self.actions).clamp_(-self._limit, self._limit)
