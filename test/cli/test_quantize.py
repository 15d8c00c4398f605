"""`wm-eval quantize` on shipped models: what it says, writes, saves and refuses."""

from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path
from typing import Any

import pytest

from wm_eval_ros.cli.main import main

torch = pytest.importorskip('torch')
QUICK = ['--bits', '8', '--modules', 'all', '--granularity', 'channel', '--states', '4']


@pytest.fixture(scope='module')
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the report of a small grid, and a cell of it."""
    pytest.importorskip('mujoco')
    out = tmp_path_factory.mktemp('quantize') / 'out'
    assert main(['quantize', 'reacher', '--bits', 'bf16,8,2', '--modules', 'all', '--granularity',
                 'channel', '--episodes', '5', '--states', '6', '--save', 'int8/all/channel',
                 '--out', str(out)]) == 0
    return out


def test_the_report_has_every_cell_with_all_figures(written: Path) -> None:
    report = json.loads((written / 'report.json').read_text())
    assert report['schema_version'] == 1
    assert report['seeds'] == [1000, 1001, 1002, 1003, 1004]
    found = {c['cell']: c for c in report['cells']}
    assert list(found) == ['fp32', 'bf16/all', 'int8/all/channel', 'int2/all/channel']
    eight = found['int8/all/channel']
    assert (eight['success']['k'], eight['success']['n']) == (5, 5)
    assert eight['success']['low'] == pytest.approx(0.478, abs=1e-3)
    assert eight['difference']['falls'] is False
    assert eight['rank']['median'] > 0.99
    assert eight['error']['steps'] == 10
    assert len(eight['episodes']) == 5
    two = found['int2/all/channel']
    assert two['latency'] == []
    assert two['why_no_latency'] == 'no engine here computes with 2 bits'
    assert two['difference']['falls'] is True
    assert report['smallest'] == 'int8/all/channel'


def test_the_page_says_what_is_rounded_and_what_is_not(written: Path) -> None:
    page = (written / 'quantize.md').read_text()
    assert page.startswith('# reacher with fewer bits\n')
    assert '| int2/all/channel |' in page
    assert 'activations and all sums stay fp32' in page
    assert 'no latency: no engine here computes with 2 bits' in page


def test_a_saved_cell_loads_names_its_source_and_finds_its_scenario(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from wm_eval_ros.models.checkpoint import find_checkpoint, load_checkpoint, load_spec
    folder = written / 'int8_all_channel'
    model: Any = load_checkpoint(folder)
    said = model.spec.provenance['quantized']
    assert (said['bits'], said['module'], said['granularity']) == (8, 'all', 'channel')
    assert said['source_sha256'] == load_spec(find_checkpoint('reacher')).sha256
    assert (folder / 'card.md').read_text().startswith('# reacher_int8_all_channel\n')
    # rounding what was rounded changes nothing: the cell orders candidates as its source
    assert main(['quantize', str(folder), *QUICK, '--episodes', '5', '--json']) == 0
    report = json.loads(capsys.readouterr().out)
    assert report['scenario'] == 'reacher'
    assert report['cells'][1]['rank'] == {'median': 1.0, 'least': 1.0, 'states': 4}


def test_the_text_has_a_row_for_each_cell(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip('mujoco')
    assert main(['quantize', 'reacher', *QUICK, '--episodes', '5']) == 0
    said = capsys.readouterr().out
    assert 'int8/all/channel' in said
    assert 'smallest whose success is not shown to be below fp32: int8/all/channel' in said


def test_too_few_episodes_to_show_a_fall_are_inconclusive(
    capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip('mujoco')
    assert main(['quantize', 'reacher', *QUICK, '--episodes', '1']) == 3
    assert 'try more episodes' in capsys.readouterr().out


def test_a_model_that_solves_nothing_is_inconclusive(
    other_weights: Callable[[Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip('mujoco')
    folder = str(other_weights(tmp_path / 'm'))
    code = main(['quantize', folder, *QUICK, '--episodes', '5', '--json'])
    report = json.loads(capsys.readouterr().out)
    solved = report['cells'][0]['success']['k']
    assert (code == 3) is (report['smallest'] is None)
    assert (report['smallest'] is None) or solved


@pytest.fixture
def bag(outcome_bag: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Write the bag of a run of reacher; its manifest names the shipped model."""
    from wm_eval_ros.config.scenario import find_scenario, load_scenario
    from wm_eval_ros.config.schema import to_plain
    from wm_eval_ros.models.checkpoint import find_checkpoint, load_spec

    def write(sha256: str = '', **overrides: Any) -> Path:
        scenario = load_scenario(find_scenario('reacher'), {'seed': 1003, **overrides})
        spec = load_spec(find_checkpoint('reacher'))
        return outcome_bag(tmp_path / 'run' / 'bag', 'S', settings=to_plain(scenario), model={
            'name': spec.name, 'sha256': sha256 or spec.sha256, 'family': spec.family})
    return write


def test_a_bag_gives_the_model_the_scenario_and_the_starts(
    bag: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip('mujoco')
    words = [*QUICK, '--episodes', '5', '--json']
    assert main(['quantize', str(bag(**{'planner.samples': 32})), *words]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report['scenario'], report['samples']) == ('reacher', 32)
    assert report['seeds'][0] == 1003
    assert report['model']['name'] == 'reacher'


@pytest.mark.parametrize(('sha256', 'overrides', 'words', 'says'), [
    pytest.param('0' * 64, {}, [], 'no checkpoint here has the sha256', id='other-model'),
    pytest.param('', {}, ['--scenario', 'reacher'], 'a bag has its own', id='two-scenarios'),
    pytest.param('', {'planner.delay_steps': 2}, [], 'delay_steps: 2', id='in-flight'),
])
def test_a_bag_that_cannot_be_tried_gets_one_line(
    bag: Callable[..., Path], capsys: pytest.CaptureFixture[str], sha256: str,
    overrides: dict[str, Any], words: list[str], says: str,
) -> None:
    assert main(['quantize', str(bag(sha256, **overrides).parent), *words]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize(('words', 'says'), [
    pytest.param([''], "no checkpoint ''", id='empty'),
    pytest.param(['nothing'], "no checkpoint 'nothing'", id='no-model'),
    pytest.param(['reachr'], "did you mean 'reacher'", id='misspelt'),
    pytest.param(['x.pt'], 'can run code', id='pickle'),
    pytest.param(['x.mcap'], 'no such file', id='no-bag'),
    pytest.param(['reacher', '--bits', '9'], "--bits: 'int9'", id='bits'),
    pytest.param(['reacher', '--bits', 'fp16'], "--bits: 'fp16'", id='no-such-format'),
    pytest.param(['reacher', '--bits', ''], 'no cell beside fp32', id='no-bits'),
    pytest.param(['reacher', '--bits', 'fp32'], 'no cell beside fp32', id='fp32-alone'),
    pytest.param(['reacher', '--modules', 'encoder'], 'dynamics, read_out, all', id='no-encoder'),
    pytest.param(['reacher', '--modules', 'cost'], "--modules: 'cost'", id='no-such-module'),
    pytest.param(['reacher', '--granularity', 'row'], "--granularity: 'row'", id='granularity'),
    pytest.param(['reacher', '--bits', '4', '--granularity', ''], 'no cell', id='no-scales'),
    pytest.param(['reacher', '--group', '0'], '--group', id='group'),
    pytest.param(['reacher', '--episodes', '0'], '--episodes', id='episodes'),
    pytest.param(['reacher', '--states', '-1'], '--states', id='states'),
    pytest.param(['reacher', '--seed', '-1'], '--seed', id='seed'),
    pytest.param(['reacher', '--save', 'int4/all/group'], '--out', id='save-without-out'),
    pytest.param(['reacher', '--scenario', 'cartpole'], 'command fields', id='other-scenario'),
    pytest.param(['reacher', '--scenario', 'reachr'], "did you mean 'reacher'", id='scenario'),
])
def test_bad_input_gets_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    words: list[str], says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(['quantize', *words]) == 2
    said = capsys.readouterr()
    assert said.out == ''
    assert len(said.err.strip().splitlines()) == 1
    assert says in said.err


def test_a_cell_that_is_not_in_the_grid_is_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'out'
    assert main(['quantize', 'reacher', *QUICK, '--save', 'int4/all/group',
                 '--out', str(out)]) == 2
    assert 'it has int8/all/channel' in capsys.readouterr().err
    assert not out.exists()


def test_a_folder_with_something_in_it_is_not_written_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'there').write_text('mine')
    assert main(['quantize', 'reacher', *QUICK, '--out', str(tmp_path)]) == 2
    assert 'not empty' in capsys.readouterr().err
