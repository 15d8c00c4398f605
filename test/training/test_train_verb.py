"""What `wm-eval train` says of a model, and what it refuses before it trains one."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
import shlex
import shutil
import subprocess
import sys

import pytest
import torch

from wm_eval_ros import plugins
from wm_eval_ros.cli.main import main
from wm_eval_ros.cli.train import command_of, MOST_THREADS
from wm_eval_ros.config.scenario import PlannerSettings
from wm_eval_ros.config.schema import build, to_plain
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.models.checkpoint import GROUP, load_spec
from wm_eval_ros.training.mined import write_mined
from wm_eval_ros.training.settings import FAMILIES, HEEDED_BY, TrainSettings
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


FULL = """import resource, sys
from wm_eval_ros.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
sys.exit(main(sys.argv[1:]))
"""


def test_a_full_disk_is_told_and_leaves_nothing_that_stands_in_the_way(
    data: Path, tmp_path: Path,
) -> None:
    out = tmp_path / 'models' / 'm'
    words = ['train', str(data), '--steps', '2', '--out', str(out)]
    done = subprocess.run([sys.executable, '-c', FULL, *words], capture_output=True, text=True,
                          timeout=300, check=False)
    assert done.returncode == 74, done.stderr
    assert f'{out}: cannot be written (File too large)' in done.stderr.splitlines()[-1]
    assert [p.name for p in tmp_path.iterdir()] == ['data']
    assert main(words) == 0
    assert sorted(p.name for p in out.iterdir()) == ['card.md', 'model.safetensors', 'spec.json']


@pytest.mark.parametrize('copied', [False, True])
def test_data_that_are_given_twice_are_refused(
    copied: bool, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    again = data / '..' / 'data'
    if copied:
        again = tmp_path / 'copy'
        shutil.copytree(data, again)
    assert main(['train', str(data), str(again), '--out', str(tmp_path / 'm')]) == 2
    error = capsys.readouterr().err
    assert f'{again}: is given twice, first as {data}; its episodes would count double' in error
    assert error.count('\n') == 1
    assert not (tmp_path / 'm').exists()


def made_by(card: str) -> list[str]:
    """Return the words of the command on a card."""
    return shlex.split(card.partition('Made by `')[2].partition('`')[0])[1:]


@pytest.mark.parametrize('words', [
    pytest.param([], id='nothing-said'),
    pytest.param(['--family', 'rssm', '--set', 'kl_weight=0.5', '--set', 'deterministic=8'],
                 id='rssm'),
    pytest.param(['--family', 'mlp', '--set', 'dropout=0.25', '--set', 'weight_decay=0.00002',
                  '--seed', '3', '--hidden', '8', '--name', 'a b'], id='mlp'),
    pytest.param(['--family', 'jepa', '--set', 'grounded=true', '--set', 'latent=4'], id='jepa'),
    pytest.param(['--members', '2', '--set', 'learning_rate=1.0e-06', '--set', 'val_share=0.2'],
                 id='ensemble'),
])
def test_the_command_on_the_card_makes_the_same_model_again(
    words: list[str], data: Path, tmp_path: Path,
) -> None:
    out = tmp_path / 'made'
    assert main(['train', str(data), '--out', str(out), '--steps', '3', *words]) == 0
    again = made_by((out / 'card.md').read_text())
    assert again[:2] == ['train', str(data)]
    assert ('--family' in again, again[-2:]) == (True, ['--out', str(out)])
    first = load_spec(out)
    shutil.rmtree(out)
    assert main(again) == 0
    second = load_spec(out)
    assert second.name == first.name
    assert second.provenance['settings'] == first.provenance['settings']
    assert second.architecture == first.architecture


def test_over_a_recipe_the_command_says_what_differs_from_it() -> None:
    base = TrainSettings(family='mlp', steps=700)
    args = argparse.Namespace(bags=[], recipe='reacher', threads=2, name='', out=Path('m'))
    assert command_of(args, dataclasses.replace(base, hidden=9), base) == (
        'wm-eval train --recipe reacher --family mlp --seed 0 --hidden 9 --threads 2 --out m')


@pytest.mark.parametrize(('words', 'says'), [
    pytest.param(['--family', 'rssm', '--set', 'dropout=0.1'],
                 'dropout: has no effect on a model of the family rssm; it is of mlp',
                 id='dropout-of-an-rssm'),
    pytest.param(['--set', 'dropout=0.1'], 'the family ensemble; it is of mlp', id='by-default'),
    pytest.param(['--family', 'mlp', '--members', '3'], 'it is of ensemble', id='members'),
    pytest.param(['--family', 'mlp', '--set', 'context=3'],
                 'it is of rssm, jepa, ssm, transformer', id='context-without-a-memory'),
    pytest.param(['--set', 'family=rssm', '--family', 'mlp'],
                 '--family mlp and --set family=rssm: give one', id='two-families'),
    pytest.param(['--set', 'steps=5', '--steps', '6'], '--steps 6 and --set steps=5: give one',
                 id='two-numbers'),
])
def test_what_would_be_ignored_is_refused(
    words: list[str], says: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(['train', str(data), '--out', str(tmp_path / 'm'), *words]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count('\n') == 1


def test_a_setting_is_heeded_by_the_families_whose_architecture_has_it() -> None:
    sizes = {'dropout', 'masks', 'deterministic', 'stochastic', 'latent', 'states', 'memory',
             'heads', 'hidden', 'layers', 'activation'}
    for family in sorted({*FAMILIES} - {'ensemble'}):
        of = {f.name for f in dataclasses.fields(plugins.load(GROUP, family).architecture)}
        heeded = {name for name in sizes if family in HEEDED_BY.get(name, FAMILIES)}
        assert heeded == sizes & of, family
