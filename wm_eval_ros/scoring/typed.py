"""The types of what is read from a file: checked once, where it comes in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import math
from typing import Any

from wm_eval_ros.errors import BagError

#: kind -> whether a plain value is of it
KINDS: dict[str, Callable[[Any], bool]] = {
    'text': lambda x: isinstance(x, str),
    'a whole number': lambda x: isinstance(x, int) and not isinstance(x, bool),
    'a number': lambda x: (isinstance(x, (int, float)) and not isinstance(x, bool)
                           and math.isfinite(x)),
    'true or false': lambda x: isinstance(x, bool),
    'a table': lambda x: isinstance(x, dict)}
#: fields of the manifest by dotted key; one that is absent or null is not known
MANIFEST = {
    'task': 'text', 'clock': 'text', 'planner': 'text', 'scenario': 'text',
    'package_version': 'text', 'git_commit': 'text', 'seed': 'a whole number',
    'episodes': 'a whole number', 'period_ns': 'a number', 'deadline_ns': 'a number',
    'time_limit_s': 'a number', 'model': 'a table', 'settings': 'a table',
    'settings.planner': 'a table', 'settings.plant': 'a table'}
PROVENANCE = {'run_id': 'text', 'host': 'a table'}
EPISODE = {
    'episode': 'a whole number', 'outcome': 'text', 'seed': 'a whole number',
    'solved_at_start': 'true or false', 'steps': 'a whole number', 'time_s': 'a number',
    'slots': 'a whole number', 'misses': 'a whole number', 'label': 'text',
    'aided': 'true or false'}
FIGURE = {
    'name': 'text', 'value': 'a number', 'unit': 'text', 'n': 'a whole number',
    'interval': 'a table', 'interval.low': 'a number', 'interval.high': 'a number',
    'interval.confidence': 'a number', 'interval.method': 'text', 'why': 'text'}
SWEEP = {'key': 'text', 'scenario': 'text', 'clock': 'text'}
POINT = {'x': 'a number', 'bag': 'text', 'model': 'a table'}
TRIAL = {'seed': 'a whole number', 'success': 'true or false'}
#: what may be null in an episode or a figure: it is not known
NULLABLE = {'seed', 'steps', 'time_s', 'aided', 'value', 'interval', 'interval.low',
            'interval.high'}
_SHOWN = 40


def check_types(data: Mapping[str, Any], kinds: Mapping[str, str], what: str,
                nullable: set[str] | None = None) -> None:
    """
    Refuse a field of another type than it has.

    :param kinds: kind of each field by its dotted key
    :param what: how to name the table in an error
    :param nullable: fields that may be null; any where None
    :raises BagError: naming the first such field, what it holds and what it should
    """
    for key, kind in kinds.items():
        known, value = _at(data, key)
        if not known or (value is None and (nullable is None or key in nullable)):
            continue
        if not KINDS[kind](value):
            shown = repr(value)
            raise BagError(f'{what}: {key} is {shown[:_SHOWN]}{"..." * (len(shown) > _SHOWN)}, '
                           f'where {kind} belongs')


def _at(data: Mapping[str, Any], key: str) -> tuple[bool, Any]:
    """Return whether there is an entry of that dotted key, and the entry."""
    value: Any = data
    for part in key.split('.'):
        if not isinstance(value, Mapping) or part not in value:
            return False, None
        value = value[part]
    return True, value
