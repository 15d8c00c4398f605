"""Numbers out of messages and into them, by the field paths of an interface."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.config.interface import CommandStream, Stream
from wm_eval_ros.errors import FieldPathError
from wm_eval_ros.wire.single import is_single, nearest_single

_STEP = re.compile(r'([A-Za-z][A-Za-z0-9_]*)(?:\[([^\[\]]+)\])?(\.|\Z)')
_ANGLE = ':angle'
#: fields that hold the names of the entries of the others
_NAME_LISTS = ('name', 'joint_names')
#: element type of lists of messages that a command may be written into
_ELEMENTS = {
    ('trajectory_msgs/msg/JointTrajectory', 'points'): 'trajectory_msgs/msg/JointTrajectoryPoint',
}


@dataclass(frozen=True, slots=True)
class Step:
    """One attribute of a path, and which entry of it."""

    name: str
    #: number of the entry, or the joint it belongs to; None: the attribute itself
    entry: int | str | None = None


@dataclass(frozen=True, slots=True)
class FieldPath:
    """A parsed field path; the grammar stands at :class:`~wm_eval_ros.config.interface.Stream`."""

    text: str
    steps: tuple[Step, ...]
    angle: bool = False

    @classmethod
    def parse(cls, text: str) -> FieldPath:
        """
        Parse a path such as ``position[elbow]:angle``.

        :raises FieldPathError: not of the grammar
        """
        angle = text.endswith(_ANGLE)
        body = text[:-len(_ANGLE)] if angle else text
        steps: list[Step] = []
        at = 0
        while at < len(body) or not steps or body[at - 1] == '.':
            match = _STEP.match(body, at)
            if match is None:
                raise FieldPathError(f'field path {text!r}: not understood from {body[at:]!r} on; '
                                     'write it like twist.linear.x, position[3], position[elbow] '
                                     'or position[elbow]:angle')
            steps.append(Step(match[1], _entry(match[2])))
            at = match.end()
        return cls(text, tuple(steps), angle)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the numbers it gives: one, or cosine and sine of an angle."""
        if not self.angle:
            return (self.text,)
        body = self.text[:-len(_ANGLE)]
        return (f'{body}:cos', f'{body}:sin')


def feature_names(stream: Stream) -> tuple[str, ...]:
    """Return the names of a stream's features, such as ``joint_states.position[elbow]:cos``."""
    topic = stream.topic.lstrip('/')
    return tuple(f'{topic}.{name}' for field in stream.fields
                 for name in FieldPath.parse(field).features)


def joined_names(streams: Iterable[Stream]) -> tuple[str, ...]:
    """Return the names of the features of all streams, in order."""
    return tuple(name for stream in streams for name in feature_names(stream))


class StreamReader:
    """Reads a stream's vector out of its messages."""

    def __init__(self, stream: Stream) -> None:
        """
        Parse the stream's paths.

        :raises FieldPathError: a path is not of the grammar
        """
        self.stream = stream
        self.paths = tuple(FieldPath.parse(field) for field in stream.fields)
        self.names = feature_names(stream)
        self._by_name = any(isinstance(s.entry, str) for p in self.paths for s in p.steps)
        self._joints: list[str] = []
        self._index: dict[str, int] = {}

    def read(self, msg: Any) -> NDArray[np.float64]:
        """
        Return the features of a message, shape (F,).

        :raises FieldPathError: a field, entry or joint is missing, or is no number
        """
        if self._by_name:
            self._learn_joints(msg)
        values: list[float] = []
        for path in self.paths:
            value = self._number(msg, path)
            values.extend((math.cos(value), math.sin(value)) if path.angle else (value,))
        return np.array(values, dtype=np.float64)

    def entry(self, joint: str) -> int:
        """Return the number of a joint's entry in the message read last."""
        return self._index[joint]

    def _learn_joints(self, msg: Any) -> None:
        joints = next((getattr(msg, n) for n in _NAME_LISTS if hasattr(msg, n)), None)
        if joints is None:
            raise FieldPathError(f'{self.stream.topic}: entries are named, but '
                                 f'{type(msg).__name__} has neither {" nor ".join(_NAME_LISTS)}; '
                                 'use numbers')
        if joints != self._joints:
            self._joints = list(joints)
            self._index = {joint: i for i, joint in enumerate(self._joints)}

    def _number(self, msg: Any, path: FieldPath) -> float:
        value = msg
        for step in path.steps:
            value = self._descend(value, step, path)
        if isinstance(value, (str, bytes)):
            raise self._error(path, f'is the text {value!r}, not a number')
        try:
            if hasattr(value, '__len__'):
                raise TypeError
            number = float(value)
        except (TypeError, ValueError):
            raise self._error(path, f'is {type(value).__name__}, not a number; it holds '
                                    f'{_fields_of(value)}') from None
        if path.angle and not math.isfinite(number):
            return math.nan
        return number

    def _descend(self, value: Any, step: Step, path: FieldPath) -> Any:
        try:
            inner = getattr(value, step.name)
        except AttributeError:
            raise self._error(path, f'no field {step.name!r} in {type(value).__name__}; '
                                    f'it holds {_fields_of(value)}') from None
        if step.entry is None:
            return inner
        number = step.entry if isinstance(step.entry, int) else self._joint(step.entry, path)
        try:
            return inner[number]
        except (IndexError, TypeError, KeyError):
            size = len(inner) if hasattr(inner, '__len__') else 'no'
            raise self._error(path, f'{step.name} has {size} entries, no [{number}]') from None

    def _joint(self, joint: str, path: FieldPath) -> int:
        try:
            return self._index[joint]
        except KeyError:
            have = ', '.join(self._joints) or 'no names'
            raise self._error(path, f'no joint {joint!r}; it holds {have}') from None

    def _error(self, path: FieldPath, what: str) -> FieldPathError:
        return FieldPathError(f'{self.stream.topic}: field {path.text}: {what}')


class CommandWriter:
    """Writes a command vector into messages of the command stream, and reads it back."""

    def __init__(
        self, stream: Stream, message_type: Callable[[str], Any] | None = None,
    ) -> None:
        """
        Parse the stream's paths.

        :param message_type: maps ``package/msg/Name`` to its class; needed by messages that hold
            lists of messages (JointTrajectory)
        :raises FieldPathError: a path is not of the grammar, or is an angle, which has no inverse
        """
        self.stream = stream
        self._reader = StreamReader(stream)
        self._message_type = message_type
        self.joints = _joints(self._reader.paths)
        for path in self._reader.paths:
            if path.angle:
                raise FieldPathError(f'{stream.topic}: field {path.text}: a command is written as '
                                     'an angle itself; leave :angle out')
        self._slots = [self._slot(path) for path in self._reader.paths]
        self._ranges = (tuple(zip(stream.low, stream.high, strict=True))
                        if isinstance(stream, CommandStream) else
                        ((-math.inf, math.inf),) * len(self._slots))

    def read(self, msg: Any) -> NDArray[np.float64]:
        """Return the command vector of a message, shape (A,)."""
        return self._reader.read(msg)

    def write(self, msg: Any, action: NDArray[np.float64]) -> Any:
        """
        Write the command vector, shape (A,), into the message and return the message.

        Entries of an array that no field names are NaN; arrays that no field names stay as found.
        A float32 field is given what it holds after the wire: within its range, as the number is.

        :raises FieldPathError: the message has no such field, or the vector is of another length
        """
        if len(action) != len(self._slots):
            raise FieldPathError(f'{self.stream.topic}: {len(action)} numbers for '
                                 f'{len(self._slots)} fields')
        if self.joints:
            names = next((n for n in _NAME_LISTS if hasattr(msg, n)), _NAME_LISTS[0])
            self._require(msg, names)
            setattr(msg, names, list(self.joints))
        lists: dict[tuple[int, str], tuple[Any, str, dict[int, float]]] = {}
        for (parents, last, entry), (low, high), value in zip(
                self._slots, self._ranges, np.asarray(action).tolist(), strict=True):
            owner = msg
            for step in parents:
                owner = self._enter(owner, step)
            self._require(owner, last)
            if is_single(owner, last):
                value = nearest_single(value, low, high)
            if entry is None:
                setattr(owner, last, value)
            else:
                lists.setdefault((id(owner), last), (owner, last, {}))[2][entry] = value
        for owner, name, entries in lists.values():
            self._write_list(owner, name, entries)
        return msg

    def _slot(self, path: FieldPath) -> tuple[tuple[Step, ...], str, int | None]:
        last = path.steps[-1]
        entry = self.joints.index(last.entry) if isinstance(last.entry, str) else last.entry
        return path.steps[:-1], last.name, entry

    def _require(self, owner: Any, name: str) -> None:
        if not hasattr(owner, name):
            raise FieldPathError(f'{self.stream.topic}: no field {name!r} in '
                                 f'{type(owner).__name__}; it holds {_fields_of(owner)}')

    def _enter(self, owner: Any, step: Step) -> Any:
        self._require(owner, step.name)
        inner = getattr(owner, step.name)
        if step.entry is None:
            return inner
        if not isinstance(step.entry, int):
            raise FieldPathError(f'{self.stream.topic}: {step.name}[{step.entry}]: a name can '
                                 'only pick the last entry of a path')
        while len(inner) <= step.entry:
            inner.append(self._element(step.name))
        return inner[step.entry]

    def _element(self, name: str) -> Any:
        element = _ELEMENTS.get((self.stream.type, name))
        if element is None or self._message_type is None:
            raise FieldPathError(f'{self.stream.topic}: {name} of {self.stream.type} is empty, '
                                 'and how to fill it is not known; fill it before writing')
        return self._message_type(element)()

    def _write_list(self, owner: Any, name: str, entries: dict[int, float]) -> None:
        current = getattr(owner, name)
        if isinstance(current, np.ndarray) and max(entries) < len(current):
            for number, value in entries.items():
                current[number] = value
            return
        values = np.full(max(max(entries) + 1, len(self.joints)), np.nan)
        values[list(entries)] = list(entries.values())
        if isinstance(current, np.ndarray):
            setattr(owner, name, values.astype(current.dtype))
        else:
            code = current.typecode if isinstance(current, array) else 'd'
            setattr(owner, name, array(code, values.tolist()))


def _joints(paths: tuple[FieldPath, ...]) -> tuple[str, ...]:
    """Return the joints that paths name, each once, in the order of their first mention."""
    return tuple(dict.fromkeys(p.steps[-1].entry for p in paths
                               if isinstance(p.steps[-1].entry, str)))


def _entry(text: str | None) -> int | str | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else text


def _fields_of(value: Any) -> str:
    """Name the fields of a message, of either library."""
    types = getattr(value, 'get_fields_and_field_types', None)
    fields: Any = types() if types else getattr(value, '__dataclass_fields__', None)
    if fields is None and hasattr(value, '__len__'):
        return f'{len(value)} entries: index them'
    names = [n for n in (fields or getattr(value, '__dict__', ())) if not n.startswith('_')]
    return ', '.join(names) or 'no fields'
