"""What a calibration holds for: which differences of a run are told, and which are none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import json

import pytest

from wm_eval_ros.config.scenario import find_scenario, load_scenario
from wm_eval_ros.config.schema import to_plain
from wm_eval_ros.errors import CalibrationError
from wm_eval_ros.records import Record
from wm_eval_ros.surprise.assemble import scope_of
from wm_eval_ros.surprise.material import gather
from wm_eval_ros.surprise.scope import decisive, require_scope, Scope


def scope(overrides: dict[str, object] | None = None) -> Scope:
    return scope_of(load_scenario(find_scenario('reacher'), overrides), 'a' * 64)


@pytest.mark.parametrize('name', ['model_sha256', 'task', 'period_ns', 'clock', 'planner',
                                  'horizon', 'interface_sha256'])
def test_it_holds_for_nothing_else(name: str) -> None:
    have = scope()
    other = 7 if isinstance(getattr(have, name), int) else 'b' * 64
    require_scope(have, have, 'c.json')
    with pytest.raises(CalibrationError, match=f'c.json: made for {name} '):
        require_scope(have, replace(have, **{name: other}), 'c.json')


@pytest.mark.parametrize(('key', 'value'), [
    ('planner.samples', 32), ('planner.iterations', 1), ('planner.budget_ms', 5.0),
    ('planner.stale_ms', 60.0), ('planner.latency_ms', 40.0), ('planner.noise_std', 0.1),
    ('planner.control_weight', 1.0), ('plant.observation_hz', 20.0), ('plant.time_limit_s', 9.0),
    ('supervisor.rate', [1.0, 1.0]), ('supervisor.shadow', True)])
def test_a_setting_that_changes_scores_is_named_with_both_values(key: str, value: object) -> None:
    have, other = scope(), scope({key: value})
    with pytest.raises(CalibrationError) as refused:
        require_scope(have, other, 'c.json')
    shown = repr(have.settings[key])
    assert str(refused.value).startswith(f'c.json: made for {key} {shown}, the run has {value!r}')
    assert '\n' not in str(refused.value)


@pytest.mark.parametrize(('key', 'value'), [
    ('planner.model', 'elsewhere/reacher'), ('plant.camera_hz', 10.0), ('seed', 7),
    ('episodes', 3), ('supervisor.fallback', 'hold'), ('supervisor.alarms', 1),
    ('recorder.min_free_gib', 900.0), ('perturbations', [{'name': 'physical.friction'}])])
def test_what_changes_no_nominal_score_is_not_asked(key: str, value: object) -> None:
    require_scope(scope(), scope({key: value}), 'c.json')


def test_the_manifest_of_a_run_gives_the_settings_of_its_scenario() -> None:
    plain = to_plain(load_scenario(find_scenario('reacher')))
    assert decisive(json.loads(json.dumps(plain))) == scope().settings


def test_runs_of_other_settings_are_not_calibrated_together(
    nominal_run: Callable[..., list[Record]],
) -> None:
    runs = [nominal_run(3, seed=seed, settings={'interface': {}, 'planner': {'samples': samples}})
            for seed, samples in ((0, 64), (50, 128))]
    with pytest.raises(CalibrationError, match=r'bag1: planner.samples is not that of bag0 '
                                               r'\(128, 64\)'):
        gather([(f'bag{i}', lambda run=run: run) for i, run in enumerate(runs)])
