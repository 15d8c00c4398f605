from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from wm_eval_ros.config.scenario import find_scenario, load_scenario
from wm_eval_ros.errors import ConfigError, UnknownNameError
from wm_eval_ros.plants.mujoco_plant import DIVERGED, MujocoPlant
from wm_eval_ros.plants.tasks import task_names
from wm_eval_ros.records import JointSample, PoseSample

TASKS = task_names()


def interface(name):
    return load_scenario(find_scenario(name)).interface


def limits(name):
    command = interface(name).command
    return np.array(command.low), np.array(command.high)


def drive(plant, low, high, seed=0, slots=20):
    rng = np.random.default_rng(seed)
    states = []
    for _ in range(slots):
        plant.apply(rng.uniform(low, high))
        plant.advance(50_000_000)
        states.append(plant.state())
    return np.array(states)


@pytest.mark.parametrize('name', TASKS)
def test_every_topic_of_the_interface_is_observed_and_finite(make, name):
    plant = make(name)
    samples = plant.observe()
    assert set(samples) == {s.topic for s in interface(name).observations}
    for sample in samples.values():
        if isinstance(sample, JointSample):
            assert sample.names == plant.task.joints
            assert sample.position.shape == sample.velocity.shape == (len(sample.names),)
            assert np.isfinite(sample.position).all() and np.isfinite(sample.velocity).all()
        else:
            assert isinstance(sample, PoseSample)
            assert sample.position.shape == (3,)
            assert np.linalg.norm(sample.orientation) == pytest.approx(1.0)


@pytest.mark.parametrize('name', TASKS)
def test_the_goal_is_there_exactly_if_the_interface_has_one(make, name):
    assert (make(name).goal() is None) == (interface(name).goal is None)


@pytest.mark.parametrize('name', TASKS)
def test_same_seed_same_state_to_the_bit_and_whatever_happened_before(make, name):
    one, other = make(name), make(name)
    drive(one, *limits(name))
    one.reset(7)
    other.reset(7)
    assert np.array_equal(one.state(), other.state())
    assert one.time_ns == 0 and one.failed() == ''
    assert np.array_equal(drive(one, *limits(name)), drive(other, *limits(name)))


@pytest.mark.parametrize('name', TASKS)
def test_every_seed_starts_elsewhere(make, name):
    plant = make(name)
    starts = []
    for seed in range(20):
        plant.reset(seed)
        starts.append(plant.state())
    for a, b in itertools.combinations(starts, 2):
        assert not np.array_equal(a, b)


@pytest.mark.parametrize('name', TASKS)
def test_no_start_of_two_hundred_is_solved_or_failed(make, name):
    plant = make(name)
    for seed in range(200):
        plant.reset(seed)
        assert not plant.solved() and not plant.failed(), seed


@pytest.mark.parametrize('name', TASKS)
def test_observations_are_copies_that_later_steps_leave_alone(make, name):
    plant = make(name)
    before = plant.observe()
    kept = {t: np.copy(s.position) for t, s in before.items()}
    drive(plant, *limits(name))
    for topic, sample in before.items():
        assert np.array_equal(sample.position, kept[topic])
    assert any(not np.array_equal(s.position, kept[t]) for t, s in plant.observe().items())


@pytest.mark.parametrize('name', TASKS)
def test_time_is_what_was_asked_for_and_splits_change_nothing(make, name):
    whole, split = make(name), make(name)
    _, high = limits(name)
    for plant in (whole, split):
        plant.reset(3)
        plant.apply(high)
    whole.advance(100_000_000)
    for _ in range(20):
        split.advance(split.step_ns)
    assert whole.time_ns == split.time_ns == 100_000_000
    assert np.array_equal(whole.state(), split.state())


@pytest.mark.parametrize('name', TASKS)
def test_observing_rendering_or_asking_changes_nothing(make, name):
    looked, alone = make(name), make(name)
    for plant in (looked, alone):
        plant.reset(3)
        plant.apply(limits(name)[1])
        plant.advance(50_000_000)
    looked.observe(), looked.goal(), looked.solved(), looked.failed()
    for plant in (looked, alone):
        plant.advance(50_000_000)
    assert np.array_equal(looked.state(), alone.state())


@pytest.mark.parametrize('name', TASKS)
def test_a_restored_state_goes_on_as_the_first_time(make, name):
    plant, other = make(name), make(name)
    plant.reset(5)
    drive(plant, *limits(name))
    state, time_ns = plant.state(), plant.time_ns
    want = drive(plant, *limits(name), seed=1)
    other.restore(state, time_ns)
    assert other.time_ns == time_ns
    assert np.array_equal(drive(other, *limits(name), seed=1), want)


@pytest.mark.parametrize('duration', [-5_000_000, 1, 12_500_000])
def test_no_part_of_a_step_and_no_way_back(make, duration):
    with pytest.raises(ValueError, match='whole number of steps'):
        make('reacher').advance(duration)


@pytest.mark.parametrize(('action', 'match'), [
    pytest.param([np.nan, 0.0], 'finite', id='nan'),
    pytest.param([0.0, np.inf], 'finite', id='infinite'),
    pytest.param([0.0], 'shape', id='too-short'),
    pytest.param([[0.0, 0.0]], 'shape', id='batched'),
])
def test_a_broken_command_is_refused_and_the_one_before_stays(make, action, match):
    plant = make('reacher')
    plant.apply(np.array([0.5, -0.5]))
    with pytest.raises(ValueError, match=match):
        plant.apply(np.array(action))
    assert plant.data.ctrl.tolist() == [0.5, -0.5]


def test_a_command_beyond_the_limits_of_the_interface_is_clipped_to_them(make):
    given = interface('cartpole')
    gentle = dataclasses.replace(
        given, command=dataclasses.replace(given.command, low=(-2.0,), high=(3.0,)))
    plant = MujocoPlant('cartpole', gentle)
    plant.apply(np.array([50.0]))
    assert plant.data.ctrl.tolist() == [3.0]
    plant.apply(np.array([-50.0]))
    assert plant.data.ctrl.tolist() == [-2.0]


def test_the_command_goes_where_its_fields_say_in_their_order():
    given = interface('reacher')
    turned = dataclasses.replace(given, command=dataclasses.replace(
        given.command, fields=('effort[joint1]', 'effort[joint0]')))
    plant = MujocoPlant('reacher', turned)
    plant.apply(np.array([0.25, -1.0]))
    assert plant.data.ctrl.tolist() == [-1.0, 0.25]


def test_a_diverged_simulation_is_a_failure_and_no_fresh_start(make):
    plant = make('cartpole')
    plant.data.qvel[:] = 1e200
    plant.advance(50_000_000)
    assert plant.failed() == DIVERGED
    assert not plant.solved()
    plant.advance(50_000_000)
    assert plant.time_ns == 100_000_000
    plant.reset(0)
    assert plant.failed() == ''


@pytest.mark.parametrize('task', ['raecher', 'Reacher'])
def test_an_unknown_task_names_the_nearest(task):
    with pytest.raises(UnknownNameError, match="did you mean 'reacher'"):
        MujocoPlant(task, interface('reacher'))


def test_an_unknown_task_like_no_other_lists_all():
    with pytest.raises(UnknownNameError, match='cartpole, pusher, reacher, two_room'):
        MujocoPlant('zzz', interface('reacher'))


def changed(name, stream=None, goal=None, command=None):
    given = interface(name)
    if stream:
        first = dataclasses.replace(given.observations[0], **stream)
        given = dataclasses.replace(given, observations=(first, *given.observations[1:]))
    if goal:
        given = dataclasses.replace(given, goal=dataclasses.replace(
            interface('reacher').goal, **goal))
    if command:
        given = dataclasses.replace(given, command=dataclasses.replace(given.command, **command))
    return given


@pytest.mark.parametrize(('name', 'edit', 'match'), [
    pytest.param('reacher', {'stream': {'topic': 'joint_state'}},
                 "no topic 'joint_state'; did you mean 'joint_states'", id='topic'),
    pytest.param('reacher', {'stream': {'topic': 'scan'}}, 'known: joint_states, tip_pose',
                 id='topic-like-no-other'),
    pytest.param('reacher', {'stream': {'type': 'sensor_msgs/msg/Imu'}},
                 "'joint_states' as sensor_msgs/msg/JointState", id='type'),
    pytest.param('reacher', {'stream': {'fields': ('position[joint2]',)}},
                 "no joint 'joint2'", id='joint'),
    pytest.param('reacher', {'stream': {'fields': ('position[5]',)}}, "no joint '5'",
                 id='joint-index'),
    pytest.param('reacher', {'stream': {'fields': ('effort[joint0]',)}}, 'known: position',
                 id='field-not-offered'),
    pytest.param('two_room', {'stream': {'fields': ('pose.position.w',)}},
                 'known: pose.position.x y z', id='pose-field'),
    pytest.param('cartpole', {'goal': {'topic': 'goal'}}, 'is fixed', id='goal-of-fixed'),
    pytest.param('reacher', {'goal': {'type': 'geometry_msgs/msg/Pose'}},
                 'its goal as geometry_msgs/msg/PoseStamped', id='goal-type'),
    pytest.param('reacher', {'command': {'type': 'std_msgs/msg/Float64MultiArray'}},
                 'takes sensor_msgs/msg/JointState', id='command-type'),
    pytest.param('reacher', {'command': {'fields': ('effort[joint0]', 'effort[joint2]')}},
                 "no command field 'effort\\[joint2\\]'; did you mean", id='command-field'),
    pytest.param('reacher', {'command': {'fields': ('effort[joint0]', 'effort[joint0]')}},
                 'twice', id='command-field-twice'),
    pytest.param('reacher', {'command': {'high': (1.0, 1.5)}}, 'from -1.0 to 1.0',
                 id='limit-beyond-the-actuator'),
])
def test_an_interface_beyond_the_task_is_refused_with_what_it_offers(name, edit, match):
    with pytest.raises(ConfigError, match=match):
        MujocoPlant(name, changed(name, **edit))
