"""`wm-eval score` from the outside: files, output, exit codes, and what it does not import."""

from __future__ import annotations

import json
from pathlib import Path
import subprocess
import sys
from types import ModuleType

import pytest

from wm_eval_ros.cli import reading
from wm_eval_ros.cli.main import main
from wm_eval_ros.scoring.scorer import score
from wm_eval_ros.scoring.sweep import assemble, Point

BLOCKED = """
import sys
for name in ('torch', 'mujoco', 'rclpy', 'gymnasium', 'cv2', *sys.argv[1].split()):
    sys.modules[name] = None
from wm_eval_ros.cli.main import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory, scenes: ModuleType) -> Path:
    return scenes.write_bag(tmp_path_factory.mktemp('run') / 'bag', scenes.busy_run())


def run(*words: str, block: str = '') -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, '-c', BLOCKED, block, *words], text=True,
                          capture_output=True, timeout=120, check=False)


def test_files_are_written_beside_the_bag_and_the_table_is_printed(
        bag: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['score', str(bag)]) == 0
    printed = capsys.readouterr()
    assert 'success_rate' in printed.out and 'report.html' in printed.err
    folder = bag.parent / 'score'
    assert {p.name for p in folder.iterdir()} == {
        'scorecard.json', 'results.jsonl', 'junit.xml', 'summary.md', 'report.html'}
    assert 'cdn' not in (folder / 'report.html').read_text(encoding='utf-8')[:20_000]


def test_a_bag_gives_the_figures_of_its_records_bit_for_bit(
        bag: Path, scenes: ModuleType) -> None:
    live = score(scenes.busy_run())
    assert reading.score_bag(bag).identity_bytes() == live.identity_bytes()
    assert reading.score_bag(bag).counts == live.counts


def test_json_on_stdout_is_the_file(
        bag: Path, scenes: ModuleType, tmp_path: Path,
        capsys: pytest.CaptureFixture[str]) -> None:
    other = scenes.write_bag(tmp_path / 'other', scenes.busy_run(seed=1, planner='noop'))
    words = ['--out', str(tmp_path), '--baseline', str(other)]
    assert main(['score', str(bag), '--json', *words]) == 0
    out = capsys.readouterr().out
    assert out == (tmp_path / 'scorecard.json').read_text(encoding='utf-8')
    assert json.loads(out)['schema_version'] == 1


def test_a_sweep_is_drawn_with_the_run(
        bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points = [Point(v, float(v), dict.fromkeys(range(9), v < 8), ()) for v in (4, 8)]
    file = tmp_path / 'sweep.json'
    file.write_text(assemble('planner.horizon', 'reacher', 'lockstep', points).to_json())
    assert main(['score', str(bag), '--out', str(tmp_path / 'out'), '--sweep', str(file)]) == 0
    text = (tmp_path / 'out' / 'report.html').read_text(encoding='utf-8')
    assert 'Success over planning horizon [steps], n = 9 episodes a point' in text
    capsys.readouterr()
    for wrong in ('[]', '{"schema_version": 1}', 'no json'):
        file.write_text(wrong)
        assert main(['score', str(bag), '--out', str(tmp_path), '--sweep', str(file)]) == 2
        said = capsys.readouterr().err
        assert 'no sweep.json' in said or 'not usable as JSON' in said
        assert str(file) in said
    good = json.loads(assemble('planner.horizon', 'reacher', 'lockstep', points).to_json())
    for field, value in (('x', 'far'), ('bag', 7), ('model', []), ('episodes', [{'seed': 'x'}]),
                         ('values', [{'name': 1}]), ('episodes', [{'seed': 1, 'success': 2}])):
        file.write_text(json.dumps({**good, 'points': [{**good['points'][0], field: value}]}))
        assert main(['score', str(bag), '--out', str(tmp_path), '--sweep', str(file)]) == 2
        said = capsys.readouterr().err
        assert said.count('\n') == 1 and str(file) in said


def test_scoring_needs_no_ros_torch_simulator_or_plots(bag: Path, tmp_path: Path) -> None:
    done = run('score', str(bag), '--out', str(tmp_path), block='plotly')
    assert done.returncode == 0, done.stderr
    assert "pip install 'wm_eval_ros[report]'" in done.stderr
    assert {p.name for p in tmp_path.iterdir()} == {
        'scorecard.json', 'results.jsonl', 'junit.xml', 'summary.md'}


def test_a_bag_of_something_else_is_named_and_pointed_on(
        tmp_path: Path, scenes: ModuleType) -> None:
    other = scenes.write_bag(tmp_path / 'odom', [scenes.sample('/odom', n) for n in range(5)])
    done = run('score', str(other))
    assert done.returncode == 2
    assert '/odom' in done.stderr and 'wm-eval openloop' in done.stderr
    assert done.stderr.count('\n') == 1


def test_a_missing_bag_is_one_line(tmp_path: Path) -> None:
    done = run('score', str(tmp_path / 'nothing'))
    assert done.returncode == 2
    assert done.stderr.count('\n') == 1 and 'Traceback' not in done.stderr


def test_a_newer_schema_is_refused(tmp_path: Path, scenes: ModuleType) -> None:
    newer = scenes.write_bag(tmp_path / 'bag', scenes.busy_run(schema_version=99))
    done = run('score', str(newer))
    assert done.returncode == 2
    assert '99' in done.stderr and done.stderr.count('\n') == 1


def test_a_cut_bag_is_refused_and_salvaged_on_request(
        bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut = tmp_path / 'cut' / 'bag_0.mcap'
    cut.parent.mkdir()
    whole = next(bag.glob('*.mcap')).read_bytes()
    cut.write_bytes(whole[:int(len(whole) * 0.6)])
    assert main(['score', str(cut)]) == 2
    assert capsys.readouterr().err.count('\n') == 1
    assert main(['score', str(cut), '--salvage', '--json']) == 0
    card = json.loads(capsys.readouterr().out)
    assert card['counts']['cycles'] > 0
    suite = (tmp_path / 'cut' / 'score' / 'junit.xml').read_text()
    assert '<error' in suite


def test_a_folder_that_cannot_be_written_is_one_line(
        bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / 'file').touch()
    assert main(['score', str(bag), '--out', str(tmp_path / 'file')]) == 74
    assert 'cannot be written' in capsys.readouterr().err


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(['score', '--help'])
    assert done.value.code == 0
    text = capsys.readouterr().out
    assert 'example:' in text and '--salvage' in text


def test_progress_passes_everything_through(scenes: ModuleType) -> None:
    records = scenes.busy_run()
    assert list(reading.progress(iter(records), len(records))) == records


@pytest.mark.parametrize('name', ['dev_tb3_rasl', 'dev_go2_test4/bag'])
def test_a_bag_of_a_known_robot_is_scored_open_loop(
    shared_data: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(['score', str(shared_data / name), '--json', '--out', str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert 'open loop' in err
    assert json.loads(out)['scores']


def test_a_baseline_is_another_run_of_the_same_task(
    bag: Path, scenes: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    other = scenes.write_bag(tmp_path / 'other', scenes.busy_run(task='cartpole'))
    out = ['--out', str(tmp_path / 'out')]
    assert main(['score', str(bag), *out, '--baseline', str(bag)]) == 2
    assert 'is the bag that is scored' in capsys.readouterr().err
    assert main(['score', str(bag), *out, '--baseline', str(other)]) == 2
    assert 'is of task cartpole, the bag of reacher' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
