from __future__ import annotations

from dataclasses import asdict, replace
import json
from types import SimpleNamespace
from typing import Any

from hypothesis import given, HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
import numpy as np
import pytest

from wm_eval_ros.bag.definitions import known_types
from wm_eval_ros.errors import BagError, ConfigError
from wm_eval_ros.records import (
    ClockExchange,
    ClockMode,
    CycleRecord,
    CycleStatus,
    EpisodeEvent,
    EventKind,
    InputRef,
    LinkEvent,
    LinkKind,
    Mode,
    NEVER_NS,
    NO_SEQUENCE,
    RecorderStatus,
    RUN_INFO_SCHEMA,
    RunInfo,
)
from wm_eval_ros.wire.codec import (
    cycle_from_msg,
    cycle_to_msg,
    CYCLE_TYPE,
    event_from_msg,
    event_to_msg,
    EVENT_TYPE,
    exchange_from_msg,
    exchange_to_msg,
    EXCHANGE_TYPE,
    link_from_msg,
    link_to_msg,
    LINK_TYPE,
    MessageTypes,
    metric_array,
    run_info_from_json,
    run_info_to_json,
    stamp_ns,
    status_from_msg,
    status_to_msg,
    STATUS_TYPE,
)

STAMP = st.integers(0, 2**31 * 10**9 - 1)
TIME = st.one_of(st.just(NEVER_NS), st.integers(0, 2**63 - 1))
COUNT = st.integers(0, 2**32 - 1)
TEXT = st.text(st.characters(codec='utf-8', exclude_characters='\x00'), max_size=20)
DOUBLE = st.floats(allow_nan=True)
INPUT = st.builds(InputRef, topic=TEXT, stamp_ns=STAMP, source_ns=TIME, received_ns=TIME,
                  steady_ns=TIME,
                  sequence=st.one_of(st.just(NO_SEQUENCE), st.integers(0, 2**64 - 1)))


def floats32(dimensions: int) -> st.SearchStrategy[Any]:
    # Any bit pattern: NaN payloads, negative zero, subnormal numbers.
    shape = hnp.array_shapes(min_dims=dimensions, max_dims=dimensions, min_side=0, max_side=5)
    bits = shape.flatmap(lambda s: hnp.arrays(np.uint32, s))
    return st.one_of(st.none(), bits.map(lambda a: a.view(np.float32)))


@st.composite
def cycles(draw: st.DrawFn) -> CycleRecord:
    sent, rollout = draw(st.booleans()), draw(floats32(2))
    spread = None if rollout is None or not rollout.size else draw(
        st.sampled_from([None, -rollout]))
    return CycleRecord(
        stamp_ns=draw(STAMP), slot=draw(st.integers(0, 2**64 - 1)), episode=draw(COUNT),
        status=draw(st.sampled_from(CycleStatus)), mode=draw(st.sampled_from(Mode)),
        due_ns=draw(TIME), start_ns=draw(TIME), infer_start_ns=draw(TIME),
        infer_end_ns=draw(TIME), publish_ns=draw(TIME),
        publish_system_ns=draw(st.integers(0, 2**63 - 1)) if sent else NEVER_NS,
        command_stamp_ns=draw(STAMP) if sent else None, period_ns=draw(TIME),
        deadline_ns=draw(TIME), reason=draw(TEXT), command_topic=draw(TEXT),
        inputs=tuple(draw(st.lists(INPUT, max_size=3))), cpu_ns=draw(TIME), horizon=draw(COUNT),
        samples=draw(COUNT), iterations=draw(COUNT), nonfinite=draw(COUNT), cost=draw(DOUBLE),
        action=tuple(draw(st.lists(DOUBLE, max_size=4))), surprise=draw(DOUBLE),
        surprise_threshold=draw(DOUBLE), latent=draw(floats32(1)), rollout=rollout,
        rollout_std=spread, observation=tuple(draw(st.lists(DOUBLE, max_size=4))),
        goal=tuple(draw(st.lists(DOUBLE, max_size=4))),
        executed=tuple(draw(st.lists(DOUBLE, max_size=4))),
        scores=tuple(draw(st.lists(DOUBLE, max_size=4))),
        peak_memory_bytes=draw(TIME), energy_uj=draw(TIME))


def bits(record: CycleRecord) -> dict[str, Any]:
    """Return a record in a form where equal means equal to the bit."""
    plain = asdict(record)
    for name in ('latent', 'rollout', 'rollout_std'):
        array = plain[name]
        plain[name] = array if array is None else (array.shape, array.tobytes())
    for name in ('cost', 'action', 'observation', 'goal', 'executed', 'scores', 'surprise',
                 'surprise_threshold'):
        plain[name] = np.array(plain[name], dtype=np.float64).tobytes()
    return plain


MANY = settings(max_examples=60, deadline=None,
                suppress_health_check=[HealthCheck.function_scoped_fixture])


@MANY
@given(cycles())
def test_a_cycle_survives_the_message(types: MessageTypes, record: CycleRecord) -> None:
    assert bits(cycle_from_msg(cycle_to_msg(record, types))) == bits(record)


@MANY
@given(cycles())
def test_a_cycle_survives_serialisation(record: CycleRecord) -> None:
    store = known_types()
    msg = cycle_to_msg(record, MessageTypes(store.types.__getitem__))
    data = store.serialize_cdr(msg, CYCLE_TYPE)
    assert bits(cycle_from_msg(store.deserialize_cdr(data, CYCLE_TYPE))) == bits(record)


@MANY
@given(st.builds(EpisodeEvent, stamp_ns=STAMP, episode=COUNT, kind=st.sampled_from(EventKind),
                 label=TEXT, value=st.floats(allow_nan=False), source=TEXT))
def test_an_event_survives_message_and_serialisation(record: EpisodeEvent) -> None:
    store = known_types()
    msg = event_to_msg(record, MessageTypes(store.types.__getitem__))
    data = store.serialize_cdr(msg, EVENT_TYPE)
    assert event_from_msg(msg) == event_from_msg(store.deserialize_cdr(data, EVENT_TYPE)) == record


def statuses() -> st.SearchStrategy[RecorderStatus]:
    counts = st.lists(st.integers(0, 2**64 - 1), max_size=3).map(tuple)
    return st.builds(
        RecorderStatus, stamp_ns=STAMP, failed=st.booleans(), reason=TEXT,
        topics=st.lists(TEXT, max_size=3).map(tuple), received=counts, written=counts,
        durable=counts, dropped=counts, durable_sequence=counts,
        queued_bytes=st.integers(0, 2**64 - 1), free_bytes=st.integers(0, 2**64 - 1))


def references() -> st.SearchStrategy[InputRef]:
    times = st.integers(-2**63, 2**63 - 1)
    return st.builds(InputRef, topic=TEXT, stamp_ns=STAMP, source_ns=times, received_ns=times,
                     steady_ns=times, sequence=st.integers(0, 2**64 - 1))


@MANY
@given(st.builds(LinkEvent, st.sampled_from(LinkKind), references(),
                 st.integers(-2**63, 2**63 - 1)))
def test_what_crossed_a_link_survives_message_and_serialisation(record: LinkEvent) -> None:
    store = known_types()
    msg = link_to_msg(record, MessageTypes(store.types.__getitem__))
    data = store.serialize_cdr(msg, LINK_TYPE)
    assert link_from_msg(store.deserialize_cdr(data, LINK_TYPE)) == record


@MANY
@given(st.builds(ClockExchange, TEXT, *[st.integers(-2**63, 2**63 - 1)] * 4))
def test_an_exchange_of_stamps_survives_message_and_serialisation(record: ClockExchange) -> None:
    store = known_types()
    msg = exchange_to_msg(record, MessageTypes(store.types.__getitem__))
    data = store.serialize_cdr(msg, EXCHANGE_TYPE)
    assert exchange_from_msg(store.deserialize_cdr(data, EXCHANGE_TYPE)) == record


def test_a_link_event_of_a_newer_version_is_refused() -> None:
    store = known_types()
    msg = link_to_msg(LinkEvent(LinkKind.SENT, InputRef('/a', 0)),
                      MessageTypes(store.types.__getitem__))
    with pytest.raises(BagError, match='newer version'):
        link_from_msg(SimpleNamespace(kind=9, ref=msg.ref))


def test_a_link_event_of_an_older_version_is_read() -> None:
    store = known_types()
    record = LinkEvent(LinkKind.SENT, InputRef('/a', 0))
    msg = link_to_msg(record, MessageTypes(store.types.__getitem__))
    assert link_from_msg(SimpleNamespace(kind=0, ref=msg.ref)) == record


@MANY
@given(statuses())
def test_a_status_survives_message_and_serialisation(record: RecorderStatus) -> None:
    store = known_types()
    msg = status_to_msg(record, MessageTypes(store.types.__getitem__))
    data = store.serialize_cdr(msg, STATUS_TYPE)
    assert status_from_msg(msg) == record
    assert status_from_msg(store.deserialize_cdr(data, STATUS_TYPE)) == record


def cycle() -> CycleRecord:
    return CycleRecord(
        stamp_ns=1, slot=7, episode=0, status=CycleStatus.OK, due_ns=1, start_ns=2,
        infer_start_ns=3, infer_end_ns=4, publish_ns=5, publish_system_ns=6, period_ns=50,
        deadline_ns=50)


def test_a_cycle_recorded_before_a_field_was_added_lacks_its_evidence() -> None:
    record = replace(cycle(), command_stamp_ns=1)
    old = cycle_to_msg(record, MessageTypes(lambda name: SimpleNamespace))
    for name in ('observation', 'rollout_std', 'peak_memory_bytes', 'energy_uj'):
        delattr(old, name)
    assert bits(cycle_from_msg(old)) == bits(record)


def test_a_command_at_time_zero_is_a_command(types: MessageTypes) -> None:
    sent = replace(cycle(), command_stamp_ns=0)
    assert cycle_from_msg(cycle_to_msg(sent, types)).command_stamp_ns == 0


@pytest.mark.parametrize(('field', 'value'), [('status', 99), ('mode', 99)])
def test_a_cycle_of_a_newer_version_is_refused(
    types: MessageTypes, field: str, value: int,
) -> None:
    msg = cycle_to_msg(cycle(), types)
    setattr(msg, field, value)
    with pytest.raises(BagError, match='slot 7: 99'):
        cycle_from_msg(msg)


def test_a_shape_that_does_not_fit_its_array_is_refused(types: MessageTypes) -> None:
    msg = cycle_to_msg(replace(cycle(), latent=np.zeros(4, np.float32)), types)
    msg.latent = types.numbers(CYCLE_TYPE, np.zeros(3, np.float32))
    with pytest.raises(BagError, match='slot 7'):
        cycle_from_msg(msg)


def test_no_evidence_goes_out_as_nan(types: MessageTypes) -> None:
    msg = metric_array(1_500_000_000, 3, [('a', 0.5), ('b', None)], types)
    assert (stamp_ns(msg.header.stamp), msg.slot, list(msg.names)) == (
        1_500_000_000, 3, ['a', 'b'])
    assert msg.values[0] == 0.5 and np.isnan(msg.values[1])


def info(**changes: Any) -> RunInfo:
    return replace(RunInfo(
        schema_version=RUN_INFO_SCHEMA, run_id='r', scenario='s', task='t',
        clock=ClockMode.LOCKSTEP, seed=3, episodes=2, planner='cem', period_ns=50, deadline_ns=50,
        time_limit_s=3.0, package_version='0.1.0'), **changes)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-2**63, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8)


@MANY
@given(st.dictionaries(TEXT, PLAIN, max_size=4))
def test_run_info_survives_json(extra: dict[str, Any]) -> None:
    record = info(settings=extra)
    assert run_info_from_json(run_info_to_json(record)) == record


def test_equal_runs_give_equal_text_whatever_the_order_of_keys() -> None:
    assert run_info_to_json(info(host={'a': 1, 'b': 2})) == run_info_to_json(
        info(host={'b': 2, 'a': 1}))


def test_run_info_takes_finite_numbers_only() -> None:
    with pytest.raises(ConfigError, match='finite'):
        run_info_to_json(info(host={'load': float('nan')}))


@pytest.mark.parametrize(('text', 'what'), [
    ('{', 'JSON'), ('[]', 'expected a mapping'), ('{"schema_version": NaN}', 'NaN'),
    ('{"schema_version": 1}', 'missing key'), ('[' * 100000, 'JSON'),
])
def test_what_is_no_run_info_is_refused(text: str, what: str) -> None:
    with pytest.raises(BagError, match=what):
        run_info_from_json(text)


def test_a_newer_run_info_is_refused_by_both_versions() -> None:
    raw = json.loads(run_info_to_json(info()))
    raw.update(schema_version=RUN_INFO_SCHEMA + 1, something_new=True)
    with pytest.raises(BagError, match=f'version {RUN_INFO_SCHEMA + 1}.*up to {RUN_INFO_SCHEMA}'):
        run_info_from_json(json.dumps(raw))
