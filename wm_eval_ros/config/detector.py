"""Settings of the surprise detectors."""

from __future__ import annotations

from dataclasses import dataclass

from wm_eval_ros.config.schema import setting


@dataclass(frozen=True, kw_only=True)
class DetectorSettings:
    """The surprise detectors and the calibration that gives their thresholds."""

    streams: tuple[str, ...] = setting(
        (), doc='score streams computed and logged; empty: every one the model allows')
    calibration: str = setting(
        '', doc='file that `wm-eval calibrate` wrote; empty: scores are logged, none is an alarm')
    calibration_sha256: str = setting(
        '', doc='sha256 the calibration file must have; empty: not pinned')
