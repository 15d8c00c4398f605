"""
Selective diagonal state space: a memory whose time constants depend on what comes in.

After S5 (Smith et al. 2023, arXiv:2208.04933: diagonal states, a parallel scan) and Mamba (Gu and
Dao 2023, arXiv:2312.00752: the step size and the gate are functions of the input). A state holds
what came before as long as the input keeps its step small, and takes the input in as it grows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional

from wm_eval_ros.models.architecture import Architecture
from wm_eval_ros.models.modules import DYNAMICS, READ_OUT
from wm_eval_ros.models.network import dense, NetworkModel, StepNetwork
from wm_eval_ros.models.protocol import Latent

#: slowest time constant that fresh weights have [steps of size 1]; the fastest is 1
SLOWEST = 256.0
#: added to every exponent, so that each state forgets, however small its step is
LEAST = 1e-5


@dataclass(frozen=True)
class SsmArchitecture(Architecture):
    """Sizes of the network; what ``spec.architecture`` holds. ``layers`` counts the blocks."""

    #: states N of each block
    states: int = 32


def scan(decay: torch.Tensor, drive: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    """
    Return all states of ``h[t] = decay[t] h[t-1] + drive[t]``.

    Log-depth, after Hillis and Steele (1986): each round joins every step with the one a power of
    two before it. Nothing is divided by a decay, so it is as exact as the recurrence.

    :param decay: in [0, 1], (B, T, N)
    :param drive: (B, T, N)
    :param start: state before the first step, (B, N)
    :returns: (B, T, N)
    """
    first = torch.addcmul(drive[:, :1], decay[:, :1], start[:, None])
    drive, shift = torch.cat([first, drive[:, 1:]], 1), 1
    while shift < drive.shape[1]:
        late, reach = decay[:, shift:], decay[:, :-shift]
        drive = torch.cat([drive[:, :shift],
                           torch.addcmul(drive[:, shift:], late, drive[:, :-shift])], 1)
        decay = torch.cat([decay[:, :shift], late * reach], 1)
        shift *= 2
    return drive


class SelectiveBlock(nn.Module):
    """One bank of states beside the stream of what is known of each step."""

    def __init__(self, hidden: int, states: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        #: step size, value and gate of each state
        self.enter = nn.Linear(hidden, 3 * states)
        #: logarithm of each state's rate at a step of size 1
        self.log_rate = nn.Parameter(-torch.linspace(0.0, 1.0, states) * torch.tensor(
            SLOWEST).log())
        self.leave = nn.Linear(states, hidden)

    def forward(
        self, stream: torch.Tensor, start: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Take in consecutive steps.

        The states follow ``h' = rate (value - h)`` exactly over a step during which the input is
        held: each is a mean of values in (-1, 1), weighted by decays below 1, and stays within.

        :param stream: (B, T, hidden)
        :param start: states before the first step, (B, N)
        :returns: the stream after the block, and the states after the last step
        """
        step, value, gate = self.enter(self.norm(stream)).chunk(3, -1)
        exponent = functional.softplus(step) * self.log_rate.exp() + LEAST
        states = scan((-exponent).exp(), -torch.expm1(-exponent) * value.tanh(), start)
        return stream + self.leave(states * functional.silu(gate)), states[:, -1]


class SsmNetwork(StepNetwork):
    """Blocks of states, then a network of what they and the step say; the carry: all states."""

    def __init__(self, arch: SsmArchitecture) -> None:
        super().__init__(arch, carry=arch.layers * arch.states)
        token = arch.features + 2 * arch.actions
        self.embed = nn.Linear(token, arch.hidden)
        self.blocks = nn.ModuleList(
            SelectiveBlock(arch.hidden, arch.states) for _ in range(arch.layers))
        self.head = dense([arch.hidden + token, arch.hidden, arch.hidden, arch.features],
                          arch.activation)

    def advance(self, z: Latent, action: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Foresee one step; see :meth:`StepNetwork.advance`."""
        seen = z.shape[-1] - self.carry
        token = torch.cat([z[:, :seen], action], -1)
        change, carry = self._through(token[:, None], z[:, seen:])
        return change[:, 0], carry

    def teach(
        self, x: torch.Tensor, before: torch.Tensor, actions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Foresee every step of a record side by side; see :meth:`StepNetwork.teach`."""
        held = torch.cat([before[:, None], actions[:, :-1]], 1)
        return self._through(torch.cat([x, held, actions], -1), x.new_zeros(len(x), self.carry))

    def _through(
        self, tokens: torch.Tensor, carry: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, T, F + 2A), (B, C) -> changes (B, T, F), and the carry after the last step."""
        stream, after = self.embed(tokens), []
        for block, start in zip(self.blocks, carry.chunk(len(self.blocks), -1), strict=True):
            stream, states = block(stream, start)
            after.append(states)
        change: torch.Tensor = self.head(torch.cat([stream, tokens], -1))
        return change, torch.cat(after, -1)


class SsmModel(NetworkModel):
    """World model of the family ``ssm``."""

    network = SsmNetwork
    architecture = SsmArchitecture
    #: module of the tensors whose names begin so
    modules: ClassVar[Mapping[str, str]] = {
        'embed.': DYNAMICS, 'blocks.': DYNAMICS, 'head.': READ_OUT}
