"""Plug-ins by entry point: world models, planners, plants and the rest, loaded when asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points, EntryPoint
from pathlib import Path
import traceback
from typing import Any

from wm_eval_ros.errors import MissingExtraError, PluginError, UnknownNameError, WmEvalError

#: extra that brings a module, named when an import fails
EXTRAS = {'torch': 'learn', 'safetensors': 'learn', 'mujoco': 'sim', 'gymnasium': 'sim',
          'cv2': 'vision', 'cryptography': 'audit', 'openvino': 'fast'}
_OURS = __name__.partition('.')[0]


def names(group: str) -> tuple[str, ...]:
    """Return the names registered in an entry-point group, sorted."""
    return tuple(sorted({point.name for point in entry_points(group=group)}))


def load(group: str, name: str) -> Any:
    """
    Import the plug-in of that name.

    :param group: entry-point group, such as ``wm_eval_ros.planners``
    :raises UnknownNameError: nobody registered it; the message lists what is known
    :raises MissingExtraError: it is registered, but a dependency of it is not installed
    :raises PluginError: importing it raised something else
    """
    points = _points(group)
    if name not in points:
        from wm_eval_ros.config.schema import did_you_mean
        raise UnknownNameError(f'no {_kind(group)} {name!r}{did_you_mean(name, points)}')
    with making(group, name):
        return points[name].load()


@contextmanager
def making(group: str, name: str) -> Iterator[None]:
    """
    Give what a plug-in raises within the block the form of one line that names it.

    :raises MissingExtraError: a module that it imports is not installed
    :raises PluginError: it raised anything that is no error of this package
    """
    try:
        yield
    except WmEvalError:
        raise
    except ModuleNotFoundError as error:
        module = error.name or str(error)
        raise MissingExtraError(f'{_told(group, name)} needs {module!r}, which is not installed: '
                                f'{_remedy(group, name, module)}') from error
    except Exception as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        text = ' '.join(str(error).split())
        raise PluginError(f'{_told(group, name)} raised {type(error).__name__}'
                          f'{f": {text}" if text else ""} '
                          f'({Path(at.filename).name}, line {at.lineno})') from error


def _points(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)}


def _kind(group: str) -> str:
    """
    Return what a group holds, in the singular.

    >>> _kind('wm_eval_ros.world_models')
    'world model'
    """
    return group.rpartition('.')[2].rstrip('s').replace('_', ' ')


def _told(group: str, name: str) -> str:
    """Name a plug-in, and where it is from if not from here."""
    point = _points(group).get(name)
    theirs = point is not None and point.module.partition('.')[0] != _OURS
    return f'{_kind(group)} {name!r}' + (f' ({point.value})' if point and theirs else '')


def _remedy(group: str, name: str, module: str) -> str:
    """Say how to install a module: an extra of ours, or whatever provides it for a stranger."""
    top = module.partition('.')[0]
    point = _points(group).get(name)
    home = _OURS if point is None else point.module.partition('.')[0]
    if top in EXTRAS or home == _OURS:
        return f"pip install 'wm_eval_ros[{EXTRAS.get(top, 'all')}]'"
    if top == home:
        return 'it is the module that the entry point names; install the plug-in anew'
    return f'install the package that provides {top!r} beside the plug-in'
