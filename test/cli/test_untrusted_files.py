"""Every file a verb is given: what is wrong with it is one line and the documented exit code."""

from __future__ import annotations

from collections.abc import Callable
import os
from pathlib import Path

import pytest

from wm_eval_ros.cli.main import main

#: what is wrong, and what makes such a file
HOSTILE: dict[str, Callable[[Path], object]] = {
    'missing': lambda p: None,
    'empty': lambda p: p.touch(),
    'binary': lambda p: p.write_bytes(b'\xff\xfe\x00' * 100),
    'a folder': lambda p: p.mkdir(),
    'a pipe': os.mkfifo,
    'a device': lambda p: p.symlink_to('/dev/zero'),
    'a dangling link': lambda p: p.symlink_to('nowhere'),
    'a link to itself': lambda p: p.symlink_to(p.name),
    'deep': lambda p: p.write_text('[' * 100_000),
    'a list': lambda p: p.write_text('[1, 2]'),
    'a number': lambda p: p.write_text('7'),
    'a long number': lambda p: p.write_text('{"schema_version": ' + '9' * 100_000 + '}'),
    'a key twice': lambda p: p.write_text('{"a": 1, "a": 2}'),
    'an odd key': lambda p: p.write_text('{"' + 'k' * 100_000 + '": 1}'),
    'infinite': lambda p: p.write_text('{"schema_version": 1e999}'),
    'line breaks in a key': lambda p: p.write_text('{"a\\nb\\rc": 1}'),
}
#: verb -> the words with a file in them, and the suffix by which it is taken for one of its kind
VERBS: dict[str, tuple[str, list[str]]] = {
    'run a scenario': ('.yaml', ['run', 'FILE', '--out', 'OUT']),
    'run under gates': ('.yaml', ['run', 'reacher', '--gates', 'FILE', '--out', 'OUT']),
    'run a model': ('', ['run', 'reacher', '--set', 'planner.model=FILE', '--out', 'OUT']),
    'collect': ('.yaml', ['collect', 'FILE', '--out', 'OUT']),
    'train by a recipe': ('.yaml', ['train', '--recipe', 'FILE', '--out', 'OUT']),
    'train on a bag': ('.mcap', ['train', 'FILE', '--out', 'OUT']),
    'policy': ('.yaml', ['policy', 'FILE']),
    'score': ('.mcap', ['score', 'FILE', '--out', 'OUT']),
    'score a salvaged bag': ('.mcap', ['score', 'FILE', '--salvage', '--out', 'OUT']),
    'score sqlite': ('.db3', ['score', 'FILE', '--out', 'OUT']),
    'score zstd': ('.mcap.zstd', ['score', 'FILE', '--out', 'OUT']),
    'compare scorecards': ('.json', ['compare', 'FILE', 'FILE']),
    'export': ('.mcap', ['export', 'FILE', '--parquet', 'OUT']),
    'openloop': ('.mcap', ['openloop', 'FILE', '--out', 'OUT']),
    'openloop by a map': ('.yaml', ['openloop', 'BAG', '--map', 'FILE', '--out', 'OUT']),
    'fidelity': ('.mcap', ['fidelity', 'FILE', '--out', 'OUT']),
    'verify': ('.mcap', ['verify', 'FILE']),
    'calibrate': ('.mcap', ['calibrate', 'FILE', '--out', 'OUT']),
    'mine': ('.mcap', ['mine', 'FILE', '--out', 'OUT']),
    'sweep': ('.yaml', ['sweep', 'FILE', '--vary', 'planner.horizon=4,8', '--out', 'OUT']),
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize('what', HOSTILE)
@pytest.mark.parametrize('verb', VERBS)
def test_a_hostile_file_is_refused_in_one_line(
    verb: str, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    suffix, words = VERBS[verb]
    path = tmp_path / f'given{suffix}'
    HOSTILE[what](path)
    bag = tmp_path / 'bag.mcap'
    bag.write_bytes(b'')
    places = {'FILE': str(path), 'OUT': str(tmp_path / 'out'), 'BAG': str(bag)}
    before = sorted(tmp_path.rglob('*'))
    for name, place in places.items():
        words = [word.replace(name, place) for word in words]
    code = main(words)
    said = capsys.readouterr()
    assert code == 2, said
    lines = said.err.splitlines()
    assert len(lines) == 1, said.err[:2000]
    assert lines[0].startswith(f'wm-eval {words[0]}: ')
    assert len(lines[0]) < 1500
    assert said.out == ''
    assert sorted(tmp_path.rglob('*')) == before, 'nothing was written'


@pytest.mark.parametrize('text', [
    'planner.samples=0x' + 'f' * 10_000, 'planner.samples=' + '1:' * 10_000 + '1',
    'planner.samples=*a', 'planner.samples=!!python/name:os.system', 'seed=.inf',
    'x=' + '[' * 9999, 'planner.model=\x00', 'name=../../etc', 'seed=1e999',
])
def test_a_hostile_value_on_the_command_line_is_refused_in_one_line(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / 'out'
    assert main(['run', 'reacher', '--set', text, '--out', str(out)]) == 2
    said = capsys.readouterr().err
    assert said.count('\n') == 1 and len(said) < 1500
    assert not out.exists()
