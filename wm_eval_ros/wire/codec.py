"""
Messages of ours to records and back, by field name.

Decoding takes any object with the fields of the message: an rclpy message, or one that `rosbags`
decoded. Encoding asks the caller for the classes, so nothing here imports ROS. Both directions
keep every bit: NaN, negative zero, sentinels.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.config.json_text import parse_json
from wm_eval_ros.config.schema import build, to_plain
from wm_eval_ros.errors import BagError, ConfigError
from wm_eval_ros.records import (
    ClockExchange,
    CycleRecord,
    CycleStatus,
    EpisodeEvent,
    EventKind,
    InputRef,
    LinkEvent,
    LinkKind,
    Mode,
    NEVER_NS,
    RecorderStatus,
    RUN_INFO_SCHEMA,
    RunInfo,
)

CYCLE_TYPE = 'wm_eval_ros/msg/PlannerCycle'
EVENT_TYPE = 'wm_eval_ros/msg/EpisodeEvent'
INPUT_TYPE = 'wm_eval_ros/msg/InputRef'
METRICS_TYPE = 'wm_eval_ros/msg/MetricArray'
STATUS_TYPE = 'wm_eval_ros/msg/RecorderStatus'
LINK_TYPE = 'wm_eval_ros/msg/LinkEvent'
EXCHANGE_TYPE = 'wm_eval_ros/msg/ClockExchange'
HEADER_TYPE = 'std_msgs/msg/Header'
TIME_TYPE = 'builtin_interfaces/msg/Time'

NS_PER_S = 1_000_000_000
#: stamps of a `ClockExchange`
_STAMPS = ('client_send_ns', 'server_receive_ns', 'server_send_ns', 'client_receive_ns')

#: numpy kind of an array field -> type code of the standard library's array
_CODES = {'float32': 'f', 'float64': 'd', 'uint32': 'I', 'uint64': 'Q'}


class MessageTypes:
    """Makes messages of whichever library the caller's classes come from."""

    def __init__(self, message_type: Callable[[str], Any]) -> None:
        """
        Remember where classes come from.

        :param message_type: maps ``package/msg/Name`` to the message class
        """
        self._message_type = message_type
        self._classes: dict[str, Any] = {}

    def message_class(self, name: str) -> Any:
        """Return the class of ``package/msg/Name``."""
        if name not in self._classes:
            self._classes[name] = self._message_type(name)
        return self._classes[name]

    def make(self, name: str, **fields: Any) -> Any:
        """Make a message of that type with all its fields given."""
        return self.message_class(name)(**fields)

    def numbers(self, name: str, values: NDArray[Any]) -> Any:
        """Return an array in the form the named message class takes without a loop in Python."""
        if hasattr(self.message_class(name), 'get_fields_and_field_types'):
            return array(_CODES[values.dtype.name], values.tobytes())
        return values

    def stamp(self, stamp_ns: int) -> Any:
        """Return a ``builtin_interfaces/Time``."""
        return to_stamp(stamp_ns, self.message_class(TIME_TYPE))

    def header(self, stamp_ns: int, frame_id: str = '') -> Any:
        """Return a ``std_msgs/Header``."""
        return self.make(HEADER_TYPE, stamp=self.stamp(stamp_ns), frame_id=frame_id)


def stamp_ns(stamp: Any) -> int:
    """Return a ``builtin_interfaces/Time`` as nanoseconds."""
    return int(stamp.sec) * NS_PER_S + int(stamp.nanosec)


def to_stamp(time_ns: int, time_class: Callable[..., Any]) -> Any:
    """Return nanoseconds as a ``builtin_interfaces/Time``; exact, also before 1970."""
    sec, nanosec = divmod(time_ns, NS_PER_S)
    return time_class(sec=sec, nanosec=nanosec)


def set_stamp(stamp: Any, time_ns: int) -> None:
    """Write nanoseconds into an existing ``builtin_interfaces/Time``."""
    stamp.sec, stamp.nanosec = divmod(time_ns, NS_PER_S)


def cycle_from_msg(msg: Any) -> CycleRecord:
    """
    Decode a ``wm_eval_ros/PlannerCycle``.

    :raises BagError: a status or mode of a newer version, or an array that does not fit its shape
    """
    try:
        return CycleRecord(
            stamp_ns=stamp_ns(msg.header.stamp), slot=int(msg.slot), episode=int(msg.episode),
            status=CycleStatus(int(msg.status)), mode=Mode(int(msg.mode)), reason=msg.reason,
            inputs=tuple(_input_from_msg(ref) for ref in msg.inputs),
            command_topic=msg.command_topic, command_stamp_ns=_command_stamp(msg),
            due_ns=int(msg.due_ns), start_ns=int(msg.start_ns),
            infer_start_ns=int(msg.infer_start_ns), infer_end_ns=int(msg.infer_end_ns),
            publish_ns=int(msg.publish_ns), publish_system_ns=int(msg.publish_system_ns),
            period_ns=int(msg.period_ns), deadline_ns=int(msg.deadline_ns),
            cpu_ns=int(msg.cpu_ns),
            peak_memory_bytes=int(getattr(msg, 'peak_memory_bytes', NEVER_NS)),
            energy_uj=int(getattr(msg, 'energy_uj', NEVER_NS)),
            horizon=int(msg.horizon), samples=int(msg.samples),
            iterations=int(msg.iterations), nonfinite=int(msg.nonfinite), cost=float(msg.cost),
            action=tuple(np.asarray(msg.action, dtype=np.float64).tolist()),
            surprise=float(msg.surprise), surprise_threshold=float(msg.surprise_threshold),
            observation=_numbers(msg, 'observation'), goal=_numbers(msg, 'goal'),
            executed=_numbers(msg, 'executed'), scores=_numbers(msg, 'scores'),
            latent=_shaped(msg.latent, msg.latent_shape, 1),
            rollout=_shaped(msg.rollout, msg.rollout_shape, 2),
            rollout_std=_spread(msg))
    except ValueError as error:
        raise BagError(f'{CYCLE_TYPE} of slot {msg.slot}: {error}; '
                       'it was not written by this version') from None


def cycle_to_msg(record: CycleRecord, types: MessageTypes) -> Any:
    """Encode a slot as ``wm_eval_ros/PlannerCycle``; the inverse of :func:`cycle_from_msg`."""
    def numbers(values: NDArray[Any]) -> Any:
        return types.numbers(CYCLE_TYPE, values)

    latent, rollout = record.latent, record.rollout
    return types.make(
        CYCLE_TYPE, header=types.header(record.stamp_ns), slot=record.slot,
        episode=record.episode, status=int(record.status), mode=int(record.mode),
        reason=record.reason, inputs=[_input_to_msg(ref, types) for ref in record.inputs],
        command_topic=record.command_topic,
        command_stamp=types.stamp(record.command_stamp_ns or 0), due_ns=record.due_ns,
        start_ns=record.start_ns, infer_start_ns=record.infer_start_ns,
        infer_end_ns=record.infer_end_ns, publish_ns=record.publish_ns,
        publish_system_ns=record.publish_system_ns, period_ns=record.period_ns,
        deadline_ns=record.deadline_ns, cpu_ns=record.cpu_ns,
        peak_memory_bytes=record.peak_memory_bytes, energy_uj=record.energy_uj,
        horizon=record.horizon,
        samples=record.samples, iterations=record.iterations, nonfinite=record.nonfinite,
        cost=record.cost, action=numbers(np.array(record.action, dtype=np.float64)),
        surprise=record.surprise, surprise_threshold=record.surprise_threshold,
        observation=numbers(np.array(record.observation, dtype=np.float64)),
        goal=numbers(np.array(record.goal, dtype=np.float64)),
        executed=numbers(np.array(record.executed, dtype=np.float64)),
        scores=numbers(np.array(record.scores, dtype=np.float64)),
        latent_shape=numbers(_shape(latent)), latent=numbers(_flat(latent)),
        rollout_shape=numbers(_shape(rollout)), rollout=numbers(_flat(rollout)),
        rollout_std=numbers(_flat(record.rollout_std)))


def event_from_msg(msg: Any) -> EpisodeEvent:
    """
    Decode a ``wm_eval_ros/EpisodeEvent``.

    :raises BagError: a kind of a newer version
    """
    try:
        kind = EventKind(int(msg.kind))
    except ValueError as error:
        raise BagError(f'{EVENT_TYPE}: {error}; it was not written by this version') from None
    return EpisodeEvent(stamp_ns=stamp_ns(msg.header.stamp), episode=int(msg.episode), kind=kind,
                        label=msg.label, value=float(msg.value), source=msg.source)


def event_to_msg(record: EpisodeEvent, types: MessageTypes) -> Any:
    """Encode an event as ``wm_eval_ros/EpisodeEvent``; the inverse of :func:`event_from_msg`."""
    return types.make(EVENT_TYPE, header=types.header(record.stamp_ns), episode=record.episode,
                      kind=int(record.kind), label=record.label, value=record.value,
                      source=record.source)


def metric_array(
    stamp: int, slot: int, values: Sequence[tuple[str, float | None]], types: MessageTypes,
) -> Any:
    """
    Make a ``wm_eval_ros/MetricArray``.

    :param stamp: stamp of the header [ns, ROS]
    :param values: name and value of each metric; None (no evidence) becomes NaN
    """
    numbers = np.array([float('nan') if v is None else v for _, v in values], dtype=np.float64)
    return types.make(METRICS_TYPE, header=types.header(stamp), slot=slot,
                      names=[name for name, _ in values],
                      values=types.numbers(METRICS_TYPE, numbers))


def status_from_msg(msg: Any) -> RecorderStatus:
    """Decode a ``wm_eval_ros/RecorderStatus``."""
    def counts(values: Any) -> tuple[int, ...]:
        return tuple(int(v) for v in values)

    return RecorderStatus(
        stamp_ns=stamp_ns(msg.header.stamp), failed=int(msg.state) != 0, reason=msg.reason,
        topics=tuple(msg.topics), received=counts(msg.received), written=counts(msg.written),
        durable=counts(msg.durable), dropped=counts(msg.dropped),
        durable_sequence=counts(msg.durable_sequence), queued_bytes=int(msg.queued_bytes),
        free_bytes=int(msg.free_bytes))


def status_to_msg(record: RecorderStatus, types: MessageTypes) -> Any:
    """Encode as ``wm_eval_ros/RecorderStatus``; the inverse of :func:`status_from_msg`."""
    def counts(values: tuple[int, ...]) -> Any:
        return types.numbers(STATUS_TYPE, np.array(values, dtype=np.uint64))

    return types.make(
        STATUS_TYPE, header=types.header(record.stamp_ns), state=int(record.failed),
        reason=record.reason, topics=list(record.topics), received=counts(record.received),
        written=counts(record.written), durable=counts(record.durable),
        dropped=counts(record.dropped), durable_sequence=counts(record.durable_sequence),
        queued_bytes=record.queued_bytes, free_bytes=record.free_bytes)


def link_from_msg(msg: Any) -> LinkEvent:
    """
    Decode a ``wm_eval_ros/LinkEvent``.

    :raises BagError: a kind of a newer version
    """
    try:
        # bags of older versions have no uncertainty
        return LinkEvent(LinkKind(int(msg.kind)), _input_from_msg(msg.ref),
                         int(getattr(msg, 'uncertainty_ns', 0)))
    except ValueError as error:
        raise BagError(f'link_event: {error}: recorded by a newer version') from None


def link_to_msg(event: LinkEvent, types: MessageTypes) -> Any:
    """Encode as ``wm_eval_ros/LinkEvent``; the inverse of :func:`link_from_msg`."""
    return types.make(LINK_TYPE, kind=int(event.kind), ref=_input_to_msg(event.ref, types),
                      uncertainty_ns=event.uncertainty_ns)


def exchange_from_msg(msg: Any) -> ClockExchange:
    """Decode a ``wm_eval_ros/ClockExchange``."""
    return ClockExchange(msg.server, *(int(getattr(msg, name)) for name in _STAMPS))


def exchange_to_msg(exchange: ClockExchange, types: MessageTypes) -> Any:
    """Encode as ``wm_eval_ros/ClockExchange``; the inverse of :func:`exchange_from_msg`."""
    return types.make(EXCHANGE_TYPE, server=exchange.server,
                      **{name: getattr(exchange, name) for name in _STAMPS})


def run_info_to_json(info: RunInfo) -> str:
    """
    Write the manifest as canonical JSON: sorted keys, no spaces, equal runs give equal text.

    :raises ConfigError: it holds a number that is not finite, or a value JSON has no form for, or
        is beyond the limits of what is read
    """
    try:
        text = json.dumps(to_plain(info), sort_keys=True, separators=(',', ':'),
                          ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(f'run info: {error}; it takes plain, finite values') from None
    parse_json(text, 'run info', ConfigError)
    return text


def run_info_from_json(text: str) -> RunInfo:
    """
    Read the manifest back.

    :raises BagError: not JSON, not a manifest, or of a newer schema
    """
    raw = parse_json(text, 'run info', BagError)
    version = raw.get('schema_version') if isinstance(raw, dict) else None
    if isinstance(version, int) and version > RUN_INFO_SCHEMA:
        raise BagError(f'run info: schema version {version}; this package reads up to '
                       f'{RUN_INFO_SCHEMA}: score the bag with the package that recorded it')
    try:
        return build(RunInfo, raw, 'run info')
    except ConfigError as error:
        raise BagError(str(error)) from None


def _command_stamp(msg: Any) -> int | None:
    """Return None where nothing was sent: zero, and no publication (task time starts at 0)."""
    stamp = stamp_ns(msg.command_stamp)
    return None if stamp == 0 and int(msg.publish_system_ns) == NEVER_NS else stamp


def _input_from_msg(msg: Any) -> InputRef:
    return InputRef(topic=msg.topic, stamp_ns=stamp_ns(msg.stamp), source_ns=int(msg.source_ns),
                    received_ns=int(msg.received_ns), steady_ns=int(msg.steady_ns),
                    sequence=int(msg.sequence))


def _input_to_msg(ref: InputRef, types: MessageTypes) -> Any:
    return types.make(INPUT_TYPE, topic=ref.topic, stamp=types.stamp(ref.stamp_ns),
                      source_ns=ref.source_ns, received_ns=ref.received_ns,
                      steady_ns=ref.steady_ns, sequence=ref.sequence)


def _shaped(values: Any, shape: Any, dimensions: int) -> NDArray[np.float32] | None:
    sizes = tuple(int(n) for n in shape)
    flat = np.array(values, dtype=np.float32)
    if not sizes and not flat.size:
        return None
    if len(sizes) != dimensions:
        raise ValueError(f'an array of shape {sizes} where {dimensions} dimensions belong')
    return flat.reshape(sizes)


def _numbers(msg: Any, name: str) -> tuple[float, ...]:
    """Return an array field; empty where the message is of a version without it."""
    return tuple(np.asarray(getattr(msg, name, ()), np.float64).tolist())


def _spread(msg: Any) -> NDArray[np.float32] | None:
    flat = np.array(getattr(msg, 'rollout_std', ()), dtype=np.float32)
    return flat.reshape(tuple(int(n) for n in msg.rollout_shape)) if flat.size else None


def _shape(values: NDArray[np.float32] | None) -> NDArray[np.uint32]:
    return np.array(() if values is None else values.shape, dtype=np.uint32)


def _flat(values: NDArray[np.float32] | None) -> NDArray[np.float32]:
    return np.zeros(0, np.float32) if values is None else np.ascontiguousarray(
        values, dtype=np.float32).ravel()
