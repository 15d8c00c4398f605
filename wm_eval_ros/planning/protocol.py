"""What a planner is to the planner node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

#: returns the steady time [ns]; passed in, so that tests own it
Clock = Callable[[], int]


@dataclass(frozen=True)
class Plan:
    """What a planner decided, and on what grounds."""

    #: chosen actions in [-1, 1], shape (H, A), float32; row 0 is executed
    actions: torch.Tensor
    #: imagined latents of the chosen actions, (H, D); None: the planner imagines nothing
    rollout: torch.Tensor | None
    #: objective of the chosen actions, lower is better; NaN where there is none
    cost: float
    samples: int = 0
    iterations: int = 0
    #: candidates whose rollout was not finite, over all iterations
    nonfinite: int = 0


class Planner(Protocol):
    """Anytime: returns its best so far when the budget ends."""

    def reset(self, seed: int) -> None:
        """Forget the warm start; seed the planner's own generator."""
        ...

    def plan(
        self,
        latent: torch.Tensor,
        goal: torch.Tensor,
        deadline_ns: int,
        *,
        elapsed_steps: int = 1,
        in_flight: torch.Tensor | None = None,
    ) -> Plan:
        """
        Decide.

        :param latent: encoded state, (D,)
        :param goal: goal vector in the interface's order, the pixels of its image behind it,
            (G,), G may be 0
        :param deadline_ns: time on the planner's clock by which to return; at most one iteration
            begun before it may end after it
        :param elapsed_steps: slots since the last plan: the warm start is shifted by as many
        :param in_flight: actions already sent that will be executed before this one takes effect,
            (L, A); the model is rolled through them first
        """
        ...
