"""Which topics carry state, goal and command: one declaration for simulators, robots and bags."""

from __future__ import annotations

from dataclasses import dataclass

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
class Interface:
    """The topics between plant and planner: the topic map."""

    observations: tuple[Stream, ...] = setting(doc='streams the state vector is made of, in order')
    command: CommandStream = setting(doc='stream the command vector goes to')
    goal: Stream | None = setting(None, doc='stream of the goal; none: the goal is fixed')
