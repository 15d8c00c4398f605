"""The scorecard: its identity, its JSON, and what it refuses to hide."""

from __future__ import annotations

from dataclasses import replace
import json
from types import ModuleType

import pytest

from wm_eval_ros.records import CycleRecord, MetricValue, Record
from wm_eval_ros.scoring.scorecard import clean, value_from_json, value_json
from wm_eval_ros.scoring.scorer import score, Scorer


def test_json_is_strict_and_holds_every_value(scenes: ModuleType) -> None:
    card = score(scenes.busy_run())

    def refuse(text: str) -> None:
        raise AssertionError(text)

    data = json.loads(card.to_json(), parse_constant=refuse)
    assert [v['name'] for v in data['values']] == [v.name for v in card.values]
    assert data['schema_version'] == 1
    assert set(data['values'][0]) == {'name', 'value', 'unit', 'n', 'interval', 'why'}
    assert data['manifest']['clock'] == 'realtime'
    assert [value_from_json(value_json(v)) for v in card.values] == list(card.values)


def test_run_and_host_are_no_part_of_identity(scenes: ModuleType) -> None:
    one = score(scenes.busy_run())
    two = score(scenes.busy_run(run_id='r2', host={'name': 'there'}))
    assert one.identity_bytes() == two.identity_bytes()
    assert one.to_json() != two.to_json()
    assert two.provenance == {'run_id': 'r2', 'host': {'name': 'there'}}


@pytest.mark.parametrize('change', [
    pytest.param({'seed': 8}, id='seed'), pytest.param({'clock': 'lockstep'}, id='clock-mode'),
    pytest.param({'settings': {'horizon': 5}}, id='setting')])
def test_what_was_run_is_part_of_identity(scenes: ModuleType, change: dict[str, object]) -> None:
    assert score(scenes.busy_run()).identity_bytes() \
        != score(scenes.busy_run(**change)).identity_bytes()


def test_cpu_time_is_the_hosts_and_a_latency_is_not(scenes: ModuleType) -> None:
    records = scenes.busy_run()

    def changed(**fields: int) -> list[Record]:
        return [replace(r, **fields) if isinstance(r, CycleRecord) and r.cpu_ns else r
                for r in records]

    want = score(records).identity_bytes()
    assert score(changed(cpu_ns=1)).identity_bytes() == want
    assert score(changed(publish_ns=5)).identity_bytes() != want


def test_live_and_offline_agree_though_topics_arrive_in_another_order(scenes: ModuleType) -> None:
    records = scenes.rich_run()
    live = Scorer()
    for record in sorted(records, key=lambda r: type(r).__name__):
        live.update(record)
        if isinstance(record, CycleRecord) and record.slot % 50 == 0:
            live.compute()
    assert live.compute().identity_bytes() == score(records).identity_bytes()


def test_names_are_unique_and_figures_found_by_name(scenes: ModuleType) -> None:
    card = score(scenes.busy_run())
    names = [v.name for v in (*card.values, *card.host)]
    assert len(names) == len(set(names))
    assert card['success_rate'].unit == '1'
    with pytest.raises(KeyError):
        card['success']


def test_episode_lines_add_up(scenes: ModuleType) -> None:
    card = score(scenes.busy_run())
    assert [e.outcome for e in card.episodes] == [
        'success', 'success', 'success', 'timeout', 'failure', 'abort']
    assert card.episodes[0].seed == 100
    assert (card.episodes[1].time_s, card.episodes[1].steps) == (1.1, 22)
    assert card.episodes[5].solved_at_start
    assert sum(e.slots for e in card.episodes) == card['slots.due'].value
    missed = card['deadline_miss_rate']
    assert sum(e.misses for e in card.episodes) == round((missed.value or 0) * missed.n)


def test_a_metric_of_ones_own_is_computed_after_the_families(scenes: ModuleType) -> None:
    class Count:
        def __init__(self) -> None:
            self.n = 0

        def update(self, record: Record) -> None:
            self.n += 1

        def compute(self) -> tuple[MetricValue, ...]:
            return (MetricValue('records', float(self.n), '1', self.n),)

    records = scenes.busy_run()
    card = score(records, [Count()])
    assert card.values[-1] == MetricValue('records', float(len(records)), '1', len(records))


def test_values_json_cannot_hold_become_null() -> None:
    assert clean({'a': (float('nan'), float('inf'), 1), 2: True}) == {
        'a': [None, None, 1], '2': True}
