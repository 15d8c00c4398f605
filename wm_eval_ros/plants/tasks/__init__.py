"""Tasks of the MuJoCo plant, by name; a task's module is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import cast, TYPE_CHECKING

from wm_eval_ros.config.schema import did_you_mean
from wm_eval_ros.errors import UnknownNameError

if TYPE_CHECKING:
    from wm_eval_ros.plants.tasks.task import Task

#: task name -> module and class
TASKS = {
    'cartpole': ('wm_eval_ros.plants.tasks.cartpole', 'CartpoleTask'),
    'pusher': ('wm_eval_ros.plants.tasks.pusher', 'PusherTask'),
    'reacher': ('wm_eval_ros.plants.tasks.reacher', 'ReacherTask'),
    'two_room': ('wm_eval_ros.plants.tasks.two_room', 'TwoRoomTask'),
}


def task_names() -> tuple[str, ...]:
    """Return the names of all tasks, sorted; imports no simulator."""
    return tuple(sorted(TASKS))


def load_task(name: str) -> type[Task]:
    """
    Return the class of a task.

    :raises UnknownNameError: no such task; the message names the nearest, or all
    """
    if name not in TASKS:
        raise UnknownNameError(f'no task {name!r}{did_you_mean(name, TASKS)}')
    module, cls = TASKS[name]
    return cast('type[Task]', getattr(import_module(module), cls))
