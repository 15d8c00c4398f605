"""PSNR and SSIM by hand, and against scikit-image where it is installed."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from wm_eval_ros.metrics.images import psnr, ssim


def noisy(seed: int, channels: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = (24, 31, channels) if channels else (24, 31)
    image = rng.integers(0, 256, shape).astype(np.uint8)
    other = np.clip(image + rng.normal(0, spread, shape), 0, 255).astype(np.uint8)
    return image, other


def test_half_the_peak_everywhere_is_six_decibels() -> None:
    black, grey = np.zeros((4, 4)), np.full((4, 4), 0.5)
    assert psnr(black, grey, peak=1.0) == pytest.approx(6.0206, abs=1e-4)
    assert psnr(black, black) == math.inf


def test_flat_images_differ_by_their_luminance_alone() -> None:
    # no structure: (2 ab + c1) / (a^2 + b^2 + c1) with c1 = (.01 * 255)^2
    got = ssim(np.full((11, 11), 100.0), np.full((11, 11), 50.0))
    assert got == pytest.approx((2 * 5000 + 6.5025) / (12500 + 6.5025), abs=1e-9)


@pytest.mark.parametrize('channels', [0, 1, 3])
def test_both_agree_with_scikit_image(channels: int) -> None:
    metrics = pytest.importorskip('skimage.metrics')
    image, other = noisy(1, channels, 20.0)
    assert psnr(image, other) == pytest.approx(
        metrics.peak_signal_noise_ratio(image, other, data_range=255), abs=1e-9)
    assert ssim(image, other) == pytest.approx(metrics.structural_similarity(
        image, other, data_range=255, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, channel_axis=-1 if channels else None), abs=1e-9)


@given(st.integers(0, 100), st.sampled_from([0, 3]))
def test_they_are_symmetric_bounded_and_fall_with_noise(seed: int, channels: int) -> None:
    image, near = noisy(seed, channels, 5.0)
    far = noisy(seed, channels, 60.0)[1]
    assert ssim(image, image) == pytest.approx(1.0)
    assert ssim(image, near) == pytest.approx(ssim(near, image))
    assert 1.0 >= ssim(image, near) > ssim(image, far) >= -1.0
    assert psnr(image, near) == pytest.approx(psnr(near, image))
    assert psnr(image, near) > psnr(image, far)


@pytest.mark.parametrize(('shape', 'other'), [
    ((11, 11), (11, 12)), ((5,), (5,)), ((10, 30), (10, 30)), ((0, 0), (0, 0))])
def test_images_that_do_not_fit_are_refused(
    shape: tuple[int, ...], other: tuple[int, ...],
) -> None:
    with pytest.raises(ValueError, match='images of'):
        ssim(np.zeros(shape), np.zeros(other))
    with pytest.raises(ValueError, match='peak'):
        psnr(np.zeros((4, 4)), np.zeros((4, 4)), peak=0.0)
