"""The detectors a run asks for: from its settings to the fold and what the manifest says of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wm_eval_ros.config.detector import DetectorSettings
from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.config.schema import to_plain
from wm_eval_ros.errors import CalibrationError, ConfigError
from wm_eval_ros.surprise.calibration import Calibration, read_calibration
from wm_eval_ros.surprise.monitor import SurpriseFold
from wm_eval_ros.surprise.scope import decisive, interface_sha256, require_scope, Scope
from wm_eval_ros.surprise.streams import FREE, KL, REFERRED


def scope_of(scenario: Scenario, model_sha256: str) -> Scope:
    """Return what a calibration must have been made for to hold in a run of the scenario."""
    planner = scenario.planner
    return Scope(
        model_sha256=model_sha256, task=scenario.plant.task,
        interface_sha256=interface_sha256(scenario.interface),
        period_ns=round(planner.period_ms * 1e6), clock=str(scenario.clock),
        planner=planner.planner, horizon=planner.horizon,
        settings=decisive(to_plain(scenario)))


def load_calibration(settings: DetectorSettings, scope: Scope) -> tuple[Calibration, str]:
    """
    Read the calibration that the settings name, and its sha256.

    :raises CalibrationError: not readable, not the pinned one, or made for something else
    """
    path = Path(settings.calibration)
    found, sha256 = read_calibration(path, settings.calibration_sha256)
    require_scope(found.scope, scope, str(path))
    if settings.streams and settings.streams != found.streams:
        raise CalibrationError(f'detector.streams: {", ".join(settings.streams)}; {path} was made '
                               f'for {", ".join(found.streams)}: leave them empty')
    return found, sha256


def detector_of(scenario: Scenario, model_sha256: str, *,
                divergence: bool = False) -> tuple[SurpriseFold | None, dict[str, Any]]:
    """
    Make the fold of a run.

    :param model_sha256: of the model in use; empty: the planner uses none
    :param divergence: the model gives the stream ``kl`` itself
    :returns: the fold, None where nothing can be scored; and RunInfo.detector
    :raises CalibrationError: the calibration does not hold for this run
    :raises ConfigError: a stream nobody knows, or nothing to compute streams from
    """
    settings = scenario.detector
    if not model_sha256 or not scenario.planner.record_rollout:
        if settings.calibration or settings.streams:
            raise ConfigError('detector: scores are of what a world model foresaw; set '
                              'planner.model and planner.record_rollout, or leave it out')
        return None, {}
    if not settings.calibration:
        fold = SurpriseFold(_free(settings.streams, divergence=divergence), settings.h_steps)
        return fold, {'streams': list(fold.streams), 'h_steps': settings.h_steps}
    calibration, sha256 = load_calibration(settings, scope_of(scenario, model_sha256))
    fold = SurpriseFold((), settings.h_steps, calibration)
    return fold, {'streams': list(fold.streams), 'h_steps': calibration.h_steps,
                  **calibration.facts(sha256)}


def _free(wanted: Sequence[str], *, divergence: bool) -> tuple[str, ...]:
    """Return the streams of a run without a calibration."""
    for name in wanted:
        if name in REFERRED:
            raise ConfigError(f'detector.streams: {name} is a distance from nominal runs; set '
                              'detector.calibration too')
    return tuple(wanted) or (*FREE, *((KL,) if divergence else ()))
