"""Reading untrusted YAML: capped size, no aliases, no duplicate keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml

from wm_eval_ros.config.schema import build
from wm_eval_ros.errors import ConfigError

#: a settings file larger than this is refused unread [bytes]
MAX_YAML_BYTES = 1 << 20

T = TypeVar('T')


class _StrictLoader(yaml.SafeLoader):
    """Safe loader without aliases and duplicate keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.YAMLError(f'line {mark.line + 1}: aliases are not allowed; '
                                 'write the value out')
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, (str, int, float, bool)):
                raise yaml.YAMLError(f'line {key_node.start_mark.line + 1}: keys must be plain')
            if key in seen:
                raise yaml.YAMLError(f'line {key_node.start_mark.line + 1}: '
                                     f'key {key!r} is given twice; keep one')
            seen.add(key)
        return super().construct_mapping(node, deep)


def load_yaml(path: Path) -> object:
    """
    Parse one YAML document into plain values.

    :raises ConfigError: missing, too large, not UTF-8, not YAML, aliases, duplicate keys
    """
    try:
        size = path.stat().st_size
        if size > MAX_YAML_BYTES:
            raise ConfigError(f'{path}: {size} bytes; settings files are at most {MAX_YAML_BYTES}')
        text = path.read_text(encoding='utf-8')
    except OSError as error:
        raise ConfigError(f'{path}: cannot be read ({error.strerror or error})') from None
    except UnicodeDecodeError as error:
        raise ConfigError(f'{path}: not UTF-8 text (byte {error.start})') from None
    try:
        return yaml.load(text, Loader=_StrictLoader)  # a SafeLoader, stricter
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f'{path}: not usable as YAML: {_one_line(error)}') from None


def load_settings(cls: type[T], path: Path) -> T:
    """Load a settings dataclass from a YAML file; errors name file and key."""
    return build(cls, load_yaml(path), str(path))


def _one_line(error: Exception) -> str:
    return ' '.join(str(error).split()) or type(error).__name__
