from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from wm_eval_ros.config.interface import Stream
from wm_eval_ros.errors import FieldPathError
from wm_eval_ros.wire.fields import (
    CommandWriter,
    feature_names,
    FieldPath,
    joined_names,
    Step,
    StreamReader,
)

NAME = st.from_regex(r'[A-Za-z][A-Za-z0-9_]{0,8}', fullmatch=True)
JOINT = st.from_regex(r'[A-Za-z_][A-Za-z0-9_./-]{0,8}', fullmatch=True)
STEP = st.builds(Step, NAME, st.one_of(st.none(), st.integers(0, 999), JOINT))


def stream(*fields: str, type_name: str = 'sensor_msgs/msg/JointState') -> Stream:
    return Stream(topic='/arm/joints', type=type_name, fields=fields)


def joints() -> SimpleNamespace:
    return SimpleNamespace(name=['a', 'b'], position=[1.0, 2.0], velocity=np.array([3.0, 4.0]),
                           effort=[])


def text_of(steps: list[Step], angle: bool) -> str:
    body = '.'.join(s.name if s.entry is None else f'{s.name}[{s.entry}]' for s in steps)
    return body + (':angle' if angle else '')


@given(st.lists(STEP, min_size=1, max_size=4), st.booleans())
def test_a_path_parses_to_the_steps_it_was_written_from(steps: list[Step], angle: bool) -> None:
    path = FieldPath.parse(text_of(steps, angle))
    assert (path.steps, path.angle) == (tuple(steps), angle)
    assert len(path.features) == 1 + angle


@given(st.text(max_size=20))
def test_any_text_parses_or_is_refused_in_one_line(text: str) -> None:
    try:
        path = FieldPath.parse(text)
    except FieldPathError as error:
        assert repr(text) in str(error)
    else:
        assert text_of(list(path.steps), path.angle).replace(':angle', '') or text


@pytest.mark.parametrize('text', [
    '', '.', 'a.', '.a', 'a..b', 'a[', 'a[]', 'a]', 'a[1', 'a[1]b', 'a b', '1a', 'a:sin',
    ':angle', 'a[b[0]]', 'a\n',
])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(FieldPathError, match='not understood'):
        FieldPath.parse(text)


def test_features_carry_the_topic_without_its_leading_slash() -> None:
    assert feature_names(stream('position[a]:angle', 'velocity[1]')) == (
        'arm/joints.position[a]:cos', 'arm/joints.position[a]:sin', 'arm/joints.velocity[1]')


def test_names_of_several_streams_follow_each_other() -> None:
    assert joined_names([stream('velocity[1]'), stream('position[a]')]) == (
        'arm/joints.velocity[1]', 'arm/joints.position[a]')
    assert joined_names([]) == ()


def test_reading_finds_joints_by_name_whatever_their_order() -> None:
    reader = StreamReader(stream('position[b]', 'velocity[a]'))
    assert reader.read(joints()).tolist() == [2.0, 3.0]
    turned = SimpleNamespace(name=['b', 'a'], position=[2.0, 1.0], velocity=[4.0, 3.0])
    assert reader.read(turned).tolist() == [2.0, 3.0]
    assert reader.read(joints()).tolist() == [2.0, 3.0]


def test_an_angle_becomes_cosine_and_sine() -> None:
    found = StreamReader(stream('position[a]:angle')).read(joints())
    assert found == pytest.approx([np.cos(1.0), np.sin(1.0)])


def test_an_infinite_angle_is_nan_and_no_error() -> None:
    msg = SimpleNamespace(name=['a'], position=[float('inf')])
    assert np.isnan(StreamReader(stream('position[a]:angle')).read(msg)).all()


@pytest.mark.parametrize(('field', 'what'), [
    ('position[c]', 'no joint .c.; it holds a, b'), ('position[2]', r'2 entries, no \[2\]'),
    ('effort[a]', '0 entries'), ('speed', 'no field .speed..*it holds name, position'),
    ('name[0]', 'the text'), ('position', '2 entries'), ('position[0].x', 'no field .x.'),
])
def test_an_error_names_topic_field_and_what_there_is(field: str, what: str) -> None:
    with pytest.raises(FieldPathError, match=f'/arm/joints: field .*{what}'):
        StreamReader(stream(field)).read(joints())


def test_named_entries_need_names() -> None:
    with pytest.raises(FieldPathError, match='joint_names'):
        StreamReader(stream('data[a]')).read(SimpleNamespace(data=[1.0]))


@pytest.mark.parametrize(('type_name', 'fields'), [
    ('sensor_msgs/msg/JointState', ('effort[b]', 'effort[a]')),
    ('sensor_msgs/msg/JointState', ('position[b]', 'velocity[b]')),
    ('geometry_msgs/msg/TwistStamped', ('twist.linear.x', 'twist.angular.z')),
    ('geometry_msgs/msg/Twist', ('linear.x', 'angular.z')),
    ('std_msgs/msg/Float64MultiArray', ('data[0]', 'data[1]')),
    ('trajectory_msgs/msg/JointTrajectory', ('points[0].velocities[b]',
                                             'points[0].velocities[a]')),
])
@given(values=st.tuples(st.floats(allow_nan=False), st.floats(allow_nan=False)))
def test_a_command_reads_back_as_written(
    type_name: str, fields: tuple[str, str], values: tuple[float, float],
) -> None:
    module = pytest.importorskip('wm_eval_ros.msg', reason='our messages are not built here')
    assert module
    from importlib import import_module

    def message_class(name: str) -> Any:
        package, kind, message = name.split('/')
        return getattr(import_module(f'{package}.{kind}'), message)

    writer = CommandWriter(stream(*fields, type_name=type_name), message_class)
    msg = writer.write(message_class(type_name)(), np.array(values))
    assert writer.read(msg).tobytes() == np.array(values).tobytes()


def test_a_command_of_plain_attributes_needs_no_library() -> None:
    msg = SimpleNamespace(drive=SimpleNamespace(speed=0.0, steering_angle=0.0))
    writer = CommandWriter(stream('drive.speed', 'drive.steering_angle'))
    writer.write(msg, np.array([1.0, -0.5]))
    assert (msg.drive.speed, msg.drive.steering_angle) == (1.0, -0.5)


def test_an_array_is_as_long_as_its_names_and_the_rest_is_nan() -> None:
    msg = SimpleNamespace(name=[], position=np.zeros(0), velocity=np.zeros(0))
    CommandWriter(stream('position[a]', 'velocity[b]')).write(msg, np.array([1.0, 2.0]))
    assert msg.name == ['a', 'b']
    assert msg.position[0] == 1.0 and np.isnan(msg.position[1])
    assert np.isnan(msg.velocity[0]) and msg.velocity[1] == 2.0


@pytest.mark.parametrize(('fields', 'values', 'what'), [
    (('speed',), [1.0], 'no field'), (('position[a]',), [1.0, 2.0], '2 numbers for 1'),
    (('points[0].velocities[a]',), [1.0], 'no field'),
])
def test_a_command_that_does_not_fit_is_refused(
    fields: tuple[str, ...], values: list[float], what: str,
) -> None:
    with pytest.raises(FieldPathError, match=what):
        CommandWriter(stream(*fields)).write(joints(), np.array(values))


def test_a_command_is_never_two_features() -> None:
    with pytest.raises(FieldPathError, match='leave :angle out'):
        CommandWriter(stream('position[a]:angle'))
