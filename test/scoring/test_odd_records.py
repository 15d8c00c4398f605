"""Whatever stands in the records, the scorer gives strict JSON and no traceback."""

from __future__ import annotations

from dataclasses import replace
import json
import math
from types import ModuleType
from typing import Any

from hypothesis import given, HealthCheck, settings
from hypothesis import strategies as st

from wm_eval_ros.records import CycleRecord, CycleStatus, EpisodeEvent, EventKind, RunInfo
from wm_eval_ros.report.text import table
from wm_eval_ros.scoring.scorer import score, Scorer

TIMES = st.one_of(st.integers(-2, 10**12), st.sampled_from([-1, 0, 2**61, -2**61]))
FIELDS = ('stamp_ns', 'due_ns', 'start_ns', 'infer_start_ns', 'infer_end_ns', 'publish_ns',
          'publish_system_ns', 'period_ns', 'deadline_ns', 'cpu_ns')
FLOATS = st.floats(allow_nan=True, allow_infinity=True)


@st.composite
def cycles(draw: Any, scenes: ModuleType) -> CycleRecord:
    size = draw(st.integers(0, 3))
    latent = draw(st.lists(st.floats(width=32), min_size=size, max_size=size))
    made: CycleRecord = scenes.cycle(
        draw(st.one_of(st.integers(0, 6), st.just(2**62))), episode=draw(st.integers(0, 2)),
        latent=latent, rollout=[latent] * (steps := draw(st.integers(0, 3))) or None,
        rollout_std=draw(st.sampled_from([None, [latent] * steps, [[0.5] * size] * steps,
                                          [[0.5] * size]])) or None,
        observation=tuple(draw(st.lists(FLOATS, max_size=2))),
        action=tuple(draw(st.lists(FLOATS, max_size=2))),
        mode=draw(st.sampled_from(['PLANNER', 'SHADOW'])),
        inputs=draw(st.lists(st.fixed_dictionaries({
            'topic': st.sampled_from(['/a', '/b']), 'age_ms': st.integers(-5, 99),
            'sequence': st.integers(0, 2**64 - 1)}), max_size=3)))
    return replace(
        made, status=draw(st.sampled_from(list(CycleStatus))), surprise=draw(FLOATS),
        surprise_threshold=draw(FLOATS), samples=draw(st.integers(0, 2**32 - 1)),
        **{name: draw(TIMES) for name in draw(st.sets(st.sampled_from(FIELDS), max_size=4))})


@st.composite
def events(draw: Any) -> EpisodeEvent:
    return EpisodeEvent(draw(TIMES), draw(st.integers(0, 2)),
                        draw(st.sampled_from(list(EventKind))), draw(st.sampled_from(
                            ['', 'solved', 'x', 'physical.push', 'nuisance.light'])),
                        draw(FLOATS))


@st.composite
def manifests(draw: Any, scenes: ModuleType) -> RunInfo:
    price = st.one_of(st.none(), st.booleans(), st.text(max_size=2), FLOATS)
    prices = draw(st.one_of(st.none(), st.integers(), st.dictionaries(st.sampled_from(
        ['currency', 'compute_per_hour', 'operator_per_minute', 'assumed_power_w']), price)))
    made: RunInfo = scenes.info(
        settings={'prices': prices}, model={'flops_per_step': draw(price)},
        observation_names=draw(st.sampled_from([(), ('a',), ('a', 'b'), ('a', 'a')])))
    return made


@settings(max_examples=60, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_odd_records_score_without_a_traceback(scenes: ModuleType, data: st.DataObject) -> None:
    kinds = st.one_of(cycles(scenes), cycles(scenes), events(), manifests(scenes))
    records: list[Any] = data.draw(st.lists(kinds, max_size=14))
    card = score(records)
    json.loads(card.to_json())
    table(card)
    scorer = Scorer()
    for record in reversed(records):
        scorer.update(record)
    assert scorer.compute().to_json() == card.to_json()
    for value in (*card.values, *card.host):
        assert value.value is None or math.isfinite(value.value), value
        assert value.interval is not None or value.why, value
