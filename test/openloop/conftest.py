"""Robots, tracks and grids made by hand, and the recordings, each evaluated once."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wm_eval_ros.bag.definitions import known_types
from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.bag.writer import BagWriter
from wm_eval_ros.config.interface import CommandStream, Interface, Stream
from wm_eval_ros.config.robot_map import load_map, RobotMap
from wm_eval_ros.openloop.evaluate import evaluate
from wm_eval_ros.openloop.grid import Grid
from wm_eval_ros.openloop.outcome import OpenLoop

STEP_NS = 50_000_000
POINT = 'geometry_msgs/msg/Point'
#: recordings by a short name, and the map each belongs to
BAGS = {'turtlebot3': ('turtlebot3', 'dev_tb3_rasl'), 'go2': ('unitree_go2', 'dev_go2_test4/bag'),
        'gps': ('ackermann', 'dev_gps_nav_1'), 'roll2': ('crazyflie', 'dev_crazyflie_roll2bag'),
        'fly90': ('crazyflie', 'dev_crazyflie_fly90bag')}


@pytest.fixture
def robot() -> Callable[..., RobotMap]:
    """Return what makes a map of one state and one command."""
    def make(**changes: Any) -> RobotMap:
        state = Stream(topic='/x', type=POINT, fields=('x',))
        command = CommandStream(topic='/u', type=POINT, fields=('x',), low=(-1.0,), high=(1.0,))
        return RobotMap(name='test', interface=Interface(observations=(state,), command=command),
                        **changes)
    return make


@pytest.fixture
def grid() -> Callable[..., Grid]:
    """Return what makes a grid of 50 ms without masks, known and true state alike."""
    def make(state: np.ndarray, command: np.ndarray, period_ns: int = STEP_NS) -> Grid:
        state = state.reshape(len(state), -1)
        command = command.reshape(len(command), -1)
        none = np.zeros(len(state), np.uint8)
        times = period_ns * np.arange(len(state), dtype=np.int64)
        names = tuple(f's{i}' for i in range(state.shape[1]))
        return Grid(0, period_ns, names, state, none, state, none, times,
                    tuple(f'u{i}' for i in range(command.shape[1])), command, none)
    return make


@pytest.fixture
def driven(grid: Callable[..., Grid]) -> Callable[..., Grid]:
    """Return what makes a speed that follows its command after a delay, with some noise."""
    def make(count: int = 600, delay: int = 3, noise: float = 0.0) -> Grid:
        rng = np.random.default_rng(1)
        command = np.repeat(rng.uniform(-1, 1, count // 10), 10)
        state = np.zeros(count)
        for t in range(1, count):
            state[t] = 0.8 * state[t - 1] + 0.2 * command[max(0, t - delay)]
        return grid(state + noise * rng.normal(size=count), command)
    return make


@pytest.fixture
def write_points() -> Callable[..., Path]:
    """Return what writes points to topics of a bag: by topic, times [ns] and values of x."""
    def write(folder: Path, points: dict[str, tuple[np.ndarray, np.ndarray]]) -> Path:
        store = known_types()
        rows = sorted((int(at), topic, float(value)) for topic, (times, values) in points.items()
                      for at, value in zip(times, values, strict=True))
        with BagWriter(folder) as writer:
            for topic in points:
                writer.add_topic(topic, POINT)
            for at, topic, value in rows:
                data = store.serialize_cdr(store.types[POINT](value, 0.0, 0.0), POINT)
                writer.write(topic, bytes(data), at)
        return folder
    return write


@lru_cache
def _outcome(data: Path, name: str) -> OpenLoop:
    found, folder = load_map(BAGS[name][0]), data / BAGS[name][1]
    with open_bag(folder, definitions=found.definitions) as bag:
        return evaluate(bag, found)


@pytest.fixture(scope='session')
def outcome(shared_data: Path) -> Callable[[str], OpenLoop]:
    """Return what evaluates a recording by its map, once for all tests."""
    return lambda name: _outcome(shared_data, name)
