"""How much latency a task bears, and whether a board stays within it."""

from __future__ import annotations

from collections.abc import Callable
import json
from types import ModuleType
from typing import Any

import pytest

from wm_eval_ros.errors import BagError
from wm_eval_ros.records import Verdict
from wm_eval_ros.scoring.board import Board, board_of, Bracket, differences, given, hold
from wm_eval_ros.scoring.curves import Success
from wm_eval_ros.scoring.latency_curve import bracket_of, make_curve, Told, told
from wm_eval_ros.scoring.scorecard import Scorecard
from wm_eval_ros.scoring.scorer import score

Maker = Callable[..., Scorecard]


def curve(*points: tuple[float, int], n: int = 20) -> list[Success]:
    """Make points of a latency and so many of n starts that are solved."""
    return [Success(x, {s: s < won for s in range(n)}) for x, won in points]


@pytest.mark.parametrize(('latency', 'want'), [
    pytest.param(0.0, Told(0, 1, 12), id='none'),
    pytest.param(37.5, Told(0, 1, 12), id='within-the-period-is-for-the-model-to-know'),
    pytest.param(50.0, Told(1, 1, 12), id='just-a-period-still-decides-in-every-slot'),
    pytest.param(50.1, Told(1, 2, 12), id='a-little-more-decides-in-every-second'),
    pytest.param(100.0, Told(2, 2, 12), id='two'),
    pytest.param(250.0, Told(5, 5, 15), id='the-horizon-is-rounded-up'),
])
def test_the_planner_is_told_whole_periods_and_how_often_it_decides(
        latency: float, want: Told) -> None:
    assert told(latency, 50.0, 12) == want


def test_dead_time_and_a_larger_repeat_of_the_scenario_stay() -> None:
    assert told(50.0, 50.0, 12, repeat=4, dead=2) == Told(3, 4, 12)


@pytest.mark.parametrize(('strict', 'points', 'want'), [
    pytest.param(False, [(0, 20), (50, 16), (75, 15), (100, 0)], (50, 75), id='at-the-bound'),
    pytest.param(False, [(0, 20), (50, 15), (75, 20), (100, 0)], (0, 50), id='never-below-before'),
    pytest.param(False, [(0, 20), (50, 20)], (50, None), id='nowhere-lost'),
    pytest.param(False, [(0, 10), (50, 20)], (None, 0), id='not-even-the-smallest'),
    # 20 of 20 has a lower limit of .832, 19 one of .751; 11 an upper one of .769, 12 of .809
    pytest.param(True, [(0, 20), (50, 19), (75, 12), (100, 11)], (0, 100), id='shown'),
    pytest.param(True, [(0, 20), (50, 11), (75, 12), (100, 11)], (0, 100), id='from-the-top'),
    pytest.param(True, [(0, 19), (50, 20)], (None, None), id='nothing-is-shown'),
])
def test_the_bracket_is_of_the_largest_that_holds_and_the_next_that_does_not(
        strict: bool, points: list[tuple[float, int]], want: tuple[float | None, float | None],
) -> None:
    assert bracket_of(curve(*points), 0.8, strict=strict) == want


def test_a_latency_without_a_decided_episode_holds_nothing_and_loses_nothing() -> None:
    points = [*curve((0, 20)), Success(25, {}), *curve((50, 20), (75, 0))]
    assert bracket_of(points, 0.8, strict=False) == (0, 75)
    assert bracket_of(points, 0.8, strict=True) == (0, 75)


def board(p99: float | None, low: float | None, high: float | None, why: str = '') -> Board:
    return Board('b', 'decision_latency', p99, low, high, 400, why)


TRIED = Bracket(50.0, 75.0)


@pytest.mark.parametrize(('of', 'bracket', 'verdict', 'margin', 'says'), [
    pytest.param(board(20, 18, 25), TRIED, 'pass', 25, '25 ms to spare, 2 times its latency',
                 id='the-upper-limit-counts'),
    pytest.param(board(40, 38, 50), TRIED, 'pass', 0, '0 ms to spare', id='on-the-line'),
    pytest.param(board(48, 45, 51), TRIED, 'inconclusive', 2, 'record more on the board',
                 id='its-limit-reaches-into-the-bracket'),
    pytest.param(board(100, 90, 120), TRIED, 'fail', -40,
                 'it must be 40 ms faster, 1.8 times as fast', id='too-slow-by-its-lower-limit'),
    pytest.param(board(75, 75, 80), TRIED, 'fail', -25, 'below 0.8 at 75 ms', id='where-it-fails'),
    pytest.param(board(60, 55, 65), TRIED, 'inconclusive', -10, 'try latencies between',
                 id='in-the-bracket'),
    pytest.param(board(30, None, None, 'n = 400 slots are worth 80'), TRIED, 'inconclusive', 20,
                 'too few samples: n = 400 slots are worth 80', id='no-limit'),
    pytest.param(board(None, None, None, 'n too small: needs n >= 299, has 40'), TRIED,
                 'inconclusive', None, 'needs n >= 299', id='no-quantile'),
    pytest.param(board(None, 80, None, 'n too small'), TRIED, 'fail', -30, 'at least 80 ms',
                 id='too-few-but-the-median-is-too-slow'),
    pytest.param(board(90, 85, 95), Bracket(50, None), 'inconclusive', -40, 'try larger ones',
                 id='beyond-what-was-tried'),
    pytest.param(board(5, 4, 6), Bracket(None, 0), 'fail', None, 'below 0.8 at 0 ms',
                 id='no-latency-holds'),
    pytest.param(board(5, 4, 6), Bracket(None, 20), 'inconclusive', None, 'below 20 ms',
                 id='below-what-was-tried'),
    pytest.param(given(0.0), TRIED, 'pass', 50, '50 ms to spare', id='no-latency-has-no-ratio'),
])
def test_a_board_is_judged_by_the_limit_that_speaks_against_it(
        of: Board, bracket: Bracket, verdict: str, margin: float | None, says: str) -> None:
    found = hold(of, bracket, 0.8)
    assert (str(found.verdict), found.margin_ms) == (verdict, margin)
    assert says in found.sentence


@pytest.fixture
def card(scenes: ModuleType) -> Maker:
    """Make the scorecard of a run in which the first `won` of 20 starts are solved."""

    def make(won: int, clock: str = 'lockstep', took_ms: float = 10.0, slots: int = 1,
             sha: str = 'ab', **planner: Any) -> Scorecard:
        settings = {'planner': {'horizon': 12, 'period_ms': 50.0, 'delay_steps': 0,
                                'action_repeat': 1, **planner}, 'plant': {'task': 'reacher'}}
        records = [scenes.info(clock=clock, settings=settings,
                               model={'name': 'reacher', 'sha256': sha})]
        for e in range(20):
            records += [scenes.event('START', e, 50 * slots * e, '', 100 + e),
                        *(scenes.cycle(slots * e + k, episode=e, took_ms=took_ms + 0.01 * k)
                          for k in range(slots)),
                        scenes.event('SUCCESS' if e < won else 'TIMEOUT', e,
                                     50 * slots * (e + 1) - 1, '', 0.9)]
        return score(records)

    return make


def test_the_curve_has_success_what_it_lost_and_the_bracket(card: Maker) -> None:
    found = make_curve([('b', card(10, latency_ms=75.0)), ('a', card(20, latency_ms=0.0)),
                        ('c', card(19, latency_ms=50.0))])
    assert [(p.latency_ms, p.point.success.value, p.holds) for p in found.points] == [
        (0, 1.0, True), (50, 0.95, True), (75, 0.5, False)]
    assert [p.change.value for p in found.points] == [None, pytest.approx(-0.05), -0.5]
    assert found.points[2].change.interval is not None
    assert found.points[2].change.interval.method == 'Tango, pairs of one seed'
    assert (found.bracket, found.verdict) == ((50, 75), Verdict.PASS)
    assert found.sentence == 'success is 0.8 or above up to 50 ms and below at 75 ms'
    # 19 of 20: the lower limit of Clopper and Pearson is 0.751
    assert '0.751 possible' in found.notes[0]
    strict = make_curve([('a', card(20, latency_ms=0.0)), ('c', card(19, latency_ms=50.0))],
                        strict=True)
    assert (strict.bracket, strict.points[1].holds) == ((0, None), None)


def test_settings_that_tell_the_planner_may_follow_the_latency_and_no_other(card: Maker) -> None:
    first = ('a', card(20, latency_ms=0.0))
    second = card(20, latency_ms=150.0, delay_steps=3, action_repeat=5, horizon=15)
    found = make_curve([first, ('b', second)])
    assert found.compensated
    assert found.points[1].told == Told(3, 5, 15)
    with pytest.raises(BagError, match=r'planner\.samples also'):
        make_curve([first, ('b', card(20, latency_ms=150.0, samples=8))])


def test_the_same_runs_give_the_same_bytes_in_any_order(card: Maker) -> None:
    cards = [(str(x), card(20 - x // 5, latency_ms=float(x))) for x in (0, 25, 50, 75)]
    text = make_curve(cards).to_json()
    assert make_curve(cards[::-1]).to_json() == text
    data = json.loads(text)
    # 15 of 20 at 25 ms
    assert (data['held_ms'], data['lost_ms'], data['schema_version']) == (0.0, 25.0, 1)


@pytest.mark.parametrize(('changes', 'says'), [
    ({'clock': 'realtime', 'latency_ms': 5.0}, 'its clock is realtime'),
    ({'latency_ms': -1.0}, 'no latency was declared'),
    ({}, 'no latency was declared'),
    ({'latency_ms': 5.0, 'latency_trace': 'x'}, 'no latency was declared'),
])
def test_runs_without_a_declared_latency_are_refused(
        card: Maker, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(BagError, match=says):
        make_curve([('a', card(20, **changes))])


def test_a_board_is_read_off_its_bag_with_its_limits(card: Maker) -> None:
    # 20 episodes of 20 slots, all alike: plan of 10 to 10.19 ms, published 1 ms after it
    found = board_of(card(20, clock='realtime', slots=20), 'bag')
    assert found.n == 400
    assert found.p99_ms is not None and 11 < found.p99_ms < 11.5
    assert found.high_ms is not None and found.high_ms >= found.p99_ms
    few = board_of(card(20, clock='realtime', slots=3), 'bag')
    # 60 slots: none for the 99 % quantile, and the 95 % quantile bounds it from below
    assert (few.p99_ms, few.high_ms) == (None, None)
    assert few.low_ms is not None and 11 <= few.low_ms < 11.1
    assert 'needs n >= 299, has 60' in few.why


def test_a_timed_link_is_read_off_by_the_topic_that_is_slowest(scenes: ModuleType) -> None:
    card = score(scenes.link_run())
    known = {v.name: v.value for v in (*card.values, *card.host)}
    tops = [name for name in known if name.startswith('round_trip[') and name.endswith('.p99')]
    assert tops
    found = board_of(card, 'bag', 'round_trip')
    assert f'{found.figure}.p99' in tops
    assert found.low_ms == pytest.approx(8.0)


def test_a_bag_that_is_of_no_board_is_refused(card: Maker) -> None:
    with pytest.raises(BagError, match='its clock is lockstep'):
        board_of(card(20), 'bag')
    with pytest.raises(BagError, match='no round_trip in it'):
        board_of(card(20, clock='realtime'), 'bag', 'round_trip')


def test_another_model_is_refused_and_other_settings_are_told(card: Maker) -> None:
    ours = card(20, latency_ms=0.0, samples=64)
    theirs = card(20, clock='realtime', latency_ms=-1.0, samples=16, action_repeat=2)
    assert differences(theirs, ours, 'b', following=False) == (
        'the board ran with planner.samples = 16, the curve with 64',
        'the board ran with planner.action_repeat = 2, the curve with 1')
    assert differences(theirs, ours, 'b', following=True) == (
        'the board ran with planner.samples = 16, the curve with 64',)
    with pytest.raises(BagError, match='reacher cd ran on it, the curve is of reacher ab'):
        differences(card(20, clock='realtime', sha='cd'), ours, 'b', following=False)
