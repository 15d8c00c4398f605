"""The page of a run: what stands where, every figure defined, nothing asked for."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
import re
import sys
from types import ModuleType
from typing import Any

import pytest

from wm_eval_ros.errors import MissingExtraError
from wm_eval_ros.records import EventKind, Interval, MetricValue, Verdict
from wm_eval_ros.report import shell
from wm_eval_ros.report.checks import Check
from wm_eval_ros.report.page import BOARD, page, reasons
from wm_eval_ros.report.trace import TraceCollector
from wm_eval_ros.report.viewer import Frame, Frames
from wm_eval_ros.scoring.scorecard import Scorecard
from wm_eval_ros.scoring.scorer import Scorer
from wm_eval_ros.scoring.sweep import assemble, Point

Figures = Callable[[str], dict[str, Any]]

CHECKS = (Check('order', Verdict.PASS, 'fine', 'preflight'),
          Check('success_rate >= 0.9', Verdict.FAIL, 'p99 <b>60</b> ms', 'gate'))
JPEG = b'\xff\xd8\xff\xe0 not a picture'

pytestmark = pytest.mark.usefixtures('without_script')


def scored(records: Sequence[Any]) -> tuple[Scorecard, Any, TraceCollector]:
    scorer, trace = Scorer(), TraceCollector()
    for record in records:
        scorer.update(record)
        trace.update(record)
    return scorer.compute(), scorer.run(), trace


def sweep() -> Any:
    points = [Point(v, float(v), dict.fromkeys(range(10), v < 8), ()) for v in (4, 8)]
    return assemble('planner.horizon', 'reacher', 'lockstep', points)


def test_every_figure_of_a_busy_run_has_its_place(
        scenes: ModuleType, elements: type, figures_of: Figures) -> None:
    card, run, trace = scored(scenes.busy_run())
    text = page(card, run, trace, CHECKS, [card], across=[sweep()])
    places = {'baselines', 'survival', 'episodes', 'latency', 'timeline', 'horizon', 'states',
              'surprise', 'sweep-0'}
    assert set(figures_of(text)) == places
    assert places | {'plane', 'slider', 'play', 'episode'} <= set(elements(text).ids)
    assert all('n = ' in plot['title'] for each in figures_of(text).values()
               for plot in each.values() if 'planner' not in plot['title'])


def test_the_headline_says_how_many_were_solved_with_help(scenes: ModuleType) -> None:
    # three of five were solved, the first of them with a fallback
    assert '3 of 5 episodes succeeded, 1 of them with help <small>' in page(
        *scored(scenes.busy_run()))
    alone = [r for r in scenes.busy_run()
             if getattr(r, 'kind', None) is not EventKind.FALLBACK_ON]
    assert '3 of 5 episodes succeeded <small>' in page(*scored(alone))


def test_the_headline_of_a_dream_says_whose(scenes: ModuleType) -> None:
    card, run, trace = scored(scenes.busy_run())
    dreamed = replace(card, manifest={**card.manifest, 'settings': {
        'plant': {'kind': 'dream', 'model': 'models/<b>'}}})
    text = page(dreamed, run, trace)
    assert '3 of 5 episodes succeeded in the dream of models/&lt;b&gt;, 1 of them with' in text


def test_the_board_leads_with_the_four_figures_and_says_why_one_is_missing(
        scenes: ModuleType) -> None:
    text = page(*scored(scenes.busy_run()), CHECKS)
    board = re.search(r'<dl class="board".*?</dl>', text)
    assert board is not None
    assert text.index('<dl class="board"') < text.index('id="part-checks"')
    assert [name for name in BOARD.values() if f'#def-{name}"' in board[0]] == [
        'success_rate', 'intervention_rate', 'time_to_retrain', 'cost_per_hour']
    assert board[0].count('<div class="figure">–<') == 2
    assert 'takes several runs' in board[0] and 'no prices are declared' in board[0]


def test_every_link_leads_somewhere_on_the_page(scenes: ModuleType, elements: type) -> None:
    card, run, trace = scored(scenes.busy_run())
    found = elements(page(card, run, trace, CHECKS, [card], across=[sweep()]))
    assert len(found.ids) == len(set(found.ids))
    assert {link for link in found.links if link[1:] not in found.ids} == set()
    # each figure of the table, of the board and of the gates is a link to its definition
    assert sum(link.startswith('#def-') for link in found.links) > len(card.values)


def test_the_page_asks_for_nothing_and_allows_only_its_own_scripts(
        scenes: ModuleType, elements: type) -> None:
    text = page(*scored(scenes.busy_run()), CHECKS)
    assert elements(text).loaded == ['data:,']
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    scripts = re.findall(r'<script>(.*?)</script>', text, re.DOTALL)
    want = {f"'sha256-{b64encode(sha256(s.encode()).digest()).decode()}'" for s in scripts}
    assert len(scripts) == 2
    assert want == set(re.findall(r"'sha256-[^']*'", policy[1]))


def test_what_comes_out_of_a_bag_cannot_leave_its_place(scenes: ModuleType) -> None:
    evil = '</script><script>alert(1)</script><img src=x onerror=alert(1)>'
    card, run, trace = scored(scenes.busy_run(
        scenario=evil, planner=evil, model={'latent_names': [evil, 'b']}))
    checks = (Check(evil, Verdict.ERROR, evil), *CHECKS)
    text = page(card, run, trace, checks, [card], Frames(evil, {0: [Frame(0, JPEG)]}, evil))
    assert 'alert(1)</script>' not in text
    assert '<img src=x' not in text
    assert 'p99 &lt;b&gt;60' in text


def test_the_page_of_nothing_says_so(figures_of: Figures) -> None:
    text = page(*scored([]))
    assert 'Success unknown: no episode was decided' in text
    assert figures_of(text) == {}
    assert '<li>latency: no planner call came back</li>' in text
    assert 'id="slider"' not in text


def test_the_verdict_says_what_it_rests_on() -> None:
    gate = Check('plan_latency.p99 &lt;= 50', Verdict.FAIL, 'it is 60', 'gate')
    assert reasons((*CHECKS, gate)) == 'success_rate >= 0.9: p99 <b>60</b> ms, and 1 more'
    broken = Check('crc', Verdict.ERROR, 'three chunks', 'preflight')
    assert reasons((*CHECKS, broken)) == 'the evidence is broken: crc: three chunks'
    assert reasons((Check('a', Verdict.PASS, '', 'gate'),)) == 'all 1 gates and conditions hold'
    assert reasons(()) == 'no check was made'


def test_gates_stand_first_and_the_worst_of_them_leads(scenes: ModuleType) -> None:
    many = [Check(f'topic {n}', Verdict.PASS, 'read', 'preflight') for n in range(9)]
    text = page(*scored(scenes.busy_run()), (*many, *CHECKS))
    assert text.index('<caption>Gates') < text.index('<caption>The bag')
    assert '<summary>10 pass</summary>' in text


def test_a_camera_without_latents_is_shown_all_the_same(
        scenes: ModuleType, elements: type) -> None:
    records = [scenes.info(), scenes.event('START'), scenes.cycle(0), scenes.cycle(1)]
    frames = Frames('/camera/image_raw', {0: [Frame(scenes.ROS, JPEG),
                                              Frame(scenes.ROS + 10**8, JPEG)]}, 'Every 2nd.')
    text = page(*scored(records), frames=frames)
    assert {'frame', 'slider', 'episode'} <= set(elements(text).ids)
    assert '/camera/image_raw' in text and 'Every 2nd.' in text
    assert '"seconds":[0.0,0.1]' in text
    assert 'data:image/jpeg;base64,' + b64encode(JPEG).decode() in text


def test_why_there_is_no_camera_is_said_beside_the_state(scenes: ModuleType) -> None:
    text = page(*scored(scenes.busy_run()), frames=Frames(note='not shown: needs OpenCV'))
    assert 'not shown: needs OpenCV' in text


def test_figures_by_the_step_are_folded_and_counted(scenes: ModuleType) -> None:
    card, run, trace = scored(scenes.busy_run())
    text = page(card, run, trace)
    many = [v for v in card.values if re.search(r'\[h=(?!1\])', v.name)]
    assert text.count('data-folded hidden') == len(many) > 0
    assert f'Show {len(many)} more' in text


def test_shares_are_in_per_cent_and_rates_say_of_what(scenes: ModuleType) -> None:
    card, run, trace = scored(scenes.busy_run())
    values = (MetricValue('success_rate', 0.75, '1', 4, Interval(0.2, 0.99)),
              MetricValue('intervention_rate', 2.0, '1/h', 1, Interval(0.0, 5.0)))
    text = page(Scorecard(card.manifest, {}, values, ()), run, trace)
    assert '3 of 4 episodes succeeded' in text
    assert '<div class="figure">75<span>%</span></div><div class="note">20 to 99\u00a0%' in text
    assert '<div class="figure">2<span>per h</span></div><div class="note">0 to 5 per h' in text


def test_without_plotly_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, 'plotly.offline', None)
        with pytest.raises(MissingExtraError, match=r'wm_eval_ros\[report\]'):
            shell.plotly_script()
