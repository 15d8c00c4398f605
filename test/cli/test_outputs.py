"""A folder that could not be written is refused before the work, and nothing is left of asking."""

from __future__ import annotations

from pathlib import Path

import pytest

from wm_eval_ros.cli import outputs
from wm_eval_ros.cli.outputs import copy_folder, require_writable, writing
from wm_eval_ros.errors import ConfigError, RecordingError


@pytest.mark.parametrize('name', ['there', 'new', 'new/and/deeper'])
def test_a_folder_that_can_be_written_is_as_it_was(name: str, tmp_path: Path) -> None:
    (tmp_path / 'there').mkdir()
    require_writable(tmp_path / name)
    assert list(tmp_path.rglob('*')) == [tmp_path / 'there']


def test_a_folder_named_from_here_is_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    require_writable(Path('new/and/deeper'))
    require_writable(Path('.'))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(('name', 'why'), [
    ('file/x', '/file is a file'), ('file/x/y', '/file is a file'), ('file', '/file is a file'),
    ('new/' + 300 * 'x', 'File name too long'), ('dangling', 'File exists')])
def test_one_that_cannot_be_made_is_refused_and_nothing_is_left(
    name: str, why: str, tmp_path: Path,
) -> None:
    (tmp_path / 'file').write_text('kept')
    (tmp_path / 'dangling').symlink_to('nowhere')
    with pytest.raises(ConfigError, match=rf'cannot be written \(.*{why}\); choose another --out'):
        require_writable(tmp_path / name)
    assert {p.name for p in tmp_path.iterdir()} == {'file', 'dangling'}
    assert (tmp_path / 'file').read_text() == 'kept'


def test_one_that_nothing_can_be_written_into_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(**_: object) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(outputs, 'TemporaryFile', full)
    with pytest.raises(ConfigError, match='No space left'):
        require_writable(tmp_path / 'new')
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(('error', 'why'), [
    (OSError(28, 'No space left on device'), 'No space left on device'),
    (OSError('of no number'), 'of no number')])
def test_why_a_folder_cannot_be_written_is_said(error: OSError, why: str) -> None:
    with pytest.raises(RecordingError, match=rf'a/b: cannot be written \({why}\)'), \
            writing(Path('a/b')):
        raise error


def test_a_copy_that_fails_names_the_cause(tmp_path: Path) -> None:
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / 'file').write_text('x')
    copy_folder(tmp_path / 'a', tmp_path / 'b')
    assert (tmp_path / 'b' / 'file').read_text() == 'x'
    (tmp_path / 'a' / 'gone').symlink_to('nowhere')
    with pytest.raises(OSError, match='No such file or directory') as raised:
        copy_folder(tmp_path / 'a', tmp_path / 'c')
    assert 'No such file or directory' in (raised.value.strerror or '')
