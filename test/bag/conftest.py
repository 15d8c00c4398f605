from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wm_eval_ros.bag.definitions import known_types
from wm_eval_ros.bag.writer import BagWriter
from wm_eval_ros.records import (
    ClockMode,
    CycleRecord,
    CycleStatus,
    EpisodeEvent,
    EventKind,
    RUN_INFO_SCHEMA,
    RunInfo,
)
from wm_eval_ros.wire.codec import (
    cycle_to_msg,
    CYCLE_TYPE,
    event_to_msg,
    EVENT_TYPE,
    MessageTypes,
    run_info_to_json,
)
from wm_eval_ros.wire.topics import LATCHED, SENSOR_OFFER, TELEMETRY

START_NS = 1_700_000_000_000_000_000
JOINTS = 'sensor_msgs/msg/JointState'
STRING = 'std_msgs/msg/String'


@pytest.fixture(scope='session')
def serialize() -> Callable[[Any, str], bytes]:
    return lambda msg, name: bytes(known_types().serialize_cdr(msg, name))


@pytest.fixture(scope='session')
def joint_data() -> Callable[..., bytes]:
    """Return what serializes a joint state with a stamp and one position."""
    kinds = known_types().types
    header, time = kinds['std_msgs/msg/Header'], kinds['builtin_interfaces/msg/Time']

    def make(stamp_ns: int, position: float = 0.0) -> bytes:
        numbers, empty = np.array([position]), np.zeros(0)
        msg = kinds[JOINTS](header(time(*divmod(stamp_ns, 10**9)), ''), ['a'], numbers, empty,
                            empty)
        return bytes(known_types().serialize_cdr(msg, JOINTS))

    return make


@pytest.fixture
def make_joint_bag(tmp_path: Path, joint_data: Callable[..., bytes]) -> Callable[..., Path]:
    """Return what writes a bag of joint states 10 ms apart."""

    def make(count: int = 300, name: str = 'joints', clock_offset_ns: int = 0) -> Path:
        with BagWriter(tmp_path / name) as writer:
            writer.add_topic('/joint_states', JOINTS, qos=SENSOR_OFFER)
            for i in range(count):
                log_ns = START_NS + i * 10_000_000
                writer.write('/joint_states', joint_data(log_ns + clock_offset_ns, float(i)),
                             log_ns, log_ns - 1000, i + 1)
        return tmp_path / name

    return make


@pytest.fixture
def run_records() -> list[RunInfo | EpisodeEvent | CycleRecord]:
    """Two episodes of two slots each, in the order of their times."""
    info = RunInfo(
        schema_version=RUN_INFO_SCHEMA, run_id='r', scenario='reacher', task='reacher',
        clock=ClockMode.REALTIME, seed=3, episodes=2, planner='cem', period_ns=50_000_000,
        deadline_ns=50_000_000, time_limit_s=3.0, package_version='0.1.0')
    found: list[RunInfo | EpisodeEvent | CycleRecord] = [info]
    at = START_NS
    for episode in range(2):
        found.append(EpisodeEvent(at, episode, EventKind.START, value=3.0 + episode))
        for slot in range(2):
            at += 50_000_000
            found.append(CycleRecord(
                stamp_ns=at, slot=2 * episode + slot, episode=episode, status=CycleStatus.OK,
                due_ns=at, start_ns=at, infer_start_ns=at, infer_end_ns=at, publish_ns=at,
                publish_system_ns=at, command_stamp_ns=at, period_ns=50_000_000,
                deadline_ns=50_000_000, cost=1.5, action=(0.5, -0.5)))
        found.append(EpisodeEvent(at, episode, EventKind.SUCCESS, value=0.1))
    return found


@pytest.fixture
def make_run_bag(tmp_path: Path, serialize: Callable[[Any, str], bytes]) -> Callable[..., Path]:
    """Return what writes records of a run as a bag."""
    types = MessageTypes(known_types().types.__getitem__)

    def make(records: list[Any], name: str = 'run') -> Path:
        with BagWriter(tmp_path / name) as writer:
            writer.add_topic('/run_info', STRING, qos=LATCHED)
            writer.add_topic('/planner_cycle', CYCLE_TYPE, qos=TELEMETRY)
            writer.add_topic('/episode_event', EVENT_TYPE, qos=LATCHED)
            for number, record in enumerate(records):
                log_ns = getattr(record, 'stamp_ns', START_NS) + number * 1000
                if isinstance(record, RunInfo):
                    msg = types.make(STRING, data=run_info_to_json(record))
                    writer.write('/run_info', serialize(msg, STRING), log_ns)
                elif isinstance(record, CycleRecord):
                    writer.write('/planner_cycle',
                                 serialize(cycle_to_msg(record, types), CYCLE_TYPE), log_ns)
                else:
                    writer.write('/episode_event',
                                 serialize(event_to_msg(record, types), EVENT_TYPE), log_ns)
        return tmp_path / name

    return make
