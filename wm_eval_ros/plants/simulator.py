"""MuJoCo, imported once; says what is wrong where MuJoCo itself shows a traceback."""

from __future__ import annotations

import os

from wm_eval_ros.errors import MissingExtraError

#: what to say when there is no OpenGL library
REMEDY = 'apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri (EGL), or libosmesa6 (OSMesa)'

try:
    import mujoco
except (AttributeError, ImportError, RuntimeError, TypeError) as error:
    backend = os.environ.get('MUJOCO_GL')
    if not backend or (isinstance(error, ModuleNotFoundError) and error.name == 'mujoco'):
        raise
    # MuJoCo loads the OpenGL library that MUJOCO_GL names when it is imported
    raise MissingExtraError(f'MUJOCO_GL={backend}, but its OpenGL library cannot be loaded: '
                            f'unset it, or {REMEDY}') from error

__all__ = ['REMEDY', 'mujoco']
