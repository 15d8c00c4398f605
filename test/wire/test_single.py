"""What a float32 field holds before and after the wire."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
import numpy as np
import pytest

from wm_eval_ros.config.interface import CommandStream
from wm_eval_ros.wire.fields import CommandWriter
from wm_eval_ros.wire.single import is_single, nearest_single

LIMIT = st.floats(-1e30, 1e30)


@given(LIMIT, LIMIT, st.floats(0.0, 1.0))
@example(-0.34, 0.34, 1.0)
@example(-3.15, 3.15, 0.0)
def test_a_number_within_a_range_is_moved_by_less_than_two_steps_and_stays_within(
    one: float, other: float, share: float,
) -> None:
    low, high = min(one, other), max(one, other)
    value = min(max(low + share * (high - low), low), high)
    single = nearest_single(value, low, high)
    assert single == float(np.float32(single))
    step = float(np.spacing(np.float32(abs(value))))
    assert abs(single - value) <= 2.0 * step
    if high - low > 4.0 * step:
        assert low <= single <= high


def test_a_number_beyond_the_range_stays_beyond_it_and_no_number_stays_none() -> None:
    assert nearest_single(0.4, -0.34, 0.34) == float(np.float32(0.4))
    assert nearest_single(1e39, -1.0, 1.0) == np.inf
    assert np.isnan(nearest_single(np.nan, -1.0, 1.0))


def test_a_range_without_a_float32_gives_the_nearest() -> None:
    assert nearest_single(0.34, 0.34, 0.34) == float(np.float32(0.34))


def test_what_is_no_message_of_rclpy_holds_no_float32_that_is_known() -> None:
    assert not is_single(SimpleNamespace(data=0.0), 'data')


@pytest.mark.parametrize(('type_name', 'fields', 'limit'), [
    ('std_msgs/msg/Float32', ('data',), 0.34),
    ('geometry_msgs/msg/Point32', ('x', 'y'), 0.34),
    ('std_msgs/msg/Float32MultiArray', ('data[0]', 'data[1]'), 3.15),
    ('std_msgs/msg/Float64', ('data',), 0.34),
    ('geometry_msgs/msg/Twist', ('linear.x', 'angular.z'), 0.34),
])
@pytest.mark.parametrize('share', [-1.0, 0.1, 1.0])
def test_a_command_is_the_same_and_within_its_range_on_both_sides_of_the_wire(
    type_name: str, fields: tuple[str, ...], limit: float, share: float, ros_class: Any,
) -> None:
    pytest.importorskip('rclpy', reason='no ROS 2 here')
    from rclpy.serialization import deserialize_message, serialize_message
    kind = ros_class(type_name)
    count = len(fields)
    writer = CommandWriter(CommandStream(topic='cmd', type=type_name, fields=fields,
                                         low=(-limit,) * count, high=(limit,) * count))
    message = writer.write(kind(), np.full(count, share * limit))
    held = writer.read(message).tolist()
    assert writer.read(deserialize_message(serialize_message(message), kind)).tolist() == held
    assert all(abs(value) <= limit for value in held)
    if type_name in ('std_msgs/msg/Float64', 'geometry_msgs/msg/Twist'):
        assert held == [share * limit] * count
    # what passed the gate is written again as it is
    assert writer.read(writer.write(kind(), np.array(held))).tolist() == held
