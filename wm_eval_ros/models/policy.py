"""
Policies: a small network from features and goal to a command, stored as a checkpoint is.

It is cloned from what a planner decided; see :mod:`wm_eval_ros.training.distill`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from wm_eval_ros.config.bounded import shown
from wm_eval_ros.config.interface import Interface
from wm_eval_ros.errors import CheckpointError
from wm_eval_ros.models.architecture import Architecture, parse_architecture, require_interface
from wm_eval_ros.models.checkpoint import find_checkpoint, load_as, shipped_checkpoints
from wm_eval_ros.models.network import dense
from wm_eval_ros.models.protocol import WorldModelSpec

#: what ``spec.family`` says of a policy
POLICY = 'policy'


@dataclass(frozen=True)
class PolicyArchitecture(Architecture):
    """Sizes of the network; what ``spec.architecture`` holds."""

    #: features F and numbers of the goal G together
    inputs: int = 1


class PolicyNetwork(nn.Module):
    """Standardised features and goal to a command; the spread of its errors beside it."""

    def __init__(self, arch: PolicyArchitecture) -> None:
        super().__init__()
        for name, width in (('input', arch.inputs), ('action', arch.actions)):
            self.register_buffer(f'{name}_mean', torch.zeros(width))
            self.register_buffer(f'{name}_scale', torch.ones(width))
        self.register_buffer('noise_scale', torch.ones(arch.actions))
        self.body = dense([arch.inputs, *[arch.hidden] * arch.layers, arch.actions],
                          arch.activation)

    input_mean: torch.Tensor
    input_scale: torch.Tensor
    action_mean: torch.Tensor
    action_scale: torch.Tensor
    noise_scale: torch.Tensor

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(B, F + G) in physical units -> (B, A), not clipped."""
        found: torch.Tensor = self.body((inputs - self.input_mean) / self.input_scale)
        return found * self.action_scale + self.action_mean


class Policy:
    """
    A policy.

    :param spec: ``family`` is ``policy``; ``feature_names`` are those of the observations
    """

    @classmethod
    def tensor_shapes(cls, spec: WorldModelSpec, where: str = '') -> dict[str, tuple[int, ...]]:
        """
        Return name and shape of every tensor the spec calls for.

        :raises CheckpointError: the architecture does not fit itself or the spec's interface
        """
        arch = parse_architecture(PolicyArchitecture, spec.architecture, where)
        require_interface(spec, arch.features, arch.actions, where)
        if arch.inputs < arch.features:
            raise CheckpointError(f'{where}: architecture has {arch.inputs} inputs for '
                                  f'{arch.features} features; distil it anew')
        with torch.device('meta'):
            return {n: tuple(t.shape) for n, t in PolicyNetwork(arch).state_dict().items()}

    def __init__(self, spec: WorldModelSpec, tensors: Mapping[str, torch.Tensor]) -> None:
        self.spec = spec
        self.net = PolicyNetwork(parse_architecture(PolicyArchitecture, spec.architecture,
                                                    spec.name))
        self.net.load_state_dict(dict(tensors))
        self.net.eval().requires_grad_(False)

    @torch.inference_mode()
    def act(self, features: torch.Tensor, goal: torch.Tensor) -> torch.Tensor:
        """
        Return the command it takes for right.

        :param features: in physical units, in the order of ``spec.feature_names``, (B, F)
        :param goal: (G,)
        :returns: in [-1, 1], (B, A); not finite where an input is not
        """
        given = goal.to(torch.float32).expand(len(features), -1)
        return cast('torch.Tensor', self.net(torch.cat([features, given], -1))).clamp(-1.0, 1.0)

    @torch.inference_mode()
    def draw(
        self, features: torch.Tensor, goal: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        """Return commands about it, as far off as it was from the planner's, (B, A)."""
        mean = self.act(features, goal)
        noise = torch.randn(mean.shape, generator=generator)
        return (mean + self.net.noise_scale * noise).clamp(-1.0, 1.0)


def load_policy(name_or_path: str, interface: Interface, sha256: str = '') -> Policy:
    """
    Load a policy, after the checks that a world model passes.

    :param interface: the scenario's; the policy must have been distilled on the same, goal too
    :param sha256: hash the weights must have; empty: not pinned
    :raises CheckpointError: any check failed
    """
    folder = find_policy(name_or_path)
    # it is asked of numbers, whatever a model sees or is read out to besides
    asked = replace(interface, images=(), unseen=())
    found = cast('Policy', load_as(_only_policies, folder, interface=asked, sha256=sha256))
    mine, theirs = ([] if i.goal is None else [i.goal.type, *i.goal.fields]
                    for i in (found.spec.interface, interface))
    if mine != theirs:
        raise CheckpointError(f'{folder}: distilled for a goal of {", ".join(mine) or "nothing"}, '
                              f'the scenario has {", ".join(theirs) or "none"}; distil it anew')
    return found


def find_policy(name_or_path: str) -> Path:
    """
    Return the folder of a policy; none ships.

    :raises CheckpointError: there is none
    """
    try:
        there = Path(name_or_path).exists() or name_or_path in shipped_checkpoints()
    except (OSError, ValueError):
        there = True  # what finds it says why it cannot look
    if not there:
        raise CheckpointError(f'planner.policy: no policy {shown(name_or_path)}; name a folder '
                              'that `wm-eval distill` wrote')
    return find_checkpoint(name_or_path)


def _only_policies(spec: WorldModelSpec) -> Any:
    if spec.family != POLICY:
        raise CheckpointError(f'planner.policy: {spec.name!r} is a world model of the family '
                              f'{spec.family}, not a policy; name a folder that `wm-eval distill` '
                              'wrote')
    return Policy
