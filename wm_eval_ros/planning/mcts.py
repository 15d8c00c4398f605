"""
Monte Carlo tree search over a grid of commands, anytime against a deadline.

UCT (Kocsis & Szepesvari 2006) in batches: an iteration descends the tree ``planner.samples``
times, marking its ways as it goes so that they part (Liu et al. 2020, arXiv:1810.11755), and has
all leaves imagined at once.
"""

from __future__ import annotations

from collections.abc import Callable
import math
import time

import torch

from wm_eval_ros.config.interface import Interface
from wm_eval_ros.config.scenario import PlannerSettings
from wm_eval_ros.models.protocol import Latent, WorldModel
from wm_eval_ros.planning.search import Search, SearchPlanner


class Node:
    """What is known of the sequences that begin with one prefix of choices."""

    __slots__ = ('begun', 'children', 'count', 'total')

    def __init__(self, bins: int) -> None:
        #: one for each value of the next field of the command
        self.children: list[Node | None] = [None] * bins
        #: descents through it, those whose cost is still awaited too
        self.begun = 0
        #: finite costs found below it, and their sum
        self.count, self.total = 0, 0.0


class TreeSearch(Search):
    """The tree of one decision, and the range of the costs in it."""

    def __init__(self, best: torch.Tensor, bins: int) -> None:
        super().__init__(best)
        self.root = Node(bins)
        self.low, self.high = math.inf, -math.inf

    def told(self, path: list[Node], cost: float) -> None:
        """Add a cost to all nodes of a descent; one that is not finite weighs nothing."""
        if not math.isfinite(cost):
            return
        self.low, self.high = min(self.low, cost), max(self.high, cost)
        for node in path:
            node.count += 1
            node.total += cost


class MctsPlanner(SearchPlanner):
    """
    Builds a tree of commands from the next one on.

    A level of the tree chooses one field of one command from ``planner.bins`` values, evenly
    spaced from ``-planner.action_limit`` to ``planner.action_limit``; so a command of A fields
    takes A levels, not ``bins^A`` branches. Below a leaf the default rollout goes on: the best
    sequence so far, moved on from the last decision. A leaf's value is the objective of its whole
    sequence. A plan is the cheapest sequence that was imagined.
    """

    name = 'mcts'
    uses = frozenset({'bins', 'exploration'})

    def __init__(
        self,
        settings: PlannerSettings,
        model: WorldModel | None,
        interface: Interface,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        super().__init__(settings, model, interface, clock)
        limit = settings.action_limit
        self._grid = torch.linspace(-limit, limit, settings.bins)

    def _begin(self, elapsed_steps: int) -> TreeSearch:
        return TreeSearch(self._plan_left(elapsed_steps), self._settings.bins)

    def _refine(self, search: Search, z: Latent, goal: torch.Tensor) -> None:
        assert isinstance(search, TreeSearch)
        # the first candidate of all is the warm start itself
        start = search.best[None][:1 if search.iterations == 1 else 0]
        count = self._settings.samples - len(start)
        order = torch.rand((count, self._settings.bins), generator=self._generator).tolist()
        ways = [self._descend(search, draw) for draw in order]
        actions = search.best.flatten().repeat(count, 1)
        for row, (choices, _) in zip(actions, ways, strict=True):
            row[:len(choices)] = self._grid[choices]
        tried = self._limited(torch.cat([start, actions.reshape(count, *self._shape)]))
        _, cost = self._try(search, z, goal, tried)
        for (_, path), found in zip(ways, cost[len(start):].tolist(), strict=True):
            search.told(path, found)

    def _descend(self, search: TreeSearch, draw: list[float]) -> tuple[list[int], list[Node]]:
        """
        Choose down to a new node, or to the end of the horizon.

        :param draw: which of several new children comes first
        :returns: choices (L,) and the nodes met, the root first (L + 1,)
        """
        node, choices, path = search.root, [], [search.root]
        node.begun += 1
        for _ in range(math.prod(self._shape)):
            new = [i for i, child in enumerate(node.children) if child is None]
            at = max(new, key=draw.__getitem__) if new else self._promising(search, node)
            child = node.children[at] or Node(self._settings.bins)
            node.children[at] = child
            child.begun += 1
            choices.append(at)
            path.append(child)
            if new:
                break
            node = child
        return choices, path

    def _promising(self, search: TreeSearch, node: Node) -> int:
        """Return the child of the highest upper bound; costs count in units of their range."""
        spread = max(search.high - search.low, 1e-12)
        fallback = node.total / node.count if node.count else search.low
        log = math.log(node.begun)

        def bound(child: Node | None) -> float:
            assert child is not None
            mean = child.total / child.count if child.count else fallback
            gain = (search.high - mean) / spread if math.isfinite(mean) else 0.0
            return gain + self._settings.exploration * math.sqrt(log / child.begun)

        bounds = [bound(child) for child in node.children]
        return bounds.index(max(bounds))
