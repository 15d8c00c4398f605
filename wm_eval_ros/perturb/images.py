"""Faults of camera images (``visual.*``), and changes that should not matter (``nuisance.*``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.config.schema import setting
from wm_eval_ros.perturb.protocol import Floats, Perturbation, Pixels


@dataclass(kw_only=True)
class Occlusion(Perturbation):
    """A grey rectangle, at a place drawn at the onset, hides a share s of width and of height."""

    grey: float = setting(127.0, doc='brightness of the rectangle', low=0.0, high=255.0)
    _place: tuple[float, float] | None = field(default=None, init=False)

    def change_image(self, pixels: Pixels, task_ns: int) -> Pixels:
        """Hide."""
        if self._place is None:
            down, right = self.rng.random(2).tolist()
            self._place = down, right
        height, width = pixels.shape[:2]
        h, w = round(self.severity * height), round(self.severity * width)
        top, left = round(self._place[0] * (height - h)), round(self._place[1] * (width - w))
        hidden: Pixels = pixels.copy()
        hidden[top:top + h, left:left + w] = round(self.grey)
        return hidden


@dataclass(kw_only=True)
class Colour(Perturbation):
    """The colour channels are scaled apart: by up to ``1 +- s * gain``, drawn at the onset."""

    gain: float = setting(0.8, doc='largest change of a channel at severity 1, of its brightness',
                          low=0.001, high=1.0)
    _shift: Floats | None = field(default=None, init=False)

    def change_image(self, pixels: Pixels, task_ns: int) -> Pixels:
        """Scale."""
        if self._shift is None:
            # at least one channel goes as far as it may, so that the strength is the severity's
            drawn = self.rng.uniform(-1.0, 1.0, 3)
            self._shift = drawn / np.abs(drawn).max()
        return _pixels(pixels * (1.0 + self.severity * self.gain * self._shift))


@dataclass(kw_only=True)
class Illumination(Perturbation):
    """All is brighter or darker, drawn at the onset: by ``s * gain`` of its brightness."""

    gain: float = setting(0.9, doc='change of the brightness at severity 1', low=0.001, high=1.0)
    _sign: float = field(default=0.0, init=False)

    def change_image(self, pixels: Pixels, task_ns: int) -> Pixels:
        """Scale."""
        self._sign = self._sign or (-1.0 if self.rng.random() < 0.5 else 1.0)
        return _pixels(pixels * (1.0 + self._sign * self.severity * self.gain))


@dataclass(kw_only=True)
class FaintIllumination(Illumination):
    """As ``visual.illumination``, as little as clouds and lamps do it."""

    gain: float = setting(0.1, doc='change of the brightness at severity 1', low=0.001, high=0.3)


@dataclass(kw_only=True)
class ImageNoise(Perturbation):
    """Gaussian noise on every pixel, standard deviation ``s * std``."""

    std: float = setting(80.0, doc='standard deviation at severity 1, of 255', low=0.1,
                         high=255.0)

    def change_image(self, pixels: Pixels, task_ns: int) -> Pixels:
        """Add noise, drawn anew for every image."""
        if self.severity <= 0.0:
            return pixels
        noise = self.rng.standard_normal(pixels.shape, dtype=np.float32)
        return _pixels(pixels + self.severity * self.std * noise)


@dataclass(kw_only=True)
class FaintImageNoise(ImageNoise):
    """As ``visual.noise``, as little as a camera has it by itself."""

    std: float = setting(4.0, doc='standard deviation at severity 1, of 255', low=0.1, high=10.0)


@dataclass(kw_only=True)
class ImageSalt(Perturbation):
    """A share ``s * share`` of the pixels is black or white."""

    share: float = setting(0.5, doc='share of the pixels at severity 1', low=0.001, high=1.0)

    def change_image(self, pixels: Pixels, task_ns: int) -> Pixels:
        """Hit some pixels, drawn anew for every image."""
        drawn = self.rng.random(pixels.shape[:2])
        hit = drawn < self.severity * self.share
        salted: Pixels = pixels.copy()
        # the parity of a later digit: independent of whether it is hit
        salted[hit] = np.where((drawn[hit] * 2**20).astype(np.int64) % 2, 255, 0)[:, None]
        return salted


@dataclass(kw_only=True)
class Truncated(Perturbation):
    """The image message ends early with probability s: a drawn share of its bytes is missing."""

    def change_size(self, size: int) -> int:
        """Return how many bytes stay."""
        hit, share = self.rng.random(2).tolist()
        return int(size * share) if hit < self.severity else size


@dataclass(kw_only=True)
class WrongEncoding(Perturbation):
    """The image message says another encoding than it has, with probability s."""

    def change_encoding(self, encoding: str) -> str:
        """Return what the message says."""
        if self.rng.random() >= self.severity:
            return encoding
        return {'rgb8': 'bgr8', 'jpeg': 'png', 'png': 'jpeg'}.get(encoding, 'mono8')


def _pixels(values: NDArray[np.floating[Any]]) -> Pixels:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)
