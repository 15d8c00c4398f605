"""What a world model is to the planner: encode one step, predict many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch

from wm_eval_ros.config.interface import Interface

#: shape (B, D) for one step or (B, H, D) for a rollout, float32
Latent = torch.Tensor


@dataclass(frozen=True)
class WorldModelSpec:
    """What a checkpoint declares, because that is where ports of published models break."""

    name: str
    version: str
    #: of the weights file, hexadecimal
    sha256: str
    #: entry-point name of the family that loads it
    family: str
    #: topics, fields and command limits the model was trained on
    interface: Interface
    #: names of the features a latent decodes to, in order, as `topic.field[:cos|:sin]`
    feature_names: tuple[str, ...]
    #: time between two predicted steps [s]
    dt_s: float
    #: family's own sizes: members, hidden, latent, ...
    architecture: dict[str, Any]
    #: hashes of training bags, seeds, steps, git commit
    provenance: dict[str, Any]

    @property
    def action_dim(self) -> int:
        """Number of command fields A."""
        return len(self.interface.command.fields)


class WorldModel(Protocol):
    """Batch first; cost lives outside; actions are scaled to [-1, 1] of the command's limits."""

    spec: WorldModelSpec

    def encode(
        self,
        obs: torch.Tensor,
        prev: Latent | None = None,
        prev_action: torch.Tensor | None = None,
        is_first: torch.Tensor | None = None,
    ) -> Latent:
        """
        Encode ONE time step.

        :param obs: features in physical units, shape (B, F)
        :param prev: latent of the step before, (B, D); None at an episode's start
        :param prev_action: the EXECUTED action between the two steps, (B, A)
        :param is_first: True where an episode begins, (B,)
        """
        ...

    def predict(
        self, z: Latent, actions: torch.Tensor, *, generator: torch.Generator | None = None
    ) -> Latent:
        """
        Imagine.

        :param z: (B, D)
        :param actions: (B, H, A)
        :returns: latents after each action, (B, H, D)
        """
        ...


class TrainedModel(WorldModel, Protocol):
    """A model made by training here: made of a spec and tensors, decodes to features."""

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """Everything a checkpoint stores; ``feature_scale`` is the unit of the features, (F,)."""
        ...

    def decode(self, z: Latent) -> torch.Tensor:
        """(..., D) -> (..., F) in physical units."""
        ...


@runtime_checkable
class Decodes(Protocol):
    """Can turn latents into features in physical units."""

    def decode(self, z: Latent) -> torch.Tensor:
        """(..., D) -> (..., F)."""
        ...


@runtime_checkable
class Differentiable(Protocol):
    """Can say in which direction a command would have to change."""

    def rolled(self, z: Latent, actions: torch.Tensor) -> Latent:
        """Do what ``predict`` does, (B, D), (B, H, A) -> (B, H, D), so that gradients flow."""
        ...


@runtime_checkable
class DifferentiableUncertainty(Protocol):
    """Can do so for its uncertainty as well."""

    def rolled_with_uncertainty(
        self, z: Latent, actions: torch.Tensor
    ) -> tuple[Latent, torch.Tensor]:
        """Return rollouts, (B, H, D), and ``uncertainty``, (B, H), so that gradients flow."""
        ...


@runtime_checkable
class Proposes(Protocol):
    """Has a policy prior: knows which commands to try first."""

    def propose(
        self, z: Latent, goal: torch.Tensor, *, generator: torch.Generator
    ) -> torch.Tensor:
        """
        Draw one command for each latent.

        :param z: (B, D)
        :param goal: goal vector in the interface's order, (G,), G may be 0
        :returns: in [-1, 1], (B, A)
        """
        ...


@runtime_checkable
class EncodesGoal(Protocol):
    """Has a space in which what is imagined can be held against an observation of the goal."""

    def encode_goal(self, obs: torch.Tensor) -> torch.Tensor:
        """Encode what would be observed at the goal, in physical units, (B, O) -> (B, C)."""
        ...

    def code(self, z: Latent) -> torch.Tensor:
        """Return what of latents is compared with an encoded goal, (..., D) -> (..., C)."""
        ...


@runtime_checkable
class Rewards(Protocol):
    """Foresees rewards."""

    def rewards(self, z: Latent, actions: torch.Tensor) -> torch.Tensor:
        """Return the reward of each action taken in a latent, (B, H, D), (B, H, A) -> (B, H)."""
        ...


@runtime_checkable
class KnowsValue(Protocol):
    """Foresees what rewards are still to come."""

    def value(self, z: Latent) -> torch.Tensor:
        """(B, D) -> (B,): in units of a reward."""
        ...


@runtime_checkable
class KnowsConstraints(Protocol):
    """Knows what must not be."""

    def constraints(self, z: Latent) -> torch.Tensor:
        """(..., D) -> (..., N): a constraint is kept where it is 0 or less."""
        ...


@runtime_checkable
class KnowsUncertainty(Protocol):
    """Can say how sure an imagined rollout is."""

    def uncertainty(self, z: Latent, actions: torch.Tensor) -> torch.Tensor:
        """(B, D), (B, H, A) -> (B, H): disagreement of the members, in standardised units."""
        ...


@runtime_checkable
class KnowsSpread(Protocol):
    """Can say how far what will be may lie from an imagined rollout."""

    def spread(self, z: Latent, actions: torch.Tensor) -> torch.Tensor:
        """(B, D), (B, H, A) -> (B, H, D): predicted standard deviation of each latent entry."""
        ...


@runtime_checkable
class KnowsDivergence(Protocol):
    """Can say how much an observation changed what it expected, as recurrent state spaces do."""

    def divergence(self, prev: Latent, prev_action: torch.Tensor, z: Latent) -> torch.Tensor:
        """(B, D), (B, A), (B, D) -> (B,): KL(posterior || prior) of a step, in nats."""
        ...
