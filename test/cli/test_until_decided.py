"""`wm-eval run --until-decided`: when it stops, what it keeps, and that bags alone repeat it."""

from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path
import subprocess
import sys

import pytest

pytest.importorskip('torch', reason='scenarios are checked with their models')

from wm_eval_ros.cli import sweep_runs, until_decided
from wm_eval_ros.cli.main import main
from wm_eval_ros.config.scenario import Scenario

RUN = ['run', 'reacher', '--clock', 'lockstep', '--until-decided']


@pytest.fixture
def fake_runs(monkeypatch: pytest.MonkeyPatch, outcome_bag: Callable[..., Path],
              ) -> Callable[[str, str], list[tuple[str, int, int]]]:
    """Let each side's episodes end as its letters say, by seed; return the runs as they start."""
    def use(a: str, b: str) -> list[tuple[str, int, int]]:
        started: list[tuple[str, int, int]] = []
        letters = {'a': a, 'b': b}

        def run(scenario: Scenario, folder: Path, domain: int | None) -> Path:
            side, first = folder.parent.name, scenario.seed - 1000
            started.append((side, scenario.seed, scenario.episodes))
            ends = letters[side][first:first + scenario.episodes]
            return outcome_bag(folder / 'bag', ends, seed=scenario.seed, clock='lockstep',
                               run_id=f'{side}{first}', planner=scenario.planner.planner)

        monkeypatch.setattr(until_decided, '_run_block', run)
        monkeypatch.setattr(sweep_runs, 'check_points', lambda wanted: None)
        return started
    return use


def test_it_stops_at_the_first_block_that_decides_for_the_first_side(
        tmp_path: Path, fake_runs: Callable[..., list[tuple[str, int, int]]],
        capsys: pytest.CaptureFixture[str]) -> None:
    started = fake_runs('S' * 30, 'T' * 30)
    words = [*RUN, '--against', 'random', '--block', '5', '--max-episodes', '30']
    assert main([*words, '--out', str(tmp_path / 'x')]) == 0
    # 5 of 5: e = 32 / 6; 10 of 10: e = 1024 / 11 >= 20. The sides take turns in going first
    assert started == [('a', 1000, 5), ('b', 1000, 5), ('b', 1005, 5), ('a', 1005, 5)]
    out, err = capsys.readouterr()
    assert 'PASS: A is better' in out and 'largest e-value 93.1, 20 asked' in out
    assert 'after 5 pairs: only A solved 5, only B 0; largest e-value 5.33' in err


def test_it_is_decided_against_the_first_side(
        tmp_path: Path, fake_runs: Callable[..., list[tuple[str, int, int]]]) -> None:
    fake_runs('T' * 8, 'S' * 8)
    words = [*RUN, '--against', 'random', '--block', '8', '--out', str(tmp_path / 'x')]
    assert main(words) == 1


def test_it_gives_up_at_the_limit_and_the_last_block_is_shorter(
        tmp_path: Path, fake_runs: Callable[..., list[tuple[str, int, int]]],
        capsys: pytest.CaptureFixture[str]) -> None:
    started = fake_runs('ST' * 6, 'TS' * 6)
    words = [*RUN, '--against-set', 'planner.samples=16', '--block', '5', '--max-episodes', '12']
    assert main([*words, '--json', '--out', str(tmp_path / 'x')]) == 3
    assert [n for _, _, n in started] == [5, 5, 5, 5, 2, 2]
    assert json.loads(capsys.readouterr().out)['verdict'] == 'inconclusive'


def test_the_bags_alone_give_the_same_bytes(
        tmp_path: Path, fake_runs: Callable[..., list[tuple[str, int, int]]],
        capsys: pytest.CaptureFixture[str]) -> None:
    fake_runs('SSSTSSSTSSSSSSSSSSSS', 'TTTSTTTSTTTTTTTTTTTT')
    out = tmp_path / 'x'
    code = main([*RUN, '--against', 'random', '--block', '4', '--out', str(out)])
    capsys.readouterr()
    assert main(['compare', str(out / 'a'), str(out / 'b'), '--sequential', '--json']) == code
    assert capsys.readouterr().out == (out / 'compare.json').read_text()


def test_its_sides_are_compared_by_the_test_that_holds_for_them(
        tmp_path: Path, fake_runs: Callable[..., list[tuple[str, int, int]]],
        capsys: pytest.CaptureFixture[str]) -> None:
    # six of six for the first: McNemar's p = 2 / 2^6 = .031, e = 2^6 / 7 = 9.1 of 20
    fake_runs('SSSSSS', 'TTTTTT')
    out = tmp_path / 'x'
    words = [*RUN, '--against', 'random', '--block', '3', '--max-episodes', '6']
    assert main([*words, '--out', str(out)]) == 3
    capsys.readouterr()
    assert main(['compare', str(out / 'a'), str(out / 'b'), '--json']) == 3
    printed = capsys.readouterr()
    assert printed.out == (out / 'compare.json').read_text()
    assert 'compare.json was decided while episodes were added' in printed.err
    (out / 'compare.json').unlink()
    assert main(['compare', str(out / 'a'), str(out / 'b')]) == 0


def test_a_stricter_alpha_takes_longer(
        tmp_path: Path, fake_runs: Callable[..., list[tuple[str, int, int]]]) -> None:
    started = fake_runs('S' * 16, 'T' * 16)
    words = [*RUN, '--against', 'random', '--max-episodes', '16', '--out']
    assert main([*words, str(tmp_path / 'x'), '--block', '4']) == 0
    assert main([*words, str(tmp_path / 'y'), '--block', '7', '--alpha', '0.001']) == 0
    # smallest m with 2^m / (m + 1) >= 20 is 8, and with >= 1000 it is 14
    assert [n for side, _, n in started if side == 'a'] == [4, 4, 7, 7]


REFUSED = {
    'against-nothing': ([], 'against what?'),
    'against-unknown': (['--against', 'nope'], 'planners: '),
    'another-task': (['--against', 'pusher'], 'of task pusher'),
    'another-limit': (['--against-set', 'plant.time_limit_s=9'], 'time limit'),
    'itself': (['--against-set', 'planner.samples=64'], 'the same scenario'),
    'episodes': (['--against', 'random', '--episodes', '3'], '--max-episodes'),
    'gates': (['--against', 'random', '--gates', 'edge_battery'], 'wm-eval score --gates'),
    'baselines': (['--against', 'random', '--baselines'], 'give --against'),
    'block': (['--against', 'random', '--block', '0'], 'at least 1'),
    'alpha': (['--against', 'random', '--alpha', '1'], 'between 0 and 1'),
}


@pytest.mark.parametrize('name', REFUSED)
def test_what_cannot_be_decided_is_refused_before_anything_starts(
        tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    words, says = REFUSED[name]
    assert main([*RUN, *words, '--out', str(tmp_path / 'x')]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count('\n') == 1
    assert not (tmp_path / 'x').exists()


def test_its_options_mean_nothing_without_it(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ['run', 'reacher', '--max-episodes', '4', '--out', str(tmp_path / 'x')]
    assert main(words) == 2
    assert '--max-episodes: only with --until-decided' in capsys.readouterr().err


@pytest.mark.slow
def test_a_model_is_shown_to_be_better_than_chance_on_the_real_graph(tmp_path: Path) -> None:
    pytest.importorskip('rclpy', reason='no ROS 2 here')
    out = tmp_path / 'x'
    words = [sys.executable, '-m', 'wm_eval_ros.cli.main']
    asked = [*words, *RUN, '--against', 'random', '--block', '5', '--max-episodes', '15',
             '--out', str(out)]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=360, check=False)
    assert done.returncode == 0, done.stderr
    bags = sorted(p.parent.relative_to(out).as_posix() for p in out.glob('*/*/bag'))
    assert bags == ['a/0000', 'a/0001', 'b/0000', 'b/0001']
    again = subprocess.run([*words, 'compare', str(out / 'a'), str(out / 'b'), '--sequential',
                            '--json'], capture_output=True, text=True, timeout=60, check=False)
    assert again.stdout == (out / 'compare.json').read_text()
    # finished blocks are not run again
    begun = {p: p.stat().st_mtime_ns for p in out.glob('*/*/bag/*.mcap')}
    resumed = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=False)
    assert resumed.returncode == 0, resumed.stderr
    assert {p: p.stat().st_mtime_ns for p in out.glob('*/*/bag/*.mcap')} == begun
