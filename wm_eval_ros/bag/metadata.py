"""``metadata.yaml`` of a rosbag2 directory: written as version 9, read from version 4 on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from wm_eval_ros.config.yaml_file import load_yaml, parse_yaml
from wm_eval_ros.errors import BagError, ConfigError
from wm_eval_ros.wire.topics import Qos

NAME = 'metadata.yaml'
#: newest version that is read, and the one that is written
VERSION = 9
OLDEST_VERSION = 2
MAX_METADATA_BYTES = 16 << 20
#: a topic takes 100 nodes of it, a split file 14
_MAX_NODES = 200_000
_ROOT = 'rosbag2_bagfile_information'
#: "no limit" of a QoS duration
_INFINITE = {'sec': 9223372036, 'nsec': 854775807}


@dataclass(frozen=True, slots=True)
class TopicDeclaration:
    """A topic as metadata.yaml or the storage file declares it."""

    name: str
    type: str
    serialization_format: str = 'cdr'
    #: declared number of messages, None where nothing is declared
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Metadata:
    """What metadata.yaml says."""

    version: int
    storage: str
    files: tuple[str, ...]
    message_count: int
    topics: tuple[TopicDeclaration, ...]
    #: empty, ``zstd``
    compression_format: str = ''
    #: empty, ``file``, ``message``
    compression_mode: str = ''
    custom: dict[str, str] = field(default_factory=dict)


def offered_qos(qos: Qos) -> list[dict[str, Any]]:
    """Return a quality of service in the form of metadata version 9."""
    return [{
        'history': 'keep_last', 'depth': qos.depth,
        'reliability': 'reliable' if qos.reliable else 'best_effort',
        'durability': 'transient_local' if qos.latched else 'volatile',
        'deadline': dict(_INFINITE), 'lifespan': dict(_INFINITE), 'liveliness': 'automatic',
        'liveliness_lease_duration': dict(_INFINITE),
        'avoid_ros_namespace_conventions': False,
    }]


def to_yaml(value: object) -> str:
    """Return plain values as block YAML without anchors, which the C++ reader has no use for."""
    return str(yaml.dump(value, Dumper=_NoAliases, sort_keys=False, default_flow_style=False))


class _NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class WrittenTopic:
    """One topic of a bag that is being written."""

    name: str
    type: str
    type_hash: str
    qos: Sequence[Mapping[str, Any]]
    count: int


def metadata_yaml(
    file_name: str, topics: Sequence[WrittenTopic], start_ns: int, duration_ns: int,
    custom: Mapping[str, str], distribution: str,
) -> dict[str, Any]:
    """
    Return the contents of a version 9 metadata.yaml of a bag of one MCAP file.

    :param start_ns: smallest log time [ns, system]
    :param custom: free text by key; values should not look like numbers, YAML readers turn them
    """
    total = sum(topic.count for topic in topics)
    times = {'duration': {'nanoseconds': duration_ns},
             'starting_time': {'nanoseconds_since_epoch': start_ns}}
    return {_ROOT: {
        'version': VERSION, 'storage_identifier': 'mcap', **times, 'message_count': total,
        'topics_with_message_count': [
            {'topic_metadata': {
                'name': t.name, 'type': t.type, 'serialization_format': 'cdr',
                'offered_qos_profiles': [dict(q) for q in t.qos],
                'type_description_hash': t.type_hash}, 'message_count': t.count}
            for t in topics],
        'compression_format': '', 'compression_mode': '', 'relative_file_paths': [file_name],
        'files': [{'path': file_name, 'starting_time': times['starting_time'],
                   'duration': times['duration'], 'message_count': total}],
        'custom_data': dict(custom) or None, 'ros_distro': distribution}}


def read_metadata(folder: Path) -> Metadata:
    """
    Read metadata.yaml of a rosbag2 directory.

    :raises BagError: it is missing, not YAML, not of rosbag2, or of a newer version
    """
    path = folder / NAME
    raw = _load(path)
    return _read(raw.get(_ROOT) if isinstance(raw, dict) else None, path)


def embedded_metadata(text: str, where: str) -> Metadata:
    """
    Read what a storage file holds of it, in its record ``rosbag2``.

    :param where: how to name it in an error
    :raises BagError: as :func:`read_metadata`
    """
    if len(text) > MAX_METADATA_BYTES:
        raise BagError(f'{where}: over {MAX_METADATA_BYTES} bytes of metadata')
    try:
        return _read(parse_yaml(text, where, max_nodes=_MAX_NODES), where)
    except ConfigError as error:
        raise BagError(str(error)) from None


def _read(information: Any, path: Path | str) -> Metadata:
    if not isinstance(information, dict):
        raise BagError(f'{path}: no {_ROOT!r}; this is no metadata of rosbag2')
    version = information.get('version')
    if not isinstance(version, int) or version < OLDEST_VERSION:
        raise BagError(f'{path}: version {version!r}; versions {OLDEST_VERSION} to {VERSION} '
                       'are read')
    if version > VERSION:
        raise BagError(f'{path}: version {version}; versions up to {VERSION} are read: open the '
                       'storage file itself, or a newer wm_eval_ros')
    try:
        return _metadata(version, information)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BagError(f'{path}: incomplete ({type(error).__name__}: {error}); '
                       '`ros2 bag reindex` writes it anew') from None


def _metadata(version: int, raw: Mapping[str, Any]) -> Metadata:
    topics = []
    for entry in raw['topics_with_message_count'] or ():
        topic = entry['topic_metadata']
        topics.append(TopicDeclaration(
            str(topic['name']), str(topic['type']), str(topic['serialization_format']),
            int(entry['message_count'])))
    return Metadata(
        version=version, storage=str(raw['storage_identifier']),
        files=tuple(str(f) for f in raw['relative_file_paths'] or ()),
        message_count=int(raw['message_count']), topics=tuple(topics),
        compression_format=str(raw.get('compression_format') or '').lower(),
        compression_mode=str(raw.get('compression_mode') or '').lower(),
        custom={str(k): str(v) for k, v in (raw.get('custom_data') or {}).items()})


def _load(path: Path) -> Any:
    try:
        return load_yaml(path, max_bytes=MAX_METADATA_BYTES, max_nodes=_MAX_NODES)
    except ConfigError as error:
        raise BagError(str(error)) from None
