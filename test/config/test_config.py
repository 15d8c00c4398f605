"""Settings: checked against their declaration, wrong input in one line that names the place."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
import pytest

from wm_eval_ros.config.scenario import config_folder, find_scenario, load_scenario, Scenario
from wm_eval_ros.config.schema import build, scalar_fields, setting, to_plain
from wm_eval_ros.config.yaml_file import load_yaml, MAX_YAML_BYTES
from wm_eval_ros.errors import ConfigError

SHIPPED = sorted((config_folder() / 'scenarios').glob('*.yaml'))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Small:
    rate: float = setting(1.0, doc='a rate', unit='Hz', low=0.5, high=10.0)
    name: str = setting('a', doc='a name', choices=('a', 'b'))
    count: int = setting(doc='a count', low=0)
    entries: tuple[float, ...] = setting((), doc='numbers', high=1.0)


@pytest.mark.parametrize('path', SHIPPED, ids=lambda p: p.stem)
def test_shipped_scenarios_load_and_survive_a_round_trip(path: Path) -> None:
    scenario = load_scenario(path)
    assert scenario.name == path.stem
    assert scenario.description
    assert build(Scenario, to_plain(scenario), 'again') == scenario


@pytest.mark.parametrize(('raw', 'says'), [
    pytest.param({}, "missing key 'count'", id='missing'),
    pytest.param({'count': 1, 'raet': 2.0}, "did you mean 'rate'?", id='misspelt'),
    pytest.param({'count': 1.5}, 'expected a whole number', id='float-for-int'),
    pytest.param({'count': True}, 'expected a whole number', id='bool-for-int'),
    pytest.param({'count': '1'}, 'expected a whole number', id='text-for-int'),
    pytest.param({'count': -1}, 'is outside [0, inf]', id='below'),
    pytest.param({'count': 1, 'rate': 11}, 'is outside [0.5, 10.0]', id='above'),
    pytest.param({'count': 1, 'rate': float('nan')}, 'expected a finite number', id='nan'),
    pytest.param({'count': 1, 'name': 'c'}, 'none of the choices', id='choice'),
    pytest.param({'count': 1, 'entries': [0.0, 2.0]}, 'is outside', id='list-entry'),
    pytest.param({'count': 1, 'entries': 3.0}, 'expected a list', id='number-for-list'),
    pytest.param([1], 'expected a mapping', id='list-for-mapping'),
])
def test_wrong_settings_are_refused_in_one_line(raw: object, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(Small, raw, 'file.yaml')
    assert says in str(caught.value)
    assert 'file.yaml' in str(caught.value)
    assert '\n' not in str(caught.value)


def test_a_whole_number_does_for_a_float() -> None:
    assert build(Small, {'count': 1, 'rate': 2}, 'x').rate == 2.0


@pytest.mark.parametrize(('text', 'says'), [
    pytest.param('a: 1\na: 2\n', 'given twice', id='duplicate-key'),
    pytest.param('a: &x [1]\nb: *x\n', 'aliases are not allowed', id='alias'),
    pytest.param('a: [1\n', 'not usable as YAML', id='syntax'),
    pytest.param('a: !!python/object/apply:os.system [echo]\n', 'not usable as YAML', id='object'),
    pytest.param('[' * 5000, 'not usable as YAML', id='deep'),
])
def test_hostile_yaml_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / 'x.yaml'
    path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        load_yaml(path)


def test_a_file_that_is_no_mapping_is_refused_as_such_with_settings_over_it(
        tmp_path: Path) -> None:
    (path := tmp_path / 'list.yaml').write_text('- 1')
    with pytest.raises(ConfigError, match='expected a mapping of settings, found a list'):
        load_scenario(path, {'episodes': 3})


def test_large_binary_and_missing_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / 'x.yaml'
    with pytest.raises(ConfigError, match='cannot be read'):
        load_yaml(path)
    path.write_bytes(b'\xff\xfe\x00')
    with pytest.raises(ConfigError, match='not UTF-8'):
        load_yaml(path)
    path.write_bytes(b'#' * (MAX_YAML_BYTES + 1))
    with pytest.raises(ConfigError, match='at most'):
        load_yaml(path)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner:
                    st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)))
def test_no_value_whatever_escapes_the_schema(raw: object) -> None:
    with pytest.raises(ConfigError):
        build(Scenario, raw, 'x')


def test_unknown_scenario_lists_the_shipped_ones() -> None:
    with pytest.raises(ConfigError, match="did you mean 'reacher'"):
        find_scenario('reachr')


@pytest.mark.parametrize(('key', 'value', 'says'), [
    ('planner.budget_ms', 50.1, 'planner.budget_ms: 50.1; at most planner.deadline_ms, 50'),
    ('planner.deadline_ms', 20.0, 'planner.budget_ms: 35; at most planner.deadline_ms, 20'),
    ('planner.model', None, "expected a string, found nothing; write '' for an empty one"),
    ('interface.command.low', [0.0], 'interface.command.low'),
    ('interface.command.low', [2.0, 2.0], 'below its high'),
    ('plant.time_limit_s', 0.0, 'plant.time_limit_s'),
    ('nowhere.x', 1, "unknown key 'nowhere'"),
    ('clock', 'reltime', "did you mean 'realtime'"),
])
def test_contradictions_name_file_and_key(key: str, value: object, says: str) -> None:
    path = find_scenario('reacher')
    with pytest.raises(ConfigError, match=says) as caught:
        load_scenario(path, {key: value})
    assert str(path) in str(caught.value)


def test_settings_that_only_some_planners_heed_are_left_to_the_planners() -> None:
    found = load_scenario(find_scenario('reacher'), {
        'planner.planner': 'random_shooting', 'planner.samples': 4, 'planner.budget_ms': 50.0})
    assert found.planner.elites > found.planner.samples


def test_every_setting_has_a_description() -> None:
    seen, todo = set(), [Scenario]
    while todo:
        cls = todo.pop()
        seen.add(cls)
        for field in dataclasses.fields(cls):
            assert field.metadata.get('doc'), f'{cls.__name__}.{field.name}'
        hints = __import__('typing').get_type_hints(cls)
        for hint in hints.values():
            for inner in (hint, *__import__('typing').get_args(hint)):
                new = dataclasses.is_dataclass(inner) and inner not in seen
                todo += [inner] if new else []
    assert len(seen) >= 8
    assert {f.name for f, _ in scalar_fields(Small)} == {'rate', 'name', 'count', 'entries'}


@pytest.mark.parametrize('path', SHIPPED, ids=lambda p: p.stem)
def test_a_shipped_scenario_pins_the_weights_of_its_checkpoint(path: Path) -> None:
    import json
    planner = load_scenario(path).planner
    spec = Path(__file__).parents[2] / 'wm_eval_ros' / 'checkpoints' / planner.model / 'spec.json'
    assert planner.model_sha256 in spec.read_text()
    assert json.loads(spec.read_text())
    assert len(planner.model_sha256) == 64


CAMERA = [{'topic': 'camera/image_raw', 'width': 32, 'height': 32}]


@pytest.mark.parametrize(('overrides', 'says'), [
    pytest.param({}, 'set plant.camera_hz', id='no-camera'),
    pytest.param({'plant.camera_hz': 30.0, 'plant.camera_encoding': 'jpeg'},
                 'plant.camera_encoding raw', id='compressed'),
    pytest.param({'plant.camera_hz': 30.0, 'plant.camera_width': 48},
                 'plant.camera_width: 48; give a whole number of times', id='another-size'),
    pytest.param({'plant.camera_hz': 30.0, 'interface.images': [{'topic': 'eye'}]},
                 'a simulated plant has one camera', id='another-topic'),
])
def test_images_that_the_camera_will_not_send_are_refused(overrides: dict[str, object],
                                                          says: str) -> None:
    path = config_folder() / 'scenarios' / 'two_room.yaml'
    with pytest.raises(ConfigError, match=says):
        load_scenario(path, {'interface.images': CAMERA, **overrides})


def test_images_of_a_camera_twice_as_large_are_averaged() -> None:
    path = config_folder() / 'scenarios' / 'two_room.yaml'
    scenario = load_scenario(path, {'interface.images': CAMERA, 'plant.camera_hz': 30.0})
    assert scenario.interface.pixels == 32 * 32 * 3
    assert [s.topic for s in scenario.interface.seen][-1] == 'camera/image_raw'
