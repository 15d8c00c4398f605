"""Declaring a setting once, and checking untrusted values against the declaration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
import dataclasses
import difflib
from enum import Enum
import math
import types
import typing
from typing import Any, TypeVar

from wm_eval_ros.config.bounded import shown
from wm_eval_ros.errors import ConfigError

T = TypeVar('T')


def setting(
    default: Any = dataclasses.MISSING,
    *,
    doc: str,
    unit: str = '',
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """
    Declare a field of a settings dataclass.

    :param default: default value; left out, the setting is mandatory
    :param doc: what it does, one sentence: for the docs and the ROS parameter's description
    :param low: smallest allowed number, also of each entry of a list
    :param high: largest allowed number
    :param choices: allowed strings, empty: any
    """
    metadata = {'doc': doc, 'unit': unit, 'low': low, 'high': high, 'choices': choices}
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=metadata)
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def did_you_mean(name: str, known: typing.Iterable[str]) -> str:
    """Return ``' (did you mean x?)'`` for a near miss, else the list of what is known."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f'; did you mean {close[0]!r}?' if close else f'; known: {", ".join(names) or "none"}'


def build(cls: type[T], raw: object, where: str) -> T:
    """
    Check a plain value (as YAML gives it) against a settings dataclass and make the dataclass.

    :param raw: mapping of the class's fields
    :param where: how to name the value in an error: file and key
    :raises ConfigError: unknown or missing key, wrong type, number out of range or not finite
    """
    if not isinstance(raw, Mapping):
        raise ConfigError(f'{where}: expected a mapping of settings, found {_kind(raw)}')
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in raw:
        if key not in fields:
            raise ConfigError(f'{where}: unknown key {shown(key)}'
                              f'{did_you_mean(str(key), fields)}')
    values: dict[str, Any] = {}
    for name, declared in fields.items():
        if name in raw:
            at = _at(where, name)
            values[name] = _value(hints[name], raw[name], at)
            _check_range(values[name], declared.metadata, at)
        elif declared.default is dataclasses.MISSING and (
            declared.default_factory is dataclasses.MISSING
        ):
            doc = declared.metadata.get('doc', '')
            raise ConfigError(f'{where}: missing key {name!r} ({doc})')
    return cls(**values)


def to_plain(value: Any) -> Any:
    """Return settings as plain lists, mappings and scalars, ready for JSON or YAML."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (list, tuple)):
        return [to_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): to_plain(v) for k, v in value.items()}
    return value


def scalar_fields(cls: type) -> Iterator[tuple[dataclasses.Field[Any], Any]]:
    """Yield (field, type) of every setting that can be a ROS parameter: scalars, lists."""
    hints = typing.get_type_hints(cls)
    for declared in dataclasses.fields(cls):
        if _is_parameter(hints[declared.name]):
            yield declared, hints[declared.name]


def _is_parameter(hint: Any) -> bool:
    if typing.get_origin(hint) is tuple:
        return typing.get_args(hint)[0] in (bool, int, float, str)
    return hint in (bool, int, float, str) or (isinstance(hint, type) and issubclass(hint, Enum))


def _value(hint: Any, raw: object, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if raw is None and type(None) in typing.get_args(hint):
            return None
        inner = [a for a in typing.get_args(hint) if a is not type(None)]
        return _value(inner[0], raw, where)
    if origin is tuple:
        if not isinstance(raw, (list, tuple)):
            raise ConfigError(f'{where}: expected a list, found {_kind(raw)}')
        item = typing.get_args(hint)[0]
        return tuple(_value(item, v, f'{where}[{i}]') for i, v in enumerate(raw))
    if origin is dict:
        if not isinstance(raw, Mapping):
            raise ConfigError(f'{where}: expected a mapping, found {_kind(raw)}')
        item = typing.get_args(hint)[1]
        return {str(k): _value(item, v, f'{where}.{k}') for k, v in raw.items()}
    if dataclasses.is_dataclass(hint):
        return raw if isinstance(raw, typing.cast(type, hint)) else build(
            typing.cast(type, hint), raw, where)
    return _scalar(hint, raw, where)


def _scalar(hint: Any, raw: object, where: str) -> Any:
    if isinstance(hint, type) and issubclass(hint, Enum):
        try:
            return hint(raw)
        except ValueError:
            names = [str(m.value) for m in hint]
            raise ConfigError(f'{where}: {shown(raw)} is none of the choices'
                              f'{did_you_mean(str(raw), names)}') from None
    if hint is float and isinstance(raw, (int, float)) and not isinstance(raw, bool):
        try:
            value = float(raw)
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise ConfigError(f'{where}: expected a finite number, found {shown(raw)}')
        return value
    if hint is Any or (isinstance(raw, hint) and not (hint is int and isinstance(raw, bool))):
        return raw
    if raw is None:
        empty = "; write '' for an empty one" if hint is str else ''
        raise ConfigError(f'{where}: expected {_name(hint)}, found nothing{empty}')
    raise ConfigError(f'{where}: expected {_name(hint)}, found {_kind(raw)} {shown(raw)}')


def _check_range(value: Any, metadata: Mapping[str, Any], where: str) -> None:
    if isinstance(value, tuple):
        for entry in value:
            _check_range(entry, metadata, where)
        return
    low, high, choices = metadata.get('low'), metadata.get('high'), metadata.get('choices')
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if (low is not None and value < low) or (high is not None and value > high):
            bounds = f'[{"-inf" if low is None else low}, {"inf" if high is None else high}]'
            raise ConfigError(f'{where}: {value} is outside {bounds}')
    if choices and isinstance(value, str) and value not in choices:
        raise ConfigError(f'{where}: {shown(value)} is none of the choices'
                          f'{did_you_mean(value, choices)}')


def _at(where: str, name: str) -> str:
    """Name a key below a file (`file.yaml: planner`) or below a key (`planner.samples`)."""
    return f'{where}: {name}' if where.endswith(('.yaml', '.yml')) else f'{where}.{name}'


def _name(hint: Any) -> str:
    return {bool: 'true or false', int: 'a whole number', float: 'a number', str: 'a string'}.get(
        hint, getattr(hint, '__name__', str(hint)))


def _kind(raw: object) -> str:
    return {dict: 'a mapping', list: 'a list', str: 'the string', int: 'the number',
            float: 'the number', bool: 'the boolean', type(None): 'nothing'}.get(
        type(raw), type(raw).__name__)
