"""Headless rendering of a MuJoCo camera, by EGL or OSMesa, whichever is there."""

from __future__ import annotations

import ctypes
import os
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.errors import MissingExtraError, RunError
from wm_eval_ros.plants.simulator import mujoco, REMEDY
from wm_eval_ros.plants.tasks.task import CAMERA

#: way of rendering -> shared libraries, any of which will do
LIBRARIES = {'egl': ('libEGL.so.1',), 'osmesa': ('libOSMesa.so.8', 'libOSMesa.so.6')}
#: largest width and height of an image [px]
LARGEST_PX = 4096


def choose_backend() -> str:
    """
    Return the way to render: ``MUJOCO_GL`` if it is set, else ``egl``, else ``osmesa``.

    :raises MissingExtraError: neither library is installed; the message names the packages
    :raises RunError: ``MUJOCO_GL`` names a way that is not headless
    """
    wanted = os.environ.get('MUJOCO_GL', '').strip().lower()
    if wanted in LIBRARIES:
        return wanted
    if wanted:
        raise RunError(f'MUJOCO_GL={wanted}: the camera needs headless rendering; '
                       'unset it, or set it to egl or osmesa')
    for backend, libraries in LIBRARIES.items():
        if any(_loads(library) for library in libraries):
            return backend
    raise MissingExtraError(f'the camera needs EGL or OSMesa; neither is installed: {REMEDY}')


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _context(backend: str, width: int, height: int) -> Any:
    """
    Return a current OpenGL context.

    PyOpenGL binds to one platform when it is first imported, so that there is no falling back
    from one to the other inside a process.
    """
    try:
        if backend == 'egl':
            from mujoco.egl import GLContext
        else:
            from mujoco.osmesa import GLContext
        context = GLContext(width, height)
        context.make_current()
    except Exception as error:
        # PyOpenGL raises whatever the missing symbol leads to: AttributeError, TypeError, its own
        raise RunError(f'{backend} gives no OpenGL context ({error}): {REMEDY}; '
                       'or choose the other with MUJOCO_GL=egl or MUJOCO_GL=osmesa') from error
    return context


class Camera:
    """
    A model's camera. One context serves all sizes: smaller images use a part of its buffer.

    Works only in the thread that made it: OpenGL contexts belong to threads.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        """Make the context; about 0.1 s."""
        self._model = model
        self._thread = threading.get_ident()
        self._gl = _context(choose_backend(), 64, 64)
        self._scene = mujoco.MjvScene(model, maxgeom=1000)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        self._view = mujoco.MjvCamera()
        self._view.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._view.fixedcamid = model.camera(CAMERA).id
        self._option = mujoco.MjvOption()
        self._mjr = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._mjr)

    def render(
        self, data: mujoco.MjData, width: int, height: int, model: mujoco.MjModel | None = None,
    ) -> NDArray[np.uint8]:
        """
        Render one image.

        :param width: width [px]
        :param height: height [px]
        :param model: a disturbed copy of the camera's model; None: that itself
        :returns: RGB, shape (height, width, 3), row 0 on top
        """
        if threading.get_ident() != self._thread:
            raise RuntimeError('the camera renders only in the thread that rendered first')
        if not (0 < width <= LARGEST_PX and 0 < height <= LARGEST_PX):
            raise ValueError(f'image of {width} x {height} px; 1 to {LARGEST_PX} px each way')
        self._gl.make_current()
        self._fit(width, height)
        mujoco.mjv_updateScene(model or self._model, data, self._option, None, self._view,
                               mujoco.mjtCatBit.mjCAT_ALL, self._scene)
        viewport = mujoco.MjrRect(0, 0, width, height)
        mujoco.mjr_render(viewport, self._scene, self._mjr)
        pixels = np.empty((height, width, 3), dtype=np.uint8)
        mujoco.mjr_readPixels(pixels, None, viewport, self._mjr)
        return np.ascontiguousarray(pixels[::-1])

    def _fit(self, width: int, height: int) -> None:
        if width > self._mjr.offWidth or height > self._mjr.offHeight:
            mujoco.mjr_resizeOffscreen(max(width, self._mjr.offWidth),
                                       max(height, self._mjr.offHeight), self._mjr)

    def close(self) -> None:
        """Free the context."""
        self._gl.make_current()
        self._mjr.free()
        self._gl.free()
