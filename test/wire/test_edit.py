"""Numbers changed in place: nothing else of a message moves."""

from __future__ import annotations

from array import array
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from wm_eval_ros.errors import FieldPathError
from wm_eval_ros.wire.edit import FieldEditor

JOINTS = FieldEditor('joint_states', 'sensor_msgs/msg/JointState',
                     ['position[elbow]', 'velocity[shoulder]'])
POSE = FieldEditor('tip', 'geometry_msgs/msg/PoseStamped', ['pose.position.x'])


def joints() -> Any:
    return SimpleNamespace(name=['shoulder', 'elbow'], position=array('d', [1.0, 2.0]),
                           velocity=array('d', [3.0, 4.0]), effort=array('d', [5.0, 6.0]))


def pose() -> Any:
    return SimpleNamespace(pose=SimpleNamespace(position=SimpleNamespace(x=1.0, y=2.0)))


def test_named_entries_are_read_and_written_and_the_rest_stays() -> None:
    message = joints()
    assert JOINTS.read(message).tolist() == [2.0, 3.0]
    JOINTS.write(message, np.array([20.0, np.nan]))
    assert list(message.position) == [1.0, 20.0]
    assert np.isnan(message.velocity[0])
    assert (message.velocity[1], list(message.effort)) == (4.0, [5.0, 6.0])
    assert message.name == ['shoulder', 'elbow']


def test_a_nested_number_is_written() -> None:
    message = pose()
    assert POSE.read(message).tolist() == [1.0]
    POSE.write(message, np.array([-1.0]))
    assert (message.pose.position.x, message.pose.position.y) == (-1.0, 2.0)


def test_lists_are_cut_and_what_has_no_list_says_so() -> None:
    message = joints()
    assert JOINTS.shorten(message, lambda entries: entries - 1)
    assert (len(message.position), len(message.velocity), len(message.effort)) == (1, 1, 2)
    assert not POSE.shorten(pose(), lambda entries: entries - 1)


def test_a_number_that_is_not_there_is_refused() -> None:
    message = joints()
    message.name = ['shoulder', 'wrist']
    with pytest.raises(FieldPathError, match="no joint 'elbow'"):
        JOINTS.read(message)


def test_an_angle_is_refused() -> None:
    with pytest.raises(FieldPathError, match='leave :angle out'):
        FieldEditor('joint_states', 'sensor_msgs/msg/JointState', ['position[0]:angle'])
