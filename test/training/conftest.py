"""A linear world whose next state is known, and bags of runs made by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wm_eval_ros.bag.definitions import known_types
from wm_eval_ros.bag.writer import BagWriter
from wm_eval_ros.config.interface import CommandStream, Interface, Stream
from wm_eval_ros.config.schema import to_plain
from wm_eval_ros.records import (
    ClockMode,
    CycleRecord,
    CycleStatus,
    EpisodeEvent,
    RUN_INFO_SCHEMA,
    RunInfo,
)
from wm_eval_ros.training.trajectory import Dataset, Trajectory
from wm_eval_ros.wire.codec import (
    cycle_to_msg,
    CYCLE_TYPE,
    event_to_msg,
    EVENT_TYPE,
    MessageTypes,
    run_info_to_json,
)
from wm_eval_ros.wire.topics import LATCHED, SENSOR_OFFER, TELEMETRY

JOINTS = 'sensor_msgs/msg/JointState'
IMAGE = 'sensor_msgs/msg/Image'
T0 = 1_700_000_000_000_000_000


@pytest.fixture(scope='session', autouse=True)
def one_thread() -> None:
    """Small products in several threads wait for each other longer than they compute."""
    torch.set_num_threads(1)


@pytest.fixture(scope='session')
def interface() -> Interface:
    return Interface(
        observations=(Stream(topic='joint_states', type=JOINTS,
                             fields=('position[a]', 'velocity[a]')),),
        command=CommandStream(topic='command', type=JOINTS, fields=('effort[a]',),
                              low=(-2.0,), high=(2.0,)))


@pytest.fixture(scope='session')
def linear_world(interface: Interface) -> Dataset:
    """A cart with friction; 30 % of each slot still run under the command before."""
    rng = np.random.default_rng(0)
    trajectories = []
    for episode in range(30):
        rows, actions = [np.array([rng.normal(), rng.normal()])], rng.uniform(-1, 1, (40, 1))
        for before, action in zip(np.vstack([[[0.0]], actions[:-1]]), actions, strict=True):
            x, v = rows[-1]
            force = 0.3 * before[0] + 0.7 * action[0]
            rows.append(np.array([x + 0.05 * v, 0.95 * v + 0.2 * force]))
        trajectories.append(Trajectory(np.stack(rows[:-1]), actions, np.zeros(1), episode))
    return Dataset(interface, ('joint_states.position[a]', 'joint_states.velocity[a]'), 0.05,
                   tuple(trajectories), ('made up',))


@pytest.fixture
def run_info(interface: Interface) -> RunInfo:
    return RunInfo(
        schema_version=RUN_INFO_SCHEMA, run_id='r', scenario='s', task='t',
        clock=ClockMode.REALTIME, seed=0, episodes=1, planner='explore', period_ns=50_000_000,
        deadline_ns=50_000_000, time_limit_s=3.0, package_version='0.1.0',
        settings={'interface': to_plain(interface)})


@pytest.fixture(scope='session')
def make_cycle() -> Callable[..., CycleRecord]:
    """Return what makes the record of a slot that begins `ms` after the start."""

    def make(slot: int, ms: float, episode: int = 0, **fields: Any) -> CycleRecord:
        base: dict[str, Any] = {
            'status': CycleStatus.OK, 'due_ns': 0, 'start_ns': 0, 'infer_start_ns': 0,
            'infer_end_ns': 0, 'publish_ns': 0, 'publish_system_ns': 0,
            'period_ns': 50_000_000, 'deadline_ns': 50_000_000}
        return CycleRecord(stamp_ns=T0 + round(ms * 1e6), slot=slot, episode=episode,
                           **{**base, **fields})

    return make


@pytest.fixture
def write_bag(tmp_path: Path) -> Callable[..., Path]:
    """Return what writes (time [ms], topic, payload) of a run into a bag."""
    types = MessageTypes(lambda name: known_types().types[name])

    def joints(ms: float, position: float, velocity: float, effort: float) -> Any:
        stamp = T0 + round(ms * 1e6)
        return types.message_class(JOINTS)(
            header=types.header(stamp), name=['a'], position=np.array([position]),
            velocity=np.array([velocity]), effort=np.array([effort]))

    def headless(ms: float) -> Any:
        none = np.zeros(0)
        return types.message_class(JOINTS)(header=types.header(T0 + round(ms * 1e6)), name=[],
                                           position=none, velocity=none, effort=none)

    def image(ms: float, grey: int) -> Any:
        return types.message_class(IMAGE)(
            header=types.header(T0 + round(ms * 1e6)), height=2, width=2, encoding='rgb8',
            is_bigendian=0, step=6, data=np.full(12, grey, np.uint8))

    def write(name: str, info: RunInfo | None, states: list[tuple[float, float, float]],
              commands: list[tuple[float, float]], cycles: list[CycleRecord],
              events: list[EpisodeEvent] | None = None,
              told: list[tuple[float, float, float]] | None = None,
              unreadable: Sequence[float] = (),
              images: dict[str, list[tuple[float, int]]] | None = None) -> Path:
        """
        Write.

        :param told: states that a relay passed on
        :param unreadable: when a state came whose lists were lost [ms]
        :param images: by topic, when a picture came [ms] and its grey
        """
        with BagWriter(tmp_path / name) as writer:
            rows: list[tuple[int, str, Any, str]] = []
            for topic, kind, qos in (('/run_info', 'std_msgs/msg/String', LATCHED),
                                     ('/joint_states', JOINTS, SENSOR_OFFER),
                                     ('/command', JOINTS, TELEMETRY),
                                     ('/planner_cycle', CYCLE_TYPE, TELEMETRY)):
                writer.add_topic(topic, kind, qos=qos)
            if told is not None:
                writer.add_topic('/perturbed/joint_states', JOINTS, qos=SENSOR_OFFER)
            if events is not None:
                writer.add_topic('/episode_event', EVENT_TYPE, qos=LATCHED)
            if info is not None:
                text = types.make('std_msgs/msg/String', data=run_info_to_json(info))
                rows.append((T0, '/run_info', text, 'std_msgs/msg/String'))
            rows += [(T0 + round(ms * 1e6), '/joint_states', joints(ms, x, v, 0.0), JOINTS)
                     for ms, x, v in states]
            rows += [(T0 + round(ms * 1e6), '/perturbed/joint_states', joints(ms, x, v, 0.0),
                      JOINTS) for ms, x, v in told or ()]
            rows += [(T0 + round(ms * 1e6), '/joint_states', headless(ms), JOINTS)
                     for ms in unreadable]
            rows += [(T0 + round(ms * 1e6), topic, image(ms, grey), IMAGE)
                     for topic, shown in (images or {}).items() for ms, grey in shown]
            for topic in images or ():
                writer.add_topic(topic, IMAGE, qos=SENSOR_OFFER)
            rows += [(T0 + round(ms * 1e6), '/command', joints(ms, 0.0, 0.0, u), JOINTS)
                     for ms, u in commands]
            rows += [(c.stamp_ns, '/planner_cycle', cycle_to_msg(c, types), CYCLE_TYPE)
                     for c in cycles]
            rows += [(e.stamp_ns, '/episode_event', event_to_msg(e, types), EVENT_TYPE)
                     for e in events or ()]
            for log_ns, topic, msg, kind in sorted(rows, key=lambda row: row[0]):
                writer.write(topic, bytes(known_types().serialize_cdr(msg, kind)), log_ns)
        return tmp_path / name

    return write
