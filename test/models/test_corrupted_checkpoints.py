"""R7: corrupted and malicious checkpoints are refused before anything is loaded or run."""

from __future__ import annotations

from collections.abc import Callable
import hashlib
import json
import os
from pathlib import Path
import pickle
import random
import stat
import struct
from typing import Any
import zipfile

import pytest
from safetensors.torch import load_file, save_file
import torch

from wm_eval_ros import plugins
from wm_eval_ros.cli.main import main
from wm_eval_ros.errors import CheckpointError, WmEvalError
from wm_eval_ros.models.checkpoint import find_checkpoint, load_checkpoint

COUNT = 1200
WEIGHTS, SPEC = 'model.safetensors', 'spec.json'


def flip(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1:]


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[:rng.randrange(len(data))]


def overwrite(data: bytes, rng: random.Random, fill: Callable[[int], bytes]) -> bytes:
    size = rng.randrange(1, min(512, len(data)))
    at = rng.randrange(len(data) - size)
    return data[:at] + fill(size) + data[at + size:]


CORRUPTIONS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    'flip': flip, 'cut': cut,
    'zero': lambda d, r: overwrite(d, r, bytes),
    'random': lambda d, r: overwrite(d, r, r.randbytes),
    'insert': lambda d, r: (d[:(at := r.randrange(len(d)))] + r.randbytes(8) + d[at:]),
    'delete': lambda d, r: (d[:(at := r.randrange(len(d) - 8))] + d[at + 1 + r.randrange(8):]),
}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def refusal(folder: Path, **options: Any) -> str:
    with pytest.raises(WmEvalError) as caught:
        load_checkpoint(folder, **options)
    assert '\n' not in str(caught.value)
    assert len(str(caught.value)) < 1000
    return str(caught.value)


def set_hash(folder: Path, sha256: str) -> None:
    raw = json.loads((folder / SPEC).read_text())
    (folder / SPEC).write_text(json.dumps({**raw, 'sha256': sha256}))


@pytest.mark.parametrize('target', [WEIGHTS, SPEC])
def test_every_corrupted_checkpoint_is_refused_before_it_is_loaded(
    checkpoint: Path, target: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Half of the weights come with a spec whose hash fits again; the settings' pin stays."""
    path, rng = checkpoint / target, random.Random(target)
    whole, spec, pin = path.read_bytes(), (checkpoint / SPEC).read_bytes(), digest(
        checkpoint / WEIGHTS)
    loaded: list[str] = []
    family = plugins.load('wm_eval_ros.world_models', 'ensemble')
    monkeypatch.setattr(family, '__init__', lambda *_: loaded.append('made'))
    done = 0
    while done < COUNT // 2:
        corrupted = CORRUPTIONS[rng.choice(list(CORRUPTIONS))](whole, rng)
        if corrupted == whole or (target == SPEC and same_json(corrupted, whole)):
            continue  # zeroed where zeros were, or changed white space
        done += 1
        path.write_bytes(corrupted)
        if target == WEIGHTS and done % 2:
            set_hash(checkpoint, digest(path))
        refusal(checkpoint, sha256=pin)
        (checkpoint / SPEC).write_bytes(spec)
    assert loaded == []


def same_json(one: bytes, other: bytes) -> bool:
    try:
        first, second = json.loads(one), json.loads(other)
    except (ValueError, RecursionError):
        return False
    # the hash of the weights may be written in capitals
    first['sha256'] = str(first.get('sha256')).lower()
    return bool(first == second)


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def zipped(path: Path, data: bytes) -> None:
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('archive/data.pkl', data)


def edited(folder: Path, **changes: Any) -> None:
    raw = json.loads((folder / SPEC).read_text())
    raw.update(changes)
    (folder / SPEC).write_text(json.dumps(raw))


def header(folder: Path, head: bytes, rest: bytes = b'') -> None:
    (folder / WEIGHTS).write_bytes(struct.pack('<Q', len(head)) + head + rest)
    set_hash(folder, digest(folder / WEIGHTS))


def architecture(folder: Path, **changes: Any) -> None:
    raw = json.loads((folder / SPEC).read_text())
    edited(folder, architecture={**raw['architecture'], **changes})


def weights(folder: Path, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / WEIGHTS)
    edit(tensors)
    save_file(tensors, folder / WEIGHTS)
    set_hash(folder, digest(folder / WEIGHTS))


def replaced(folder: Path, data: bytes) -> None:
    (folder / WEIGHTS).write_bytes(data)
    set_hash(folder, digest(folder / WEIGHTS))


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def link(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


#: of each its name and what makes it of a good folder; the hash in spec.json fits where it can
MALICIOUS: dict[str, Callable[[Path, bytes], object]] = {
    'pickle as weights': lambda f, bomb: replaced(f, bomb),
    'zip of a pickle as weights': lambda f, bomb: (
        zipped(f / WEIGHTS, bomb), set_hash(f, digest(f / WEIGHTS))),
    'pickle behind a header': lambda f, bomb: header(f, b'{}', bomb),
    'pickle as spec': lambda f, bomb: (f / SPEC).write_bytes(bomb),
    'header of 2^63': lambda f, bomb: replaced(f, struct.pack('<Q', 2**63) + bytes(9)),
    'deep header': lambda f, bomb: header(f, b'[' * 100_000),
    'name given twice in the header': lambda f, bomb: header(
        f, b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},' * 2 + b'}', bytes(4)),
    'negative shape': lambda f, bomb: header(
        f, b'{"bias0":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', bytes(4)),
    'offsets beyond the end': lambda f, bomb: header(
        f, b'{"bias0":{"dtype":"F32","shape":[1],"data_offsets":[0,400000000]}}', bytes(4)),
    'sizes for 34 GB': lambda f, bomb: architecture(f, hidden=4096, layers=8, members=64),
    'a size of 10^400': lambda f, bomb: architecture(f, hidden=10**400),
    'sizes that are no numbers': lambda f, bomb: architecture(f, members='9' * 10**6),
    'a family that is a path': lambda f, bomb: edited(f, family='../../os:system'),
    'a family of no weights': lambda f, bomb: edited(f, family='oracle'),
    'a step of 1e999': lambda f, bomb: (f / SPEC).write_text(
        (f / SPEC).read_text().replace('0.05', '1e999')),
    'deep spec': lambda f, bomb: edited(f, provenance=json.loads('[' * 500 + ']' * 500)),
    'spec of a hundred megabytes': lambda f, bomb: os.truncate(f / SPEC, 100 << 20),
    'scales of NaN': lambda f, bomb: weights(f, lambda t: t['delta_scale'].fill_(torch.nan)),
    'weights that are a pipe': lambda f, bomb: fifo(f / WEIGHTS),
    'weights that are a device': lambda f, bomb: link(f / WEIGHTS, '/dev/zero'),
    'weights that are a folder': lambda f, bomb: (
        (f / WEIGHTS).unlink(), (f / WEIGHTS).mkdir()),
    'no hash in the spec': lambda f, bomb: edited(f, sha256=''),
}


@pytest.mark.timeout(10)
@pytest.mark.parametrize('name', MALICIOUS)
def test_every_malicious_checkpoint_is_refused_and_nothing_runs(
    checkpoint: Path, tmp_path: Path, name: str,
) -> None:
    mark = tmp_path / 'executed'
    MALICIOUS[name](checkpoint, pickle.dumps(Bomb(mark)))
    refusal(checkpoint)
    assert not mark.exists()


@pytest.mark.parametrize('suffix', ['.pt', '.pth', '.PT', '.pkl', '.ckpt', '.bin', '.zip'])
def test_a_file_that_may_be_a_pickle_is_refused_unread(
    tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / f'model{suffix}'
    zipped(path, pickle.dumps(Bomb(tmp_path / 'executed')))
    path.chmod(stat.S_IWUSR)
    before = path.stat().st_atime_ns
    with pytest.raises(CheckpointError, match='can run code when it is loaded'):
        find_checkpoint(str(path))
    assert main(['run', 'reacher', '--set', f'planner.model={path}', '--out',
                 str(tmp_path / 'out')]) == 2
    said = capsys.readouterr().err
    assert said.count('\n') == 1 and 'is not opened' in said
    assert not (tmp_path / 'executed').exists() and not (tmp_path / 'out').exists()
    assert path.stat().st_atime_ns == before


def test_the_pin_of_the_settings_covers_the_spec(checkpoint: Path) -> None:
    pin = digest(checkpoint / WEIGHTS)
    load_checkpoint(checkpoint, sha256=pin)
    edited(checkpoint, dt_s=0.06)
    assert 'was saved with another spec.json' in refusal(checkpoint, sha256=pin)


def test_a_pin_that_is_none_is_refused(checkpoint: Path) -> None:
    assert 'is no sha256' in refusal(checkpoint, sha256='abc')
