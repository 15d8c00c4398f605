"""JEPA-WMs: by the user's own import of it alone, for its licence is not commercial (CC-BY-NC)."""

from __future__ import annotations

from typing import Any

import torch

from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.models.adapters.adapter import Adapter, here, Layout, Readout, unflattened
from wm_eval_ros.models.protocol import Latent


class JepaWms(Adapter):
    """
    ``EncPredWM`` of facebookresearch/jepa-wms, to the signatures of commit 6eafb1486175.

    Used are ``encode(obs)`` and ``unroll(z_ctxt, act_suffix)``, time first there. It scales pixels
    of 0 to 255 and its proprioception itself: leave those of the layout empty. A rollout begins
    with the present frame alone. The read-out is given its latent of one frame, flat.

    :param proprio: it is given the numbers of the observation besides the image
    :raises ConfigError: the interface has not exactly one image
    """

    family = 'jepa_wms'

    def __init__(
        self, scenario: Scenario, upstream: Any, layout: Layout, *, name: str,
        readout: Readout | None = None, proprio: bool = False,
    ) -> None:
        super().__init__(scenario, upstream, layout, name=name, readout=readout)
        self._require_image()
        self._proprio = proprio
        found = self._encoded(torch.zeros(1, self._count + scenario.interface.pixels))
        # one frame of each part: (batch, time, ...)
        self._kind = type(found)
        self._parts = {k: tuple(v.shape[2:]) for k, v in self._split(found).items()}

    @torch.inference_mode()
    def encode(
        self,
        obs: torch.Tensor,
        prev: Latent | None = None,
        prev_action: torch.Tensor | None = None,
        is_first: torch.Tensor | None = None,
    ) -> Latent:
        """Encode one step; what came before is not used."""
        return self._flat(self._encoded(obs))[:, 0]

    @torch.inference_mode()
    def predict(
        self, z: Latent, actions: torch.Tensor, *, generator: torch.Generator | None = None
    ) -> Latent:
        """Unroll, (B, D), (B, H, A) to (B, H, D)."""
        context = self._whole(z.expand(len(actions), -1))
        found = self.upstream.unroll(context, self._commands(actions).transpose(0, 1))
        after = {k: v.transpose(0, 1)[:, 1:] for k, v in self._split(found).items()}
        return torch.cat([here(v).flatten(2) for v in after.values()], -1)

    def _encoded(self, obs: torch.Tensor) -> Any:
        visual = self._image(obs).permute(0, 3, 1, 2)[:, None] * 255.0
        if not self._proprio:
            return self.upstream.encode(visual)
        return self.upstream.encode({'visual': visual, 'proprio': self._numbers(obs)[:, None]})

    def _split(self, whole: Any) -> dict[str, torch.Tensor]:
        if isinstance(whole, torch.Tensor):
            return {'visual': whole}
        return {k: whole[k] for k in ('visual', 'proprio')}

    def _flat(self, whole: Any) -> torch.Tensor:
        return torch.cat([here(v).flatten(2) for v in self._split(whole).values()], -1)

    def _whole(self, z: Latent) -> Any:
        """Return latents as upstream's own kind of it, one frame each."""
        found = {k: v[:, None] for k, v in unflattened(self._there(z), self._parts).items()}
        return self._kind(found) if self._proprio else found['visual']
