"""
Causal transformer over the last steps, after Vaswani et al. (2017, arXiv:1706.03762).

A token is one step: features, command before and command. The carry is the tokens themselves, so
that what the model remembers can be read in a recorded latent. Each layer looks back over its
share of the ``memory`` (sliding windows as in Beltagy et al. 2020, arXiv:2004.05150), so that what
a step depends on ends exactly where the carry does: training computes all steps of a record in one
masked pass, and gets what imagining gets step by step. Where a token lies is told by a learned
bias for each distance (Raffel et al. 2020, arXiv:1910.10683).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from wm_eval_ros.errors import CheckpointError
from wm_eval_ros.models.architecture import Architecture
from wm_eval_ros.models.network import dense, NetworkModel, StepNetwork
from wm_eval_ros.models.protocol import Latent, WorldModelSpec

#: most numbers a checkpoint may have the latent remember: no weight stands behind them
MOST_CARRIED = 2**18


@dataclass(frozen=True)
class TransformerArchitecture(Architecture):
    """Sizes of the network; what ``spec.architecture`` holds."""

    #: steps before the present one that it looks back on, all layers together
    memory: int = 8
    #: heads of each attention
    heads: int = 4

    @property
    def token(self) -> int:
        """Numbers of one step: features, command before, command."""
        return self.features + 2 * self.actions

    @property
    def carry(self) -> int:
        """Numbers of the carry: the tokens, oldest first, and how many of them are there."""
        return self.memory * self.token + 1

    @property
    def reach(self) -> list[int]:
        """Steps that each layer looks back, ``memory`` in all."""
        share, rest = divmod(self.memory, self.layers)
        return [share + (i < rest) for i in range(self.layers)]


class Block(nn.Module):
    """Attention over the present and the steps within reach before it, then a network."""

    def __init__(self, arch: TransformerArchitecture, reach: int) -> None:
        super().__init__()
        self.reach, self.heads = reach, arch.heads
        inner = arch.heads * max(1, arch.hidden // arch.heads)
        self.norm, self.norm_after = nn.LayerNorm(arch.hidden), nn.LayerNorm(arch.hidden)
        self.query = nn.Linear(arch.hidden, inner)
        self.key_value = nn.Linear(arch.hidden, 2 * inner)
        #: added to the scores by distance, the present first
        self.bias = nn.Parameter(torch.zeros(arch.heads, reach + 1))
        self.leave = nn.Linear(inner, arch.hidden)
        self.after = dense([arch.hidden, 2 * arch.hidden, arch.hidden], arch.activation)

    def forward(self, stream: torch.Tensor, there: torch.Tensor, count: int) -> torch.Tensor:
        """
        Return the stream of the last `count` steps after the block.

        :param stream: consecutive steps, (B, K, hidden)
        :param there: which of them took place, (B or 1, K)
        """
        normed, last = self.norm(stream), stream[:, -count:]
        query = self._split(self.query(normed[:, -count:]))
        key, value = map(self._split, self.key_value(normed).chunk(2, -1))
        seen = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=self._scores(there, count))
        stream = last + self.leave(seen.transpose(1, 2).flatten(2))
        found: torch.Tensor = stream + self.after(self.norm_after(stream))
        return found

    def _split(self, joint: torch.Tensor) -> torch.Tensor:
        """(B, K, inner) -> (B, heads, K, inner / heads)."""
        return joint.reshape(*joint.shape[:2], self.heads, -1).transpose(1, 2)

    def _scores(self, there: torch.Tensor, count: int) -> torch.Tensor:
        """Return what is added to the scores, -inf where nothing is seen, (B, heads, count, K)."""
        at = torch.arange(there.shape[1], device=there.device)
        back = at[-count:, None] - at
        near = (back >= 0) & (back <= self.reach)
        bias = self.bias[:, back.clamp(0, self.reach)]
        return bias.masked_fill(~(near & there[:, None, None]), -torch.inf)


class TransformerNetwork(StepNetwork):
    """Tokens through blocks to the change of the features; the carry: the last tokens."""

    def __init__(self, arch: TransformerArchitecture) -> None:
        super().__init__(arch, carry=arch.carry)
        self.memory, self.token = arch.memory, arch.token
        self.embed = nn.Linear(arch.token, arch.hidden)
        self.blocks = nn.ModuleList(Block(arch, reach) for reach in arch.reach)
        self.head = dense([arch.hidden + arch.token, arch.hidden, arch.features], arch.activation)
        # how many of the last steps each block has to compute for the present one's outcome
        self._needed = [1 + sum(arch.reach[i + 1:]) for i in range(arch.layers)]

    def advance(self, z: Latent, action: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Foresee one step; see :meth:`StepNetwork.advance`."""
        seen = z.shape[-1] - self.carry
        kept, count = z[:, seen:-1].reshape(len(z), self.memory, self.token), z[:, -1:]
        tokens = torch.cat([kept, torch.cat([z[:, :seen], action], -1)[:, None]], 1)
        there = torch.arange(self.memory + 1, device=z.device) >= self.memory - count
        change = self._through(tokens, there, self._needed)
        carry = torch.cat([tokens[:, 1:].flatten(1), (count + 1).clamp(max=self.memory)], -1)
        return change[:, 0], carry

    def teach(
        self, x: torch.Tensor, before: torch.Tensor, actions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Foresee every step of a record side by side; see :meth:`StepNetwork.teach`."""
        batch, steps = x.shape[:2]
        held = torch.cat([before[:, None], actions[:, :-1]], 1)
        tokens = torch.cat([x, held, actions], -1)
        there = torch.ones(1, steps, dtype=torch.bool, device=x.device)
        change = self._through(tokens, there, [steps] * len(self.blocks))
        kept = functional.pad(tokens, (0, 0, self.memory, 0))[:, -self.memory:]
        count = x.new_full((batch, 1), min(steps, self.memory))
        return change, torch.cat([kept.flatten(1), count], -1)

    def _through(
        self, tokens: torch.Tensor, there: torch.Tensor, needed: list[int]
    ) -> torch.Tensor:
        """
        Return the changes of the last steps, as many as the last block has to compute.

        :param tokens: (B, K, F + 2A)
        :param there: (B or 1, K)
        :param needed: steps that each block has to compute
        """
        stream = self.embed(tokens)
        for block, count in zip(self.blocks, needed, strict=True):
            stream, there = block(stream, there, count), there[:, -count:]
        change: torch.Tensor = self.head(
            torch.cat([stream, tokens[:, -stream.shape[1]:]], -1))
        return change


class TransformerModel(NetworkModel):
    """World model of the family ``transformer``."""

    network = TransformerNetwork
    architecture = TransformerArchitecture

    @classmethod
    def tensor_shapes(cls, spec: WorldModelSpec, where: str = '') -> dict[str, tuple[int, ...]]:
        """
        Return name and shape of every tensor the spec calls for.

        :raises CheckpointError: the architecture does not fit itself or the spec's interface, or
            would remember more than `MOST_CARRIED` numbers
        """
        arch = cls._parsed(spec, where)
        if arch.carry > MOST_CARRIED:
            raise CheckpointError(
                f'{where}: architecture.memory is {arch.memory} steps of {arch.token} numbers; '
                f'at most {MOST_CARRIED} numbers are remembered')
        return super().tensor_shapes(spec, where)
