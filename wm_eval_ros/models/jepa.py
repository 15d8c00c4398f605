"""
Joint-embedding predictive architecture: foresees codes of frames, not frames.

An encoder turns each frame into a code; a predictor foresees the next code from the last two and
the commands. Neither is made to reconstruct anything: training keeps the codes spread out instead
(see :class:`wm_eval_ros.training.learners.jepa.JepaLearner`). Objectives are asked of features,
so a read-out of the codes is trained beside it, of which the encoder feels nothing.

A frame alone may show no velocity, so the state is [code | code before].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch

from wm_eval_ros.errors import CheckpointError
from wm_eval_ros.models.architecture import Architecture
from wm_eval_ros.models.encoders import ImageEncoder, PIXELS
from wm_eval_ros.models.modules import DYNAMICS, ENCODER, READ_OUT
from wm_eval_ros.models.network import dense, NetworkModel
from wm_eval_ros.models.protocol import Latent, WorldModelSpec
from wm_eval_ros.models.state_space import StateNetwork


@dataclass(frozen=True)
class JepaArchitecture(Architecture):
    """Sizes of the networks; what ``spec.architecture`` holds."""

    #: numbers of a frame: of the first features, or, with a cnn, of these and an image's pixels
    inputs: int = 1
    #: numbers of the code of one frame
    latent: int = 32
    #: dense, or cnn for a frame that ends in an image
    encoder: str = 'dense'

    @property
    def numbers(self) -> int:
        """Features that are part of a frame; those after them are read out of the codes alone."""
        return self.inputs - PIXELS if self.encoder == 'cnn' else self.inputs


class JepaNetwork(StateNetwork):
    """Encoder, predictor and read-out."""

    def __init__(self, arch: JepaArchitecture) -> None:
        super().__init__(arch, carry=2 * arch.latent)
        self.latent, self.numbers, self.inputs = arch.latent, arch.numbers, arch.inputs
        self.anchored = arch.inputs == arch.features
        inner = [arch.hidden] * arch.layers
        self.encoder = (ImageEncoder(arch.numbers, arch.latent, arch.activation)
                        if arch.encoder == 'cnn' else
                        dense([arch.inputs, *inner, arch.latent], arch.activation))
        self.predictor = dense([2 * arch.latent + 2 * arch.actions, *inner, arch.latent],
                               arch.activation)
        self.read_out = dense([2 * arch.latent, *inner, arch.features], arch.activation)

    def given(self, obs: torch.Tensor) -> torch.Tensor:
        """Return frames: what is a feature of them standardised, pixels as they are."""
        mean, scale = (v[:self.numbers] for v in (self.feature_mean, self.feature_scale))
        return torch.cat([(obs[..., :self.numbers] - mean) / scale,
                          obs[..., self.numbers:self.inputs]], -1)

    def observe(self, x: torch.Tensor, state: torch.Tensor | None) -> torch.Tensor:
        """Take a frame in: its code goes where the foreseen one was; at a start it stood still."""
        code = self.encoder(x)
        return torch.cat([code, code if state is None else state[..., self.latent:]], -1)

    def step(
        self, state: torch.Tensor, before: torch.Tensor, action: torch.Tensor
    ) -> torch.Tensor:
        """Foresee the next code; the last one becomes the one before."""
        code = state[..., :self.latent]
        return torch.cat([code + self.predictor(torch.cat([state, before, action], -1)), code], -1)

    def read(self, state: torch.Tensor) -> torch.Tensor:
        """Read the features out of both codes."""
        found: torch.Tensor = self.read_out(state)
        return found


class JepaModel(NetworkModel):
    """World model of the family ``jepa``."""

    network = JepaNetwork
    architecture = JepaArchitecture
    #: module of the tensors whose names begin so
    modules: ClassVar[Mapping[str, str]] = {
        'encoder.': ENCODER, 'predictor.': DYNAMICS, 'read_out.': READ_OUT}
    net: JepaNetwork

    @classmethod
    def tensor_shapes(cls, spec: WorldModelSpec, where: str = '') -> dict[str, tuple[int, ...]]:
        """
        Return name and shape of every tensor the spec calls for.

        :raises CheckpointError: the architecture does not fit itself or the spec's interface
        """
        arch = cls._parsed(spec, where)
        if not 0 <= arch.numbers <= arch.features:
            raise CheckpointError(f'{where}: architecture.inputs is {arch.inputs}; of '
                                  f'{arch.features} features at most these are seen, with a cnn '
                                  f'besides {PIXELS} pixels')
        return super().tensor_shapes(spec, where)

    @torch.inference_mode()
    def encode_goal(self, obs: torch.Tensor) -> torch.Tensor:
        """Return the code of a frame as it should be, (B, I) to (B, G); in physical units."""
        code: torch.Tensor = self.net.encoder(self.net.given(obs.to(torch.float32)))
        return code

    def code(self, z: Latent) -> torch.Tensor:
        """Return what of latents is held against an encoded goal, (..., D) to (..., G)."""
        return self.net.parted(z)[1][..., :self.net.latent]
