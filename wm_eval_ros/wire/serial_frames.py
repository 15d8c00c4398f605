"""The protocol between a host and an actuator's micro-controller, as in docs/serial.md."""

from __future__ import annotations

from binascii import crc_hqx
from dataclasses import dataclass
import struct

#: most values of a command
MAX_VALUES = 32
#: bits of a byte on the line: start, eight, stop
BITS = 10
#: times of the micro-controller are below this [us]: 285 years
END_US = 2**53
#: ends every frame, and stands nowhere else
END = b'\0'

_COMMAND, _APPLIED, _QUESTION, _ANSWER, _STATUS = range(1, 6)
_COMMAND_HEAD = struct.Struct('<BIq')
_FORMATS = {_APPLIED: struct.Struct('<BIqQQ'), _QUESTION: struct.Struct('<Bq16x'),
            _ANSWER: struct.Struct('<BqQQ'), _STATUS: struct.Struct('<B?IIIQ')}
_CRC = struct.Struct('<H')
#: longest frame between two ends, encoded
_LONGEST = 1 + _COMMAND_HEAD.size + 4 * MAX_VALUES + _CRC.size


@dataclass(frozen=True, slots=True)
class Command:
    """Host to micro-controller: what is to act from the next control tick on."""

    #: counts up with every command, modulo 2**32
    sequence: int
    #: stamp of the message that it was [ns]; only a name here
    stamp_ns: int
    #: in single precision, 1 to MAX_VALUES
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Applied:
    """Micro-controller to host: a command acts; times by its own clock."""

    sequence: int
    stamp_ns: int
    #: the last byte of the command had come [us]
    received_us: int
    #: the tick from which on it acts [us]
    applied_us: int


@dataclass(frozen=True, slots=True)
class Question:
    """Host to micro-controller: what does your clock say; as long as the answer."""

    #: just before the first byte was written [ns, steady of the host]
    host_ns: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Micro-controller to host: what its clock said."""

    #: of the question
    host_ns: int
    #: the last byte of the question had come [us]
    received_us: int
    #: just before the first byte of the answer sets out [us]
    sent_us: int


@dataclass(frozen=True, slots=True)
class Status:
    """Micro-controller to host, whenever the watchdog trips or is cleared, and once a second."""

    #: zero acts since no command came
    tripped: bool
    #: how often it tripped since the start
    trips: int
    #: frames that were none
    crc_errors: int
    #: commands that never acted: followed by another before a tick, or not finite
    dropped: int
    at_us: int


Frame = Command | Applied | Question | Answer | Status
_KINDS: dict[int, type[Applied] | type[Question] | type[Answer] | type[Status]] = {
    _APPLIED: Applied, _QUESTION: Question, _ANSWER: Answer, _STATUS: Status}
_TYPES = {kind: number for number, kind in _KINDS.items()}


def encode(frame: Frame) -> bytes:
    """
    Return a frame as it goes over the line, its end included.

    :raises ValueError: a number that its field does not hold, or too many values
    """
    try:
        body = _body(frame)
    except (struct.error, OverflowError) as error:
        raise ValueError(f'{frame}: {error}') from None
    return _stuffed(body + _CRC.pack(crc(body))) + END


def crc(data: bytes) -> int:
    """Return CRC-16/CCITT-FALSE: polynomial 0x1021, begun with 0xFFFF, not reflected."""
    return crc_hqx(data, 0xFFFF)


def line_ns(count: int, baud: int) -> int:
    """Return how long so many bytes take on the line [ns]."""
    return count * BITS * 1_000_000_000 // baud


class Decoder:
    """Frames out of a stream that is cut anywhere and may be damaged anywhere."""

    def __init__(self) -> None:
        """Begin amid a stream: what comes before the first end may be half a frame."""
        self._pending = bytearray()
        self._too_long = False
        #: frames that were none: damaged, cut, too long or of no known type
        self.errors = 0

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that end in these bytes, in order."""
        found = []
        *ended, rest = bytes(data).split(END)
        for part in ended:
            self._keep(part)
            frame = None if self._too_long else _decoded(bytes(self._pending))
            if frame is not None:
                found.append(frame)
            elif self._pending:
                self.errors += 1
            self._pending.clear()
            self._too_long = False
        self._keep(rest)
        return found

    def _keep(self, part: bytes) -> None:
        self._pending += part
        if len(self._pending) > _LONGEST:
            self._too_long = True
            del self._pending[_LONGEST:]


def _body(frame: Frame) -> bytes:
    if isinstance(frame, Command):
        if not 1 <= len(frame.values) <= MAX_VALUES:
            raise ValueError(f'{len(frame.values)} values: a command has 1 to {MAX_VALUES}')
        return _COMMAND_HEAD.pack(_COMMAND, frame.sequence, frame.stamp_ns) + struct.pack(
            f'<{len(frame.values)}f', *frame.values)
    number = _TYPES[type(frame)]
    return _FORMATS[number].pack(number, *(getattr(frame, name) for name in frame.__slots__))


def _decoded(data: bytes) -> Frame | None:
    """Return the frame between two ends; None: it is none."""
    whole = _unstuffed(data)
    if whole is None or len(whole) <= _CRC.size:
        return None
    body = whole[:-_CRC.size]
    if crc(body) != _CRC.unpack(whole[-_CRC.size:])[0]:
        return None
    if body[0] == _COMMAND:
        return _command(body)
    kind = _KINDS.get(body[0])
    if kind is None or len(body) != _FORMATS[body[0]].size:
        return None
    frame = kind(*_FORMATS[body[0]].unpack(body)[1:])
    return frame if _timely(frame) else None


def _timely(frame: Frame) -> bool:
    """Say whether all times of a frame are below END_US."""
    return all(getattr(frame, name) < END_US for name in frame.__slots__ if name.endswith('_us'))


def _command(body: bytes) -> Command | None:
    count, over = divmod(len(body) - _COMMAND_HEAD.size, 4)
    if over or not 1 <= count <= MAX_VALUES:
        return None
    _, sequence, stamp_ns = _COMMAND_HEAD.unpack_from(body)
    return Command(sequence, stamp_ns, struct.unpack_from(f'<{count}f', body,
                                                          _COMMAND_HEAD.size))


def _stuffed(data: bytes) -> bytes:
    """Return data without zeros, by COBS (Cheshire and Baker, 1999); fewer than 254 bytes."""
    return b''.join(bytes([len(part) + 1]) + part for part in data.split(END))


def _unstuffed(data: bytes) -> bytes | None:
    """Return what was stuffed; None: these bytes are no COBS."""
    parts, at = [], 0
    while at < len(data):
        end = at + data[at]
        if end > len(data):
            return None
        parts.append(data[at + 1:end])
        at = end
    return END.join(parts)
