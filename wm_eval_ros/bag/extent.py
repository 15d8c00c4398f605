"""How much a message type takes to decode: a definition in a bag may recurse, or explode."""

from __future__ import annotations

from typing import Any

from rosbags.interfaces import Nodetype

from wm_eval_ros.errors import BagError

#: fields of a type, those of the types in it included, each entry of a fixed array for itself: the
#: decoder has code for each of them
MAX_PARTS = 2000
#: types in each other; those of ROS go six deep
MAX_DEPTH = 32


def check_extent(store: Any, type_name: str) -> None:
    """
    Refuse a type before code is made for it that would not end, or take all memory.

    :param store: types, with every part of this one
    :raises BagError: it holds itself, is nested too deep or has too many parts
    """
    parts = _parts(store, type_name, (), {})
    if parts > MAX_PARTS:
        raise BagError(f'{type_name}: its definition has {parts} fields, those of its parts '
                       f'included; at most {MAX_PARTS} are decoded')


def _parts(store: Any, name: str, within: tuple[str, ...], known: dict[str, int]) -> int:
    if name in within:
        raise BagError(f'{within[0]}: its definition holds {name} in itself')
    if len(within) > MAX_DEPTH:
        raise BagError(f'{within[0]}: its definition is nested more than {MAX_DEPTH} deep')
    if name not in known:
        known[name] = sum(_of(store, description, (*within, name), known)
                          for _, description in store.fielddefs[name][1])
    return known[name]


def _of(store: Any, description: Any, within: tuple[str, ...], known: dict[str, int]) -> int:
    """Count a field; an array of numbers is read at once, whatever its length."""
    kind, what = description
    if kind is Nodetype.NAME:
        return 1 + _parts(store, what, within, known)
    if kind is Nodetype.BASE:
        return 1
    inner, length = what
    if inner[0] is Nodetype.BASE and inner[1][0] not in ('string', 'wstring'):
        return 1
    return _of(store, inner, within, known) * (length if kind is Nodetype.ARRAY else 1)
