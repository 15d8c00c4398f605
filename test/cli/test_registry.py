"""`wm-eval registry`: list, add, promote, roll back."""

from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path
import shutil

import pytest

from wm_eval_ros.cli.main import main
from wm_eval_ros.models.checkpoint import find_checkpoint, load_checkpoint, WEIGHTS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / 'reacher'
    for why in ('first', 'second'):
        assert main(['registry', 'add', str(found), 'reacher', '--why', why]) == 0
    return found


def test_a_version_is_added_put_in_force_and_taken_back(
    folder: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(['registry', 'list', str(folder)]) == 0
    assert 'none is in force; promote one' in capsys.readouterr().out
    for version in ('1', '2'):
        assert main(['registry', 'promote', str(folder), version, '--why', 'good']) == 0
    capsys.readouterr()
    assert main(['registry', 'list', str(folder), '--json']) == 0
    found = json.loads(capsys.readouterr().out)
    assert found['current'] == 2
    assert [v['version'] for v in found['versions']] == [1, 2]
    assert found['versions'][0]['family'] == 'ensemble'
    assert [e['what'] for e in found['history']] == ['added', 'added', 'promoted', 'promoted']
    assert main(['registry', 'rollback', str(folder)]) == 0
    assert '*   1  reacher, ensemble, sha256' in capsys.readouterr().out
    assert load_checkpoint(find_checkpoint(str(folder))).spec.name == 'reacher'


@pytest.mark.parametrize(('words', 'what'), [
    (['promote', 'DIR', '7'], 'no version 7'),
    (['promote', 'DIR', 'two'], 'is no number of a version'),
    (['promote', 'DIR'], 'give the number of a version'),
    (['rollback', 'DIR'], 'nothing to roll back to'),
    (['list', 'DIR', '1'], 'list: give nothing'),
    (['add', 'DIR', 'reachr'], "no checkpoint 'reachr'"),
    (['list', 'DIR/versions/1'], 'no registry'),
])
def test_what_cannot_be_done_is_one_line_and_exit_code_2(
    folder: Path, words: list[str], what: str, capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(['registry', *(w.replace('DIR', str(folder)) for w in words)]) == 2
    line = capsys.readouterr().err
    assert what in line
    assert line.count('\n') == 1


def test_a_damaged_version_is_not_put_in_force(
    folder: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(['registry', 'promote', str(folder), '1']) == 0
    weights = folder / 'versions' / '2' / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1])
    assert main(['registry', 'promote', str(folder), '2']) == 2
    assert 'the file was changed or damaged' in capsys.readouterr().err
    (folder / 'versions' / '2' / 'spec.json').write_text('{}')
    assert main(['registry', 'list', str(folder)]) == 0
    assert 'this version reads 1' in capsys.readouterr().out


def test_a_version_that_was_swapped_is_shown_and_not_used(
    folder: Path, other_weights: Callable[[Path], Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for version in ('1', '2'):
        assert main(['registry', 'promote', str(folder), version]) == 0
    shutil.rmtree(folder / 'versions' / '1')
    other_weights(tmp_path / 'other').rename(folder / 'versions' / '1')
    capsys.readouterr()
    assert main(['registry', 'list', str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert ['CHANGED (sha256 of' in line for line in lines[1:3]] == [True, False]
    assert lines[3] == '  what is CHANGED is not what was added and is not loaded; add it anew'
    assert main(['registry', 'list', str(folder), '--json']) == 0
    assert ['changed' in v for v in json.loads(capsys.readouterr().out)['versions']] == [
        True, False]
    for words in (['promote', str(folder), '1'], ['rollback', str(folder)]):
        assert main(['registry', *words]) == 2
        line = capsys.readouterr().err
        assert 'the file was changed or damaged' in line
        assert line.count('\n') == 1


@pytest.mark.parametrize('words', [
    ['list', 'DIR'], ['add', 'DIR', 'reacher'], ['promote', 'DIR', '2'], ['rollback', 'DIR'],
])
@pytest.mark.parametrize('name', ['versions', 'versions/1', 'versions/1/card.md', 'history.jsonl'])
def test_a_link_in_a_registry_is_refused_before_anything_is_done(
    folder: Path, words: list[str], name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    (folder / name).rename(tmp_path / 'elsewhere')
    (folder / name).symlink_to(tmp_path / 'elsewhere')
    before = sorted(tmp_path.rglob('*'))
    capsys.readouterr()
    assert main(['registry', *(w.replace('DIR', str(folder)) for w in words)]) == 2
    said = capsys.readouterr()
    assert f'{name}: a link' in said.err
    assert (said.out, said.err.count('\n')) == ('', 1)
    assert sorted(tmp_path.rglob('*')) == before


def test_a_checkpoint_is_no_registry_and_models_of_two_tasks_are_not_in_one(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    model = shutil.copytree(find_checkpoint('reacher'), tmp_path / 'model')
    capsys.readouterr()
    for where, source, what in ((model, 'reacher', 'is itself a checkpoint'),
                                (folder, 'cartpole', 'differs in observations')):
        assert main(['registry', 'add', str(where), source]) == 2
        line = capsys.readouterr().err
        assert what in line
        assert line.count('\n') == 1
    assert not (model / 'versions').exists()


@pytest.mark.parametrize('text', ['', '{"version": 9}'])
def test_a_damaged_pointer_is_shown_and_mended_by_a_promotion(
    folder: Path, text: str, capsys: pytest.CaptureFixture[str],
) -> None:
    for version in ('1', '2'):
        assert main(['registry', 'promote', str(folder), version]) == 0
    (folder / 'current.json').write_text(text)
    capsys.readouterr()
    assert main(['registry', 'list', str(folder)]) == 0
    out = capsys.readouterr().out
    assert '    1  reacher, ensemble' in out
    assert out.endswith('; promote one anew\n')
    assert main(['registry', 'list', str(folder), '--json']) == 0
    found = json.loads(capsys.readouterr().out)
    assert found['current'] is None
    assert 'promote one anew' in found['damaged']
    assert main(['registry', 'promote', str(folder), '2']) == 0
    assert '*   2  reacher' in capsys.readouterr().out
    assert main(['registry', 'rollback', str(folder)]) == 0
    assert '*   1  reacher' in capsys.readouterr().out
