"""Whether an interface asks only for what a task offers, and how its command maps onto it."""

from __future__ import annotations

from collections.abc import Iterable
import re

from wm_eval_ros.config.interface import Interface, Stream
from wm_eval_ros.config.schema import did_you_mean
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.plants.tasks.task import JOINT_STATE, POSE_STAMPED, Task

#: topic of the joints
JOINT_TOPIC = 'joint_states'

_JOINT_FIELD = re.compile(r'(?:position|velocity)\[(?P<joint>[^\]]+)\](?::angle)?')
_POSE_FIELD = re.compile(r'pose\.(?:position\.[xyz]|orientation\.[xyzw])')


def check_interface(name: str, task: type[Task], interface: Interface) -> None:
    """
    Refuse an interface that the task cannot serve.

    :param name: name of the task, for the message
    :raises ConfigError: naming the topic, type or field, and what the task offers
    """
    for stream in (*interface.observations, *interface.unseen):
        _check_observation(name, task, stream)
    if interface.goal is not None:
        _check_goal(name, task, interface.goal)
    command = interface.command
    if command.type != task.command_type:
        raise ConfigError(f'interface.command: task {name!r} takes {task.command_type}, '
                          f'not {command.type}')
    for path in command.fields:
        if path not in task.commands:
            raise ConfigError(f'interface.command: task {name!r} has no command field {path!r}'
                              f'{did_you_mean(path, task.commands)}')
    _refuse_twice(command.fields, 'interface.command')


def _check_observation(name: str, task: type[Task], stream: Stream) -> None:
    offered = {JOINT_TOPIC: JOINT_STATE, **dict.fromkeys(task.poses, POSE_STAMPED)}
    if stream.topic not in offered:
        raise ConfigError(f'interface.observations: task {name!r} has no topic {stream.topic!r}'
                          f'{did_you_mean(stream.topic, offered)}')
    if stream.type != offered[stream.topic]:
        raise ConfigError(f'interface.observations: task {name!r} gives {stream.topic!r} as '
                          f'{offered[stream.topic]}, not {stream.type}')
    for path in stream.fields:
        if stream.topic == JOINT_TOPIC:
            _check_joint_field(name, task, path)
        else:
            _check_pose_field(stream.topic, path)


def _check_joint_field(name: str, task: type[Task], path: str) -> None:
    found = _JOINT_FIELD.fullmatch(path)
    if found is None:
        raise ConfigError(f'interface.observations: {JOINT_TOPIC!r} has no field {path!r}; '
                          'known: position[JOINT], velocity[JOINT], each with or without :angle')
    joint = found['joint']
    if joint not in task.joints and not (joint.isdigit() and int(joint) < len(task.joints)):
        raise ConfigError(f'interface.observations: task {name!r} has no joint {joint!r}'
                          f'{did_you_mean(joint, task.joints)}')


def _check_pose_field(topic: str, path: str) -> None:
    if _POSE_FIELD.fullmatch(path) is None:
        raise ConfigError(f'interface: {topic!r} has no field {path!r}; known: '
                          'pose.position.x y z, pose.orientation.x y z w')


def _check_goal(name: str, task: type[Task], goal: Stream) -> None:
    if not task.goal:
        raise ConfigError(f'interface.goal: the goal of task {name!r} is fixed; '
                          'leave the section out')
    if goal.type != POSE_STAMPED:
        raise ConfigError(f'interface.goal: task {name!r} gives its goal as {POSE_STAMPED}, '
                          f'not {goal.type}')
    for path in goal.fields:
        _check_pose_field(goal.topic, path)


def _refuse_twice(fields: Iterable[str], where: str) -> None:
    seen: set[str] = set()
    for path in fields:
        if path in seen:
            raise ConfigError(f'{where}: field {path!r} is there twice; name it once')
        seen.add(path)
