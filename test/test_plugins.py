"""Plug-ins of others: what they raise ends in one line that names them."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
import subprocess
import sys
from typing import Any

import pytest

from wm_eval_ros import plugins
from wm_eval_ros.config.scenario import find_scenario, load_scenario
from wm_eval_ros.errors import ConfigError, MissingExtraError, PluginError, WmEvalError

MODELS, PLANNERS, PLANTS = (f'wm_eval_ros.{kind}' for kind in (
    'world_models', 'planners', 'plants'))
SOURCE = """
class LazyModel:
    @classmethod
    def for_scenario(cls, scenario):
        import upstream_of_nobody.nets


class BrokenModel:
    @classmethod
    def for_scenario(cls, scenario):
        raise KeyError('no agent in\\nthe file')


class BrokenPlanner:
    def __init__(self, settings, model, interface):
        raise RuntimeError('no device')


class BrokenPlant:
    def __init__(self, task, interface):
        raise OSError('port taken')
"""
TOP = 'import upstream_of_nobody\n\n\nclass Model:\n    pass\n'

Register = Callable[[str, str, str], None]


@pytest.fixture
def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Register:
    """Register an entry point of a package of another, beside those that are there."""
    for name, text in (('strange_plugin', SOURCE), ('strange_top', TOP)):
        (tmp_path / f'{name}.py').write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    own = plugins.entry_points
    added: list[EntryPoint] = []

    def entry_points(*, group: str) -> list[EntryPoint]:
        return [*own(group=group), *(p for p in added if p.group == group)]

    monkeypatch.setattr(plugins, 'entry_points', entry_points)
    return lambda group, name, value: added.append(EntryPoint(name, value, group))


def refused(call: Callable[[], Any], kind: type[WmEvalError]) -> str:
    with pytest.raises(kind) as caught:
        call()
    assert caught.value.exit_code == 2
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_a_missing_upstream_is_named_itself_whenever_it_is_imported(register: Register) -> None:
    pytest.importorskip('torch')
    from wm_eval_ros.models.load import load_model
    register(MODELS, 'lazy', 'strange_plugin:LazyModel')
    register(MODELS, 'top', 'strange_top:Model')
    for name, value in (('lazy', 'strange_plugin:LazyModel'), ('top', 'strange_top:Model')):
        scenario = load_scenario(find_scenario('reacher'), {
            'planner.model': name, 'planner.model_sha256': ''})
        says = refused(lambda s=scenario: load_model(s), MissingExtraError)  # type: ignore[misc]
        assert says.startswith(f"world model {name!r} ({value}) needs 'upstream_of_nobody")
        assert "install the package that provides 'upstream_of_nobody' beside" in says
        assert 'pip install' not in says


def test_a_plug_in_whose_own_module_is_gone_is_to_be_installed_anew(register: Register) -> None:
    register(MODELS, 'gone', 'plugin_of_nobody:Model')
    says = refused(lambda: plugins.load(MODELS, 'gone'), MissingExtraError)
    assert 'install the plug-in anew' in says


def test_of_our_own_extras_the_extra_is_named(
        register: Register, tmp_path: Path) -> None:
    (tmp_path / 'needs_gl.py').write_text('raise ModuleNotFoundError("x", name="mujoco.gl")\n')
    register(MODELS, 'gl', 'needs_gl:Model')
    assert "pip install 'wm_eval_ros[sim]'" in refused(
        lambda: plugins.load(MODELS, 'gl'), MissingExtraError)


def test_whatever_a_model_raises_is_one_line_with_its_name_and_place(register: Register) -> None:
    pytest.importorskip('torch')
    from wm_eval_ros.models.load import load_model
    register(MODELS, 'broken', 'strange_plugin:BrokenModel')
    scenario = load_scenario(find_scenario('reacher'), {
        'planner.model': 'broken', 'planner.model_sha256': ''})
    says = refused(lambda: load_model(scenario), PluginError)
    assert says.startswith("world model 'broken' (strange_plugin:BrokenModel) raised KeyError: ")
    assert says.endswith('(strange_plugin.py, line 11)')


def test_a_class_that_is_not_there_is_one_line(register: Register) -> None:
    register(PLANNERS, 'absent', 'strange_plugin:Nothing')
    assert 'raised AttributeError: ' in refused(
        lambda: plugins.load(PLANNERS, 'absent'), PluginError)


def test_a_planner_and_a_plant_that_raise_are_named(register: Register) -> None:
    pytest.importorskip('torch')
    from wm_eval_ros.planning.load import make_planner
    from wm_eval_ros.plants.load import make_plant
    register(PLANNERS, 'bad', 'strange_plugin:BrokenPlanner')
    register(PLANTS, 'port', 'strange_plugin:BrokenPlant')
    scenario = load_scenario(find_scenario('reacher'), {
        'planner.planner': 'bad', 'plant.kind': 'port'})
    assert "planner 'bad' (strange_plugin:BrokenPlanner) raised RuntimeError: no device" in (
        refused(lambda: make_planner(scenario.planner, None, scenario.interface), PluginError))
    assert "plant 'port' (strange_plugin:BrokenPlant) raised OSError: port taken" in (
        refused(lambda: make_plant(scenario), PluginError))


def test_an_error_of_ours_passes_as_it_is() -> None:
    with pytest.raises(ConfigError, match='as it is'), plugins.making(MODELS, 'any'):
        raise ConfigError('as it is')


def test_a_run_with_a_plug_in_whose_upstream_is_missing_ends_with_2_and_leaves_nothing(
        tmp_path: Path) -> None:
    pytest.importorskip('rclpy')
    site = tmp_path / 'site'
    info = site / 'strange_plugin-1.0.dist-info'
    info.mkdir(parents=True)
    (site / 'strange_plugin.py').write_text(SOURCE)
    (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: strange_plugin\nVersion: 1.0\n')
    (info / 'entry_points.txt').write_text(
        f'[{MODELS}]\nmytdmpc2 = strange_plugin:LazyModel\n')
    code = ('import sys; sys.path.insert(0, sys.argv.pop(1))\n'
            'from wm_eval_ros.cli.main import main; sys.exit(main(sys.argv[1:]))')
    done = subprocess.run(
        [sys.executable, '-c', code, str(site), 'run', 'reacher', '--set',
         'planner.model=mytdmpc2', '--out', str(tmp_path / 'run')],
        capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count('\n') == 1
    assert done.stderr.startswith("wm-eval run: world model 'mytdmpc2' (strange_plugin:")
    assert "needs 'upstream_of_nobody'" in done.stderr
    assert not (tmp_path / 'run').exists()
