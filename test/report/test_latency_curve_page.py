"""The page of a latency curve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from wm_eval_ros.metrics.base import share
from wm_eval_ros.records import Verdict
from wm_eval_ros.report.latency_curve_page import page
from wm_eval_ros.scoring.board import Board, Bracket, given, hold
from wm_eval_ros.scoring.confirmation import Confirmation
from wm_eval_ros.scoring.curves import change, Success
from wm_eval_ros.scoring.latency_curve import CurvePoint, LatencyCurve, Told
from wm_eval_ros.scoring.sweep import assemble, LATENCY, Point

pytestmark = pytest.mark.usefixtures('without_script')


@pytest.fixture
def curve() -> LatencyCurve:
    points = [Point(x, float(x), dict.fromkeys(range(20), x <= 50), (), f'{x}/bag')
              for x in (0, 50, 75)]
    sweep = assemble(LATENCY, 'reacher', 'lockstep', points, notes=('one <version>',))
    first = Success(0.0, points[0].outcomes)
    rows = tuple(CurvePoint(p, Told(p.value // 50, 1, 12),
                            change(Success(p.x or 0.0, p.outcomes), first), p.value <= 50)
                 for p in sweep.points)
    bracket = Bracket(50.0, 75.0)
    board = Board('<board>/bag', 'decision_latency', 20.0, 18.0, 25.0, 400)
    fits = (hold(board, bracket, 0.8, ('the board ran with less',)),
            hold(given(80.0), bracket, 0.8))
    return LatencyCurve(sweep, 0.8, False, True, 50.0, rows, bracket, fits)


def test_the_verdict_leads_and_each_board_has_its_sentence(
        curve: LatencyCurve, elements: type) -> None:
    text = page(curve)
    head, rest = text.split('<main>')
    assert '<h1>✗ fail <small>success is 0.8 or above up to 50 ms and below at 75 ms' in head
    assert 'one &lt;version&gt;' in head
    assert '&lt;board&gt;/bag' in rest and '<board>' not in rest
    assert '25 ms to spare, 2 times its latency; the board ran with less' in rest
    assert 'it must be 30 ms faster' in rest
    found = elements(text)
    assert {link for link in found.links if link[1:] not in found.ids} == set()


def test_bound_and_boards_are_drawn_with_the_curve(
        curve: LatencyCurve, figures_of: Callable[[str], dict[str, Any]]) -> None:
    figure = figures_of(page(curve))['success']['']
    assert figure['data'][0]['y'] == [1, 1, 0]
    said = {note['text'] for note in figure['layout']['annotations']}
    assert {'bound 0.8', '&lt;board&gt;/bag: p99 20 ms', 'as given: p99 80 ms'} <= said


def test_runs_in_real_time_are_listed_and_drawn(
        curve: LatencyCurve, figures_of: Callable[[str], dict[str, Any]]) -> None:
    own = share('success_rate', 18, 20, '')
    run = Confirmation('<r>/bag', 50.0, True, own, True, own, 50.4, 52.0, Verdict.PASS,
                       'confirmed: <so>')
    text = page(replace(curve, confirmations=(run,)))
    assert '>In real time<' in text and 'confirmed: &lt;so&gt;' in text and '<r>' not in text
    drawn = figures_of(text)['success']['']['data'][1]
    assert (drawn['x'], drawn['y']) == ([50.0], [0.9])
    assert '>In real time<' not in page(curve)


def test_without_a_board_and_untold_there_are_no_columns_for_them(curve: LatencyCurve) -> None:
    text = page(replace(curve, fits=(), compensated=False))
    assert '>Boards<' not in text and '>delay<' not in text
    assert '>delay<' in page(curve)
