"""
A mined data set on disk: ``manifest.json`` and ``windows.safetensors``.

It is untrusted input as a bag is: sizes, hash, shapes and values are checked before use, and
nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Mapping
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.config.bounded import read_bounded
from wm_eval_ros.config.interface import Interface
from wm_eval_ros.config.json_text import load_json
from wm_eval_ros.config.schema import build
from wm_eval_ros.errors import BagError, ConfigError, RecordingError
from wm_eval_ros.training.trajectory import Dataset, Trajectory

MANIFEST = 'manifest.json'
WINDOWS = 'windows.safetensors'
#: layout of the manifest; a newer one is refused
MANIFEST_SCHEMA = 1
#: larger files are refused unread [bytes]
MAX_BYTES = 1 << 30

Arrays = dict[str, NDArray[Any]]


def is_mined(path: Path) -> bool:
    """Say whether a path is the folder of a mined data set."""
    return (path / MANIFEST).is_file() and (path / WINDOWS).is_file()


def write_mined(folder: Path, data: Dataset, manifest: Mapping[str, Any]) -> str:
    """
    Write a data set, all of it or nothing; equal contents are equal bytes.

    :param manifest: what :func:`~wm_eval_ros.training.mining.mine` says of it
    :returns: sha256 of the manifest, which holds that of the windows
    :raises RecordingError: the folder cannot be written
    """
    from safetensors.numpy import save

    from wm_eval_ros.models.checkpoint import write_whole
    windows = save(_arrays(data))
    told = {'schema': MANIFEST_SCHEMA, **manifest,
            'windows_sha256': hashlib.sha256(windows).hexdigest()}
    text = json.dumps(told, indent=1, sort_keys=True, allow_nan=False) + '\n'
    try:
        write_whole(folder, {WINDOWS: windows, MANIFEST: text.encode()})
    except OSError as error:
        raise RecordingError(f'{folder}: cannot be written ({error.strerror or error})') from None
    return hashlib.sha256(text.encode()).hexdigest()


def manifest_sha256(folder: Path) -> str:
    """
    Return the hash that identifies a mined data set.

    :raises BagError: the manifest cannot be read
    """
    return hashlib.sha256(read_bounded(folder / MANIFEST, MAX_BYTES, BagError)).hexdigest()


def read_mined(folder: Path) -> Dataset:
    """
    Read a data set and check all of it.

    :raises BagError: missing, damaged, changed, of a newer layout, or values that do not fit
    """
    path = folder / MANIFEST
    manifest = load_json(path, BagError)
    schema = manifest.get('schema') if isinstance(manifest, dict) else None
    if schema != MANIFEST_SCHEMA:
        raise BagError(f'{path}: layout {schema!r}; this version reads {MANIFEST_SCHEMA}')
    data = read_bounded(folder / WINDOWS, MAX_BYTES, BagError)
    if hashlib.sha256(data).hexdigest() != manifest.get('windows_sha256'):
        raise BagError(f'{folder / WINDOWS}: not the file its {MANIFEST} names; it was changed or '
                       'damaged: mine it anew')
    try:
        interface = build(Interface, manifest.get('interface'), f'{path}: interface')
    except ConfigError as error:
        raise BagError(str(error)) from None
    names, dt_s = manifest.get('feature_names'), manifest.get('dt_s')
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names) \
            or not isinstance(dt_s, float) or not (math.isfinite(dt_s) and dt_s > 0):
        raise BagError(f'{path}: feature_names or dt_s are not usable; mine it anew')
    sizes = len(names), len(interface.command.fields)
    return Dataset(interface, tuple(names), dt_s, _trajectories(_load(data, folder, sizes)),
                   (f'mined windows {folder.resolve().name}',))


def _arrays(data: Dataset) -> Arrays:
    parts = data.trajectories
    stamps = [np.zeros(len(t.features), np.int64) if t.stamps is None else t.stamps
              for t in parts]
    return {'features': np.concatenate([t.features for t in parts]),
            'actions': np.concatenate([t.actions for t in parts]),
            'before': np.stack([t.before for t in parts]),
            'length': np.array([len(t.features) for t in parts], np.int64),
            'episode': np.array([t.episode for t in parts], np.int64),
            'stamps': np.concatenate(stamps)}


def _load(data: bytes, folder: Path, sizes: tuple[int, int]) -> Arrays:
    """Return the arrays, each of the type and shape that the manifest calls for."""
    from safetensors import SafetensorError
    from safetensors.numpy import load
    try:
        found: Arrays = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise BagError(f'{folder / WINDOWS}: not a valid safetensors file ({error})') from None
    features, actions = sizes
    count = len(found.get('length', ()))
    slots = len(found.get('features', ()))
    wanted = {'features': ('float64', (slots, features)), 'actions': ('float64', (slots, actions)),
              'before': ('float64', (count, actions)), 'length': ('int64', (count,)),
              'episode': ('int64', (count,)), 'stamps': ('int64', (slots,))}
    have = {name: (str(a.dtype), a.shape) for name, a in found.items()}
    if have != wanted or not count or int(found['length'].min()) < 1 \
            or int(found['length'].sum()) != slots:
        raise BagError(f'{folder / WINDOWS}: arrays {sorted(have)} of shapes that do not fit its '
                       f'{MANIFEST}; mine it anew')
    for name in ('features', 'actions', 'before'):
        if not np.isfinite(found[name]).all():
            raise BagError(f'{folder / WINDOWS}: {name} are not finite; mine it anew')
    return found


def _trajectories(arrays: Arrays) -> tuple[Trajectory, ...]:
    ends = np.cumsum(arrays['length'])
    return tuple(
        Trajectory(arrays['features'][a:b], arrays['actions'][a:b], before, episode,
                   arrays['stamps'][a:b])
        for a, b, before, episode in zip((ends - arrays['length']).tolist(), ends.tolist(),
                                         arrays['before'], arrays['episode'].tolist(),
                                         strict=True))
