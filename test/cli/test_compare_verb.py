"""`wm-eval compare` and `wm-eval power` from the outside: exit codes, files, what is refused."""

from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path
import subprocess
import sys

import pytest

from wm_eval_ros.cli.main import main
from wm_eval_ros.cli.sides import bags_of
from wm_eval_ros.errors import BagError

BLOCKED = """
import sys
for name in ('torch', 'mujoco', 'rclpy', 'gymnasium', 'cv2'):
    sys.modules[name] = None
from wm_eval_ros.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope='module')
def runs(tmp_path_factory: pytest.TempPathFactory, outcome_bag: Callable[..., Path]) -> Path:
    """Runs named after how they ended: `good`, `bad`, `fair`, and `other` of another task."""
    folder = tmp_path_factory.mktemp('runs')
    for name, outcomes, changes in (
            ('good', 'S' * 12, {}), ('bad', 'T' * 12, {'took_ms': 20.0}),
            ('fair', 'SSSSSSSTTTTT', {}), ('other', 'S' * 12, {'task': 'pusher'})):
        outcome_bag(folder / name / 'bag', outcomes, run_id=name, **changes)
    return folder


def test_the_exit_code_says_for_whom_the_evidence_speaks(
        runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['compare', str(runs / 'good'), str(runs / 'bad')]) == 0
    assert 'PASS: A is better: A solved 100.0% (12), B 0.0% (12)' in capsys.readouterr().out
    assert main(['compare', str(runs / 'bad'), str(runs / 'good' / 'bag')]) == 1
    assert 'FAIL: B is better' in capsys.readouterr().out
    # 5 discordant pairs, all for A: p = 2 / 2^5 = 0.0625
    assert main(['compare', str(runs / 'good'), str(runs / 'fair')]) == 3
    printed = capsys.readouterr().out
    assert 'INCONCLUSIVE: no difference in success is shown' in printed
    assert 'exact McNemar: p = 0.0625' in printed


def test_several_are_lettered_and_judged_by_the_first(
        runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [str(runs / name) for name in ('fair', 'bad', 'good')]
    assert main(['compare', *names]) == 3
    printed = capsys.readouterr().out
    assert 'letters' in printed and 'p after Holm' in printed
    assert main(['compare', *reversed(names)]) == 3
    assert main(['compare', names[1], names[2], names[0]]) == 1


def test_json_is_the_file_and_the_same_bytes_twice(
        runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ['compare', str(runs / 'good'), str(runs / 'bad'), '--json', '--out']
    assert main([*words, str(tmp_path / 'x')]) == 0
    first = capsys.readouterr().out
    assert first == (tmp_path / 'x' / 'compare.json').read_text()
    main([*words, str(tmp_path / 'y')])
    assert capsys.readouterr().out == first
    data = json.loads(first)
    assert [s['run_ids'] for s in data['sides']] == [['good'], ['bad']]
    latency = next(e for e in data['contrasts'][0]['others'] if e['name'] == 'plan_latency.p50')
    # every call of the second takes 10 ms more than its partner
    assert latency['difference']['value'] == pytest.approx(-10.0)
    assert latency['better'] == 'first_better'


def test_scorecards_stand_in_for_bags_and_say_what_is_missing(
        runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ('good', 'bad'):
        assert main(['score', str(runs / name / 'bag'), '--out', str(tmp_path / name)]) == 0
    capsys.readouterr()
    cards = [str(tmp_path / name / 'scorecard.json') for name in ('good', 'bad')]
    assert main(['compare', *cards]) == 0
    printed = capsys.readouterr().out
    assert 'A: only its scorecard is there' in printed
    assert 'its samples are in the bag' in printed


def test_a_folder_of_runs_is_one_system(
        tmp_path: Path, outcome_bag: Callable[..., Path],
        capsys: pytest.CaptureFixture[str]) -> None:
    for side, outcome in (('a', 'SSSSS'), ('b', 'TTTTT')):
        for number in range(2):
            outcome_bag(tmp_path / side / f'{number}' / 'bag', outcome, seed=100 + 5 * number,
                        run_id=f'{side}{number}')
    assert main(['compare', str(tmp_path / 'a'), str(tmp_path / 'b'), '--sequential']) == 0
    printed = capsys.readouterr().out
    # e = 2^10 B(11, 1) = 1024 / 11
    assert '10 pairs of one seed each' in printed and 'largest e-value 93.1' in printed


def test_runs_of_another_clock_need_across(
        runs: Path, tmp_path: Path, outcome_bag: Callable[..., Path],
        capsys: pytest.CaptureFixture[str]) -> None:
    outcome_bag(tmp_path / 'bag', 'T' * 12, clock='lockstep')
    words = ['compare', str(runs / 'good'), str(tmp_path / 'bag')]
    assert main(words) == 3
    assert 'clock mode: realtime against lockstep' in capsys.readouterr().out
    assert main([*words, '--across', 'clock']) == 0
    assert 'asked to be compared across' in capsys.readouterr().out


@pytest.mark.parametrize(('words', 'says'), [
    pytest.param(['good'], 'one system alone', id='one'),
    pytest.param(['good', 'other'], 'A is of task reacher, B of task pusher', id='task'),
    pytest.param(['good', 'nothing'], 'not there', id='missing'),
    pytest.param(['.', 'good'], 'its runs differ in', id='folder-of-many'),
    pytest.param(['good', 'good', '--across', 'clok'], 'known: clock', id='condition'),
    pytest.param(['good', 'bad', '--alpha', '1.5'], 'between 0 and 1', id='alpha')])
def test_what_cannot_be_compared_is_one_line(
        runs: Path, words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = [str(runs / w) if (runs / w).is_dir() or w == 'nothing' else w for w in words]
    assert main(['compare', *given]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count('\n') == 1


def test_comparing_needs_no_ros_torch_or_simulator(runs: Path) -> None:
    done = subprocess.run(
        [sys.executable, '-c', BLOCKED, 'compare', str(runs / 'good'), str(runs / 'bad'),
         '--json'], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)['verdict'] == 'pass'


def test_a_folder_without_bags_is_named(tmp_path: Path) -> None:
    with pytest.raises(BagError, match='no bag in it'):
        bags_of(tmp_path)


@pytest.mark.parametrize(('words', 'amount', 'unit'), [
    pytest.param(['half-width', '--success', '0.5', '--width', '0.1'], 103, 'episodes', id='half'),
    # bound^n <= 0.025: n = ln 0.025 / ln 0.9 = 35.01
    pytest.param(['bound', '--success', '1', '--bound', '0.9'], 36, 'episodes', id='bound'),
    pytest.param(['bound', '--success', '0', '--bound', '0.1'], 36, 'episodes', id='mirrored'),
    pytest.param(['quantile', '--quantile', '0.99'], 299, 'slots', id='quantile'),
    # no event in 3.6889 h bounds the rate by 1 / h
    pytest.param(['rate', '--rate', '0', '--bound', '1'], 3.6889, 'hours', id='rate'),
    pytest.param(['gap', '--success', '0.7', '--against', '0.5'], 95, 'episodes a side',
                 id='gap')])
def test_power_answers(words: list[str], amount: float, unit: str,
                       capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['power', *words, '--json']) == 0
    data = json.loads(capsys.readouterr().out)
    first = data['answers'][0]
    assert (first['amount'], first['unit']) == (pytest.approx(amount, abs=1e-3), unit)
    assert main(['power', *words]) == 0
    assert first['plan'] in capsys.readouterr().out


def test_power_of_a_gap_knows_pairs_and_the_sequential_test(
        capsys: pytest.CaptureFixture[str]) -> None:
    words = ['gap', '--success', '0.7', '--against', '0.5', '--correlation', '0.3', '--json']
    assert main(['power', *words]) == 0
    plans = {a['plan']: a['amount'] for a in json.loads(capsys.readouterr().out)['answers']}
    assert plans['paired by seed, correlation 0.3: McNemar'] == 76
    assert plans['paired by seed, correlation 0.3: sequential'] == pytest.approx(76, abs=1)


@pytest.mark.parametrize(('words', 'says'), [
    pytest.param(['gap', '--success', '0.7'], 'give --against', id='missing'),
    pytest.param(['quantile', '--success', '0.7'], 'makes no difference', id='stray'),
    pytest.param(['gap', '--success', '0.5', '--against', '0.5'], 'no gap', id='no-gap'),
    pytest.param(['bound', '--success', '0.5', '--bound', '0.5'], 'is the bound', id='on-bound'),
    pytest.param(['rate', '--rate', 'nan', '--bound', '1'], 'finite', id='nan'),
    pytest.param(['bound', '--success', '0.9', '--bound', '0.8', '--power', '1'],
                 'between 0 and 1', id='power')])
def test_power_refuses_in_one_line(words: list[str], says: str,
                                   capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['power', *words]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count('\n') == 1


def test_runs_that_were_set_aside_are_not_of_the_system(tmp_path: Path) -> None:
    for name in ('0000', '0000.unfinished1', '0001', '0001.unfinished2'):
        (tmp_path / name / 'bag').mkdir(parents=True)
        (tmp_path / name / 'bag' / 'metadata.yaml').touch()
    assert [bag.parent.name for bag in bags_of(tmp_path)] == ['0000', '0001']
