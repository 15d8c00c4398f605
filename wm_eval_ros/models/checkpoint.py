"""
Checkpoints: a folder with ``model.safetensors``, ``spec.json`` and, from the trainer, ``card.md``.

A checkpoint is untrusted input. The weights are read once, into memory, and nothing is made of
them before their size, hash, header and every tensor's name, type, shape and values have been
checked against the spec, and the spec against the scenario. The weights name the hash of the spec,
so that the hash of the weights, which a scenario pins, covers both. Nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
import hashlib
import json
import math
import os
from pathlib import Path
import re
import shutil
from typing import Any, cast

import torch

from wm_eval_ros import plugins
from wm_eval_ros.config.bounded import read_bounded, shown
from wm_eval_ros.config.interface import identity, ImageStream, Interface, Stream
from wm_eval_ros.config.json_text import load_json, parse_json
from wm_eval_ros.config.schema import build, did_you_mean, to_plain
from wm_eval_ros.errors import CheckpointError, ConfigError
from wm_eval_ros.models.protocol import WorldModel, WorldModelSpec

WEIGHTS = 'model.safetensors'
SPEC = 'spec.json'
CARD = 'card.md'
#: version of the layout of spec.json; a newer one is refused
SPEC_SCHEMA = 1
#: larger files are refused unread [bytes]
MAX_WEIGHT_BYTES = 256 << 20
MAX_SPEC_BYTES = 4 << 20
#: the header of the weights: names, types and shapes of at most some hundred tensors [bytes]
MAX_HEADER_BYTES = 1 << 20
#: tensors are float32 [bytes]
_FLOAT_BYTES = 4
#: forms of files that are, or may hold, pickles: to open one is to run what it says
_PICKLES = ('.pt', '.pth', '.pkl', '.pickle', '.ckpt', '.bin', '.zip', '.tar', '.joblib', '.npy',
            '.npz')
#: key in the metadata of the weights
_SPEC_HASH = 'spec_sha256'
_SHA256 = re.compile(r'[0-9a-fA-F]{64}')
#: entry-point group of the families
GROUP = 'wm_eval_ros.world_models'
#: folder of the checkpoints that ship with the package
SHIPPED = Path(__file__).parents[1] / 'checkpoints'


def shipped_checkpoints() -> tuple[str, ...]:
    """Return the names of the checkpoints that ship with the package."""
    return tuple(sorted(p.parent.name for p in SHIPPED.glob(f'*/{SPEC}')))


def find_checkpoint(name_or_path: str) -> Path:
    """
    Return the folder of a checkpoint, given its path or the name of a shipped one.

    A registry stands for its version in force.

    :raises CheckpointError: there is none, and the message lists the shipped ones; or the system
        takes no such path, as of a name that is too long or holds a NUL character
    """
    try:
        return _found(name_or_path)
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else '') or error
        raise CheckpointError(f'no checkpoint {shown(name_or_path)}: no path that can be looked '
                              f'at ({why})') from None


def _found(name_or_path: str) -> Path:
    from wm_eval_ros.models.registry import in_force, require_as_added
    path = Path(name_or_path)
    if path.suffix.lower() in _PICKLES and not path.is_dir():
        raise CheckpointError(
            f'{path}: a {path.suffix} file can run code when it is loaded and is not opened; give '
            f'the folder of a checkpoint ({WEIGHTS} and {SPEC}), as `wm-eval train` writes it')
    if path.name in (SPEC, WEIGHTS):
        path = path.parent
    if name_or_path and (path / SPEC).is_file():
        require_as_added(path)
        return path
    if name_or_path and (found := in_force(path)) is not None:
        return found
    if name_or_path and path.name == name_or_path and (SHIPPED / path / SPEC).is_file():
        return SHIPPED / path
    if path.is_dir() and name_or_path:
        raise CheckpointError(f'{path}: no {SPEC} in this folder; give the folder that '
                              '`wm-eval train --out` wrote')
    raise CheckpointError(f'no checkpoint {name_or_path!r}'
                          f'{did_you_mean(name_or_path, shipped_checkpoints())}')


def save_checkpoint(
    folder: Path, spec: WorldModelSpec, tensors: dict[str, torch.Tensor], card: str = ''
) -> WorldModelSpec:
    """
    Write a checkpoint, all of it or nothing.

    :param spec: its ``sha256`` is replaced by that of the weights written
    :returns: the spec as written
    :raises CheckpointError: the spec holds what would not be read back, such as NaN
    :raises OSError: it cannot be written; what was there before is as it was
    """
    from safetensors.torch import save
    data = save({name: value.contiguous() for name, value in sorted(tensors.items())},
                metadata={_SPEC_HASH: _spec_hash(spec)})
    spec = replace(spec, sha256=hashlib.sha256(data).hexdigest())
    text = json.dumps({'schema': SPEC_SCHEMA, **to_plain(spec)}, indent=1, ensure_ascii=False)
    parse_json(text, f'{folder / SPEC}', CheckpointError)
    files = {WEIGHTS: data, SPEC: f'{text}\n'.encode(), CARD: card.encode()}
    write_whole(folder, {name: content for name, content in files.items() if content})
    return spec


def write_whole(folder: Path, files: Mapping[str, bytes]) -> None:
    """
    Write files into a folder, which is made, or nothing where one of them cannot be written.

    They are written beside, or within a folder that is there, and renamed at the end.

    :raises OSError: it cannot be written; neither files nor folders made for them are left
    """
    home = folder if folder.is_dir() else folder.parent
    beside = home / f'.{folder.name}.{os.getpid()}'
    made = [path for path in (beside, *beside.parents) if not path.exists()]
    try:
        beside.mkdir(parents=True)
        for name, content in files.items():
            (beside / name).write_bytes(content)
        if home == folder:
            for name in files:
                (beside / name).replace(folder / name)
            beside.rmdir()
        else:
            beside.rename(folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        with suppress(OSError):  # somebody else put something there: it stays
            for path in made[1:]:
                path.rmdir()
        raise


def load_spec(folder: Path) -> WorldModelSpec:
    """
    Read and check ``spec.json``.

    :raises CheckpointError: unreadable, not of the schema, or of a newer one
    """
    path = folder / SPEC
    raw = load_json(path, CheckpointError, max_bytes=MAX_SPEC_BYTES)
    schema = raw.pop('schema', None) if isinstance(raw, dict) else None
    if schema != SPEC_SCHEMA or isinstance(schema, bool):
        raise CheckpointError(f'{path}: schema {shown(schema)}; this version reads {SPEC_SCHEMA}')
    try:
        spec = build(WorldModelSpec, raw, str(path))
    except ConfigError as error:
        raise CheckpointError(str(error)) from None
    if not (math.isfinite(spec.dt_s) and spec.dt_s > 0):
        raise CheckpointError(f'{path}: dt_s is {spec.dt_s}; a step takes more than 0 s')
    return spec


def load_checkpoint(
    folder: Path, *, interface: Interface | None = None, sha256: str = ''
) -> WorldModel:
    """
    Load a world model from a checkpoint, after checking all of it.

    :param interface: the scenario's; the model must have been trained on the same
    :param sha256: hash the weights must have, hexadecimal; empty: only the spec's own is checked
    :raises CheckpointError: any check failed; one line says what, where and what would do
    """
    return cast('WorldModel', load_as(lambda spec: plugins.load(GROUP, spec.family), folder,
                                      interface=interface, sha256=sha256))


def load_as(
    kind: Callable[[WorldModelSpec], Any], folder: Path, *, interface: Interface | None = None,
    sha256: str = '',
) -> Any:
    """
    Load whatever is stored as a world model is, under the same checks.

    :param kind: returns the class that a spec asks for: it has ``tensor_shapes(spec, where)`` and
        is made of a spec and tensors
    :raises CheckpointError: any check failed
    """
    spec = load_spec(folder)
    if interface is not None:
        check_interface(spec, interface, str(folder))
    path = folder / WEIGHTS
    data = read_bounded(path, MAX_WEIGHT_BYTES, CheckpointError)
    _check_hash(data, spec.sha256, sha256, path)
    family = kind(spec)
    if not hasattr(family, 'tensor_shapes'):
        raise CheckpointError(f'{folder / SPEC}: a {spec.family!r} has no weights to load; the '
                              'scenario names it by itself')
    shapes = family.tensor_shapes(spec, str(folder))
    _check_count(data, shapes, str(path))
    return family(spec, _tensors(data, shapes, spec, str(path)))


def _check_hash(data: bytes, own: str, pin: str, path: Path) -> None:
    """Hold the very bytes that are loaded against the spec's hash and the settings' pin."""
    have = hashlib.sha256(data).hexdigest()
    for wanted, source in ((pin, 'the settings pin'), (own, f'{SPEC} has')):
        if source.startswith(SPEC) or wanted:
            if not _SHA256.fullmatch(wanted):
                raise CheckpointError(f'{path}: {source} {shown(wanted)}, which is no sha256; '
                                      'give its 64 hexadecimal digits')
            if have != wanted.lower():
                raise CheckpointError(f'{path}: sha256 is {have[:16]}..., {source} '
                                      f'{wanted[:16]}...; the file was changed or damaged: get it '
                                      'anew')


def _check_count(data: bytes, shapes: Mapping[str, tuple[int, ...]], where: str) -> None:
    """Refuse an architecture that calls for more numbers than the file has, before it is made."""
    wanted = _FLOAT_BYTES * sum(map(math.prod, shapes.values()))
    if wanted > len(data):
        raise CheckpointError(f'{where}: {len(data)} bytes, and the architecture in {SPEC} calls '
                              f'for {wanted} bytes of weights; they belong to another')


def check_interface(spec: WorldModelSpec, interface: Interface, where: str) -> None:
    """
    Refuse a model that was trained on other inputs or commands than the scenario's.

    :raises CheckpointError: names the first difference
    """
    mine, theirs = spec.interface, interface
    if len(mine.command.fields) != len(theirs.command.fields):
        raise CheckpointError(
            f'{where}: trained for {len(mine.command.fields)} command fields, the scenario has '
            f'{len(theirs.command.fields)}; choose the scenario it was trained for')
    for name, what in (('observations', 'observation streams'), ('images', 'cameras'),
                       ('unseen', 'unseen streams')):
        ours, others = getattr(mine, name), getattr(theirs, name)
        if name == 'unseen' and not others:
            continue  # a robot need not have what the model does not see
        if len(ours) != len(others):
            raise CheckpointError(f'{where}: trained on {len(ours)} {what}, the scenario has '
                                  f'{len(others)}; use the same, or train anew')
        for i, (one, other) in enumerate(zip(ours, others, strict=True)):
            _require_same(f'{name}[{i}]', one, other, where)
    _require_same('command', mine.command, theirs.command, where)


def _require_same(
    name: str, one: Stream | ImageStream, other: Stream | ImageStream, where: str
) -> None:
    """Refuse streams that differ in more than their topic."""
    theirs = to_plain(other)
    for key, want in to_plain(one).items():
        if key != 'topic' and want != theirs[key]:
            raise CheckpointError(f'{where}: trained with {name}.{key} {want}, the scenario '
                                  f'has {theirs[key]}; use the same, or train anew')


def _tensors(
    data: bytes, shapes: dict[str, tuple[int, ...]], spec: WorldModelSpec, where: str
) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load
    header = _header(data, where)
    said = header.pop('__metadata__', {})
    if set(header) != set(shapes):
        odd = sorted(set(header) ^ set(shapes))
        raise CheckpointError(f'{where}: tensors {shown(odd)} are missing or not of this '
                              'architecture; the weights belong to another spec')
    for name, shape in shapes.items():
        have = (header[name].get('dtype'), header[name].get('shape'))
        if have != ('F32', list(shape)):
            raise CheckpointError(f'{where}: tensor {name} is {have[0]} {shown(have[1])}, the '
                                  f'architecture calls for F32 {list(shape)}')
    # weights of the first version name no spec
    if said.get(_SPEC_HASH, _spec_hash(spec)) != _spec_hash(spec):
        raise CheckpointError(f'{where}: was saved with another {SPEC} than this one, which was '
                              'changed or damaged: get both anew')
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise CheckpointError(f'{where}: not a valid safetensors file ({error})') from None
    for name, value in tensors.items():
        if not bool(torch.isfinite(value).all()):
            raise CheckpointError(f'{where}: tensor {name} has values that are not finite; '
                                  'the training diverged or the file is damaged')
        if name.endswith('_scale') and not bool((value > 0).all()):
            raise CheckpointError(f'{where}: tensor {name} has values that are not positive')
    return tensors


def _header(data: bytes, where: str) -> dict[str, dict[str, Any]]:
    size = int.from_bytes(data[:8], 'little')
    if len(data) < 8 or size > len(data) - 8:
        raise CheckpointError(f'{where}: {len(data)} bytes are too few for its header; '
                              'the file is truncated: get it anew')
    if size > MAX_HEADER_BYTES:
        raise CheckpointError(f'{where}: a header of {size} bytes; at most {MAX_HEADER_BYTES} are '
                              'read')
    try:
        header = parse_json(data[8:8 + size].decode('utf-8'), where, CheckpointError)
    except (CheckpointError, UnicodeDecodeError):
        raise CheckpointError(f'{where}: the header is not JSON; not a safetensors file') from None
    if not isinstance(header, dict) or not all(isinstance(v, dict) for v in header.values()):
        raise CheckpointError(f'{where}: the header is no mapping; not a safetensors file')
    return header


def _spec_hash(spec: WorldModelSpec) -> str:
    """
    Return what the weights say of the spec they were saved with.

    So the pinned hash of the weights covers the spec too: its scales, names and step.
    """
    plain = to_plain(replace(spec, sha256=''))
    plain['interface'] = identity(plain['interface'])
    text = json.dumps(plain, sort_keys=True, separators=(',', ':'), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
