"""The scorecard as a table, JSON lines, JUnit and checks, read by what reads them."""

from __future__ import annotations

from dataclasses import replace
import json
import re
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest

from wm_eval_ros.records import Verdict
from wm_eval_ros.report.checks import Check, evidence, overall
from wm_eval_ros.report.files import junit, results_jsonl
from wm_eval_ros.report.markdown import run_summary
from wm_eval_ros.report.text import table, title
from wm_eval_ros.scoring.scorer import score

CHECKS = (Check('order', Verdict.PASS, 'fine'), Check('gate', Verdict.FAIL, 'p99 <b>60</b> ms'),
          Check('crc', Verdict.ERROR, 'broken\x00'), Check('n', Verdict.INCONCLUSIVE, 'few'))


def test_the_table_holds_every_family_and_its_columns_stand(scenes: ModuleType) -> None:
    text = table(score(scenes.busy_run()))
    for word in ('success_rate', 'deadline_miss_rate', 'plan_latency', 'staleness[/joint_states]',
                 'prediction_ratio[h=1]', 'cpu_time'):
        assert word in text
    assert 'prediction_ratio[h=2]' not in text
    rows = [line for line in text.splitlines() if re.match(r'(plan|decision)_latency ', line)]
    assert len({len(row.split()) for row in rows}) == 1


def test_an_empty_scorecard_prints_reasons() -> None:
    text = table(score([]))
    assert 'no episode was decided' in text
    assert 'without a manifest' in text


def test_results_have_a_line_an_episode_and_a_summary(scenes: ModuleType) -> None:
    card = score(scenes.busy_run())
    lines = [json.loads(line) for line in results_jsonl(card, CHECKS).splitlines()]
    assert [line['kind'] for line in lines] == ['episode'] * 6 + ['summary']
    assert lines[0]['seed'] == 100 and lines[0]['outcome'] == 'success'
    assert lines[-1]['verdict'] == 'error'
    assert lines[-1]['plan_latency.p99'] is None


def test_junit_tells_failure_from_error_from_no_evidence(scenes: ModuleType) -> None:
    suite = ElementTree.fromstring(junit(score(scenes.busy_run()), CHECKS))
    assert {k: suite.get(k) for k in ('tests', 'failures', 'errors', 'skipped')} == {
        'tests': '4', 'failures': '1', 'errors': '1', 'skipped': '1'}
    cases = {case.get('name'): [child.tag for child in case] for case in suite.iter('testcase')}
    assert cases == {'order': ['system-out'], 'gate': ['failure'], 'crc': ['error'],
                     'n': ['skipped']}
    names = [p.get('name') for p in suite.iter('property')]
    assert 'episode[0]' in names and 'success_rate' in names


@pytest.mark.parametrize(('plant', 'says'), [
    pytest.param({'kind': 'dream', 'model': 'models/rssm'}, 'in the dream of models/rssm',
                 id='dream'),
    pytest.param({'kind': 'stimulus'}, 'on the plant stimulus', id='stimulus')])
def test_a_run_that_was_in_no_world_says_so_wherever_its_verdict_stands(
        scenes: ModuleType, plant: dict[str, Any], says: str) -> None:
    scored = score(scenes.busy_run())
    card = replace(scored, manifest={**scored.manifest, 'settings': {'plant': plant}})
    assert says in title(card) and says in table(card).splitlines()[0]
    assert says in run_summary(card, CHECKS).splitlines()[0]
    assert says in (ElementTree.fromstring(junit(card, CHECKS)).get('name') or '')
    assert json.loads(results_jsonl(card, CHECKS).splitlines()[-1])['where'] == says
    usual = replace(scored, manifest={**scored.manifest, 'settings': {'plant': {
        'kind': 'mujoco'}}})
    assert title(usual) == title(scored)


def test_the_worst_verdict_leads() -> None:
    assert overall(CHECKS) == Verdict.ERROR
    assert overall(()) == Verdict.PASS


def test_evidence_names_what_is_missing(scenes: ModuleType) -> None:
    empty = {c.name: c.verdict for c in evidence(score([]))}
    assert set(empty.values()) == {Verdict.INCONCLUSIVE}
    two = [scenes.info(), scenes.info(seed=9)]
    assert evidence(score(two))[0].verdict == Verdict.ERROR
