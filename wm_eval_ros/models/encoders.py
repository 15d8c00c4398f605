"""Encoders of one frame: from features, or from a small camera image."""

from __future__ import annotations

import torch
from torch import nn

#: rows, columns and channels of an image, in this order in its flat vector
IMAGE = (64, 64, 3)
#: values of an image
PIXELS = IMAGE[0] * IMAGE[1] * IMAGE[2]
#: channels of the convolutions; each halves rows and columns
CHANNELS = (16, 32, 32, 32)


class ImageEncoder(nn.Module):
    """
    A few strided convolutions, and one linear layer over them and what else is seen.

    :param numbers: features N in front of the pixels
    :param latent: numbers of the code
    """

    def __init__(self, numbers: int, latent: int, activation: str) -> None:
        super().__init__()
        self._numbers = numbers
        made: list[nn.Module] = []
        for inputs, outputs in zip((IMAGE[2], *CHANNELS[:-1]), CHANNELS, strict=True):
            made += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1),
                     nn.SiLU() if activation == 'silu' else nn.ReLU()]
        self.convolutions = nn.Sequential(*made)
        # what never moves is taken off: a small thing on a large background is else not seen
        self.register_buffer('pixel_mean', torch.full((PIXELS,), 0.5))
        self.register_buffer('pixel_scale', torch.ones(1))
        side = IMAGE[0] >> len(CHANNELS)
        self.head = nn.Linear(numbers + CHANNELS[-1] * side * side, latent)

    pixel_mean: torch.Tensor
    pixel_scale: torch.Tensor

    def look(self, pixels: torch.Tensor) -> None:
        """Take mean and scale of the pixels from some images, (N, PIXELS)."""
        self.pixel_mean.copy_(pixels.mean(0))
        self.pixel_scale.fill_(2.0 * float((pixels - self.pixel_mean).square().mean().sqrt())
                               + 1e-3)

    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        """
        Encode.

        :param frame: standardised features, then pixels in [0, 1], row by row and channels last,
            (..., N + PIXELS)
        :returns: (..., latent)
        """
        rows = frame.reshape(-1, self._numbers + PIXELS)
        pixels = (rows[:, self._numbers:] - self.pixel_mean) / self.pixel_scale
        image = pixels.reshape(-1, *IMAGE).permute(0, 3, 1, 2)
        found = self.convolutions(image).flatten(1)
        code: torch.Tensor = self.head(torch.cat([rows[:, :self._numbers], found], -1))
        return code.reshape(*frame.shape[:-1], -1)
