"""DINO-WM: patches of an image, foreseen by a transformer from the last few frames."""

from __future__ import annotations

import math
from typing import Any

import torch

from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.models.adapters.adapter import Layout, Readout
from wm_eval_ros.models.adapters.window import WindowAdapter
from wm_eval_ros.models.protocol import Latent


class DinoWm(WindowAdapter):
    """
    ``VWorldModel`` of gaoyuezhou/dino_wm, to the signatures of commit 0a9492fa1204.

    Used are ``encode(obs, act)``, ``predict(z)``, ``replace_actions_from_z(z, act)``,
    ``separate_emb(z)`` and ``num_hist``. A frame is all its patches, so a latent is large: about
    80,000 numbers a frame with 224 pixels; take few samples. It has no decoder of features: the
    read-out is given what ``separate_emb`` calls ``z_obs``, of one frame each.

    :raises ConfigError: the interface has not exactly one image
    """

    family = 'dino_wm'

    def __init__(
        self, scenario: Scenario, upstream: Any, layout: Layout, *, name: str,
        readout: Readout | None = None,
    ) -> None:
        super().__init__(scenario, upstream, layout, name=name, readout=readout)
        self._require_image()
        self.window = int(upstream.num_hist)
        with torch.inference_mode():
            self._patches = tuple(self._encoded(
                torch.zeros(1, self._count + scenario.interface.pixels)).shape[2:])
        self.frame = math.prod(self._patches)

    def _encoded(self, obs: torch.Tensor) -> torch.Tensor:
        """Encode one step under any command, which is replaced later, (B, 1, P, D)."""
        still = torch.zeros(len(obs), 1, self.spec.action_dim)
        found: torch.Tensor = self.upstream.encode(
            {'visual': self._image(obs).permute(0, 3, 1, 2)[:, None],
             'proprio': self._numbers(obs)[:, None]}, self._commands(still))
        return found

    def _see(self, obs: torch.Tensor) -> torch.Tensor:
        return self._encoded(obs).flatten(1)

    def _foresee(self, frames: torch.Tensor, commands: torch.Tensor) -> torch.Tensor:
        z = frames.reshape(*frames.shape[:2], *self._patches).clone()
        after: torch.Tensor = self.upstream.predict(
            self.upstream.replace_actions_from_z(z, commands))
        return after[:, -1].flatten(1)

    def _newest(self, z: Latent) -> dict[str, torch.Tensor]:
        frames = self._there(self._unpacked(z)[0][:, -1:])
        found: dict[str, torch.Tensor] = self.upstream.separate_emb(
            frames.reshape(len(z), 1, *self._patches))[0]
        return found
