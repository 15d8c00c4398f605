"""What two systems must share for a figure of theirs to be comparable."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from wm_eval_ros.errors import ConfigError
from wm_eval_ros.metrics.definitions import family
from wm_eval_ros.scoring.evidence import differences, Evidence

#: conditions that may be waived, and what they are
CONDITIONS = {
    'clock': 'clock mode', 'time_limit': 'time limit of an episode', 'period': 'control period',
    'deadline': 'deadline', 'plant': 'plant', 'perturbations': 'perturbations',
    'processor': 'processor'}
_OF_THE_WORLD = ('clock', 'time_limit', 'plant', 'perturbations')
_OF_TIMING = ('clock', 'processor')
#: family of figures -> what must be equal
NEEDED = {
    'success_rate': _OF_THE_WORLD, 'success_rate_worst_case': _OF_THE_WORLD,
    'unaided_success_rate': _OF_THE_WORLD, 'time_to_success': _OF_THE_WORLD,
    # a miss is counted against the own schedule
    'deadline_miss_rate': (*_OF_TIMING, 'period', 'deadline'),
    'plan_latency': _OF_TIMING, 'sense_to_act': _OF_TIMING, 'cpu_time': _OF_TIMING,
    # one step is one period
    'prediction_ratio': ('period', 'plant', 'perturbations')}
#: keys of the manifest that say nothing beyond what is compared or told elsewhere
_TOLD = ('schema_version', 'run_id', 'model', 'planner', 'settings.planner', 'settings.name',
         'settings.description', 'settings.baselines', 'settings.recorder', 'scenario',
         'observation_names', 'time_limit_s', 'period_ns', 'deadline_ns', 'clock',
         'settings.clock', 'settings.plant.time_limit_s')
#: plant plug-ins that are no world: a model's imagination, and one in which nothing moves
DREAM, STIMULUS = 'dream', 'stimulus'
#: a bag in the place of a robot
REPLAY = 'replay'
#: plant of which nothing is said: the usual one
_USUAL = 'mujoco'


def plant_kind(manifest: Mapping[str, Any]) -> str:
    """
    Return the kind of plant of a run; empty where the manifest does not say.

    >>> plant_kind({'settings': {'plant': {'kind': 'hardware'}, 'replay': {'bag': 'drive'}}})
    'replay'
    """
    if _section(manifest, 'replay').get('bag'):
        return REPLAY
    return str(_plant(manifest).get('kind') or '')


def whereabouts(manifest: Mapping[str, Any]) -> str:
    """
    Say where a run was, if not in the usual simulator; empty: there, or it is not known.

    >>> whereabouts({'settings': {'plant': {'kind': 'dream', 'model': 'reacher'}}})
    'in the dream of reacher'
    >>> whereabouts({'settings': {'plant': {'kind': 'stimulus'}}})
    'on the plant stimulus'
    """
    kind = plant_kind(manifest)
    if kind == REPLAY:
        return f'in a replay of {_section(manifest, "replay").get("bag") or "a bag"}'
    if kind == DREAM:
        return f'in the dream of {_plant(manifest).get("model") or "a model without a name"}'
    return '' if kind in ('', _USUAL) else f'on the plant {kind}'


def _plant(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    return _section(manifest, 'plant')


def _section(manifest: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    settings = manifest.get('settings')
    section = settings.get(name) if isinstance(settings, Mapping) else None
    return section if isinstance(section, Mapping) else {}


def require_one_task(sides: Collection[tuple[str, Evidence]]) -> None:
    """
    Refuse to compare different tasks: no figure of theirs is comparable.

    :param sides: name and evidence of each
    :raises ConfigError: naming two sides and their tasks, or a side whose task is not known
    """
    named = [(name, evidence.manifest.get('task')) for name, evidence in sides]
    for name, task in named:
        if not task:
            raise ConfigError(f'{name}: no manifest was recorded, so its task is not known and '
                              'nothing of it is comparable')
        if task != named[0][1]:
            raise ConfigError(f'{named[0][0]} is of task {named[0][1]}, {name} of task {task}: '
                              'nothing of theirs is comparable')


def unmet(first: Evidence, second: Evidence) -> dict[str, str]:
    """Return the conditions in which two sides differ, each with what either has."""
    found = {}
    for name in CONDITIONS:
        values = [_condition(name, side) for side in (first, second)]
        if values[0] != values[1]:
            found[name] = f'{CONDITIONS[name]}: {_shown(values[0])} against {_shown(values[1])}'
    return found


def obstacle(figure: str, unmet_: dict[str, str], waived: Collection[str]) -> str:
    """Return why a figure is not comparable; empty where it is."""
    broken = [text for name, text in unmet_.items()
              if name in NEEDED[family(figure)] and name not in waived]
    return f'not comparable, they differ in {"; ".join(broken)}' if broken else ''


def other_differences(first: Evidence, second: Evidence) -> list[str]:
    """Return the keys in which two sides differ beyond planner, model and the conditions."""
    return [key for key in differences(first.manifest, second.manifest)
            if not any(key == told or key.startswith(told + '.') for told in _TOLD)]


def _condition(name: str, side: Evidence) -> Any:
    manifest = side.manifest
    settings = manifest.get('settings') or {}
    if name == 'processor':
        return ', '.join(side.hosts) or None
    if name == 'plant':
        return plant_kind(manifest) or None
    if name == 'perturbations':
        return {key: value for key, value in settings.items() if key.startswith('perturb')
                and value} or None
    value = manifest.get({'time_limit': 'time_limit_s', 'period': 'period_ns',
                          'deadline': 'deadline_ns'}.get(name, name))
    if value is None or name == 'clock':
        return value
    return f'{value:g} s' if name == 'time_limit' else f'{value / 1e6:g} ms'


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        entries = value.get('perturbations')
        named = [f'{e.get("name")} at {e.get("severity")}' for e in entries
                 if isinstance(e, dict)] if isinstance(entries, (list, tuple)) else []
        return ', '.join(named or sorted(value))
    return 'unknown' if value is None else str(value)
