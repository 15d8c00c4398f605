"""How alike two images are: signal to noise, and structure."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

#: standard deviation of the window of SSIM [px], and where it is cut, of Wang et al. (2004)
SIGMA_PX, TRUNCATE = 1.5, 3.5
_REACH_PX = int(TRUNCATE * SIGMA_PX + 0.5)
#: stabilising constants of SSIM
_K1, _K2 = 0.01, 0.03


def _pair(image: ArrayLike, other: ArrayLike, peak: float) -> tuple[Floats, Floats]:
    left, right = np.asarray(image, float), np.asarray(other, float)
    if left.shape != right.shape or left.ndim not in (2, 3) or not left.size:
        raise ValueError(f'images of shape {left.shape} and {right.shape}: needs two of one '
                         'shape, (height, width) or (height, width, channels)')
    if not peak > 0:
        raise ValueError(f'peak {peak}: the largest value an image may have, above 0')
    return left, right


def psnr(image: ArrayLike, other: ArrayLike, peak: float = 255.0) -> float:
    """
    Peak signal-to-noise ratio [dB]: ``10 log10(peak^2 / mean squared difference)``.

    :param image: (height, width) or (height, width, channels)
    :param other: of the same shape
    :param peak: largest value an image may have: 255 for uint8
    :returns: infinite for equal images, NaN where a value is
    :raises ValueError: shapes differ

    >>> round(psnr([[0, 0], [0, 0]], [[0, 0], [0, 10]]), 3)
    34.151
    """
    left, right = _pair(image, other, peak)
    error = float(np.mean((left - right) ** 2))
    return math.inf if error == 0 else 10.0 * math.log10(peak**2 / error)


def ssim(image: ArrayLike, other: ArrayLike, peak: float = 255.0) -> float:
    """
    Structural similarity, mean over the image and its channels; 1 for equal images.

    Wang, Bovik, Sheikh and Simoncelli (IEEE Trans. Image Process. 13, 2004): Gaussian window of
    1.5 px, 11 px wide, population covariances, K1 = 0.01, K2 = 0.03. The 5 px at the border, where
    the window does not fit, are left out.

    :param image: (height, width) or (height, width, channels), at least 11 px each way
    :param other: of the same shape
    :param peak: largest value an image may have: 255 for uint8
    :raises ValueError: shapes differ, or the image is smaller than the window
    """
    left, right = _pair(image, other, peak)
    if min(left.shape[:2]) < 2 * _REACH_PX + 1:
        raise ValueError(f'images of {left.shape[0]} x {left.shape[1]} px: the window needs '
                         f'{2 * _REACH_PX + 1} each way')
    if left.ndim == 2:
        left, right = left[..., None], right[..., None]
    return float(np.mean([_channel(left[..., c], right[..., c], peak)
                          for c in range(left.shape[2])]))


def _channel(left: Floats, right: Floats, peak: float) -> float:
    from scipy.ndimage import gaussian_filter

    def local(values: Floats) -> Floats:
        return np.asarray(gaussian_filter(values, SIGMA_PX, truncate=TRUNCATE))

    mean_l, mean_r = local(left), local(right)
    var_l = local(left * left) - mean_l**2
    var_r = local(right * right) - mean_r**2
    both = local(left * right) - mean_l * mean_r
    c1, c2 = (_K1 * peak) ** 2, (_K2 * peak) ** 2
    index = ((2 * mean_l * mean_r + c1) * (2 * both + c2)
             / ((mean_l**2 + mean_r**2 + c1) * (var_l + var_r + c2)))
    inner = slice(_REACH_PX, -_REACH_PX)
    return float(np.mean(index[inner, inner]))
