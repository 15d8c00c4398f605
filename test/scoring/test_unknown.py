"""Messages the recorder dropped: what rests on them is unknown, and says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
import random
from types import ModuleType

import pytest

from wm_eval_ros.bag.preflight import preflight, Severity
from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.bag.tally import summary
from wm_eval_ros.cli.reading import read
from wm_eval_ros.config.gate import Against, Gate, GateProfile
from wm_eval_ros.errors import BagError
from wm_eval_ros.records import NO_SEQUENCE, Record, RecorderStatus, Verdict
from wm_eval_ros.report.checks import evidence
from wm_eval_ros.scoring.gates import evaluate
from wm_eval_ros.scoring.scorer import score


def status(dropped: dict[str, int], *, failed: bool = False) -> RecorderStatus:
    counts = tuple(dropped.values())
    return RecorderStatus(
        0, failed, 'disk full' if failed else '', tuple(dropped), (100,) * len(counts),
        tuple(100 - n for n in counts), tuple(100 - n for n in counts), counts,
        (NO_SEQUENCE,) * len(counts))


@pytest.fixture
def run(scenes: ModuleType) -> list[Record]:
    return list(scenes.busy_run())


def test_without_drops_every_figure_is_as_without_statuses(run: list[Record]) -> None:
    told = score([*run, status({'/planner_cycle': 0, '/joint_states': 0})])
    assert told.identity_bytes() == score(run).identity_bytes()
    assert told.to_json() == score(run).to_json()


def test_a_dropped_slot_leaves_success_and_takes_every_figure_of_slots(run: list[Record]) -> None:
    before, card = score(run), score([*run, status({'/robot/planner_cycle': 3})])
    assert card['success_rate'] == before['success_rate']
    for name in ('deadline_miss_rate', 'plan_latency.p95', 'sense_to_act.max'):
        assert before[name].value is not None
        assert card[name].value is None
        assert card[name].interval is None
        assert card[name].why == ('unknown: the recorder dropped 3 messages of '
                                  '/robot/planner_cycle, on which it rests')
    assert card.counts['dropped[/robot/planner_cycle]'] == 3


def test_a_dropped_event_takes_every_figure(run: list[Record]) -> None:
    card = score([*run, status({'/episode_event': 1})])
    assert {v.value for v in (*card.values, *card.host)} == {None}


def test_a_dropped_sample_takes_the_split_of_its_topic_alone(run: list[Record]) -> None:
    before, card = score(run), score([*run, status({'/joint_states': 2})])
    name = 'samples_lost[/joint_states]'
    assert before[name].value is not None
    assert card[name].value is None
    assert card.identity_bytes() == before.identity_bytes()


def test_the_order_of_the_statuses_does_not_matter(run: list[Record]) -> None:
    statuses = [status({'/planner_cycle': n}) for n in (0, 1, 5)]
    cards = []
    for seed in range(3):
        random.Random(seed).shuffle(statuses)
        cards.append(score([*run, *statuses]).to_json())
    assert len(set(cards)) == 1
    assert 'dropped 5 messages' in cards[0]


@pytest.mark.parametrize('against', Against)
def test_no_gate_passes_on_a_figure_with_a_gap(run: list[Record], against: Against) -> None:
    gate = Gate(metric='plan_latency.max', at_most=1e9, against=against)
    scored = score([*run, status({'/planner_cycle': 1})])
    report = evaluate(GateProfile(name='g', gates=(gate,)), replace(
        scored, manifest={**scored.manifest, 'settings': {'plant': {'kind': 'mujoco'}}}))
    assert [result.verdict for result in report.results] == [Verdict.INCONCLUSIVE]


def test_the_checks_of_the_evidence_do_not_pass_what_is_unknown(run: list[Record]) -> None:
    found = {c.name: c.verdict for c in evidence(score([*run, status({'/episode_event': 1})]))}
    assert (found['episodes'], found['slots']) == (Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE)


@pytest.mark.parametrize(('dropped', 'failed', 'kinds', 'verdict'), [
    pytest.param({'/joint_states': 2}, False, [('dropped', Severity.WARNING)], Verdict.PASS,
                 id='payload'),
    pytest.param({'/planner_cycle': 2}, False, [('dropped', Severity.WARNING)], Verdict.PASS,
                 id='slots'),
    pytest.param({'/episode_event': 1}, False, [('dropped', Severity.ERROR)], Verdict.ERROR,
                 id='events-decide-what-happened'),
    pytest.param({'/planner_cycle': 0}, True, [('recorder', Severity.WARNING)], Verdict.PASS,
                 id='gave-up'),
])
def test_preflight_names_what_is_unknown(
    tmp_path: Path, scenes: ModuleType, run: list[Record], dropped: dict[str, int], failed: bool,
    kinds: list[tuple[str, Severity]], verdict: Verdict,
) -> None:
    made = scenes.write_bag(tmp_path / 'bag', [*run, status(dropped, failed=failed)])
    with open_bag(made) as bag:
        found = preflight(bag)
    assert [(f.kind, f.severity) for f in found.findings
            if f.kind in ('dropped', 'recorder')] == kinds
    assert found.verdict is verdict


@pytest.mark.parametrize('folder', [True, False], ids=['folder', 'storage-file-alone'])
def test_what_metadata_yaml_tells_of_a_failed_recording_counts_where_it_is_more(
    tmp_path: Path, scenes: ModuleType, run: list[Record], folder: bool,
) -> None:
    told = status({'/planner_cycle': 2, '/joint_states': 7})
    last = status({'/planner_cycle': 5, '/joint_states': 4}, failed=True)
    made = scenes.write_bag(tmp_path / 'bag', [*run, told], summary(last))
    found = read(made if folder else next(made.glob('*.mcap')))
    assert found.card.counts['dropped[/planner_cycle]'] == 5
    assert found.card.counts['dropped[/joint_states]'] == 7
    assert found.card['plan_latency.p95'].value is None
    checks = {check.name: check for check in found.checks}
    assert checks['recorder'].verdict is Verdict.INCONCLUSIVE
    assert checks['recorder'].text.startswith('the recorder gave up (disk full)')
    assert checks['dropped /planner_cycle'].text.startswith(
        'the recorder dropped 5 of 100 messages and gave up (disk full)')


def test_events_dropped_after_the_last_status_keep_a_bag_from_being_scored(
    tmp_path: Path, scenes: ModuleType, run: list[Record],
) -> None:
    last = status({'/episode_event': 1}, failed=True)
    made = scenes.write_bag(tmp_path / 'bag', run, summary(last))
    with pytest.raises(BagError, match=r'dropped 1 of 100 messages and gave up \(disk full\)'):
        read(made)
    assert read(made, salvage=True).card['success_rate'].value is None


@pytest.mark.parametrize('custom', [
    {}, {'wm_eval_ros.recorder./planner_cycle': 'received=9 written=4 dropped=5'},
    {'wm_eval_ros.recorder': 'state=ok',
     'wm_eval_ros.recorder./planner_cycle': f'received=1 written=1 dropped={"9" * 5000}'}])
def test_a_summary_that_is_none_says_nothing(
    tmp_path: Path, scenes: ModuleType, run: list[Record], custom: dict[str, str],
) -> None:
    plain = read(scenes.write_bag(tmp_path / 'plain', run))
    found = read(scenes.write_bag(tmp_path / 'bag', run, custom))
    assert found.card.to_json() == plain.card.to_json()
    assert found.checks[1:] == plain.checks[1:]
