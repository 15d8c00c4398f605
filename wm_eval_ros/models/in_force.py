"""
The command in force: a part of every latent here.

The command of slot k takes effect a planner's latency after the slot begins, so what the world
does in that slot depends on the command before it too.
"""

from __future__ import annotations

import torch

from wm_eval_ros.config.interface import CommandStream


def command_at_rest(command: CommandStream) -> torch.Tensor:
    """Return what a command of 0 in its own units is in [-1, 1], clipped, (A,)."""
    low, high = torch.tensor(command.low), torch.tensor(command.high)
    return (2.0 * (0.0 - low) / (high - low) - 1.0).clamp(-1.0, 1.0)


def command_in_force(
    prev_action: torch.Tensor | None, is_first: torch.Tensor | None, rest: torch.Tensor, batch: int
) -> torch.Tensor:
    """
    Return the command in force when a step is encoded, (B, A), float32.

    :param prev_action: executed up to this step, in [-1, 1], (B, A); None: rest
    :param is_first: rows where an episode begins, (B,): rest is in force there
    :param rest: (A,)
    """
    still = rest.expand(batch, -1)
    action = still if prev_action is None else prev_action.to(torch.float32)
    return action if is_first is None else torch.where(is_first[:, None], still, action)
