"""A planner that something happens to before each of its decisions, as an injected fault does."""

from __future__ import annotations

from collections.abc import Callable

import torch

from wm_eval_ros.planning.protocol import Plan, Planner


class StruckPlanner:
    """Strikes after the encoding, before the planner draws anything."""

    def __init__(self, planner: Planner, strike: Callable[[], object]) -> None:
        """
        Wrap a planner.

        :param strike: called before each decision; what it raises, the decision raises
        """
        self._planner, self._strike = planner, strike

    def reset(self, seed: int) -> None:
        """Reset the planner."""
        self._planner.reset(seed)

    def plan(
        self, latent: torch.Tensor, goal: torch.Tensor, deadline_ns: int, *,
        elapsed_steps: int = 1, in_flight: torch.Tensor | None = None,
    ) -> Plan:
        """Decide, or fail."""
        self._strike()
        return self._planner.plan(latent, goal, deadline_ns, elapsed_steps=elapsed_steps,
                                  in_flight=in_flight)
