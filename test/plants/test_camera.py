from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from wm_eval_ros.errors import MissingExtraError, RunError
from wm_eval_ros.plants import camera
from wm_eval_ros.plants.tasks import task_names


@pytest.fixture
def plant_with_camera(make):
    plants = []

    def build(name):
        plant = make(name)
        try:
            plant.render(16, 16)
        except (MissingExtraError, RunError) as error:
            pytest.skip(f'no headless rendering here: {error}')
        plants.append(plant)
        return plant

    yield build
    for plant in plants:
        plant.close()


@pytest.mark.parametrize('name', task_names())
def test_the_image_shows_something_and_changes_when_the_robot_moves(plant_with_camera, name):
    plant = plant_with_camera(name)
    plant.reset(0)
    before = plant.render(64, 64).pixels
    assert before.shape == (64, 64, 3) and before.dtype == np.uint8
    assert before.std() > 10.0
    plant.apply(plant.model.actuator_ctrlrange[:, 1])
    plant.advance(500_000_000)
    after = plant.render(64, 64).pixels
    assert np.abs(after.astype(int) - before.astype(int)).max() > 40


@pytest.mark.parametrize('name', task_names())
def test_same_state_same_image_and_other_sizes_in_between_change_nothing(plant_with_camera, name):
    plant = plant_with_camera(name)
    plant.reset(1)
    small = plant.render(64, 48).pixels
    large = plant.render(640, 480).pixels
    assert large.shape == (480, 640, 3)
    assert np.array_equal(plant.render(64, 48).pixels, small)
    # the same view at ten times the size
    assert np.abs(large.mean((0, 1)) - small.mean((0, 1))).max() < 8.0


def test_the_image_is_upright_and_not_mirrored(plant_with_camera):
    plant = plant_with_camera('two_room')
    plant.reset(0)
    plant.data.qpos[:] = 0.6, 0.7
    plant.restore(plant.state())
    pixels = plant.render(200, 200).pixels.astype(int)
    rows, columns = np.nonzero(pixels[..., 2] - pixels[..., 0] > 60)
    assert rows.mean() < 100 < columns.mean()


def test_two_plants_render_in_turn_without_mixing_up(plant_with_camera):
    one, other = plant_with_camera('reacher'), plant_with_camera('cartpole')
    for plant in (one, other):
        plant.reset(0)
    alone = one.render(64, 64).pixels
    assert not np.array_equal(other.render(64, 64).pixels, alone)
    assert np.array_equal(one.render(64, 64).pixels, alone)


def test_another_thread_is_refused(plant_with_camera):
    plant = plant_with_camera('reacher')
    caught = []

    def work():
        try:
            plant.render(64, 64)
        except RuntimeError as error:
            caught.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert caught and 'thread' in caught[0]


@pytest.mark.parametrize(('width', 'height'), [(0, 64), (64, -1), (5000, 64)])
def test_an_impossible_size_is_refused(plant_with_camera, width, height):
    with pytest.raises(ValueError, match='1 to 4096'):
        plant_with_camera('reacher').render(width, height)


@pytest.mark.parametrize(('there', 'want'), [
    pytest.param({'libEGL.so.1', 'libOSMesa.so.8'}, 'egl', id='both'),
    pytest.param({'libOSMesa.so.8'}, 'osmesa', id='osmesa-only'),
    pytest.param({'libOSMesa.so.6'}, 'osmesa', id='an-older-osmesa'),
])
def test_the_library_that_is_there_is_chosen(monkeypatch, there, want):
    monkeypatch.delenv('MUJOCO_GL', raising=False)
    monkeypatch.setattr(camera, '_loads', lambda library: library in there)
    assert camera.choose_backend() == want


def test_mujoco_gl_has_the_last_word(monkeypatch):
    monkeypatch.setenv('MUJOCO_GL', 'OSMesa')
    monkeypatch.setattr(camera, '_loads', lambda library: True)
    assert camera.choose_backend() == 'osmesa'


def test_no_library_names_the_debian_packages(monkeypatch):
    monkeypatch.delenv('MUJOCO_GL', raising=False)
    monkeypatch.setattr(camera, '_loads', lambda library: False)
    with pytest.raises(MissingExtraError, match=r'libegl1.*libosmesa6'):
        camera.choose_backend()


def test_a_windowed_backend_is_refused(monkeypatch):
    monkeypatch.setenv('MUJOCO_GL', 'glfw')
    with pytest.raises(RunError, match='MUJOCO_GL=glfw'):
        camera.choose_backend()


def test_a_backend_whose_library_is_missing_is_one_line_and_no_traceback():
    code = """
from wm_eval_ros.errors import MissingExtraError
try:
    import wm_eval_ros.plants.mujoco_plant as module
    from wm_eval_ros.config.scenario import find_scenario, load_scenario
    module.MujocoPlant('reacher', load_scenario(find_scenario('reacher')).interface)
except MissingExtraError as error:
    assert 'MUJOCO_GL=osmesa' in str(error), error
"""
    subprocess.run([sys.executable, '-c', code], check=True,
                   env={**os.environ, 'MUJOCO_GL': 'osmesa', 'PYOPENGL_PLATFORM': 'osmesa',
                        'PYTHONPATH': os.pathsep.join(sys.path)})
