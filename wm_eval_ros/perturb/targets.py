"""On which channels of a host a perturbation acts, or why on none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wm_eval_ros.errors import ConfigError
from wm_eval_ros.perturb.catalogue import kind_of
from wm_eval_ros.perturb.host import Channel, Host, Role
from wm_eval_ros.perturb.protocol import (
    ABILITIES,
    ChangesDelivery,
    ChangesEncoding,
    ChangesEndpoints,
    ChangesImages,
    ChangesLength,
    ChangesRate,
    ChangesSize,
    ChangesValues,
)

#: abilities that act on messages, and so on a channel
ON_CHANNELS = (ChangesValues, ChangesLength, ChangesImages, ChangesSize, ChangesEncoding,
               ChangesDelivery, ChangesRate, ChangesEndpoints)
#: of those, the ones that act on images
_ON_IMAGES = (ChangesImages, ChangesSize, ChangesEncoding)


class UnsupportedError(Exception):
    """The host cannot carry a perturbation out; the text says why."""


def targets(name: str, kind: Any, topics: Sequence[str], host: Host) -> tuple[Channel, ...]:
    """
    Return the channels a perturbation acts on; none where it acts on the world or a process.

    Without topics these are the observations, for ``command.*`` the command, for images the
    camera; messages of a command are dropped or held back only where its topic is named.

    :param kind: the class of the perturbation
    :raises UnsupportedError: it cannot act here
    :raises ConfigError: a topic that is no channel
    """
    able = [ability for ability in ABILITIES if issubclass(kind, ability)]
    for ability in able:
        if ability in host.lacks:
            raise UnsupportedError(host.lacks[ability])
    acts = [ability for ability in able if ability in ON_CHANNELS]
    cameras = any(channel.role is Role.CAMERA for channel in host.channels)
    if kind_of(name) == 'visual' and not cameras:
        raise UnsupportedError('there is no camera')
    if not acts:
        if topics:
            raise ConfigError(f'perturbation {name}: topics: it acts on none; leave them out')
        return ()
    known = {channel.topic: channel for channel in host.channels}
    for topic in topics:
        if topic not in known:
            raise ConfigError(f'perturbation {name}: no topic {topic!r} to act on; '
                              f'there are {", ".join(sorted(known)) or "none"}')
    asked = [known[topic] for topic in topics] or [
        c for c in host.channels if c.role in _roles(name, acts)]
    found, why = [], 'there is nothing that it could act on'
    for channel in asked:
        reasons = [_obstacle(channel, ability) for ability in acts]
        if any(reasons):
            why = next(r for r in reasons if r)
        else:
            found.append(channel)
    if not found:
        raise UnsupportedError(why)
    return tuple(found)


def _roles(name: str, acts: Sequence[Any]) -> tuple[Role, ...]:
    if kind_of(name) == 'command' or ChangesEndpoints in acts:
        return (Role.COMMAND,)
    if any(ability in _ON_IMAGES for ability in acts):
        return (Role.CAMERA,)
    if ChangesDelivery in acts:
        return (Role.OBSERVATION, Role.CAMERA)
    return (Role.OBSERVATION,)


def _obstacle(channel: Channel, ability: Any) -> str:
    """Say why a channel cannot be changed in this way; empty: it can."""
    camera = channel.role is Role.CAMERA
    if ability is ChangesDelivery:
        return channel.in_step
    if ability is ChangesRate:
        return channel.in_step if channel.role is Role.OBSERVATION else (
            f'{channel.topic} is not sampled from the state of the robot')
    if ability is ChangesEndpoints:
        return '' if channel.role is Role.COMMAND else (
            f'whoever reads {channel.topic} takes any quality of service')
    if ability in _ON_IMAGES:
        return '' if camera else f'{channel.topic} carries no image'
    if camera or not len(channel.unit):
        return f'{channel.topic} carries no numbers'
    if ability is ChangesLength:
        # a message that cannot be read is as good as lost
        return channel.in_step if channel.lists else (
            f'{channel.topic} holds no list that could be too short')
    return ''
