"""`wm-eval collect`: what a node would refuse is refused before anything is there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='no ROS 2 here')

from wm_eval_ros.cli.graph import GraphRun
from wm_eval_ros.cli.main import main
from wm_eval_ros.models.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint


@pytest.fixture(autouse=True)
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note what would have been started."""
    started: list[str] = []
    monkeypatch.setattr(GraphRun, 'execute', lambda run, scenario, *rest: started.append(
        scenario.planner.latency_trace))
    return started


def slow(folder: Path) -> Path:
    """Write the shipped reacher model as one of another period."""
    model = load_checkpoint(find_checkpoint('reacher'))
    save_checkpoint(folder, replace(model.spec, dt_s=0.1),
                    model.tensors)  # type: ignore[attr-defined]
    return folder


@pytest.mark.parametrize(('words', 'says'), [
    pytest.param(['--model', 'nope'], "no checkpoint 'nope'", id='no-model'),
    pytest.param(['--model', 'SLOW'], 'planner.period_ms is 50', id='other-period'),
    pytest.param(['--set', 'plant.task=reachr'], 'reacher', id='no-task'),
    pytest.param(['--set', 'plant.kind=mujocu'], "'mujoco'", id='no-plant')])
def test_what_cannot_be_is_refused_and_leaves_no_folder(
        words: list[str], says: str, tmp_path: Path, nothing_starts: list[str],
        capsys: pytest.CaptureFixture[str]) -> None:
    if 'SLOW' in words:
        words = ['--model', str(slow(tmp_path / 'slow'))]
    out = tmp_path / 'data'
    assert main(['collect', 'reacher', *words, '--out', str(out)]) == 2
    told = capsys.readouterr().err
    assert told.startswith('wm-eval collect: ') and told.count('\n') == 1
    assert says in told
    assert not out.exists() and not nothing_starts


def test_what_can_be_is_run_with_the_latencies_that_were_written(
        tmp_path: Path, nothing_starts: list[str]) -> None:
    out = tmp_path / 'data'
    assert main(['collect', 'reacher', '--model', 'reacher', '--out', str(out)]) == 0
    assert nothing_starts == [str(out / 'latency_ms.txt')]
    assert (out / 'latency_ms.txt').is_file()


@pytest.mark.parametrize('words', [
    ['run', 'reacher'], ['sweep', 'reacher', '--vary', 'planner.samples=4,64'],
    ['run', 'reacher', '--until-decided', '--against', 'random'],
    ['red-team', 'reacher', '--perturbation', 'sensor.bias', '--set', 'planner.latency_ms=15']])
def test_every_verb_refuses_more_elites_than_samples_at_once(
        words: list[str], tmp_path: Path, nothing_starts: list[str],
        capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / 'out'
    few = [] if '--vary' in words else ['--set', 'planner.samples=4']
    assert main([*words, *few, '--out', str(out)]) == 2
    told = capsys.readouterr().err
    assert told.count('\n') == 1 and 'planner.elites: 8 of 4 samples' in told
    assert not out.exists() and not nothing_starts


@pytest.mark.parametrize('clock', ['realtime', 'lockstep'])
def test_a_trace_that_is_not_there_is_refused_before_a_run(
        clock: str, tmp_path: Path, nothing_starts: list[str],
        capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / 'run'
    assert main(['run', 'reacher', '--clock', clock, '--set', 'planner.latency_trace=nofile',
                 '--out', str(out)]) == 2
    assert 'latency trace nofile: cannot be read' in capsys.readouterr().err
    assert not out.exists() and not nothing_starts
