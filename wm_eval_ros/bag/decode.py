"""Decode the messages of a bag by the definitions it embeds, else by the known ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
from wm_eval_ros.bag.message import Connection, RawMessage
from wm_eval_ros.errors import BagError
from wm_eval_ros.wire.header import header_stamp_ns as stamp_of

_SERVICE_EVENT = re.compile(r'/srv/\w+_Event$')
_DAMAGED = (SerdeError, StructError, UnicodeDecodeError, ValueError, AssertionError, IndexError,
            MemoryError, KeyError, TypeError)


class Decoder:
    """Knows the types of one bag; one it cannot decode is named, and is no error."""

    def __init__(
        self, connections: Iterable[Connection], extra: Mapping[str, str] | None = None,
    ) -> None:
        """
        Register the definitions that the connections embed.

        :param extra: definitions of types that the bag does not define, by type name
        """
        #: why a type is not decoded, by type name
        self.unreadable: dict[str, str] = {}
        self._types: Any = bag_types()
        self._stamped: dict[str, bool] = {}
        for type_name, text in (extra or {}).items():
            register(self._types, type_name, text)
        for connection in connections:
            self._learn(connection)

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

    def _learn(self, connection: Connection) -> None:
        name = full_name(connection.type)
        if name in self._stamped or name in self.unreadable:
            return
        try:
            if connection.serialization_format != 'cdr':
                raise BagError(f'it is serialized as {connection.serialization_format!r}, '
                               'only cdr is read')
            if is_service_event(name):
                raise BagError('a service event: counted and timed, not decoded')
            # an empty text is that of a message without fields, unless the type is known to have
            if connection.text or (connection.encoding == 'ros2msg' and not is_known(name)):
                register(self._types, name, connection.text, connection.encoding)
            complete(self._types, name)
            self._stamped[name] = starts_with_header(self._types, name)
        except BagError as error:
            where = 'the bag embeds none and none is installed'
            self.unreadable[name] = (f'{error}: {where}' if 'no definition' in str(error)
                                     else str(error))


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
