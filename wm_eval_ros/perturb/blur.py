"""Blurred camera images (``visual.blur``); needs OpenCV."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from wm_eval_ros.config.schema import setting
from wm_eval_ros.perturb.protocol import Perturbation, Pixels


@dataclass(kw_only=True)
class Blur(Perturbation):
    """The lens is out of focus: Gaussian of standard deviation ``s * sigma`` of the width."""

    sigma: float = setting(0.1, doc='standard deviation at severity 1, of the image width',
                           low=0.001, high=1.0)

    def change_image(self, pixels: Pixels, task_ns: int) -> Pixels:
        """Blur."""
        sigma = self.severity * self.sigma * pixels.shape[1]
        if sigma <= 0.0:
            return pixels
        return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), np.uint8)
