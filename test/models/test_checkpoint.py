"""Checkpoints: what was saved comes back to the bit, and everything else is refused."""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import errno
import hashlib
import json
from pathlib import Path
import random
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
import torch

from wm_eval_ros.config.interface import ImageStream, Interface
from wm_eval_ros.errors import CheckpointError, UnknownNameError
from wm_eval_ros.models import checkpoint as module
from wm_eval_ros.models.checkpoint import (
    find_checkpoint,
    load_checkpoint,
    load_spec,
    shipped_checkpoints,
)

Edit = Callable[[dict[str, Any]], object]


def edit_spec(folder: Path, edit: Edit) -> None:
    path = folder / 'spec.json'
    raw = json.loads(path.read_text())
    edit(raw)
    path.write_text(json.dumps(raw))


def edit_tensors(folder: Path, edit: Edit) -> None:
    """Change the weights and make the spec's hash fit again: only the content is wrong."""
    path = folder / 'model.safetensors'
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    edit_spec(folder, lambda raw: raw.update(sha256=digest))


def test_comes_back_to_the_bit(checkpoint: Path, model: Any, interface: Interface) -> None:
    pin = hashlib.sha256((checkpoint / 'model.safetensors').read_bytes()).hexdigest()
    loaded = load_checkpoint(checkpoint, interface=interface, sha256=pin.upper())
    assert loaded.spec == dataclasses.replace(model.spec, sha256=pin)
    z, actions = torch.randn(4, 5), torch.rand(4, 6, 2)
    assert torch.equal(loaded.predict(z, actions), model.predict(z, actions))


@pytest.mark.parametrize('cut', ['model.safetensors', 'spec.json', 'card.md'])
@pytest.mark.parametrize('there', [False, True])
def test_what_cannot_be_written_whole_leaves_nothing_and_can_be_repeated(
        cut: str, there: bool, model: Any, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch) -> None:
    write, folder = Path.write_bytes, tmp_path / 'a' / 'b'
    if there:
        folder.mkdir(parents=True)

    def full(path: Path, data: bytes) -> int:
        if path.name == cut:
            write(path, data[:10])
            raise OSError(errno.ENOSPC, 'No space left on device')
        return write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, 'write_bytes', full)
        with pytest.raises(OSError, match='No space left'):
            module.save_checkpoint(folder, model.spec, model.tensors, '# card')
    assert [p for p in tmp_path.rglob('*') if p.is_file()] == []
    assert (tmp_path / 'a').exists() is folder.exists() is there
    module.save_checkpoint(folder, model.spec, model.tensors, '# card')
    assert {p.name for p in folder.iterdir()} == {'model.safetensors', 'spec.json', 'card.md'}
    assert [p.name for p in folder.parent.iterdir()] == ['b']


def test_saving_twice_gives_the_same_bytes(checkpoint: Path, model: Any, tmp_path: Path) -> None:
    module.save_checkpoint(tmp_path / 'again', model.spec, dict(reversed(model.tensors.items())))
    for name in ('model.safetensors', 'spec.json'):
        assert (tmp_path / 'again' / name).read_bytes() == (checkpoint / name).read_bytes()


@pytest.mark.parametrize('name', shipped_checkpoints())
def test_a_shipped_one_loads_fits_its_scenario_and_is_small(name: str) -> None:
    from wm_eval_ros.config.scenario import find_scenario, load_scenario
    from wm_eval_ros.models.conformance import check_world_model
    scenario = load_scenario(find_scenario(name))
    folder = find_checkpoint(scenario.planner.model)
    assert folder == find_checkpoint(name)
    model = load_checkpoint(folder, interface=scenario.interface)
    assert model.spec.dt_s == pytest.approx(scenario.planner.period_ms / 1e3)
    assert check_world_model(model) == []
    assert sum(p.stat().st_size for p in folder.iterdir()) < 2_000_000
    assert (folder / 'card.md').is_file()


def test_all_tasks_ship_one() -> None:
    assert set(shipped_checkpoints()) == {'cartpole', 'pusher', 'reacher', 'two_room',
                                          'two_room_pixels'}


def test_finds_by_folder_by_file_and_lists_what_ships(checkpoint: Path, tmp_path: Path) -> None:
    assert find_checkpoint(str(checkpoint)) == checkpoint
    assert find_checkpoint(str(checkpoint / 'spec.json')) == checkpoint
    with pytest.raises(CheckpointError, match=r"no checkpoint 'reecher'; did you mean 'reacher'"):
        find_checkpoint('reecher')
    with pytest.raises(CheckpointError, match='known: '):
        find_checkpoint('')
    with pytest.raises(CheckpointError, match=r'no spec\.json'):
        find_checkpoint(str(tmp_path))
    with pytest.raises(CheckpointError, match='no checkpoint'):
        find_checkpoint('../checkpoints/reacher')


def refused(folder: Path, match: str, **options: Any) -> None:
    with pytest.raises(CheckpointError, match=match) as caught:
        load_checkpoint(folder, **options)
    assert '\n' not in str(caught.value)
    assert str(folder) in str(caught.value)


def test_another_pin_is_refused(checkpoint: Path) -> None:
    refused(checkpoint, 'the settings pin 000', sha256='0' * 64)


@pytest.mark.parametrize('keep', [0, 4, 8, 100, -1])
def test_a_truncated_file_is_refused(checkpoint: Path, keep: int) -> None:
    path = checkpoint / 'model.safetensors'
    path.write_bytes(path.read_bytes()[:keep])
    refused(checkpoint, 'changed or damaged')
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    edit_spec(checkpoint, lambda raw: raw.update(sha256=digest))
    refused(checkpoint, 'truncated|not a valid safetensors')


def test_every_flipped_bit_is_refused(checkpoint: Path) -> None:
    path = checkpoint / 'model.safetensors'
    whole = path.read_bytes()
    rng = random.Random(0)
    for _ in range(200):
        data = bytearray(whole)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(bytes(data))
        refused(checkpoint, 'changed or damaged')


TENSOR_EDITS: dict[str, tuple[Edit, str]] = {
    'missing': (lambda t: t.pop('bias0'), 'bias0'),
    'extra': (lambda t: t.update(more=torch.zeros(1)), 'more'),
    'shape': (lambda t: t.update(bias0=torch.zeros(3, 1, 9)), r'bias0 is F32 \[3, 1, 9\]'),
    'dtype': (lambda t: t.update(bias0=t['bias0'].double()), 'bias0 is F64'),
    'nan': (lambda t: t['weight1'].view(-1)[5:6].fill_(torch.nan), 'weight1 .* not finite'),
    'infinite': (lambda t: t['weight1'].view(-1)[5:6].fill_(torch.inf), 'weight1 .* not finite'),
    'scale': (lambda t: t['feature_scale'][:1].fill_(0.0), 'feature_scale .* not positive'),
}


@pytest.mark.parametrize('case', TENSOR_EDITS)
def test_weights_that_do_not_fit_are_refused(checkpoint: Path, case: str) -> None:
    edit, match = TENSOR_EDITS[case]
    edit_tensors(checkpoint, edit)
    refused(checkpoint, match)


SPEC_EDITS: dict[str, tuple[Edit, str]] = {
    'schema': (lambda s: s.update(schema=2), 'schema 2; this version reads 1'),
    'no-schema': (lambda s: s.pop('schema'), 'schema None'),
    'unknown-key': (lambda s: s.update(dt=1), "unknown key 'dt'"),
    'missing-key': (lambda s: s.pop('dt_s'), "missing key 'dt_s'"),
    'wrong-type': (lambda s: s.update(dt_s='fast'), 'dt_s'),
    'no-time': (lambda s: s.update(dt_s=0.0), 'more than 0 s'),
    'features': (lambda s: s['feature_names'].pop(), '3 features .* the interface 2'),
    'hidden': (lambda s: s['architecture'].update(hidden=9), 'weight0|bias0'),
    'huge': (lambda s: s['architecture'].update(hidden=10**7), 'hidden'),
    'members': (lambda s: s['architecture'].update(members='5'), 'members'),
}


@pytest.mark.parametrize('case', SPEC_EDITS)
def test_a_spec_that_does_not_fit_is_refused(checkpoint: Path, case: str) -> None:
    edit, match = SPEC_EDITS[case]
    edit_spec(checkpoint, edit)
    refused(checkpoint, match)


@pytest.mark.parametrize('text', ['', '{', '[]', 'null', '[' * 100_000, '\x00'])
def test_a_spec_that_is_no_json_is_refused(checkpoint: Path, text: str) -> None:
    (checkpoint / 'spec.json').write_text(text)
    refused(checkpoint, 'spec.json')


def test_an_unknown_family_lists_the_known(checkpoint: Path) -> None:
    edit_spec(checkpoint, lambda s: s.update(family='ensembel'))
    with pytest.raises(UnknownNameError, match='ensemble'):
        load_checkpoint(checkpoint)


def test_files_too_large_are_refused_unread(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, 'MAX_WEIGHT_BYTES', 100)
    refused(checkpoint, 'larger than 100 bytes')


def test_missing_weights_are_named(checkpoint: Path) -> None:
    (checkpoint / 'model.safetensors').unlink()
    refused(checkpoint, 'cannot be read')


def changed(interface: Interface, **command: Any) -> Interface:
    return dataclasses.replace(
        interface, command=dataclasses.replace(interface.command, **command))


def test_another_action_dimension_is_refused(checkpoint: Path, interface: Interface) -> None:
    other = changed(interface, fields=('effort[elbow]',), low=(-2.0,), high=(4.0,))
    refused(checkpoint, '2 command fields, the scenario has 1', interface=other)


def test_other_limits_are_refused(checkpoint: Path, interface: Interface) -> None:
    refused(checkpoint, r'command\.high', interface=changed(interface, high=(5.0, 1.0)))


def test_another_layout_of_the_state_is_refused(checkpoint: Path, interface: Interface) -> None:
    stream = interface.observations[0]
    swapped = dataclasses.replace(stream, fields=stream.fields[::-1])
    refused(checkpoint, r'observations\[0\]\.fields',
            interface=dataclasses.replace(interface, observations=(swapped,)))
    refused(checkpoint, '1 observation streams',
            interface=dataclasses.replace(interface, observations=(stream, stream)))


def test_a_remapped_topic_is_no_other_layout(checkpoint: Path, interface: Interface) -> None:
    stream = dataclasses.replace(interface.observations[0], topic='arm/joint_states')
    other = dataclasses.replace(changed(interface, topic='arm/command'), observations=(stream,))
    load_checkpoint(checkpoint, interface=other)


CAMERA = ImageStream(topic='camera/image_raw')


@pytest.mark.parametrize(('images', 'what'), [
    ((dataclasses.replace(CAMERA, width=32, height=32),), r'images\[0\]\.width 64, .* has 32'),
    ((dataclasses.replace(CAMERA, height=128),), r'images\[0\]\.height 64, .* has 128'),
    ((CAMERA, dataclasses.replace(CAMERA, topic='other')), '1 cameras, the scenario has 2'),
    ((), '1 cameras, the scenario has 0'),
])
def test_other_cameras_are_refused(images: tuple[ImageStream, ...], what: str) -> None:
    folder = find_checkpoint('two_room_pixels')
    own = load_spec(folder).interface
    refused(folder, what, interface=dataclasses.replace(own, images=images))


def test_a_camera_that_a_model_does_not_see_is_refused(
    checkpoint: Path, interface: Interface,
) -> None:
    refused(checkpoint, '0 cameras, the scenario has 1',
            interface=dataclasses.replace(interface, images=(CAMERA,)))


def test_a_camera_of_another_topic_is_no_other_camera() -> None:
    folder = find_checkpoint('two_room_pixels')
    moved = (dataclasses.replace(CAMERA, topic='front/image_raw'),)
    load_checkpoint(folder, interface=dataclasses.replace(
        load_spec(folder).interface, images=moved))


def test_what_is_not_seen_is_the_same_or_not_there() -> None:
    folder = find_checkpoint('two_room_pixels')
    own = load_spec(folder).interface
    load_checkpoint(folder, interface=dataclasses.replace(own, unseen=()))
    pose, joints = own.unseen
    turned = dataclasses.replace(pose, fields=pose.fields[::-1])
    refused(folder, r'unseen\[0\]\.fields',
            interface=dataclasses.replace(own, unseen=(turned, joints)))
    refused(folder, '2 unseen streams, the scenario has 1',
            interface=dataclasses.replace(own, unseen=(pose,)))


@pytest.mark.parametrize(('name', 'why'), [
    ('x' * 300, 'File name too long'), ('x/' * 3000, 'File name too long'),
    ('a\0b', 'no checkpoint'), ('\ud800', 'no checkpoint'),
])
def test_a_name_that_is_no_path_is_refused_in_one_short_line(name: str, why: str) -> None:
    with pytest.raises(CheckpointError, match=why) as caught:
        find_checkpoint(name)
    assert len(str(caught.value)) < 250
    assert str(caught.value).isprintable()


def test_nothing_can_be_pickled_in(checkpoint: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self):  # type: ignore[no-untyped-def]
            return (Path.touch, (tmp_path / 'executed',))
    path = checkpoint / 'model.safetensors'
    torch.save({'weight0': Bomb()}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    edit_spec(checkpoint, lambda raw: raw.update(sha256=digest))
    refused(checkpoint, 'bytes of weights|not a safetensors')
    assert not (tmp_path / 'executed').exists()
