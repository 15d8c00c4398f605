"""Which topics carry state, goal and command: one declaration for simulators, robots and bags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wm_eval_ros.config.schema import setting


@dataclass(frozen=True, kw_only=True)
class Stream:
    """
    Numbers read from one topic.

    A field path walks attributes by name: ``twist.twist.linear.x``; ``position[3]`` indexes a
    list, ``position[elbow]`` finds the entry whose ``name`` is ``elbow`` (JointState and
    JointTrajectory);
    ``:angle`` at its end turns a radian into its cosine and sine (two features).
    """

    topic: str = setting(doc='topic, relative to the node namespace')
    type: str = setting(doc='message type, such as sensor_msgs/msg/JointState')
    fields: tuple[str, ...] = setting(doc='field paths in the order of the vector')


@dataclass(frozen=True, kw_only=True)
class CommandStream(Stream):
    """The command: where its vector is written, and its limits."""

    low: tuple[float, ...] = setting(doc='smallest allowed value of each field')
    high: tuple[float, ...] = setting(doc='largest allowed value of each field')

    @property
    def zero(self) -> tuple[float, ...]:
        """Zero, or what of each field's range is nearest to it, shape (A,)."""
        return tuple(min(max(0.0, low), high)
                     for low, high in zip(self.low, self.high, strict=True))


@dataclass(frozen=True, kw_only=True)
class ImageStream:
    """Pixels read from one topic: red, green and blue in [0, 1], row by row from the top."""

    topic: str = setting(doc='topic, relative to the node namespace')
    type: str = setting('sensor_msgs/msg/Image', doc='message type',
                        choices=('sensor_msgs/msg/Image',))
    width: int = setting(64, doc='width the model sees; larger images are averaged to it',
                         unit='px', low=1, high=1024)
    height: int = setting(64, doc='height the model sees', unit='px', low=1, high=1024)

    @property
    def size(self) -> int:
        """Numbers of an image."""
        return self.width * self.height * 3


@dataclass(frozen=True, kw_only=True)
class Interface:
    """The topics between plant and planner: the topic map."""

    observations: tuple[Stream, ...] = setting(doc='streams the state vector is made of, in order')
    images: tuple[ImageStream, ...] = setting(
        (), doc='cameras the model sees besides, behind the observations in its vector')
    unseen: tuple[Stream, ...] = setting(
        (), doc='streams of a simulated plant that are recorded and that the model does not see: '
        'in training its latents are read out to them, so that an objective can name them')
    command: CommandStream = setting(doc='stream the command vector goes to')
    goal: Stream | None = setting(None, doc='stream of the goal; none: the goal is fixed')
    goal_image: ImageStream | None = setting(
        None, doc='image of the goal, for models that encode goals; none: there is none')

    @property
    def seen(self) -> tuple[Stream | ImageStream, ...]:
        """Everything a model sees, in the order of its vector."""
        return (*self.observations, *self.images)

    @property
    def goals(self) -> tuple[Stream | ImageStream, ...]:
        """Everything that tells the goal, in the order of its vector."""
        return tuple(g for g in (self.goal, self.goal_image) if g is not None)

    @property
    def pixels(self) -> int:
        """Numbers of all images together."""
        return sum(image.size for image in self.images)


def identity(plain: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return what hashes of an interface are taken of, given its settings as plain values.

    Parts that came with a later version and are not used are left out: earlier hashes hold.
    """
    later = {'images', 'unseen', 'goal_image'}
    return {name: value for name, value in plain.items() if value or name not in later}
