"""What `wm-eval train` says of a model, and what it refuses before it trains one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from wm_eval_ros.cli.main import main
from wm_eval_ros.cli.train import MOST_THREADS
from wm_eval_ros.config.scenario import PlannerSettings
from wm_eval_ros.config.schema import build, to_plain
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.models.checkpoint import load_spec
from wm_eval_ros.training.mined import write_mined
from wm_eval_ros.training.trajectory import Dataset


@pytest.fixture
def data(linear_world: Dataset, tmp_path: Path) -> Path:
    write_mined(tmp_path / 'data', linear_world, {
        'interface': to_plain(linear_world.interface), 'dt_s': linear_world.dt_s,
        'feature_names': list(linear_world.feature_names)})
    return tmp_path / 'data'


@pytest.mark.parametrize(('family', 'spread'), [
    ('ensemble', True), ('ssm', False), ('transformer', False)])
def test_a_family_is_trained_and_told_of(
    family: str, spread: bool, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(['train', str(data), '--out', str(tmp_path / 'made'), '--family',
                 family, '--steps', '3']) == 0
    assert load_spec(tmp_path / 'made').family == family
    assert ('within the predicted 90 %' in capsys.readouterr().out) is spread


@pytest.mark.parametrize('verb', ['train', 'distill'])
def test_an_out_that_cannot_be_written_is_refused_before_anything_is_read(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / 'file').write_text('')
    assert main([verb, str(tmp_path / 'no_bag'), '--out', str(tmp_path / 'file' / 'x')]) == 2
    error = capsys.readouterr().err
    assert f'{tmp_path}/file/x: cannot be written' in error
    assert error.count('\n') == 1


@pytest.mark.parametrize('verb', ['train', 'distill'])
def test_what_is_refused_for_its_input_leaves_no_folder(verb: str, tmp_path: Path) -> None:
    assert main([verb, str(tmp_path / 'no_bag'), '--out', str(tmp_path / 'a' / 'b')]) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('verb', ['train', 'distill'])
@pytest.mark.parametrize('threads', [-1, 0, MOST_THREADS + 1, 100_000])
def test_threads_that_would_end_the_process_are_refused(
    verb: str, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(torch, 'set_num_threads', lambda count: pytest.fail(f'{count} threads'))
    assert main([verb, 'bag', '--out', str(tmp_path / 'x'), '--threads', str(threads)]) == 2
    error = capsys.readouterr().err
    assert f'--threads: {threads}; at least 1 and at most 256' in error
    assert error.count('\n') == 1


def test_as_many_threads_as_a_planner_may_have() -> None:
    build(PlannerSettings, {'torch_threads': MOST_THREADS}, 'here')
    with pytest.raises(ConfigError):
        build(PlannerSettings, {'torch_threads': MOST_THREADS + 1}, 'here')
