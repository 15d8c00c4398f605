"""Runs made up for tests: from a JSON scene, at random, or written into a bag."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from wm_eval_ros.records import (
    ClockExchange,
    ClockMode,
    CycleRecord,
    CycleStatus,
    EpisodeEvent,
    EventKind,
    FIRMWARE,
    InputRef,
    LinkEvent,
    LinkKind,
    Mode,
    NEVER_NS,
    NO_SEQUENCE,
    Record,
    RecorderStatus,
    RunInfo,
    SampleRecord,
)

MS = 1_000_000
PERIOD = 50 * MS
#: steady and ROS clock of a made-up run begin here, far apart
STEADY = 10**12
ROS = 1_700_000_000 * 10**9


def info(**changes: Any) -> RunInfo:
    fields: dict[str, Any] = {
        'schema_version': 1, 'run_id': 'r1', 'scenario': 'reacher', 'task': 'reacher',
        'clock': ClockMode.REALTIME, 'seed': 7, 'episodes': 4, 'planner': 'cem',
        'period_ns': PERIOD, 'deadline_ns': PERIOD, 'time_limit_s': 3.0,
        'package_version': '0.1.0', 'host': {'name': 'here'},
        'model': {'name': 'reacher', 'flops_per_step': 1000,
                  'latent_names': ['elbow [rad]', 'tip x [m]'],
                  'latent_mean': [0.5, 0.1], 'latent_scale': [1.2, 0.2]}}
    return RunInfo(**{**fields, **changes})


def cycle(slot: int, status: str = 'OK', *, episode: int = 0, took_ms: float = 10.0,
          stamp_ms: float | None = None, publish_ms: float | None = None, lag_ms: float = 0.0,
          inputs: Iterable[dict[str, Any]] = (), **changes: Any) -> CycleRecord:
    """Make slot k of a schedule of 50 ms: starts on time, publishes 1 ms after the plan."""
    kind = CycleStatus[status]
    due = STEADY + slot * PERIOD
    start = due + round(lag_ms * MS)
    ros = ROS + (slot * PERIOD + round(lag_ms * MS) if stamp_ms is None else round(stamp_ms * MS))
    called = kind in (CycleStatus.OK, CycleStatus.LATE, CycleStatus.WARMUP,
                      CycleStatus.INVALID_OUTPUT, CycleStatus.STALE_INPUT)
    sent = kind in (CycleStatus.OK, CycleStatus.LATE)
    after = round((took_ms + 1 if publish_ms is None else publish_ms) * MS)
    fields: dict[str, Any] = {
        'stamp_ns': ros, 'slot': slot, 'episode': episode, 'status': kind, 'due_ns': due,
        'start_ns': start if called else NEVER_NS,
        'infer_start_ns': start if called else NEVER_NS,
        'infer_end_ns': start + round(took_ms * MS) if called else NEVER_NS,
        'publish_ns': start + after if sent else NEVER_NS,
        'publish_system_ns': ros + after if sent else NEVER_NS,
        'period_ns': PERIOD, 'deadline_ns': PERIOD, 'mode': Mode.PLANNER,
        'inputs': tuple(InputRef(i['topic'], ros - round(i['age_ms'] * MS),
                                 sequence=i.get('sequence', NO_SEQUENCE)) for i in inputs),
        'cpu_ns': 8 * MS if called else 0, 'horizon': 2, 'samples': 64, 'iterations': 3}
    if 'mode' in changes:
        changes['mode'] = Mode[changes['mode']]
    for name in ('latent', 'rollout', 'rollout_std'):
        if changes.get(name) is not None:
            changes[name] = np.array(changes[name], np.float32)
    return CycleRecord(**{**fields, **changes})


def event(kind: str, episode: int = 0, at_ms: float = 0.0, label: str = '',
          value: float = 0.0) -> EpisodeEvent:
    return EpisodeEvent(ROS + round(at_ms * MS), episode, EventKind[kind], label, value, 'plant')


def sample(topic: str, at_ms: float, sequence: int = NO_SEQUENCE) -> SampleRecord:
    return SampleRecord(topic, ROS + round(at_ms * MS), ROS + round(at_ms * MS) + MS, sequence)


def scene(data: dict[str, Any]) -> list[Record]:
    """Read the records of a golden case."""
    records: list[Record] = []
    if 'info' in data:
        records.append(info(**data['info']))
    records += [event(**e) for e in data.get('events', [])]
    records += [cycle(**c) for c in data.get('cycles', [])]
    records += [sample(**s) for s in data.get('samples', [])]
    return records


def busy_run(seed: int = 0, episodes: int = 6, slots: int = 40, **changes: Any) -> list[Record]:
    """Make a run at random in which everything happens that a record can say."""
    rng = np.random.default_rng(seed)
    records: list[Record] = [info(episodes=episodes, **changes)]
    records += [cycle(s, 'WARMUP', took_ms=90, stamp_ms=-1000) for s in range(3)]
    z, foreseen = np.zeros(2), np.zeros((3, 2))
    for e in range(episodes):
        base = 50.0 * slots * e
        ends = ('SUCCESS', 'SUCCESS', 'SUCCESS', 'TIMEOUT', 'FAILURE', 'ABORT')
        records.append(event('START', e, base - 1, 'solved' if e == 5 else '', 100 + e))
        records.append(event(ends[e % 6], e, base + 50 * (slots - 2) + 3, 'end', 1.0 + 0.1 * e))
        for k in range(slots):
            slot = e * slots + k
            kind = rng.choice(['OK', 'LATE', 'SKIPPED', 'EXCEPTION', 'NO_INPUT', 'gone'],
                              p=[0.88, 0.04, 0.03, 0.02, 0.01, 0.02])
            for n in range(2):
                records.append(sample('/joint_states', slot * 50 - 20 * n, 2 * slot + 2 - n))
            z = 0.9 * z + rng.normal(size=2) * 0.3
            foreseen = np.stack([z * 0.9**h for h in (1, 2, 3)]) + 0.02 * rng.normal(size=(3, 2))
            if kind != 'gone':
                took = float(rng.gamma(8, 2.5)) if kind == 'OK' else 58.0
                records.append(cycle(
                    slot, str(kind), episode=e, took_ms=round(took, 3),
                    lag_ms=round(float(rng.gamma(2, 0.1)), 3),
                    inputs=[{'topic': '/joint_states', 'age_ms': round(4 + took / 10, 3),
                             'sequence': 2 * slot + 2}],
                    latent=z, rollout=foreseen, surprise=float(rng.gamma(1.0)),
                    surprise_threshold=4.0, nonfinite=int(rng.integers(2))))
    records += [event('FALLBACK_ON', 0, 300, 'stale'), event('FALLBACK_OFF', 0, 800)]
    return records


#: what a device under test answers on, how far its clock is ahead, and what each way takes
ANSWER = '/proposed/joint_command'
AHEAD, OUT, THINK, BACK = 500 * MS, 2 * MS, 4 * MS, 1 * MS
LINK_SLOTS = 400


def clocks(out: int = MS // 4, back: int = MS // 4) -> list[Record]:
    """Make exchanges of stamps with a device."""
    return [ClockExchange('planner', at, at + out + AHEAD, at + out + AHEAD, at + out + back)
            for at in range(10**15, 10**15 + 30 * MS, MS)]


def link_run(lost: Iterable[int] = ()) -> list[Record]:
    """Make a run whose commands answer samples of 3 ms before their slot; some never arrive."""
    records: list[Record] = [info(), event('START', 0, -20.0)]
    for k in range(LINK_SLOTS):
        due, steady = ROS + k * PERIOD, STEADY + k * PERIOD - 3 * MS
        stamp = due - 3 * MS
        records.append(LinkEvent(LinkKind.SENT, InputRef('/joint_states', stamp, stamp, NEVER_NS,
                                                         steady)))
        command = due + THINK + AHEAD
        used = InputRef('/joint_states', stamp, stamp, stamp + OUT + AHEAD, 5, k)
        slot = cycle(k)
        records.append(replace(
            slot, command_topic=ANSWER, command_stamp_ns=command, inputs=(used,),
            stamp_ns=slot.stamp_ns + AHEAD, publish_system_ns=slot.publish_system_ns + AHEAD))
        if k not in lost:
            records.append(LinkEvent(LinkKind.RECEIVED, InputRef(
                ANSWER, command, command, command - AHEAD + BACK,
                steady + 3 * MS + THINK + BACK, k)))
    return records


def echo_run(unanswered: int = 3) -> list[Record]:
    """Make a run of an echo that did not answer the first samples."""
    records: list[Record] = [info(planner='echo'), event('START', 0, -20.0)]
    for k in range(LINK_SLOTS):
        stamp, steady = ROS + k * 10 * MS, STEADY + k * 10 * MS
        records.append(LinkEvent(LinkKind.SENT, InputRef('/joint_states', stamp, stamp, NEVER_NS,
                                                         steady)))
        if k >= unanswered:
            records.append(LinkEvent(LinkKind.RECEIVED, InputRef(
                ANSWER, stamp, stamp + OUT + AHEAD, stamp + OUT + BACK, steady + OUT + BACK, k)))
    return records


#: a micro-controller's clock less the host's, what it gains, and when commands begin to act
ACTED = '/joint_command'
SHOWN_AHEAD, SHOWN_PPM = -7_000 * 1000 * MS, 50.0
ACT_BEGIN, ACT_PERIOD = 9_000 * 1000 * MS, 10 * MS


def shown(steady_ns: int) -> int:
    """Return what the micro-controller's clock shows [ns], in its steps of 1 us."""
    passed_ns = steady_ns - ACT_BEGIN
    return (steady_ns + SHOWN_AHEAD + round(passed_ns * SHOWN_PPM * 1e-6)) // 1000 * 1000


def asked_firmware(at_ns: int, out: int = MS // 10, back: int = MS // 10) -> ClockExchange:
    """Make one exchange with the micro-controller."""
    return ClockExchange(FIRMWARE, at_ns, shown(at_ns + out), shown(at_ns + out),
                         at_ns + out + back)


def firmware_clocks(out: int = MS // 10, back: int = MS // 10) -> list[Record]:
    """Make exchanges ten times a second, before, during and after a run of an actuator."""
    end = ACT_BEGIN + LINK_SLOTS * ACT_PERIOD + 1000 * MS
    return [asked_firmware(at, out, back) for at in range(ACT_BEGIN - 1000 * MS, end, 100 * MS)]


def acted(stamp: int, steady_ns: int, number: int, kind: LinkKind = LinkKind.ACTUATED) -> Record:
    """Say that a command acts, or zero, at a time of the host."""
    return LinkEvent(kind, InputRef(ACTED, stamp, shown(steady_ns), shown(steady_ns - MS),
                                    steady_ns, number), 100)


def actuator_run(lost: Iterable[int] = ()) -> list[Record]:
    """Make a run of an echo: sent at 0, received after 3 ms, acts after 8 ms of every 10."""
    records: list[Record] = [info(planner='echo'), event('START', 0, -20.0)]
    for k in range(LINK_SLOTS):
        stamp, steady = ROS + k * ACT_PERIOD, ACT_BEGIN + k * ACT_PERIOD
        records += [
            LinkEvent(LinkKind.SENT, InputRef('/joint_states', stamp, stamp, NEVER_NS, steady)),
            LinkEvent(LinkKind.RECEIVED, InputRef(ACTED, stamp, stamp, stamp, steady + 3 * MS))]
        if k not in lost:
            records.append(acted(stamp, steady + 8 * MS, k))
    return records


#: perturbations of the episodes of a rich run, in turn; None: an episode without
TROUBLE = (None, 'physical.push', None, 'visual.dark', 'nuisance.light', 'physical.push', None,
           'slip')
PRICES = {'currency': 'EUR', 'compute_per_hour': 0.5, 'energy_per_kwh': 0.3,
          'operator_per_minute': 1.0, 'assumed_power_w': 60.0}


def rich_run(seed: int = 0, episodes: int = 16, slots: int = 30, **changes: Any) -> list[Record]:
    """Make a busy run with everything in it that any family of figures asks for."""
    rng = np.random.default_rng(seed)
    fields = {'settings': {'prices': PRICES}, 'observation_names': ('tip', 'speed', 'still'),
              'detector': {'streams': ['one_step', 'knn']}}
    records: list[Record] = []
    for record in busy_run(seed, episodes, slots, **{**fields, **changes}):
        records.append(record)
        if isinstance(record, CycleRecord) and record.latent is not None:
            records[-1] = _enriched(record, rng)
    for e in range(episodes):
        base, label = 50.0 * slots * e, TROUBLE[e % len(TROUBLE)]
        if label is not None:
            records += [event('PERTURB_ON', e, base + 400, label, round(float(rng.random()), 3)),
                        event('PERTURB_OFF', e, base + 700, label)]
        if e % 3 == 1:
            records.append(event('RECOVERED', e, base + 900))
        if e % 5 == 3:
            records += [event('INTERVENTION_ON', e, base + 1000),
                        event('INTERVENTION_OFF', e, base + 1100)]
        if e % 5 == 4:
            records += [event('DEGRADED_ON', e, base + 300), event('DEGRADED_OFF', e, base + 350),
                        event('STOPPED_ON', e, base + 500), event('STOPPED_OFF', e, base + 650),
                        event('COMMAND_REFUSED', e, base + 500, 'rate: too fast', 1 + e % 3)]
    return records


def _enriched(cycle: CycleRecord, rng: np.random.Generator) -> CycleRecord:
    assert cycle.latent is not None
    assert cycle.rollout is not None
    z = cycle.latent.astype(float)
    sent = cycle.publish_ns != NEVER_NS
    noise = rng.normal(size=2)
    spread = np.full(cycle.rollout.shape, 0.1, np.float32)
    return replace(
        cycle, observation=(float(z[0] + 0.1 * noise[0]), float(z[0] - z[1]), 1.0),
        action=(float(z[1] + 0.1 * noise[1]),) if sent else (), energy_uj=int(rng.integers(9000)),
        peak_memory_bytes=int(rng.integers(1, 9)) * 2**20,
        scores=(float(z[0]**2), float(np.sum(z * z)) if sent else float('nan')),
        rollout_std=spread * (1 + rng.random(spread.shape)).astype(np.float32))


def write_bag(
    folder: Path, records: Iterable[Record], custom: Mapping[str, str] | None = None,
) -> Path:
    """Write records, and a summary, into a rosbag2 folder as the recorder would."""
    from wm_eval_ros.bag.definitions import known_types
    from wm_eval_ros.bag.writer import BagWriter
    from wm_eval_ros.wire import codec, topics
    store = known_types()
    for name in (codec.CYCLE_TYPE, codec.EVENT_TYPE):
        codec_register(store, name)
    types = codec.MessageTypes(lambda name: store.types[name])
    with BagWriter(folder) as writer:
        for at, record in enumerate(records):
            log_ns = ROS + at * MS
            sequence = NO_SEQUENCE
            if isinstance(record, CycleRecord):
                topic, kind = '/' + topics.PLANNER_CYCLE, codec.CYCLE_TYPE
                message = codec.cycle_to_msg(record, types)
            elif isinstance(record, EpisodeEvent):
                topic, kind = '/' + topics.EPISODE_EVENT, codec.EVENT_TYPE
                message = codec.event_to_msg(record, types)
            elif isinstance(record, RunInfo):
                topic, kind = '/' + topics.RUN_INFO, 'std_msgs/msg/String'
                message = types.make(kind, data=codec.run_info_to_json(record))
            elif isinstance(record, RecorderStatus):
                topic, kind = '/' + topics.RECORDER_STATUS, codec.STATUS_TYPE
                message = codec.status_to_msg(record, types)
            elif isinstance(record, LinkEvent):
                topic, kind = '/' + topics.LINK_EVENT, codec.LINK_TYPE
                message = codec.link_to_msg(record, types)
            elif isinstance(record, ClockExchange):
                topic, kind = '/' + topics.CLOCK_EXCHANGE, codec.EXCHANGE_TYPE
                message = codec.exchange_to_msg(record, types)
            else:
                topic, kind = record.topic, 'geometry_msgs/msg/PointStamped'
                message = types.make(
                    kind, header=types.header(record.stamp_ns or 0),
                    point=types.make('geometry_msgs/msg/Point', x=0.0, y=0.0, z=0.0))
                log_ns, sequence = record.log_ns, record.sequence
            writer.add_topic(topic, kind)
            writer.write(topic, bytes(store.serialize_cdr(message, kind)), log_ns,
                         sequence=sequence)
        writer.close(custom)
    return folder


def codec_register(store: Any, name: str) -> None:
    """Make sure that the store knows one of our types."""
    from wm_eval_ros.bag.definitions import complete
    if name not in store.types:
        complete(store, name)
