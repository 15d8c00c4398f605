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

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast, ClassVar

import torch
from torch import nn
from torch.nn import functional

from wm_eval_ros.errors import CheckpointError
from wm_eval_ros.models.architecture import Architecture
from wm_eval_ros.models.modules import DYNAMICS, READ_OUT
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


#: keys and values of the steps before, of one block, (B, heads, P, E) each
Past = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Before:
    """What the steps before are to the next one."""

    #: of each block
    pasts: tuple[Past, ...]
    #: which of the steps took place, (B, P)
    there: torch.Tensor

    def expanded(self, batch: int) -> Before:
        """Return it for so many rows alike."""
        return Before(tuple((k.expand(batch, -1, -1, -1), v.expand(batch, -1, -1, -1))
                            for k, v in self.pasts), self.there.expand(batch, -1))


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

    def forward(
        self, stream: torch.Tensor, past: Past, there: torch.Tensor
    ) -> tuple[torch.Tensor, Past]:
        """
        Take in consecutive steps.

        :param stream: (B, T, hidden)
        :param past: of the steps before them
        :param there: which of all those steps took place, (B or 1, P + T)
        :returns: the stream after the block, and the past of the steps to come
        """
        key, value = self.past(stream)
        key, value = torch.cat([past[0], key], 2), torch.cat([past[1], value], 2)
        seen = functional.scaled_dot_product_attention(
            self._split(self.query(self.norm(stream))), key, value,
            attn_mask=self._scores(there, stream.shape[1]))
        stream = stream + self.leave(seen.transpose(1, 2).flatten(2))
        first = max(0, key.shape[2] - self.reach)
        return (stream + self.after(self.norm_after(stream)),
                (key[:, :, first:], value[:, :, first:]))

    def past(self, stream: torch.Tensor) -> Past:
        """Return what steps are to those after them; stream (B, P, hidden)."""
        key, value = self.key_value(self.norm(stream)).chunk(2, -1)
        return self._split(key), self._split(value)

    def _split(self, joint: torch.Tensor) -> torch.Tensor:
        """(B, T, inner) -> (B, heads, T, inner / heads)."""
        width = joint.shape[-1] // self.heads
        return joint.reshape(*joint.shape[:2], self.heads, width).transpose(1, 2)

    def _scores(self, there: torch.Tensor, steps: int) -> torch.Tensor:
        """Return what is added to the scores, -inf where nothing is seen, (B, heads, T, P + T)."""
        at = torch.arange(there.shape[1], device=there.device)
        back = at[-steps:, None] - at
        near = (back > 0) & (back <= self.reach)
        bias = self.bias[:, back.clamp(0, self.reach)]
        # a step always sees itself, so that what never took place is at least finite
        seen = (near & there[:, None, None]) | (back == 0)
        return bias.masked_fill(~seen, -torch.inf)


class TransformerNetwork(StepNetwork):
    """Tokens through blocks to the change of the features; the carry: the last tokens."""

    def __init__(self, arch: TransformerArchitecture) -> None:
        super().__init__(arch, carry=arch.carry)
        self.memory, self.token = arch.memory, arch.token
        self.embed = nn.Linear(arch.token, arch.hidden)
        self.blocks = nn.ModuleList(Block(arch, reach) for reach in arch.reach)
        self.head = dense([arch.hidden + arch.token, arch.hidden, arch.features], arch.activation)

    def advance(self, z: Latent, action: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Foresee one step; see :meth:`StepNetwork.advance`."""
        seen = z.shape[-1] - self.carry
        token = torch.cat([z[:, :seen], action], -1)
        change, _ = self._on(token, self._before(z[:, seen:]))
        return change, self._kept(z[:, seen:], token)

    def rolled(self, z: Latent, actions: torch.Tensor) -> Latent:
        """Imagine steps, each from the one before; see :meth:`StepNetwork.rolled`."""
        seen, alike = z.shape[-1] - self.carry, z.stride(0) == 0
        # candidates of a search all begin with one latent: its past is taken in once
        before = self._before(z[:1, seen:] if alike else z[:, seen:]).expanded(len(z))
        found = []
        for action in actions.unbind(1):
            token = torch.cat([z[:, :seen], action], -1)
            change, before = self._on(token, before)
            z = torch.cat([self.moved(z[:, :self.features], change), action,
                           self._kept(z[:, seen:], token)], -1)
            found.append(z)
        return torch.stack(found, 1)

    def teach(
        self, x: torch.Tensor, before: torch.Tensor, actions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Foresee every step of a record side by side; see :meth:`StepNetwork.teach`."""
        batch, steps = x.shape[:2]
        held = torch.cat([before[:, None], actions[:, :-1]], 1)
        tokens = torch.cat([x, held, actions], -1)
        stream, there = self.embed(tokens), tokens.new_ones(1, steps, dtype=torch.bool)
        for block in self._stack():
            stream, _ = block(stream, block.past(stream[:, :0]), there)
        kept = functional.pad(tokens, (0, 0, self.memory, 0))[:, -self.memory:]
        count = x.new_full((batch, 1), min(steps, self.memory))
        return self._change(stream, tokens), torch.cat([kept.flatten(1), count], -1)

    def _before(self, carry: torch.Tensor) -> Before:
        """Take in the tokens of a carry: each block those that the present one depends on."""
        tokens = carry[:, :-1].reshape(len(carry), self.memory, self.token)
        there = torch.arange(self.memory, device=carry.device) >= self.memory - carry[:, -1:]
        stream, found = self.embed(tokens), []
        for block in self._stack():
            past, rest = block.past(stream[:, :block.reach]), stream[:, block.reach:]
            if rest.shape[1]:
                rest, past = block(rest, past, there[:, -stream.shape[1]:])
            found.append(past)
            stream = rest
        return Before(tuple(found), there)

    def _on(self, token: torch.Tensor, before: Before) -> tuple[torch.Tensor, Before]:
        """(B, F + 2A) -> change (B, F), and what is before the next step."""
        there = torch.cat([before.there, before.there.new_ones(len(token), 1)], 1)
        stream, found = self.embed(token)[:, None], []
        for block, past in zip(self._stack(), before.pasts, strict=True):
            stream, past = block(stream, past, there[:, -block.reach - 1:])
            found.append(past)
        return self._change(stream[:, 0], token), Before(tuple(found), there)

    def _stack(self) -> list[Block]:
        return cast('list[Block]', list(self.blocks))

    def _change(self, stream: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        change: torch.Tensor = self.head(torch.cat([stream, tokens], -1))
        return change

    def _kept(self, carry: torch.Tensor, token: torch.Tensor) -> torch.Tensor:
        """Return the carry once a token has joined it."""
        count = (carry[:, -1:] + 1).clamp(max=self.memory)
        return torch.cat([carry[:, self.token:-1], token, count], -1)


class TransformerModel(NetworkModel):
    """World model of the family ``transformer``."""

    network = TransformerNetwork
    architecture = TransformerArchitecture
    #: module of the tensors whose names begin so
    modules: ClassVar[Mapping[str, str]] = {
        'embed.': DYNAMICS, 'blocks.': DYNAMICS, 'head.': READ_OUT}

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
