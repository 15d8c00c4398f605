"""What storage files have in common: connections, raw messages, limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol, TYPE_CHECKING

from wm_eval_ros.errors import BagError

if TYPE_CHECKING:
    from wm_eval_ros.bag.columns import Columns

#: a chunk, record or message may declare at most this size [bytes]
MAX_BYTES = 256 << 20
#: and at most this many times its compressed size
MAX_RATIO = 1000
#: below this size the ratio does not matter [bytes]
SMALL_BYTES = 1 << 20
#: so many things that are wrong with a file are told one by one
_TOLD = 100


@dataclass(frozen=True, slots=True, eq=False)
class Connection:
    """One topic of one storage file; compared by identity, for speed."""

    topic: str
    type: str
    #: ``ros2msg``, ``ros2idl`` or empty
    encoding: str
    #: embedded definition, empty where there is none
    text: str
    serialization_format: str = 'cdr'
    #: quality of service that was offered, as the YAML rosbag2 writes; empty where unknown
    qos: str = ''


class RawMessage(NamedTuple):
    """One message as recorded."""

    #: arrival at the recorder [ns, system]
    log_ns: int
    connection: Connection
    #: publication [ns, system], NEVER_NS where the file does not say
    publish_ns: int
    #: publication sequence number, NO_SEQUENCE where the file does not say
    sequence: int
    #: CDR with its encapsulation header
    data: bytes

    @property
    def topic(self) -> str:
        """Topic name."""
        return self.connection.topic

    @property
    def type(self) -> str:
        """Message type, ``package/msg/Name``."""
        return self.connection.type


class Damage:
    """What is wrong with a file: refused at once, or in salvage noted, each thing once."""

    def __init__(self, *, salvage: bool) -> None:
        """Begin with nothing wrong."""
        self.salvage = salvage
        #: bytes of the file that gave nothing
        self.lost_bytes = 0
        self._found: dict[str, None] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found, one sentence each; of very much the first, and how much more."""
        more = len(self._found) - _TOLD
        told = tuple(islice(self._found, _TOLD))
        return (*told, f'and {more} more of this kind') if more > 0 else told

    def found(self, what: str, lost_bytes: int = 0) -> None:
        """
        Take note.

        :param lost_bytes: bytes of the file that could not be used for it
        :raises BagError: not in salvage
        """
        if not self.salvage:
            raise BagError(what)
        if what not in self._found:
            self._found[what] = None
            self.lost_bytes += lost_bytes


@dataclass(slots=True)
class Disorder:
    """Messages of one pass that stand after a later one in their file."""

    count: int = 0
    #: how much earlier than one before it the worst of them is [ns]
    worst_ns: int = 0
    #: messages that stand after a later one of their own topic: no queue does that
    within_topics: int = 0
    #: the largest fall of the log times of a topic, or from one part of the file to the next [ns],
    #: and the log time after it [ns, system]
    fall_ns: int = 0
    fall_at_ns: int = 0


class StorageFile(Protocol):
    """A file of a bag. Made by opening it; a broken one raises, or in salvage leaves a note."""

    path: Path
    connections: tuple[Connection, ...]
    #: number of messages by topic as the file itself declares it, None where it does not
    declared: dict[str, int] | None
    #: what salvage had to leave out
    damage: Damage
    #: size of the file [bytes]
    size: int
    #: whether checksums cover every message
    checked: bool
    #: messages of the last pass, by topic
    read: Counter[str]
    disorder: Disorder

    @property
    def start_ns(self) -> int:
        """No message is earlier [ns, system]."""
        ...

    def columns(self, topics: Collection[str] | None) -> Iterator[Columns]:
        """Yield messages by log time; equal times in the order of the file."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...


def check_size(where: str, size: int, compressed: int) -> None:
    """
    Refuse a declared size before anything is decompressed.

    :raises BagError: it is over the limits: a damaged file, or one made to exhaust memory
    """
    if size > MAX_BYTES:
        raise BagError(f'{where}: declares {size} bytes; at most {MAX_BYTES} are read')
    if size > SMALL_BYTES and size > MAX_RATIO * compressed:
        raise BagError(f'{where}: declares {size} bytes out of {compressed} compressed ones; '
                       f'at most {MAX_RATIO} to 1 are read')


def unzstd(where: str, data: bytes, size: int | None = None) -> bytes:
    """
    Decompress a zstd frame whose size is known or declared, within the limits.

    :param size: size it must have, None: as the frame says
    :raises BagError: not zstd, damaged, or over the limits
    """
    import zstandard
    try:
        declared = zstandard.frame_content_size(data)
        expected = size if size is not None else declared
        check_size(where, max(expected, declared), len(data))
        if expected < 0:
            expected = min(MAX_BYTES, max(SMALL_BYTES, MAX_RATIO * len(data)))
        found = zstandard.ZstdDecompressor().decompress(data, max_output_size=max(expected, 1))
    except zstandard.ZstdError as error:
        raise BagError(f'{where}: not decompressed ({error}); the file is damaged') from None
    if size is not None and len(found) != size:
        raise BagError(f'{where}: {len(found)} bytes where {size} are declared; '
                       'the file is damaged')
    return found
