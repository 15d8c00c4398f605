"""Numbers of a message changed in place, by the field paths they were read by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.config.interface import Stream
from wm_eval_ros.errors import FieldPathError
from wm_eval_ros.wire.fields import FieldPath, Step, StreamReader


class FieldEditor:
    """Reads a stream's raw numbers, and writes others in their places; all else stays."""

    def __init__(self, topic: str, kind: str, fields: Sequence[str]) -> None:
        """
        Parse the paths.

        :param fields: paths without ``:angle``
        :raises FieldPathError: a path is not of the grammar, or is an angle
        """
        self.fields = tuple(fields)
        self._reader = StreamReader(Stream(topic=topic, type=kind, fields=self.fields))
        for path in self._reader.paths:
            if path.angle:
                raise FieldPathError(f'{topic}: field {path.text}: an angle cannot be written; '
                                     'leave :angle out')

    def read(self, msg: Any) -> NDArray[np.float64]:
        """
        Return the numbers, shape (F,).

        :raises FieldPathError: a field, entry or joint is missing, or is no number
        """
        return self._reader.read(msg)

    def write(self, msg: Any, values: NDArray[np.float64]) -> None:
        """
        Write numbers, shape (F,), into a message that :meth:`read` just read.

        Numbers that a field's type cannot hold are the caller's fault.
        """
        for path, value in zip(self._reader.paths, values.tolist(), strict=True):
            self._set(msg, path, value)

    def shorten(self, msg: Any, keep: Callable[[int], int]) -> bool:
        """
        Cut the lists that hold the numbers; say whether there was one.

        :param keep: number of entries -> how many stay
        """
        lists = {path.steps[-1].name: path for path in self._reader.paths
                 if path.steps[-1].entry is not None}
        for name, path in lists.items():
            owner = self._owner(msg, path)
            entries = getattr(owner, name)
            setattr(owner, name, entries[:keep(len(entries))])
        return bool(lists)

    def _set(self, msg: Any, path: FieldPath, value: float) -> None:
        owner, last = self._owner(msg, path), path.steps[-1]
        if last.entry is None:
            setattr(owner, last.name, value)
        else:
            getattr(owner, last.name)[self._entry(last)] = value

    def _owner(self, msg: Any, path: FieldPath) -> Any:
        owner = msg
        for step in path.steps[:-1]:
            owner = getattr(owner, step.name)
            if step.entry is not None:
                owner = owner[self._entry(step)]
        return owner

    def _entry(self, step: Step) -> int:
        return step.entry if isinstance(step.entry, int) else self._reader.entry(str(step.entry))
