"""Settings of the surprise detectors."""

from __future__ import annotations

from dataclasses import dataclass

from wm_eval_ros.config.schema import setting


@dataclass(frozen=True, kw_only=True)
class DetectorSettings:
    """The surprise detectors and the calibration that gives their thresholds."""

    streams: tuple[str, ...] = setting(
        (), doc='score streams computed and logged; empty: those of the calibration, or every one '
        'that needs none')
    h_steps: int = setting(5, doc='slots that the stream `h_step` looks ahead; a calibration '
                           'brings its own', low=2, high=1000)
    calibration: str = setting(
        '', doc='file that `wm-eval calibrate` wrote; empty: scores are logged, none is an alarm')
    calibration_sha256: str = setting(
        '', doc='sha256 the calibration file must have; empty: not pinned')
    lost_alpha: float = setting(
        0.01, doc='probability of ever saying of a calibration that holds that it does not',
        low=1e-9, high=0.5)
