"""Distillation: a policy cloned from a planner's own decisions."""

from __future__ import annotations

from dataclasses import dataclass
import math
import time
from typing import Any

import torch

from wm_eval_ros.config.schema import setting, to_plain
from wm_eval_ros.config.software import package_version
from wm_eval_ros.errors import BagError, ConfigError
from wm_eval_ros.models.policy import POLICY, Policy, PolicyArchitecture, PolicyNetwork
from wm_eval_ros.models.protocol import WorldModelSpec
from wm_eval_ros.training.decisions import Decisions
from wm_eval_ros.training.learners.normalise import require_scales
from wm_eval_ros.training.schedule import one_cycle
from wm_eval_ros.training.settings import Progress
from wm_eval_ros.wire.fields import feature_names

#: an input or command that varies less than this has no scale of its own
_LEAST_SCALE = 1e-3


@dataclass(frozen=True, kw_only=True)
class DistillSettings:
    """How a policy is cloned."""

    hidden: int = setting(64, doc='width of the hidden layers', low=1, high=4096)
    layers: int = setting(2, doc='hidden layers', low=1, high=8)
    steps: int = setting(3000, doc='most gradient steps', low=1, high=10_000_000)
    batch: int = setting(256, doc='decisions per step', low=1, high=1_000_000)
    learning_rate: float = setting(3e-3, doc='peak learning rate', low=1e-7, high=1.0)
    weight_decay: float = setting(1e-4, doc='decoupled weight decay', low=0.0, high=1.0)
    val_share: float = setting(0.1, doc='share of the episodes held out', low=0.01, high=0.9)
    checks: int = setting(20, doc='validations over all steps; the best of them is kept', low=1,
                          high=1000)
    seed: int = setting(0, doc='seed of split, initialisation and batches', low=0, high=2**53)


@dataclass(frozen=True)
class DistillResult:
    """A policy, and how near it is to the planner on episodes held out."""

    policy: Policy
    #: root mean square difference of commands, in units of their standard deviation
    rmse: float
    decisions: int
    episodes: int
    steps: int
    seconds: float


def distill(
    data: Decisions, settings: DistillSettings, name: str, progress: Progress | None = None
) -> DistillResult:
    """
    Clone a policy; the same seed and thread count give the same weights.

    The loss is the mean squared difference of commands, in units of their standard deviation. A
    policy sees neither the command in force nor the planner's last plan.

    :param name: name the policy will declare
    :raises BagError: fewer than two episodes, or an input is too large to have a scale
    :raises ConfigError: no error on those held out was finite
    """
    begun = time.monotonic()
    trained, held = _split(data, settings)
    goal = data.interface.goal
    require_scales((*data.feature_names, *(() if goal is None else feature_names(goal))),
                   data.inputs[trained])
    generator = torch.Generator().manual_seed(settings.seed)
    arch = PolicyArchitecture(
        features=len(data.feature_names), actions=data.actions.shape[1],
        hidden=settings.hidden, layers=settings.layers, inputs=data.inputs.shape[1])
    net = _fresh(arch, data.inputs[trained], data.actions[trained], generator)
    best, error = _fit(net, data, trained, held, settings, generator, progress)
    off = _off(net, best, data.inputs[held], data.actions[held])
    best['noise_scale'] = off.square().mean(0).sqrt().clamp(min=1e-6)
    policy = Policy(_spec(data, settings, name, arch), best)
    return DistillResult(policy, error, len(data.actions), len(torch.unique(data.episodes)),
                         settings.steps, time.monotonic() - begun)


def _split(data: Decisions, settings: DistillSettings) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the numbers of the decisions trained on and held out, by episode."""
    episodes = torch.unique(data.episodes)
    if len(episodes) < 2:
        raise BagError(f'{len(episodes)} usable episodes; training and validation need at least '
                       'one each: record more')
    order = torch.randperm(len(episodes), generator=torch.Generator().manual_seed(settings.seed))
    count = min(len(episodes) - 1, max(1, round(settings.val_share * len(episodes))))
    held = torch.isin(data.episodes, episodes[order[:count]])
    return torch.nonzero(~held)[:, 0], torch.nonzero(held)[:, 0]


def _fresh(arch: PolicyArchitecture, inputs: torch.Tensor, actions: torch.Tensor,
           generator: torch.Generator) -> PolicyNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
        net = PolicyNetwork(arch)
    for kind, values in (('input', inputs), ('action', actions)):
        getattr(net, f'{kind}_mean').copy_(values.mean(0))
        getattr(net, f'{kind}_scale').copy_(values.std(0, correction=0).clamp(min=_LEAST_SCALE))
    return net


def _fit(
    net: PolicyNetwork, data: Decisions, trained: torch.Tensor, held: torch.Tensor,
    settings: DistillSettings, generator: torch.Generator, progress: Progress | None,
) -> tuple[dict[str, torch.Tensor], float]:
    """
    Return the tensors with the lowest error on the decisions held out, and that error.

    :raises ConfigError: no error was finite, so that nothing is known to have been learnt
    """
    optimiser = torch.optim.AdamW(net.parameters(), lr=settings.learning_rate,
                                  weight_decay=settings.weight_decay)
    schedule = one_cycle(optimiser, settings.learning_rate, settings.steps)
    every = max(1, settings.steps // settings.checks)
    best, lowest = _copy(net), math.inf
    for step in range(1, settings.steps + 1):
        rows = trained[torch.randint(len(trained), (settings.batch,), generator=generator)]
        off = (net(data.inputs[rows]) - data.actions[rows]) / net.action_scale
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(off.square().mean())
        optimiser.step()
        schedule.step()
        if step % every and step != settings.steps:
            continue
        off = _off(net, _copy(net), data.inputs[held], data.actions[held])
        error = float((off / net.action_scale).square().mean().sqrt())
        if error < lowest:
            best, lowest = _copy(net), error
        if progress is not None:
            progress(step, settings.steps, f'held out {error:.3f}, best {lowest:.3f}')
    if lowest == math.inf:
        raise ConfigError(
            f'{POLICY}: no error on the decisions held out was finite in {settings.steps} steps; '
            f'choose a learning_rate below {settings.learning_rate:g}, or look for values far '
            'from all others in the bags')
    return best, lowest


@torch.no_grad()
def _off(net: PolicyNetwork, tensors: dict[str, torch.Tensor], inputs: torch.Tensor,
         actions: torch.Tensor) -> torch.Tensor:
    """Return by how much commands differ under these tensors, (N, A), in [-2, 2]."""
    found = torch.func.functional_call(net, tensors, (inputs,))
    return torch.as_tensor(found).clamp(-1.0, 1.0) - actions


def _copy(net: PolicyNetwork) -> dict[str, torch.Tensor]:
    return {n: t.detach().clone() for n, t in net.state_dict().items()}


def _spec(data: Decisions, settings: DistillSettings, name: str,
          arch: PolicyArchitecture) -> WorldModelSpec:
    architecture: dict[str, Any] = to_plain(arch)
    return WorldModelSpec(
        name=name, version='1', sha256='', family=POLICY, interface=data.interface,
        feature_names=data.feature_names, dt_s=data.dt_s, architecture=architecture,
        provenance={
            'package_version': package_version(), 'torch_version': torch.__version__,
            'settings': to_plain(settings), 'decisions': len(data.actions),
            'episodes': len(torch.unique(data.episodes)), 'planners': list(data.planners),
            'sources': list(data.sources), 'trained_at_ns': time.time_ns()})
