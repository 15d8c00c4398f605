"""The checker finds a planner that breaks a promise, and says which."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from wm_eval_ros.planning.cem import CemPlanner
from wm_eval_ros.planning.conformance import check_planner
from wm_eval_ros.planning.protocol import Plan


class Wrapped(CemPlanner):
    """A planner whose faults are laid over one that has none."""

    def plan(self, latent: Any, goal: Any, deadline_ns: int, **more: Any) -> Plan:
        return self.spoilt(super().plan(latent, goal, deadline_ns, **more))

    def spoilt(self, plan: Plan) -> Plan:
        return plan


class Flat(Wrapped):
    def spoilt(self, plan: Plan) -> Plan:
        return replace(plan, actions=plan.actions[0])


class Double(Wrapped):
    def spoilt(self, plan: Plan) -> Plan:
        return replace(plan, actions=plan.actions.double())


class Beyond(Wrapped):
    def spoilt(self, plan: Plan) -> Plan:
        return replace(plan, actions=plan.actions + 1.0)


class Other(Wrapped):
    def spoilt(self, plan: Plan) -> Plan:
        return replace(plan, rollout=None if plan.rollout is None else plan.rollout[1:])


class Costless(Wrapped):
    def spoilt(self, plan: Plan) -> Plan:
        return replace(plan, cost=float('nan'))


class Uncounted(Wrapped):
    def spoilt(self, plan: Plan) -> Plan:
        return replace(plan, nonfinite=0)


class Noisy(Wrapped):
    def spoilt(self, plan: Plan) -> Plan:
        return replace(plan, actions=plan.actions + 0.01 * torch.randn_like(plan.actions))


class Late(Wrapped):
    def plan(self, latent: Any, goal: Any, deadline_ns: int, **more: Any) -> Plan:
        return super().plan(latent, goal, 2 * max(deadline_ns, 20), **more)


class Lazy(Wrapped):
    def spoilt(self, plan: Plan) -> Plan:
        return replace(plan, iterations=0)


class Greedy(Wrapped):
    def plan(self, latent: Any, goal: Any, deadline_ns: int, **more: Any) -> Plan:
        goal += 0.1
        return super().plan(latent, goal, deadline_ns, **more)


class Remembers(Wrapped):
    def reset(self, seed: int) -> None:
        if not hasattr(self, '_generator'):
            super().reset(seed)


class Shares(Wrapped):
    def _end(self, search: Any) -> None:
        super()._end(search)
        self._last = search

    def spoilt(self, plan: Plan) -> Plan:
        return replace(plan, actions=self._mean)


class Blind(Wrapped):
    def plan(self, latent: Any, goal: Any, deadline_ns: int, **more: Any) -> Plan:
        return super().plan(latent, goal, deadline_ns, **{**more, 'in_flight': None})


class Trusting(Wrapped):
    def spoilt(self, plan: Plan) -> Plan:
        lost = torch.full_like(plan.actions, torch.nan)
        return plan if plan.nonfinite == 0 else replace(plan, actions=lost, cost=1.0)


def test_a_planner_that_keeps_the_protocol_passes() -> None:
    assert check_planner(Wrapped) == []


@pytest.mark.parametrize(('kind', 'says'), [
    pytest.param(Flat, 'actions of shape', id='shape'),
    pytest.param(Double, 'float64; they must be float32', id='type'),
    pytest.param(Beyond, 'beyond 0.8', id='limit'),
    pytest.param(Other, 'not what the model imagines', id='rollout'),
    pytest.param(Costless, 'has no cost', id='cost'),
    pytest.param(Uncounted, 'are not counted', id='count'),
    pytest.param(Noisy, 'its generator is not its own', id='seed'),
    pytest.param(Late, 'it returns after', id='deadline'),
    pytest.param(Lazy, 'it runs none', id='no-iteration'),
    pytest.param(Greedy, 'writes into its inputs', id='inputs'),
    pytest.param(Remembers, 'reset does not make it forget', id='reset'),
    pytest.param(Shares, 'changes the next one', id='shared-memory'),
    pytest.param(Blind, 'commands in flight are not', id='in-flight'),
    pytest.param(Trusting, 'neither are the actions', id='not-finite'),
])
def test_a_broken_promise_is_told(kind: Any, says: str) -> None:
    assert says in '; '.join(check_planner(kind))
