"""
Message definitions: where they are found, and the form a bag embeds.

They come, in this order, from the `msg` folder of this package, from the type store of `rosbags`,
and from the ``share/<package>/msg`` folders of the installed message packages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
import os
from pathlib import Path
import re
import sys
from typing import Any

from rosbags.typesys import (
    get_types_from_idl,
    get_types_from_msg,
    get_typestore,
    Stores,
    TypesysError,
)

from wm_eval_ros.errors import BagError

PACKAGE = 'wm_eval_ros'
HEADER = 'std_msgs/msg/Header'
#: a definition larger than this is refused unread, as parsing takes the square of it; the longest
#: of ROS, with all its parts and comments, have some 60 kB and 1500 lines
MAX_DEFINITION_BYTES = 256 << 10
MAX_DEFINITION_LINES = 5000
#: longest part of a parser's complaint that is passed on [characters]
_MAX_REASON = 80

#: what stands before each file in a concatenation of IDL files
_IDL_PART = re.compile(r'^={80}\nIDL: [^\n]*\n', re.MULTILINE)
_IDL_MODULE = re.compile(r'^\s*module\s+\w+\s*\{', re.MULTILINE)
_PREPROCESSOR = re.compile(r'^[ \t]*#[^\n]*$', re.MULTILINE)
_TYPE_NAME = re.compile(r'[A-Za-z]\w*/(?:msg|srv|action)/[A-Za-z]\w*')


@dataclass(frozen=True, slots=True)
class Definition:
    """What a bag embeds of one type."""

    #: text with everything it depends on, empty where the type is not known
    text: str
    #: RIHS01 hash, empty where the type is not known
    type_hash: str = ''

    @property
    def encoding(self) -> str:
        """MCAP schema encoding."""
        return 'ros2msg' if self.text else ''


def definition(type_name: str) -> Definition:
    """
    Return what a bag embeds of a type, in the concatenated ``===`` / ``MSG:`` form.

    An unknown type gives an empty definition: its messages can be recorded, not decoded elsewhere.
    """
    store = known_types()
    try:
        _require(store, type_name)
        return Definition(store.generate_msgdef(type_name, ros_version=2)[0],
                          store.hash_rihs01(type_name))
    except (BagError, TypesysError, KeyError):
        return Definition('')


@lru_cache(maxsize=1)
def known_types() -> Any:
    """Return the type store with the types of ROS 2 Jazzy and of this package."""
    store = get_typestore(Stores.ROS2_JAZZY)
    for folder in _msg_folders(PACKAGE):
        for path in sorted(folder.glob('*.msg')):
            register(store, f'{PACKAGE}/msg/{path.stem}', path.read_text(encoding='utf-8'))
        break
    return store


def bag_types() -> Any:
    """Return an empty type store, for the definitions that one bag embeds."""
    return get_typestore(Stores.EMPTY)


def register(store: Any, type_name: str, text: str, encoding: str = '') -> None:
    """
    Add a type, and those its text brings along, to a store; types already there stay.

    :param encoding: ``ros2msg`` or ``ros2idl``; empty: as the text looks
    :raises BagError: the name or the text is none of a message
    """
    check_type_name(type_name)
    encoding = encoding or ('ros2idl' if _IDL_MODULE.search(text) else 'ros2msg')
    lines = text.count('\n')
    if len(text) > MAX_DEFINITION_BYTES or lines > MAX_DEFINITION_LINES:
        raise BagError(f'{type_name}: a definition of {len(text)} characters in {lines} lines; at '
                       f'most {MAX_DEFINITION_BYTES} in {MAX_DEFINITION_LINES} are read')
    try:
        found = _parsed(text, type_name, encoding)
        for name in found:
            check_type_name(name)
        store.register({k: v for k, v in found.items() if k not in store.fielddefs})
    except (TypesysError, RecursionError, KeyError, ValueError, SyntaxError) as error:
        why = ' '.join(str(error).split())[:_MAX_REASON]
        raise BagError(f'{type_name}: its definition is not understood ({why})') from None
    if type_name not in store.fielddefs:
        raise BagError(f'{type_name}: its definition defines {", ".join(found) or "nothing"} '
                       'instead')


@lru_cache(maxsize=512)
def _parsed(text: str, type_name: str, encoding: str) -> Any:
    """Return the types of a definition; read-only, as bags embed the same ones again and again."""
    if encoding == 'ros2msg':
        return get_types_from_msg(text, type_name)
    if encoding != 'ros2idl':
        raise ValueError(f'it is written in {encoding!r}; ros2msg and ros2idl are read')
    found: dict[str, Any] = {}
    for part in _IDL_PART.split(text):
        # what it includes stands in another part, or is known
        if code := _PREPROCESSOR.sub('', part).strip():
            found.update(get_types_from_idl(code))
    return found


def complete(store: Any, type_name: str) -> None:
    """
    Fill what a type of a bag's store lacks from the known types.

    :raises BagError: no definition is known; the message names the type that lacks one
    """
    wanted = [check_type_name(type_name)]
    seen: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name in seen:
            continue
        seen.add(name)
        if name not in store.fielddefs:
            known = known_types()
            _require(known, name)
            store.register({name: known.fielddefs[name]})
        wanted.extend(_parts(store, name))


def starts_with_header(store: Any, type_name: str) -> bool:
    """Say whether messages of a type begin with a ``std_msgs/Header``, so with a stamp."""
    fields = store.fielddefs[type_name][1]
    return bool(fields) and fields[0][1][1] == HEADER


def check_type_name(type_name: str) -> str:
    """Return the name if it is one; it comes from untrusted files and goes into generated code."""
    if _TYPE_NAME.fullmatch(type_name) is None:
        raise BagError(f'{type_name[:80]!r} is no message type; it should look like '
                       'package/msg/Name')
    return type_name


def is_known(type_name: str) -> bool:
    """Say whether a definition is known without that of a bag."""
    try:
        _require(known_types(), check_type_name(type_name))
    except (BagError, TypesysError):
        return False
    return True


def _parts(store: Any, type_name: str) -> Iterator[str]:
    for _, description in store.fielddefs[type_name][1]:
        inner = description
        while isinstance(inner[1], tuple) and isinstance(inner[1][0], tuple):
            inner = inner[1][0]
        if isinstance(inner[1], str):
            yield inner[1]


def _require(store: Any, type_name: str) -> None:
    """Look for the ``.msg`` file of a type the store lacks, and of what it depends on."""
    check_type_name(type_name)
    if type_name in store.fielddefs:
        return
    package, kind, name = type_name.split('/')
    for folder in _msg_folders(package) if kind == 'msg' else ():
        path = folder / f'{name}.msg'
        if path.is_file():
            register(store, type_name, path.read_text(encoding='utf-8'))
            for part in _parts(store, type_name):
                _require(store, part)
            return
    raise BagError(f'no definition of {type_name}')


def _msg_folders(package: str) -> Iterator[Path]:
    """Yield the existing `msg` folders of a package: source checkout first, then installed."""
    here = Path(__file__).resolve()
    if package == PACKAGE:
        yield from _existing(here.parents[2] / 'msg')
    prefixes = [Path(p) for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    for prefix in (*prefixes, Path(sys.prefix), *here.parents):
        yield from _existing(prefix / 'share' / package / 'msg')


def _existing(folder: Path) -> Iterator[Path]:
    if any(folder.glob('*.msg')):
        yield folder
