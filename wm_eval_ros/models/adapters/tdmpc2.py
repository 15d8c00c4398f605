"""TD-MPC2's implicit world model, single- or multi-task, observations of numbers."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch

from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.models.adapters.adapter import Adapter, here, Layout, Readout
from wm_eval_ros.models.protocol import Latent


class Tdmpc2(Adapter):
    """
    ``agent.model`` of nicklashansen/tdmpc2, to the signatures of commit e9f59321933c.

    Used are ``encode(obs, task)``, ``next(z, a, task)`` and ``pi(z, task)``. Its latent is a
    function of one observation: nothing is carried. It has no decoder: give a read-out for
    objectives that name features.

    :param task: number of the task of a multi-task model; None: it has one task
    """

    family = 'tdmpc2'

    def __init__(
        self, scenario: Scenario, upstream: Any, layout: Layout, *, name: str,
        readout: Readout | None = None, task: int | None = None,
    ) -> None:
        super().__init__(scenario, upstream, layout, name=name, readout=readout)
        self._task = task

    @torch.inference_mode()
    def encode(
        self,
        obs: torch.Tensor,
        prev: Latent | None = None,
        prev_action: torch.Tensor | None = None,
        is_first: torch.Tensor | None = None,
    ) -> Latent:
        """Encode one step; what came before is not used."""
        return here(self.upstream.encode(self._numbers(obs), self._task))

    @torch.inference_mode()
    def predict(
        self, z: Latent, actions: torch.Tensor, *, generator: torch.Generator | None = None
    ) -> Latent:
        """Roll the dynamics forward, (B, D), (B, H, A) to (B, H, D)."""
        at, found = self._there(z.expand(len(actions), -1)), []
        for command in self._commands(actions).unbind(1):
            at = self.upstream.next(at, command, self._task)
            found.append(here(at))
        return torch.stack(found, 1)

    @torch.inference_mode()
    def propose(
        self, z: Latent, goal: torch.Tensor, *, generator: torch.Generator
    ) -> torch.Tensor:
        """
        Draw one command of the policy prior for each latent, (B, D) to (B, A).

        The prior is a Gaussian squashed by tanh, over actions as the layout has them; of a block
        of them the first step's is taken. Upstream draws from the global generators: its draw is
        not used, and they are left as they were.
        """
        with _generators_kept(torch.device(self.layout.device)):
            info = self.upstream.pi(self._there(z), self._task)[1]
        mean, scale = here(info['mean']), here(info['log_std']).exp()
        noise = torch.randn(mean.shape, generator=generator)
        return self._from_upstream(
            torch.tanh(mean.clamp(-1 + 1e-6, 1 - 1e-6).atanh() + scale * noise))


def _generators_kept(device: torch.device) -> AbstractContextManager[None]:
    """Leave the global generators of the CPU and of a GPU as they were."""
    if device.type not in ('cuda', 'xpu'):
        return torch.random.fork_rng(devices=[])
    return torch.random.fork_rng(devices=[device], device_type=device.type)
