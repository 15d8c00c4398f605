"""A perturbation asked for live, checked, as if it had been scheduled for now."""

from __future__ import annotations

from dataclasses import dataclass

from wm_eval_ros.config.json_text import parse_json
from wm_eval_ros.config.schema import build, setting
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.perturb import catalogue
from wm_eval_ros.perturb.protocol import ChangesPlanning, ChangesProcesses, ProcessFault
from wm_eval_ros.perturb.schedule import Scheduled

#: a longer one is no duration [s]
LONGEST_S = 1e6


@dataclass(frozen=True, kw_only=True)
class _Parameters:
    """What a request says as JSON."""

    parameters: dict[str, float] = setting(doc="the perturbation's own parameters")


def requested(
    name: str, severity: float, duration_s: float, seed: int, parameters: str, task_ns: int,
) -> Scheduled:
    """
    Return the perturbation that a request of the service asks for.

    :param duration_s: 0: until it is switched off, or as long as it lasts by itself [s]
    :param parameters: JSON object of numbers; empty: the defaults
    :param task_ns: now [ns since the episode's start]
    :raises UnknownNameError: no such perturbation
    :raises ConfigError: severity, duration or parameters do not fit, or another process carries it
        out by the schedule, whom the request does not reach
    """
    kind = catalogue.load(name)
    elsewhere = issubclass(kind, ChangesPlanning) or (
        issubclass(kind, ChangesProcesses)
        and kind.process_fault() is ProcessFault.SECOND_PUBLISHER)
    if elsewhere:
        raise ConfigError(f'{name} is carried out by another process: schedule it in the scenario')
    if not 0.0 <= severity <= 1.0:
        raise ConfigError(f'severity: {severity:g} is outside [0, 1]')
    if not 0.0 <= duration_s <= LONGEST_S:
        raise ConfigError(f'duration_s: {duration_s:g} is outside [0, {LONGEST_S:g}]')
    raw = parse_json(parameters or '{}', 'parameters', ConfigError)
    checked = build(_Parameters, {'parameters': raw}, 'request').parameters
    catalogue.check(name, checked)
    lasts_ns = round(duration_s * 1e9)
    return Scheduled(name, severity, task_ns, task_ns + lasts_ns if lasts_ns else None, seed, (),
                     checked)
