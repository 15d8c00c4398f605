from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from wm_eval_ros.bag.definitions import known_types
from wm_eval_ros.records import ImageSample, JointSample, PoseSample
from wm_eval_ros.wire.codec import stamp_ns
from wm_eval_ros.wire.samples import fill

STAMP = 12_345_678_901


def test_joints_are_filled(ros_message: Any) -> None:
    sample = JointSample(('a', 'b'), np.array([1.0, 2.0]), np.array([3.0, -0.0]))
    msg = fill(ros_message('sensor_msgs/msg/JointState'), sample, STAMP)
    assert stamp_ns(msg.header.stamp) == STAMP
    assert (list(msg.name), list(msg.position), list(msg.velocity), list(msg.effort)) == (
        ['a', 'b'], [1.0, 2.0], [3.0, -0.0], [])


def test_a_pose_is_filled(ros_message: Any) -> None:
    sample = PoseSample(np.array([1.0, 2.0, 3.0]), np.array([0.0, 0.0, 0.6, 0.8]), 'map')
    msg = fill(ros_message('geometry_msgs/msg/PoseStamped'), sample, STAMP)
    assert (msg.pose.position.z, msg.pose.orientation.w, msg.header.frame_id) == (3.0, 0.8, 'map')


@pytest.mark.parametrize('strided', [False, True])
def test_an_image_is_filled_row_by_row_and_filled_again(ros_message: Any, strided: bool) -> None:
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    pixels = pixels[:, ::2] if strided else pixels
    msg = ros_message('sensor_msgs/msg/Image')
    for _ in range(2):
        fill(msg, ImageSample(pixels), STAMP)
    assert bytes(msg.data) == pixels.tobytes()
    assert (msg.height, msg.width, msg.step, msg.encoding) == (
        4, pixels.shape[1], 3 * pixels.shape[1], 'rgb8')


def test_messages_of_rosbags_are_filled_too() -> None:
    kinds = known_types().types
    header = kinds['std_msgs/msg/Header'](kinds['builtin_interfaces/msg/Time'](0, 0), '')
    empty = np.zeros(0)
    msg = kinds['sensor_msgs/msg/JointState'](header, [], empty, empty, empty)
    fill(msg, JointSample(('a',), np.array([1.0]), np.array([2.0])), STAMP)
    data = known_types().serialize_cdr(msg, 'sensor_msgs/msg/JointState')
    again = known_types().deserialize_cdr(data, 'sensor_msgs/msg/JointState')
    assert (again.position.tolist(), stamp_ns(again.header.stamp)) == ([1.0], STAMP)
