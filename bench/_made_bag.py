"""A made-up bag: 10 topics at 100 Hz, and the records of a run at 20 Hz."""

from __future__ import annotations

from pathlib import Path
import struct

import numpy as np

from wm_eval_ros.bag.definitions import known_types
from wm_eval_ros.bag.writer import BagWriter
from wm_eval_ros.records import (
    ClockMode,
    CycleRecord,
    CycleStatus,
    EpisodeEvent,
    EventKind,
    InputRef,
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

TOPICS, HZ, JOINTS = 10, 100, 6
PERIOD_NS, EPISODE_S, LATENT = 50_000_000, 3, 8
STRING = 'std_msgs/msg/String'
TYPE = 'sensor_msgs/msg/JointState'
START_NS = 1_700_000_000_000_000_000


def message(types, stamp_ns: int) -> bytes:
    """Serialize one joint state."""
    kinds = types.types
    stamp = kinds['builtin_interfaces/msg/Time'](*divmod(stamp_ns, 10**9))
    numbers = np.zeros(JOINTS)
    return bytes(types.serialize_cdr(kinds[TYPE](
        kinds['std_msgs/msg/Header'](stamp, 'base'), [f'joint{i}' for i in range(JOINTS)],
        numbers, numbers, numbers), TYPE))


def info(seconds: int) -> RunInfo:
    """Return the manifest of the run."""
    return RunInfo(
        schema_version=RUN_INFO_SCHEMA, run_id='bench', scenario='bench', task='bench',
        clock=ClockMode.REALTIME, seed=0, episodes=seconds // EPISODE_S, planner='cem',
        period_ns=PERIOD_NS, deadline_ns=PERIOD_NS, time_limit_s=EPISODE_S, package_version='0')


def cycle(slot: int, at: int, latent: np.ndarray) -> CycleRecord:
    """Return a slot that took 20 ms."""
    return CycleRecord(
        stamp_ns=at, slot=slot, episode=slot * PERIOD_NS // (EPISODE_S * 10**9),
        status=CycleStatus.OK, due_ns=at, start_ns=at, infer_start_ns=at,
        infer_end_ns=at + 20_000_000, publish_ns=at + 20_000_000,
        publish_system_ns=at + 20_000_000, command_stamp_ns=at + 20_000_000,
        command_topic='/robot/command', period_ns=PERIOD_NS, deadline_ns=PERIOD_NS, horizon=10,
        samples=64, iterations=3, cost=1.0, action=(0.0,) * JOINTS, latent=latent,
        rollout=np.tile(latent, (10, 1)),
        inputs=(InputRef('/robot/joints0', at, at, at, at, 1),))


class Run:
    """Writes a run's records into the bag."""

    def __init__(self, writer: BagWriter) -> None:
        self.writer = writer
        self.types = MessageTypes(known_types().types.__getitem__)
        for topic, kind in (('/run_info', STRING), ('/planner_cycle', CYCLE_TYPE),
                            ('/episode_event', EVENT_TYPE)):
            writer.add_topic(topic, kind)

    def put(self, topic: str, kind: str, msg: object, log_ns: int) -> None:
        self.writer.write(topic, bytes(known_types().serialize_cdr(msg, kind)), log_ns)

    def slot(self, slot: int, at: int) -> None:
        """Write one slot, and the events at the border of an episode."""
        per_episode = EPISODE_S * 10**9 // PERIOD_NS
        if slot % per_episode == 0:
            episode = slot // per_episode
            if episode:
                self.event(EpisodeEvent(at, episode - 1, EventKind.SUCCESS, value=EPISODE_S))
            self.event(EpisodeEvent(at, episode, EventKind.START, value=episode))
        latent = np.full(LATENT, np.sin(slot / 10), dtype=np.float32)
        self.put('/planner_cycle', CYCLE_TYPE, cycle_to_msg(cycle(slot, at, latent), self.types),
                 at + 20_000_000)

    def event(self, event: EpisodeEvent) -> None:
        self.put('/episode_event', EVENT_TYPE, event_to_msg(event, self.types), event.stamp_ns)


def write(folder: Path, seconds: int) -> None:
    """Write the bag."""
    data = message(known_types(), START_NS)
    with BagWriter(folder) as writer:
        run = Run(writer)
        text = run.types.make(STRING, data=run_info_to_json(info(seconds)))
        run.put('/run_info', STRING, text, START_NS)
        for topic in range(TOPICS):
            writer.add_topic(f'/robot/joints{topic}', TYPE)
        for step in range(seconds * HZ):
            at = START_NS + step * (10**9 // HZ)
            if at % PERIOD_NS == 0:
                run.slot((at - START_NS) // PERIOD_NS, at)
            for topic in range(TOPICS):
                # encapsulation, then the stamp
                stamped = data[:4] + struct.pack('<iI', *divmod(at, 10**9)) + data[12:]
                writer.write(f'/robot/joints{topic}', stamped, at + topic * 1000, at, step + 1)
