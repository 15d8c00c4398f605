"""Fill standard messages from the plant's samples; the message instances come from the caller."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.records import ImageSample, JointSample, PoseSample, Sample
from wm_eval_ros.wire.codec import set_stamp


def fill(msg: Any, sample: Sample, stamp_ns: int) -> Any:
    """
    Write a sample and its stamp into a message of the matching type, and return the message.

    :param msg: ``sensor_msgs/JointState``, ``geometry_msgs/PoseStamped`` or ``sensor_msgs/Image``
    :param stamp_ns: acquisition time [ns, ROS]
    """
    set_stamp(msg.header.stamp, stamp_ns)
    if isinstance(sample, JointSample):
        _fill_joints(msg, sample)
    elif isinstance(sample, PoseSample):
        _fill_pose(msg, sample)
    else:
        _fill_image(msg, sample)
    return msg


def _fill_joints(msg: Any, sample: JointSample) -> None:
    msg.name = list(sample.names)
    for field in ('position', 'velocity', 'effort'):
        setattr(msg, field, float64_like(getattr(msg, field), getattr(sample, field)))


def _fill_pose(msg: Any, sample: PoseSample) -> None:
    msg.header.frame_id = sample.frame
    position, orientation = msg.pose.position, msg.pose.orientation
    position.x, position.y, position.z = sample.position.tolist()
    orientation.x, orientation.y, orientation.z, orientation.w = sample.orientation.tolist()


def _fill_image(msg: Any, sample: ImageSample) -> None:
    height, width, channels = sample.pixels.shape
    msg.header.frame_id = sample.frame
    msg.height, msg.width, msg.step = height, width, width * channels
    msg.encoding, msg.is_bigendian = 'rgb8', 0
    if isinstance(msg.data, np.ndarray):
        msg.data = np.ascontiguousarray(sample.pixels).ravel()
        return
    # In place: the setter of the message checks every byte in Python.
    del msg.data[:]
    msg.data.frombytes(np.ascontiguousarray(sample.pixels).data.cast('B'))


def float64_like(current: Any, values: NDArray[np.float64]) -> Any:
    """Return float64 values in the form of the field they replace: numpy, else an array."""
    numbers = np.ascontiguousarray(values, dtype=np.float64)
    return numbers.copy() if isinstance(current, np.ndarray) else array('d', numbers.tobytes())
