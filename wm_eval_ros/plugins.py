"""Plug-ins by entry point: world models, planners, plants and the rest, loaded when asked for."""

from __future__ import annotations

from importlib.metadata import entry_points, EntryPoint
from typing import Any

from wm_eval_ros.errors import MissingExtraError, UnknownNameError

#: extra that brings a module, named when an import fails
EXTRAS = {'torch': 'learn', 'safetensors': 'learn', 'mujoco': 'sim', 'gymnasium': 'sim',
          'cv2': 'vision', 'cryptography': 'audit', 'openvino': 'fast'}


def names(group: str) -> tuple[str, ...]:
    """Return the names registered in an entry-point group, sorted."""
    return tuple(sorted({point.name for point in entry_points(group=group)}))


def load(group: str, name: str) -> Any:
    """
    Import the plug-in of that name.

    :param group: entry-point group, such as ``wm_eval_ros.planners``
    :raises UnknownNameError: nobody registered it; the message lists what is known
    :raises MissingExtraError: it is registered, but a dependency of it is not installed
    """
    kind = group.rpartition('.')[2].rstrip('s').replace('_', ' ')
    points: dict[str, EntryPoint] = {p.name: p for p in entry_points(group=group)}
    if name not in points:
        from wm_eval_ros.config.schema import did_you_mean
        raise UnknownNameError(f'no {kind} {name!r}{did_you_mean(name, points)}')
    try:
        return points[name].load()
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or '').partition('.')[0], 'all')
        raise MissingExtraError(f'{kind} {name!r} needs {error.name!r}, which is not installed: '
                                f"pip install 'wm_eval_ros[{extra}]'") from None
