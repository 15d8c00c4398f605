"""What a calibration holds for: everything that the scores of nominal episodes depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import hashlib
import json
from typing import Any

from wm_eval_ros.config.bounded import shown
from wm_eval_ros.config.interface import identity, Interface
from wm_eval_ros.config.schema import setting, to_plain
from wm_eval_ros.errors import CalibrationError

#: settings of planner and plant that are no part of it: fields of Scope name them, or, as the path
#: of the model and cameras, of which no planner reads, they change no score
_APART = {
    'planner': frozenset({'planner', 'horizon', 'period_ms', 'model', 'model_sha256',
                          'record_rollout'}),
    'plant': frozenset({'task', 'camera_hz', 'camera_encoding', 'camera_width', 'camera_height'})}
#: settings of the supervisor that change what is commanded in nominal episodes
_GATE = frozenset({'rate', 'acceleration', 'jerk', 'state_limits', 'reflex', 'shadow'})


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What a calibration holds for; everything must be the same."""

    model_sha256: str = setting(doc='sha256 of the weights')
    task: str = setting(doc='task of the plant')
    interface_sha256: str = setting(doc='sha256 of the topics, fields and limits')
    period_ns: int = setting(doc='control period', unit='ns', low=1)
    clock: str = setting(doc='realtime, lockstep or free')
    planner: str = setting(doc='planner plug-in')
    horizon: int = setting(doc='imagined steps', low=0)
    settings: dict[str, Any] = setting(
        doc='further settings that scores depend on, by `section.name`: search, budget, input '
        'age and latency of the planner, rate and time limit of the plant, limits of the gate')


def interface_sha256(interface: Interface | Any) -> str:
    """Return the identity of an interface, given as settings or as the manifest holds it."""
    text = json.dumps(identity(to_plain(interface)), sort_keys=True, separators=(',', ':'))
    return hashlib.sha256(text.encode()).hexdigest()


def decisive(settings: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the settings of a run that scores depend on, by `section.name`.

    :param settings: of the scenario, plain, by section, as the manifest holds them
    """
    found = {f'{section}.{name}': value for section, apart in _APART.items()
             for name, value in settings.get(section, {}).items() if name not in apart}
    gate = settings.get('supervisor', {})
    return {**found, **{f'supervisor.{name}': gate[name] for name in _GATE & gate.keys()}}


def difference(have: Scope, want: Scope) -> tuple[str, str, str] | None:
    """Return name and both values, as shown, of the first thing that differs; None: nothing."""
    for name in Scope.__dataclass_fields__:
        if name != 'settings' and getattr(have, name) != getattr(want, name):
            return name, _short(getattr(have, name)), _short(getattr(want, name))
    for name in sorted(have.settings.keys() | want.settings.keys()):
        mine, theirs = have.settings.get(name), want.settings.get(name)
        if mine != theirs:
            return name, _short(mine), _short(theirs)
    return None


def require_scope(have: Scope, want: Scope, where: str) -> None:
    """
    Refuse a calibration made for something else.

    :param have: of the calibration
    :param want: of the run
    :param where: how to name the calibration
    :raises CalibrationError: naming the first thing that differs
    """
    found = difference(have, want)
    if found is not None:
        name, mine, theirs = found
        raise CalibrationError(
            f'{where}: made for {name} {mine}, the run has {theirs}; '
            'calibrate from nominal runs of it with `wm-eval calibrate`')


def _short(value: object) -> str:
    if value is None:
        return 'unset'
    text = str(value)
    return f'{text[:12]}...' if len(text) == 64 else shown(value)
