"""What a relay makes of one message: the numbers, the picture, or neither changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.serialization import deserialize_message

from wm_eval_ros.config.interface import CommandStream, Stream
from wm_eval_ros.nodes.relay_images import edit_image
from wm_eval_ros.perturb.injector import Injector
from wm_eval_ros.perturb.protocol import ChangesImages
from wm_eval_ros.perturb.units import command_units, observation_units, raw_fields
from wm_eval_ros.wire.edit import FieldEditor

#: changes a message in place at a task time [ns]; says whether there was anything to change
Edit = Callable[[Injector, Any, int], bool]


class Numbers:
    """Changes the numbers of an observation."""

    def __init__(self, stream: Stream) -> None:
        """
        Parse the fields.

        :raises FieldPathError: a field that cannot be written
        """
        self._topic = stream.topic
        self._editor = FieldEditor(stream.topic, stream.type, raw_fields(stream))
        self.unit = observation_units(self._editor.fields)

    def __call__(self, injector: Injector, message: Any, task_ns: int) -> bool:
        """Change a message in place; say whether anything acts on it."""
        before = self._editor.read(message)
        after = injector.values(self._topic, before, self.unit, task_ns)
        if after is not before:
            self._editor.write(message, after)
        keep = injector.length(self._topic)
        if keep is not None:
            self._editor.shorten(message, keep)
        return after is not before or keep is not None


class Command:
    """
    Changes a command, and keeps it within the limits of the interface.

    What an actuator would not take, a simulated one does not take either: it is not passed on.
    """

    def __init__(self, command: CommandStream) -> None:
        """
        Parse the fields.

        :raises FieldPathError: a field that cannot be written
        """
        self._topic, self._low, self._high = command.topic, command.low, command.high
        self._editor = FieldEditor(command.topic, command.type, command.fields)
        self.unit = command_units(command)

    def __call__(self, injector: Injector, message: Any, task_ns: int) -> bool:
        """
        Change a message in place; say whether anything acts on it.

        :raises NotTakenError: it is not to be passed on
        """
        before = self._editor.read(message)
        after = injector.values(self._topic, before, self.unit, task_ns)
        keep = injector.length(self._topic)
        if not np.isfinite(after).all() or (keep is not None and keep(len(after)) < len(after)):
            raise NotTakenError
        if after is not before:
            self._editor.write(message, np.clip(after, self._low, self._high))
        return after is not before


class NotTakenError(Exception):
    """A command is not finite, or too short."""


class Picture:
    """Changes a camera image, and what its message says of it."""

    def __init__(self, topic: str) -> None:
        """Take the topic over."""
        self._topic = topic

    def __call__(self, injector: Injector, message: Any, task_ns: int) -> bool:
        """
        Change a message in place; say whether anything acts on it.

        :raises ValueError: an image that is not understood
        """
        acted = False

        def change(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
            return injector.image(self._topic, pixels, task_ns)

        if injector.acts(self._topic, ChangesImages):
            edit_image(message, change)
            acted = True
        size = len(message.data)
        if (left := injector.size(self._topic, size)) < size:
            message.data = message.data[:left]
            acted = True
        name = 'format' if hasattr(message, 'format') else 'encoding'
        before = getattr(message, name)
        setattr(message, name, injector.encoding(self._topic, before))
        return acted or getattr(message, name) != before


def edited(edit: Edit, injector: Injector, data: bytes, kind: Any, task_ns: int) -> Any:
    """
    Return what a perturbation makes of a serialized message, or its bytes where none acts.

    Not serialized again: rclpy's `serialize_message` may append bytes that belong to nothing,
    which its `publish` does not.

    :param kind: class of the message
    :raises NotTakenError: it is not to be passed on
    :raises ValueError: an image that is not understood
    :raises FieldPathError: a message without the fields of the interface
    """
    message = deserialize_message(data, kind)
    return message if edit(injector, message, task_ns) else data
