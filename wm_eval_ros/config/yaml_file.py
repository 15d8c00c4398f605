"""
Reading untrusted YAML: capped in size, nodes and depth; plain values only, nothing given twice.

Values are made from the parser's events, one by one: no alias is followed, no tag has an effect,
and what goes over a limit ends the reading there, before anything of it was built.
"""

from __future__ import annotations

from collections.abc import Iterator
import math
from pathlib import Path
from typing import Any, TypeVar

import yaml

from wm_eval_ros.config.bounded import read_bounded, shown, text_of
from wm_eval_ros.config.schema import build
from wm_eval_ros.errors import ConfigError

#: a settings file larger than this is refused unread [bytes]
MAX_YAML_BYTES = 1 << 20
#: values, lists, mappings and keys of one document
MAX_NODES = 50_000
#: lists and mappings in each other
MAX_DEPTH = 32
#: a number is written in at most so many characters: 60-digit ones, and 12:30:00:... that grow
#: with every colon, are no settings
_MAX_NUMBER = 40
_INT64 = range(-2**63, 2**63)

T = TypeVar('T')


def load_yaml(path: Path, *, max_bytes: int = MAX_YAML_BYTES,
              max_nodes: int = MAX_NODES) -> object:
    """
    Parse one YAML document of a file into plain values.

    :raises ConfigError: missing, too large, not UTF-8, not YAML, aliases, tags, duplicate keys
    """
    data = read_bounded(path, max_bytes, ConfigError)
    return parse_yaml(text_of(data, path, ConfigError), str(path), max_nodes=max_nodes)


def parse_yaml(text: str, where: str, *, max_nodes: int = MAX_NODES) -> object:
    """
    Parse one YAML document into None, booleans, numbers, strings, lists and mappings of these.

    :param where: how to name the text in an error
    :raises ConfigError: as :func:`load_yaml`
    """
    # the C parser takes a tenth of the time
    loader = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)
    try:
        return _Values(max_nodes).read(yaml.parse(text, Loader=loader))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f'{where}: not usable as YAML: {_one_line(error)}') from None


def load_settings(cls: type[T], path: Path) -> T:
    """Load a settings dataclass from a YAML file; errors name file and key."""
    return build(cls, load_yaml(path), str(path))


class _Values:
    """Makes plain values of the events of one document."""

    def __init__(self, max_nodes: int) -> None:
        self._left = max_nodes
        self._resolver = yaml.resolver.Resolver()
        self._made = yaml.constructor.SafeConstructor()

    def read(self, events: Iterator[Any]) -> object:
        """Return the value of the only document; None of an empty one."""
        documents = []
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents.append(self._value(next(events), events, 0))
                if len(documents) > 1:
                    raise yaml.YAMLError(f'{_line(event)}: a second document; keep one')
        return documents[0] if documents else None

    def _value(self, event: Any, events: Iterator[Any], depth: int) -> object:
        self._check(event, depth)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(events, depth + 1)
        return self._mapping(events, depth + 1)

    def _check(self, event: Any, depth: int) -> None:
        self._left -= 1
        if self._left < 0:
            raise yaml.YAMLError(f'{_line(event)}: too many values for settings')
        if depth > MAX_DEPTH:
            raise yaml.YAMLError(f'{_line(event)}: nested more than {MAX_DEPTH} deep')
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError(f'{_line(event)}: aliases are not allowed; write the value out')
        if getattr(event, 'tag', None) is not None:
            raise yaml.YAMLError(f'{_line(event)}: tag {shown(event.tag)} is not allowed; '
                                 'leave it out')

    def _list(self, events: Iterator[Any], depth: int) -> list[object]:
        found = []
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            found.append(self._value(event, events, depth))
        return found

    def _mapping(self, events: Iterator[Any], depth: int) -> dict[Any, object]:
        found: dict[Any, object] = {}
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self._value(event, events, depth)
            if not isinstance(key, (str, int, float, bool)):
                raise yaml.YAMLError(f'{_line(event)}: keys must be plain')
            if key in found:
                raise yaml.YAMLError(f'{_line(event)}: key {shown(key)} is given twice; keep one')
            found[key] = self._value(next(events), events, depth)
        return found

    def _scalar(self, event: Any) -> object:
        text = str(event.value)
        tag = self._resolver.resolve(  # type: ignore[no-untyped-call]
            yaml.ScalarNode, text, event.implicit)
        kind = str(tag).rpartition(':')[2]
        if kind not in ('null', 'bool', 'int', 'float'):
            return text  # dates and the like are text here
        if len(text) > _MAX_NUMBER:
            raise yaml.YAMLError(f'{_line(event)}: {shown(text)} is too long for a number; '
                                 'quote it if it is text')
        value = getattr(self._made, f'construct_yaml_{kind}')(yaml.ScalarNode(tag, text))
        if (kind == 'int' and value not in _INT64) or (
                kind == 'float' and not math.isfinite(value)):
            raise yaml.YAMLError(f'{_line(event)}: {shown(text)} is no finite number of 64 bits; '
                                 'quote it if it is text')
        return value


def _line(event: Any) -> str:
    return f'line {event.start_mark.line + 1}'


def _one_line(error: Exception) -> str:
    return ' '.join(str(error).split())[:300] or type(error).__name__
