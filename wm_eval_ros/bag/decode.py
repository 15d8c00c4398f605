"""Decode the messages of a bag by the definitions it embeds, else by the known ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
import os
import re
from struct import error as StructError
from typing import Any

from rosbags.serde import SerdeError

from wm_eval_ros.bag.definitions import (
    bag_types,
    complete,
    is_known,
    register,
    starts_with_header,
)
from wm_eval_ros.bag.extent import check_extent
from wm_eval_ros.bag.message import Connection, RawMessage
from wm_eval_ros.errors import BagError
from wm_eval_ros.wire.header import header_stamp_ns as stamp_of

_SERVICE_EVENT = re.compile(r'/srv/\w+_Event$')
#: name of a type, and what a bag embeds of it: encoding, text and serialization
_Kind = tuple[str, tuple[str, str, str]]
_DAMAGED = (SerdeError, StructError, UnicodeDecodeError, ValueError, AssertionError, IndexError,
            MemoryError, KeyError, TypeError)


class Decoder:
    """Knows the types of one bag; one it cannot decode is named, and is no error."""

    def __init__(
        self, connections: Iterable[Connection], extra: Mapping[str, str] | None = None,
    ) -> None:
        """
        Register the definitions that the connections embed.

        :param extra: definitions of types that the bag does not define, or not so that they can be
            understood, by type name
        :raises BagError: one of those is not understood
        """
        # of several connections of a type, one that embeds its definition
        kinds = {full_name(c.type): (c.encoding, c.text, c.serialization_format)
                 for c in sorted(connections, key=lambda c: bool(c.text))}
        learned = _learned(tuple(kinds.items()), tuple((extra or {}).items()),
                           os.environ.get('AMENT_PREFIX_PATH', ''))
        #: why a type is not decoded, by type name
        self.unreadable: Mapping[str, str] = learned.unreadable
        self._types, self._stamped = learned.store, learned.stamped

    def decode(self, message: RawMessage) -> Any:
        """
        Return the message with its fields.

        :raises BagError: its type is not readable, or its bytes do not fit the type
        """
        type_name = full_name(message.type)
        if type_name in self.unreadable:
            raise BagError(f'{message.topic}: {self.unreadable[type_name]}')
        try:
            return self._types.deserialize_cdr(message.data, type_name)
        except _DAMAGED as error:
            raise BagError(f'{message.topic}: the message logged at {message.log_ns} ns is no '
                           f'{type_name} ({type(error).__name__}: {error})') from None

    def is_stamped(self, type_name: str) -> bool:
        """Say whether messages of the type begin with a header; a type not readable does not."""
        return self._stamped.get(full_name(type_name), False)


class _Types:
    """The types that one set of definitions gives."""

    def __init__(self, kinds: Iterable[_Kind], extra: Iterable[tuple[str, str]]) -> None:
        self.store: Any = bag_types()
        self.unreadable: dict[str, str] = {}
        self.stamped: dict[str, bool] = {}
        for name, definition in kinds:
            self._try(name, self._embedded, *definition)
        for name, text in extra:
            register(self.store, name, text)
            self.unreadable.pop(name, None)
        for name, _ in kinds:
            if name not in self.unreadable:
                self._try(name, self._complete)

    def _embedded(self, name: str, encoding: str, text: str, serialization: str) -> None:
        if serialization != 'cdr':
            raise BagError(f'it is serialized as {serialization!r}, only cdr is read')
        if is_service_event(name):
            raise BagError('a service event: counted and timed, not decoded')
        # an empty text is that of a message without fields, unless the type is known to have some
        if text or (encoding == 'ros2msg' and not is_known(name)):
            register(self.store, name, text, encoding)

    def _complete(self, name: str) -> None:
        complete(self.store, name)
        check_extent(self.store, name)
        self.stamped[name] = starts_with_header(self.store, name)

    def _try(self, name: str, learn: Callable[..., None], *what: str) -> None:
        """Learn something of a type, or why it cannot be read."""
        try:
            learn(name, *what)
        except BagError as error:
            where = 'the bag embeds none and none is installed'
            self.unreadable[name] = (f'{error}: {where}' if 'no definition' in str(error)
                                     else str(error))


@lru_cache(maxsize=16)
def _learned(kinds: tuple[_Kind, ...], extra: tuple[tuple[str, str], ...], _: str) -> _Types:
    """
    Return the types of a set of definitions; read-only, as making their code takes a while.

    The last argument is where definitions are looked for: elsewhere others may be found.
    """
    return _Types(kinds, extra)


def header_stamp_ns(message: RawMessage) -> int:
    """
    Return the stamp of a message that begins with a header, without decoding it.

    :raises BagError: too short to hold a header
    """
    stamp_ns = stamp_of(message[4])
    if stamp_ns is None:
        raise BagError(f'{message.topic}: the message logged at {message.log_ns} ns has '
                       f'{len(message[4])} bytes, too few for a header')
    return stamp_ns


def is_service_event(type_name: str) -> bool:
    """Say whether a type is what a service call leaves in a bag."""
    return _SERVICE_EVENT.search(type_name) is not None


def full_name(type_name: str) -> str:
    """Return ``package/msg/Name`` also for the short form ``package/Name`` of old bags."""
    return type_name.replace('/', '/msg/') if type_name.count('/') == 1 else type_name
