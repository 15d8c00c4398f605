"""What a family of world models is to its training run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import torch


class Learner(Protocol):
    """
    The tensors of a model in training.

    A window is features (..., L + 1, F) in physical units, the command in force at its first slot
    (..., A) and its commands (..., L, A) in [-1, 1]. The first ``context`` slots are observed,
    what follows is imagined.
    """

    #: members M that see a sample of the windows each; 1: one that sees all
    members: int
    #: slots observed before imagining begins, >= 1
    context: int

    def architecture(self) -> dict[str, Any]:
        """Return what ``spec.architecture`` is to hold."""
        ...

    def parameters(self) -> Iterable[torch.Tensor]:
        """Return what gradients change."""
        ...

    def loss(
        self, features: torch.Tensor, before: torch.Tensor, actions: torch.Tensor,
        generator: torch.Generator,
    ) -> torch.Tensor:
        """
        Return what training makes smaller, a scalar.

        :param features: (M, B, L + 1, F); `before` and `actions` likewise
        :param generator: of what the loss draws
        """
        ...

    def errors(
        self, features: torch.Tensor, before: torch.Tensor, actions: torch.Tensor
    ) -> torch.Tensor:
        """
        Return the errors of the imagined features, for validation.

        :param features: (B, L + 1, F)
        :returns: in units of one step's change, (B, U, F)
        """
        ...

    def tensors(self) -> Mapping[str, torch.Tensor]:
        """Return everything a checkpoint stores, as it is now."""
        ...
