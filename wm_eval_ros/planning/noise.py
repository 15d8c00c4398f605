"""What candidates are drawn from: noise that is smooth over the steps, and held commands."""

from __future__ import annotations

import torch

#: commands held in turn by a candidate drawn anew
SEGMENTS = 3


def held(
    count: int, shape: tuple[int, int], limit: float, generator: torch.Generator
) -> torch.Tensor:
    """
    Draw sequences of a few random commands held in turn, often at their limits.

    :param shape: (H, A)
    :param limit: size of the largest useful command; a third of the draws lies beyond it
    :returns: not clamped, (count, H, A)
    """
    horizon, width = shape
    values = torch.rand((count, SEGMENTS, width), generator=generator) * 3.0 - 1.5
    ends = torch.rand((count, SEGMENTS - 1, 1), generator=generator) * horizon
    segment = (torch.arange(horizon) >= ends).sum(1)                         # (count, H)
    drawn = values.gather(1, segment[..., None].expand(-1, -1, width))
    return drawn * limit


def autoregressive(horizon: int, beta: float) -> torch.Tensor | None:
    """
    Return the matrix (H, H) that makes white noise first-order autoregressive, variance 1.

    :param beta: correlation of neighbouring steps; 0: None, the noise stays white
    """
    if beta == 0.0:
        return None
    lag = torch.arange(horizon)[:, None] - torch.arange(horizon)[None, :]
    matrix = torch.where(lag >= 0, beta ** lag.clamp(min=0).float(), torch.zeros(()))
    matrix[:, 1:] *= (1.0 - beta * beta) ** 0.5
    return matrix


def power_law(horizon: int, exponent: float) -> torch.Tensor | None:
    """
    Return the matrix (H, H) that gives white noise a spectrum of 1 / f^exponent, variance 1.

    White noise is weighted at each frequency of its Fourier transform by f^(-exponent / 2)
    (Timmer & Koenig 1995; for planning Pinneri et al. 2020). The constant part, whose weight
    would be infinite, has that of the lowest frequency, 1 / H. As a transform repeats after H
    steps, the last step of a sequence is as close to the first as to the one before it.

    :param exponent: 0: None, white; 1: pink; 2: red
    """
    if exponent == 0.0 or horizon == 1:
        return None
    frequency = torch.fft.rfftfreq(horizon, dtype=torch.float64)
    frequency[0] = frequency[1]
    weight = frequency ** (-exponent / 2.0)
    # the identity's columns are filtered as any noise would be
    spectrum = torch.fft.rfft(torch.eye(horizon, dtype=torch.float64), dim=0)
    matrix: torch.Tensor = torch.fft.irfft(weight[:, None] * spectrum, n=horizon, dim=0)
    return torch.Tensor.float(matrix / matrix[0].norm())


def smoothed(white: torch.Tensor, matrix: torch.Tensor | None) -> torch.Tensor:
    """Return white noise, (K, H, A), under a matrix of this module; None leaves it white."""
    return white if matrix is None else torch.einsum('hg,kga->kha', matrix, white)
