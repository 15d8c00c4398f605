"""Does a planner keep the protocol? For the tests of this package and of yours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import dataclasses
import math
from typing import Any

import torch

from wm_eval_ros.config.interface import CommandStream, Interface, Stream
from wm_eval_ros.config.scenario import ObjectiveTerm, PlannerSettings
from wm_eval_ros.models.protocol import Latent, WorldModelSpec
from wm_eval_ros.planning.protocol import Plan, Planner

_FIELDS = ('position[x]', 'position[y]')
_STATE = 'sensor_msgs/msg/JointState'
#: a plane on which a point is pushed about
INTERFACE = Interface(
    observations=(Stream(topic='state', type=_STATE, fields=_FIELDS),),
    goal=Stream(topic='goal', type=_STATE, fields=_FIELDS),
    command=CommandStream(topic='command', type=_STATE, fields=('effort[x]', 'effort[y]'),
                          low=(-1.0, -1.0), high=(1.0, 1.0)))
SETTINGS = PlannerSettings(
    samples=16, iterations=3, horizon=5, elites=4, action_limit=0.8,
    objective=(ObjectiveTerm(features=('state.position[x]', 'state.position[y]'),
                             target=('goal.position[x]', 'goal.position[y]')),))
_START, _GOAL = torch.tensor([0.3, -0.2]), torch.tensor([0.0, 0.1])
_NEVER_NS = 2**62
#: what an imagined rollout costs on the checker's clock [ns]
_CALL_NS = 7


class PointModel:
    """x' = x + 0.1 a; a model with every ability, on a clock that each rollout moves on."""

    def __init__(self) -> None:
        self.spec = WorldModelSpec(
            name='point', version='1', sha256='', family='point', interface=INTERFACE,
            feature_names=tuple(f'state.{f}' for f in _FIELDS), dt_s=0.05, architecture={},
            provenance={})
        self.now_ns = 0
        #: rows of a batch whose rollouts are NaN
        self.broken: Callable[[int], bool] = lambda row: False
        #: rows that were so
        self.spoilt = 0

    def clock(self) -> int:
        """Return the time [ns]."""
        return self.now_ns

    def encode(self, obs: torch.Tensor, prev: Latent | None = None,
               prev_action: torch.Tensor | None = None,
               is_first: torch.Tensor | None = None) -> Latent:
        """Return the features, (B, F)."""
        return obs.to(torch.float32)

    def predict(self, z: Latent, actions: torch.Tensor, *,
                generator: torch.Generator | None = None) -> Latent:
        """(B, D), (B, H, A) -> (B, H, D)."""
        return self.rolled(z, actions)

    def rolled(self, z: Latent, actions: torch.Tensor) -> Latent:
        """Do the same with gradients."""
        self.now_ns += _CALL_NS
        bad = torch.tensor([self.broken(row) for row in range(len(actions))])
        self.spoilt += int(bad.sum())
        out = z[:, None, :] + 0.1 * actions.cumsum(1)
        return torch.where(bad[:, None, None], torch.nan, out)

    def decode(self, z: Latent) -> torch.Tensor:
        """Return the latent itself, (..., F)."""
        return z

    def uncertainty(self, z: Latent, actions: torch.Tensor) -> torch.Tensor:
        """(B, D), (B, H, A) -> (B, H)."""
        return actions.abs().sum(-1)

    def rolled_with_uncertainty(self, z: Latent, actions: torch.Tensor
                                ) -> tuple[Latent, torch.Tensor]:
        """Return both with gradients."""
        return self.rolled(z, actions), self.uncertainty(z, actions)

    def propose(self, z: Latent, goal: torch.Tensor, *,
                generator: torch.Generator) -> torch.Tensor:
        """Push towards the goal, with some noise, (B, A)."""
        noise = torch.randn((len(z), 2), generator=generator)
        return (10.0 * (goal - z).nan_to_num() + 0.2 * noise).clamp(-1.0, 1.0)


def check_planner(make: Callable[..., Planner], settings: PlannerSettings = SETTINGS) -> list[str]:
    """
    Try a planner on a point that is pushed about a plane.

    :param make: what the entry point names; called as ``make(settings, model, interface,
        clock=clock)``
    :param settings: what it is tried with; its objective names ``state.position[x]``,
        ``state.position[y]`` and those of ``goal``
    :returns: one sentence per broken promise; empty: it conforms
    """
    def made(**changes: Any) -> tuple[Planner, PointModel]:
        model = PointModel()
        planner = make(dataclasses.replace(settings, **changes), model, INTERFACE,
                       clock=model.clock)
        planner.reset(1)
        return planner, model

    planner, model = made()
    plan = _ask(planner)
    if plan.actions.ndim != 2 or plan.actions.shape[1] != 2 or not len(plan.actions):
        return [f'plan returns actions of shape {tuple(plan.actions.shape)}; it must be (H, 2)']
    imagines = plan.rollout is not None
    found = [*_values(plan, settings, model), *_inputs(made), *_repeats(made),
             *_deadline(made, imagines), *_elapsed(made)]
    if imagines:
        found += [*_in_flight(made), *_not_finite(made)]
    return found


Made = Callable[..., 'tuple[Planner, PointModel]']


def _ask(planner: Planner, latent: torch.Tensor = _START, deadline_ns: int = _NEVER_NS,
         **more: Any) -> Plan:
    """Have it plan; what it does to its inputs is no concern of the next question."""
    return planner.plan(latent.clone(), _GOAL.clone(), deadline_ns, **more)


def _values(plan: Plan, settings: PlannerSettings, model: PointModel) -> Iterator[str]:
    if plan.actions.dtype is not torch.float32:
        yield f'actions are {plan.actions.dtype}; they must be float32'
        return
    if not bool(torch.isfinite(plan.actions).all()):
        yield 'actions are not finite'
    limit = 1.0 if plan.rollout is None else settings.action_limit
    if float(plan.actions.abs().max()) > limit + 1e-6:
        yield f'actions lie beyond {limit:g}'
    if plan.rollout is None:
        return
    want = model.predict(_START[None], plan.actions[None])[0]
    if plan.rollout.shape != want.shape or not torch.allclose(plan.rollout, want, atol=1e-5):
        yield 'the rollout is not what the model imagines of the actions'
    if not math.isfinite(plan.cost):
        yield 'a finite rollout has no cost'
    if plan.nonfinite:
        yield 'rollouts that are finite are counted as not finite'
    if not 1 <= plan.iterations <= settings.iterations:
        yield f'{plan.iterations} iterations of at most {settings.iterations}'


def _inputs(made: Made) -> Iterator[str]:
    planner, _ = made()
    given = (_START.clone(), _GOAL.clone(), torch.tensor([[0.5, -0.5]]))
    kept = [g.clone() for g in given]
    first = planner.plan(given[0], given[1], _NEVER_NS, in_flight=given[2])
    chosen = first.actions.clone()
    if not all(torch.equal(g, k) for g, k in zip(given, kept, strict=True)):
        yield 'plan writes into its inputs'
    _ask(planner, -_START)
    if not torch.equal(first.actions, chosen):
        yield 'a plan changes when the next one is made'
    told, untold = made()[0], made()[0]
    with torch.inference_mode():
        _ask(told).actions.fill_(0.123)
    _ask(untold)
    after = [_ask(p).actions for p in (told, untold)]
    if not torch.equal(*after):
        yield 'what is done to a plan changes the next one'


def _repeats(made: Made) -> Iterator[str]:
    def two(planner: Planner) -> torch.Tensor:
        return torch.cat([_ask(planner).actions for _ in range(2)])

    planner, _ = made()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        wanted = two(planner)
        torch.manual_seed(2)
        if not torch.equal(two(made()[0]), wanted):
            yield 'the same seed gives other plans: its generator is not its own'
    planner.reset(1)
    if not torch.equal(two(planner), wanted):
        yield 'reset does not make it forget'


def _deadline(made: Made, imagines: bool) -> Iterator[str]:
    planner, model = made(iterations=1)
    _ask(planner, deadline_ns=0)
    one_ns, most = model.now_ns, 40
    for budget_ns in (-one_ns, 0, 1, 3 * one_ns, 3 * one_ns + 1, 10 * one_ns):
        planner, model = made(iterations=most)
        plan = _ask(planner, deadline_ns=budget_ns)
        if model.now_ns > max(budget_ns, 0) + one_ns:
            yield (f'with a budget of {budget_ns / max(one_ns, 1):.1f} iterations it returns '
                   f'after {model.now_ns / max(one_ns, 1):.1f}')
        if imagines and plan.iterations < 1:
            yield f'with a budget of {budget_ns / max(one_ns, 1):.1f} iterations it runs none'


def _elapsed(made: Made) -> Iterator[str]:
    for steps in (0, 1, 4, 5, 6, 1000):
        planner, _ = made()
        _ask(planner)
        plan = _ask(planner, elapsed_steps=steps)
        if not bool(torch.isfinite(plan.actions).all()):
            yield f'actions are not finite {steps} steps after the last plan'


def _in_flight(made: Made) -> Iterator[str]:
    flying = torch.tensor([[-1.0, 1.0], [-1.0, 1.0], [-0.5, 1.0]])
    after = PointModel().predict(_START[None], flying[None])[0, -1]
    ahead = _ask(made()[0], in_flight=flying)
    there = _ask(made()[0], after)
    if not torch.allclose(ahead.actions, there.actions, atol=1e-4):
        yield 'commands in flight are not what it plans from'
    none = _ask(made()[0], in_flight=flying[:0])
    if not torch.equal(none.actions, _ask(made()[0]).actions):
        yield 'no command in flight is not the same as none given'


def _not_finite(made: Made) -> Iterator[str]:
    planner, model = made()
    model.broken = lambda row: row % 2 == 1
    plan = _ask(planner)
    if not bool(torch.isfinite(plan.actions).all()) or not math.isfinite(plan.cost):
        yield 'rollouts that are not finite keep it from choosing among the others'
    if model.spoilt and not plan.nonfinite:
        yield 'rollouts that are not finite are not counted'
    for lost, latent in ((True, _START), (False, torch.full((2,), torch.nan))):
        planner, model = made()
        _ask(planner)
        model.broken = lambda row, lost=lost: lost  # type: ignore[misc]
        plan = _ask(planner, latent)
        what = 'no rollout is finite' if lost else 'the latent is not finite'
        if not bool(torch.isfinite(plan.actions).all()):
            yield f'where {what}, neither are the actions'
        if math.isfinite(plan.cost):
            yield f'where {what}, the plan has a cost'
