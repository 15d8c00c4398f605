from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

from wm_eval_ros.bag.definitions import known_types
from wm_eval_ros.wire.codec import MessageTypes


def rclpy_class(name: str) -> Any:
    package, kind, message = name.split('/')
    return getattr(import_module(f'{package}.{kind}'), message)


def rosbags_class(name: str) -> Any:
    return known_types().types[name]


@pytest.fixture(params=['rosbags', 'rclpy'])
def types(request: pytest.FixtureRequest) -> MessageTypes:
    """Message classes of both libraries that write them."""
    if request.param == 'rosbags':
        return MessageTypes(rosbags_class)
    pytest.importorskip('wm_eval_ros.msg', reason='our messages are not built here')
    return MessageTypes(rclpy_class)


@pytest.fixture
def ros_message() -> Any:
    """Return what makes an empty rclpy message of a type."""
    pytest.importorskip('sensor_msgs.msg', reason='the ROS messages are not installed')
    return lambda name: rclpy_class(name)()


@pytest.fixture
def ros_class() -> Any:
    return rclpy_class
