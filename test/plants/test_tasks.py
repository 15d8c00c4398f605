from __future__ import annotations

import math

import numpy as np
import pytest

from wm_eval_ros.plants.tasks import pusher, reacher, two_room
from wm_eval_ros.plants.tasks.cartpole import balanced
from wm_eval_ros.plants.tasks.pusher import on_table
from wm_eval_ros.plants.tasks.task import within


@pytest.mark.parametrize(('a', 'b', 'want'), [
    pytest.param([0.03, 0.04, 0.0], [0.0, 0.0, 0.0], True, id='exactly-on-the-circle'),
    pytest.param([0.03, 0.0401, 0.0], [0.0, 0.0, 0.0], False, id='just-outside'),
    pytest.param([1.0, 1.0, 5.0], [1.0, 1.0, 0.0], True, id='height-does-not-count'),
    pytest.param([math.nan, 0.0, 0.0], [0.0, 0.0, 0.0], False, id='not-finite-is-never-within'),
])
def test_within_five_centimetres(a, b, want):
    assert within(np.array(a), np.array(b), 0.05) is want


@pytest.mark.parametrize(('slider', 'hinge', 'speed', 'want'), [
    pytest.param(0.0, 0.0, 0.0, True, id='upright'),
    pytest.param(0.0, 0.2, 1.5, True, id='on-both-limits'),
    pytest.param(0.0, 0.201, 0.0, False, id='leans-too-far'),
    pytest.param(0.0, -0.201, 0.0, False, id='leans-too-far-back'),
    pytest.param(0.0, 0.0, -1.51, False, id='rushes-through'),
    pytest.param(-1.7, 0.0, 0.0, True, id='cart-just-clear-of-the-stop'),
    pytest.param(1.71, 0.0, 0.0, False, id='cart-at-the-stop'),
    pytest.param(0.0, math.pi, 0.0, False, id='hangs'),
    pytest.param(0.0, -4 * math.pi - 0.1, 0.0, True, id='two-turns-later'),
    pytest.param(0.0, math.nan, 0.0, False, id='not-finite'),
])
def test_a_pole_is_balanced(slider, hinge, speed, want):
    assert balanced(slider, hinge, speed) is want


@pytest.mark.parametrize(('position', 'want'), [
    pytest.param([1.0, 1.5], True, id='corner'),
    pytest.param([-1.001, 0.0], False, id='west'),
    pytest.param([0.0, -0.501], False, id='south'),
    pytest.param([0.45, -0.05], True, id='goal'),
])
def test_the_table_is_two_metres_square_about_the_arm(position, want):
    assert on_table(np.array(position)) is want


def test_reacher_is_solved_where_forward_kinematics_by_hand_puts_the_tip(make):
    plant = make('reacher')
    # links of 0.10 and 0.11 m at 0 and 90 degrees: tip at (0.10, 0.11)
    plant.data.qpos[:] = 0.0, math.pi / 2, 0.10 + 0.019, 0.11
    plant.restore(plant.state())
    assert plant.observe()['tip_pose'].position[:2] == pytest.approx([0.10, 0.11])
    assert plant.goal().position[:2] == pytest.approx([0.119, 0.11])
    assert plant.solved()
    plant.data.qpos[2] = 0.10 + 0.021
    plant.restore(plant.state())
    assert not plant.solved()


def test_cartpole_is_a_metre_of_pole_with_a_frame_at_its_tip(make):
    plant = make('cartpole')
    plant.data.qpos[:] = 0.3, math.pi / 2
    plant.restore(plant.state())
    assert plant.observe()['tip_pose'].position == pytest.approx([1.3, 0.0, 0.0], abs=1e-12)
    # a quarter turn about y: (x y z w) = (0, sin 45, 0, cos 45)
    assert plant.observe()['tip_pose'].orientation == pytest.approx(
        [0.0, math.sqrt(0.5), 0.0, math.sqrt(0.5)])


def test_cartpole_has_the_parameters_of_dm_control(make):
    model = make('cartpole').model
    assert model.body('cart').mass[0] == pytest.approx(1.0)
    assert model.body('pole').mass[0] == pytest.approx(0.1)
    assert model.joint('slider').range.tolist() == [-1.8, 1.8]
    assert model.jnt_limited.tolist() == [1, 0]
    assert model.dof_damping.tolist() == [5e-4, 2e-6]
    assert model.actuator_ctrlrange.tolist() == [[-10.0, 10.0]]


def test_a_released_pole_swings_and_keeps_its_energy(make):
    plant = make('cartpole')
    plant.reset(0)
    plant.data.qpos[:] = 0.0, math.pi - 0.5
    plant.data.qvel[:] = 0.0
    highest = -1.0
    for _ in range(400):
        plant.advance(10_000_000)
        highest = max(highest, math.cos(plant.data.qpos[1]))
    assert highest == pytest.approx(math.cos(math.pi - 0.5), abs=0.01)


@pytest.mark.parametrize('force', [-10.0, 10.0])
def test_a_constant_push_does_not_balance_the_pole(make, play, force):
    plant = make('cartpole')
    for seed in range(10):
        plant.reset(seed)
        assert not play(plant, lambda: np.array([force]), 10.0)


def test_reacher_targets_fill_gymnasiums_disk_evenly(make):
    plant = make('reacher')
    radii = []
    for seed in range(400):
        plant.reset(seed)
        radii.append(np.hypot(*plant.goal().position[:2]))
    assert max(radii) <= reacher.DISK_M
    # half of an even disk lies outside of radius / sqrt(2)
    assert np.mean(np.array(radii) > reacher.DISK_M / math.sqrt(2)) == pytest.approx(0.5, abs=0.08)


def test_reacher_reaches_the_edge_of_the_disk():
    # links of 0.10 and 0.11 m
    assert reacher.DISK_M <= 0.10 + 0.11


def test_pusher_starts_as_gymnasium_draws_them(make):
    plant = make('pusher')
    for seed in range(100):
        plant.reset(seed)
        dx, dy = plant.observe()['object_pose'].position[:2] - plant.goal().position[:2]
        assert -0.2 <= dx <= 0.2 and -0.3 <= dy <= 0.0
        assert np.hypot(dx, dy) > pusher.NEAREST_START_M


def test_pusher_fails_once_the_object_is_off_the_table(make):
    plant = make('pusher')
    plant.data.qpos[plant.model.joint('obj_slidey').qposadr[0]] = -0.5
    plant.restore(plant.state())
    assert plant.failed() == 'object left the table'


def test_two_room_starts_mostly_in_the_other_room_and_never_in_a_wall(make):
    plant = make('two_room')
    other = 0
    for seed in range(300):
        plant.reset(seed)
        start, goal = plant.observe()['pose'].position[:2], plant.goal().position[:2]
        other += start[0] * goal[0] < 0
        for point in (start, goal):
            assert two_room.WALL_M + two_room.DISC_M < abs(point[0]) < 1.0 - two_room.DISC_M
        assert plant.data.ncon == 0
    assert other / 300 == pytest.approx(two_room.OTHER_ROOM, abs=0.08)


def test_two_room_geometry_is_what_the_model_file_draws(make):
    model = make('two_room').model
    for name in ('wall_south', 'wall_north'):
        wall = model.geom(name)
        assert wall.size[0] == two_room.WALL_M
        assert abs(wall.pos[1]) - wall.size[1] == pytest.approx(two_room.DOOR_M)
        assert abs(wall.pos[1]) + wall.size[1] == pytest.approx(1.0)
    assert model.geom('robot').size[0] == two_room.DISC_M
    assert model.geom('goal').size[0] == two_room.TOLERANCE_M


@pytest.mark.parametrize(('y', 'stopped'), [(0.0, False), (0.2, False), (0.6, True)])
def test_the_disc_passes_the_door_and_not_the_wall(make, y, stopped):
    plant = make('two_room')
    plant.reset(0)
    plant.data.qpos[:] = -0.5, y
    plant.restore(plant.state())
    plant.apply(np.array([1.0, 0.0]))
    plant.advance(1_500_000_000)
    x = plant.observe()['pose'].position[0]
    assert bool(x < -0.15) == stopped
    if stopped:
        assert x == pytest.approx(-two_room.WALL_M - two_room.DISC_M, abs=0.01)


def test_the_disc_follows_its_velocity_command(make):
    plant = make('two_room')
    plant.reset(0)
    plant.data.qpos[:] = -0.6, -0.5
    plant.restore(plant.state())
    plant.apply(np.array([0.0, 0.5]))
    plant.advance(500_000_000)
    assert plant.observe()['joint_states'].velocity == pytest.approx([0.0, 0.5], abs=1e-3)
