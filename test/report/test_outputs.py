"""Every output of a scorecard, checked by what reads it."""

from __future__ import annotations

from html.parser import HTMLParser
import json
import re
import sys
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from wm_eval_ros.errors import MissingExtraError
from wm_eval_ros.records import Verdict
from wm_eval_ros.report import page as page_module
from wm_eval_ros.report.checks import Check, evidence, overall
from wm_eval_ros.report.figures import ecdf, MAX_POINTS
from wm_eval_ros.report.files import junit, results_jsonl
from wm_eval_ros.report.page import page
from wm_eval_ros.report.text import table
from wm_eval_ros.report.trace import TraceCollector
from wm_eval_ros.scoring.scorer import Scorer

CHECKS = (Check('order', Verdict.PASS, 'fine'), Check('gate', Verdict.FAIL, 'p99 <b>60</b> ms'),
          Check('crc', Verdict.ERROR, 'broken\x00'), Check('n', Verdict.INCONCLUSIVE, 'few'))


def scored(scenes: ModuleType, records: list[Any]) -> tuple[Any, Any, TraceCollector]:
    scorer, trace = Scorer(), TraceCollector()
    for record in records:
        scorer.update(record)
        trace.update(record)
    return scorer.compute(), scorer.run(), trace


@pytest.fixture
def without_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, 'plotly_script', lambda: 'window.Plotly = null;')


def test_the_table_holds_every_family_and_its_columns_stand(scenes: ModuleType) -> None:
    text = table(scored(scenes, scenes.busy_run())[0])
    for word in ('success_rate', 'deadline_miss_rate', 'plan_latency', 'staleness[/joint_states]',
                 'prediction_ratio[h=1]', 'cpu_time'):
        assert word in text
    assert 'prediction_ratio[h=2]' not in text
    rows = [line for line in text.splitlines() if re.match(r'(plan|decision)_latency ', line)]
    assert len({len(row.split()) for row in rows}) == 1


def test_an_empty_scorecard_prints_reasons(scenes: ModuleType) -> None:
    text = table(scored(scenes, [])[0])
    assert 'no episode was decided' in text
    assert 'without a manifest' in text


def test_results_have_a_line_an_episode_and_a_summary(scenes: ModuleType) -> None:
    card = scored(scenes, scenes.busy_run())[0]
    lines = [json.loads(line) for line in results_jsonl(card, CHECKS).splitlines()]
    assert [line['kind'] for line in lines] == ['episode'] * 6 + ['summary']
    assert lines[0]['seed'] == 100 and lines[0]['outcome'] == 'success'
    assert lines[-1]['verdict'] == 'error'
    assert lines[-1]['plan_latency.p99'] is None


def test_junit_tells_failure_from_error_from_no_evidence(scenes: ModuleType) -> None:
    suite = ElementTree.fromstring(junit(scored(scenes, scenes.busy_run())[0], CHECKS))
    assert {k: suite.get(k) for k in ('tests', 'failures', 'errors', 'skipped')} == {
        'tests': '4', 'failures': '1', 'errors': '1', 'skipped': '1'}
    cases = {case.get('name'): [child.tag for child in case] for case in suite.iter('testcase')}
    assert cases == {'order': ['system-out'], 'gate': ['failure'], 'crc': ['error'],
                     'n': ['skipped']}
    names = [p.get('name') for p in suite.iter('property')]
    assert 'episode[0]' in names and 'success_rate' in names


def test_the_worst_verdict_leads() -> None:
    assert overall(CHECKS) == Verdict.ERROR
    assert overall(()) == Verdict.PASS


def test_evidence_names_what_is_missing(scenes: ModuleType) -> None:
    empty = {c.name: c.verdict for c in evidence(scored(scenes, [])[0])}
    assert set(empty.values()) == {Verdict.INCONCLUSIVE}
    two = [scenes.info(), scenes.info(seed=9)]
    assert evidence(scored(scenes, two)[0])[0].verdict == Verdict.ERROR


class Elements(HTMLParser):
    """Collects ids, links and text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids.add(found.get('id') or '')
        self.outside += [v or '' for k, v in attrs if k in ('src', 'href')]


@pytest.mark.usefixtures('without_script')
def test_the_page_draws_every_figure_and_needs_no_network(scenes: ModuleType) -> None:
    card, run, trace = scored(scenes, scenes.busy_run())
    text = page(card, run, trace, CHECKS, [card])
    found = Elements()
    found.feed(text)
    places = {'baselines', 'episodes', 'latency', 'timeline', 'states', 'errors'}
    assert places <= found.ids
    assert found.outside == []
    data = re.search(r'id="figures">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    figures = json.loads(data[1])
    assert set(figures) == places
    latency = figures['latency']['']['layout']
    assert latency['shapes'][0]['x0'] == 50 and 'n = ' in latency['title']['text']
    assert latency['xaxis']['title']['text'].endswith('[ms]')
    first = next(iter(figures['states'].values()))
    assert first['layout']['annotations'][0]['text'] == 'elbow [rad]'
    assert 'p99 &lt;b&gt;60' in text


@pytest.mark.usefixtures('without_script')
def test_the_page_of_nothing_says_so(scenes: ModuleType) -> None:
    text = page(*scored(scenes, []))
    assert 'Success unknown: no episode was decided' in text
    assert json.loads(re.findall(r'id="figures">(.*?)</script>', text)[0]) == {}


@pytest.mark.usefixtures('without_script')
def test_names_from_a_bag_cannot_leave_their_place(scenes: ModuleType) -> None:
    evil = '</script><script>alert(1)</script>'
    text = page(*scored(scenes, scenes.busy_run(
        scenario=evil, planner=evil, model={'latent_names': [evil, 'b']})), CHECKS)
    assert 'alert(1)</script>' not in text


def test_without_plotly_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'plotly.offline', None)
    with pytest.raises(MissingExtraError, match=r'wm_eval_ros\[report\]'):
        page_module.plotly_script()


def test_observed_and_predicted_line_up(scenes: ModuleType) -> None:
    trace = TraceCollector()
    for slot in (2, 0, 1, 4):
        trace.update(scenes.cycle(slot, latent=[slot, 0], rollout=[[slot + 1, 9]]))
    found = trace.episodes()[0]
    assert found.observed[:, 0].tolist() == [0, 1, 2, 4]
    assert np.isnan(found.predicted[[0, 3], 0]).all()
    assert found.predicted[1:3, 0].tolist() == [1, 2]


def test_an_ecdf_of_many_keeps_its_tail() -> None:
    x, y = ecdf(np.arange(100_000.0))
    assert len(x) <= MAX_POINTS
    assert x[-100:] == list(range(99_900, 100_000))
    assert y[-1] == 1.0
