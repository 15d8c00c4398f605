"""Reading untrusted JSON: capped in size, values, depth; finite numbers, nothing given twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
import json
import math
from pathlib import Path
from typing import Any, NoReturn

from wm_eval_ros.config.bounded import read_bounded, shown, text_of
from wm_eval_ros.errors import WmEvalError

#: a larger file is refused unread [bytes]
MAX_JSON_BYTES = 64 << 20
#: values, lists and mappings of one text: each takes some 100 bytes of memory, some two of text
MAX_VALUES = 1_000_000
#: lists and mappings in each other
MAX_DEPTH = 32
_INT64 = range(-2**63, 2**63)


def load_json(path: Path, error: type[WmEvalError], *, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """
    Parse a JSON file.

    :param error: class of the error that is raised over anything wrong with it
    """
    return parse_json(text_of(read_bounded(path, max_bytes, error), path, error), str(path), error)


def parse_json(text: str, where: str, error: type[WmEvalError]) -> Any:
    """
    Parse a JSON text.

    Refused are numbers that are not finite or not of 64 bits, keys given twice, and what goes over
    the limits.

    :param where: how to name the text in an error
    """
    # no text has more values than these characters, and counting them costs next to nothing
    if sum(map(text.count, ',[{')) > MAX_VALUES:
        raise error(f'{where}: more than {MAX_VALUES} values; not read')
    try:
        found = json.loads(text, parse_constant=_constant, parse_int=_whole, parse_float=_finite,
                           object_pairs_hook=_mapping)
    except (ValueError, RecursionError) as failed:
        raise error(f'{where}: not usable as JSON ({_reason(failed)})') from None
    if _is_deeper(found, MAX_DEPTH):
        raise error(f'{where}: nested more than {MAX_DEPTH} deep; not read')
    if '\\u' in text and not _is_unicode(found):
        raise error(f'{where}: half a character (an escape such as \\ud800); not read')
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(f'{name} is not JSON')


def _whole(text: str) -> int:
    # the length first: the time a number takes grows with the square of it
    value = int(text) if len(text) <= 20 else 1 << 64
    if value not in _INT64:
        raise ValueError(f'{shown(text)} is no whole number of 64 bits')
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f'{shown(text)} is not finite')
    return value


def _mapping(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f'key {shown(twice)} is given twice')
    return found


def _is_deeper(value: Any, most: int) -> bool:
    level = [value]
    for _ in range(most):
        level = [inner for outer in level if isinstance(outer, (dict, list))
                 for inner in (outer.values() if isinstance(outer, dict) else outer)]
    return any(isinstance(value, (dict, list)) for value in level)


def _is_unicode(value: Any) -> bool:
    """Say whether a value can be written again: escapes may make text that no file can hold."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _reason(failed: Exception) -> str:
    if isinstance(failed, RecursionError):
        return f'nested more than {MAX_DEPTH} deep'
    return ' '.join(str(failed).split())[:300]
