"""Upstream models that foresee a frame from the last few, and carry nothing else."""

from __future__ import annotations

import torch

from wm_eval_ros.models.adapters.adapter import Adapter, fresh_rows, here
from wm_eval_ros.models.protocol import Latent


class WindowAdapter(Adapter):
    """
    Latent: [last K frames, E numbers each | commands that left the first K - 1 | their number].

    The newest frame comes last. At an episode's start there is one, and the others are 0: upstream
    is given as many as there are, as its own rollouts do.
    """

    #: frames K that it looks back on, with the present one
    window: int
    #: numbers E of a frame
    frame: int

    def _see(self, obs: torch.Tensor) -> torch.Tensor:
        """Encode one step alone, (B, F) to (B, E), on the device."""
        raise NotImplementedError

    def _foresee(self, frames: torch.Tensor, commands: torch.Tensor) -> torch.Tensor:
        """
        Foresee the next frame.

        :param frames: n of them, 1 to K, (B, n, E)
        :param commands: upstream's, leaving each frame, (B, n, A * block)
        :returns: (B, E)
        """
        raise NotImplementedError

    @torch.inference_mode()
    def encode(
        self,
        obs: torch.Tensor,
        prev: Latent | None = None,
        prev_action: torch.Tensor | None = None,
        is_first: torch.Tensor | None = None,
    ) -> Latent:
        """Encode one step and append it to the frames before; see the protocol."""
        seen, count = here(self._see(obs)), len(obs)
        frames = torch.zeros(count, self.window, self.frame)
        commands = torch.zeros(count, self.window - 1, self.spec.action_dim)
        number = torch.ones(count, dtype=torch.long)
        if prev is not None:
            old, left, before = self._unpacked(prev)
            on = ~fresh_rows(prev, is_first, count)
            frames[on, :-1] = old[on, 1:]
            executed = self._executed(prev_action, count)[:, None]
            commands[on] = torch.cat([left, executed], 1)[on, 1:]
            number[on] = (before[on] + 1).clamp(max=self.window)
        frames[:, -1] = seen
        return self._packed(frames, commands, number)

    @torch.inference_mode()
    def predict(
        self, z: Latent, actions: torch.Tensor, *, generator: torch.Generator | None = None
    ) -> Latent:
        """Roll upstream forward over its window, (B, D), (B, H, A) to (B, H, D)."""
        z = z.expand(len(actions), -1)
        out = torch.empty(*actions.shape[:2], z.shape[1])
        number = self._unpacked(z)[2]
        for n in sorted(set(number.tolist())):
            rows = number == n
            out[rows] = self._rolled(z[rows], actions[rows], n)
        return out

    def _rolled(self, z: Latent, actions: torch.Tensor, n: int) -> Latent:
        """Roll rows that have n frames each."""
        frames, left, _ = self._unpacked(z)
        found = []
        for action in actions.to(torch.float32).unbind(1):
            commands = torch.cat([left, action[:, None]], 1)
            after = self._foresee(self._there(frames[:, -n:]), self._commands(commands[:, -n:]))
            frames = torch.cat([frames[:, 1:], here(after)[:, None]], 1)
            left, n = commands[:, 1:], min(n + 1, self.window)
            found.append(self._packed(frames, left, torch.full((len(z),), n)))
        return torch.stack(found, 1)

    def _packed(
        self, frames: torch.Tensor, commands: torch.Tensor, number: torch.Tensor
    ) -> Latent:
        return torch.cat([frames.flatten(1), commands.flatten(1), number[:, None].float()], -1)

    def _unpacked(self, z: Latent) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return frames (B, K, E), commands (B, K - 1, A) and the number of frames (B,)."""
        size = self.window * self.frame
        return (z[:, :size].reshape(len(z), self.window, self.frame),
                z[:, size:-1].reshape(len(z), self.window - 1, self.spec.action_dim),
                z[:, -1].round().long().clamp(1, self.window))
