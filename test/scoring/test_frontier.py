"""What success costs: the settings that no other beats, and the cheapest that suffices."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
import pytest

from wm_eval_ros.records import MetricValue
from wm_eval_ros.scoring.frontier import compute_at_bound, efficient, Spent
from wm_eval_ros.scoring.sweep import assemble, Point, sweep_from_json

POINTS = st.lists(st.tuples(st.integers(0, 5).map(float), st.integers(0, 5).map(float)),
                  min_size=1, max_size=12)


@pytest.mark.parametrize(('points', 'want'), [
    ([(1, 0.5), (2, 0.9), (3, 0.9), (4, 1.0)], (True, True, False, True)),
    ([(4, 1.0), (1, 1.0)], (False, True)),
    ([(2, 0.5), (2, 0.9)], (False, True)),
    ([(2, 0.5), (2, 0.5)], (True, True)),
    ([], ()),
])
def test_a_point_is_efficient_where_no_other_costs_no_more_and_succeeds_as_often(
        points: list[tuple[float, float]], want: tuple[bool, ...]) -> None:
    assert efficient(points) == want


@given(POINTS)
def test_every_other_point_is_beaten_by_an_efficient_one(
        points: list[tuple[float, float]]) -> None:
    found = efficient(points)
    best = [p for p, yes in zip(points, found, strict=True) if yes]
    assert best
    for p, yes in zip(points, found, strict=True):
        assert yes == (p in best)
        assert any(q[0] <= p[0] and q[1] >= p[1] for q in best)


def test_the_cheapest_that_suffices_has_an_interval_of_what_the_episodes_leave_possible() -> None:
    # three at once, 1.67 % each: of 200 all have a lower limit of .976, of 20 one of .787;
    # 14 of 20 has an upper one of .899, 50 of 200 one of .33
    found = compute_at_bound([Spent(1.0, 50, 200), Spent(2.0, 14, 20), Spent(4.0, 200, 200)], 0.8)
    assert (found.value, found.n) == (4.0, 20)
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == (2.0, 4.0)
    open_ended = compute_at_bound([Spent(1.0, 0, 20), Spent(2.0, 20, 20), Spent(3.0, 20, 20)], 0.8)
    assert open_ended.value == 2.0
    assert open_ended.interval is not None
    assert open_ended.interval.high == float('inf')
    none = compute_at_bound([Spent(1.0, 3, 20)], 0.8)
    assert (none.value, none.why) == (None, 'success is below 0.8 at every setting tried')
    assert compute_at_bound([], 0.8).value is None


def cpu(ms: float | None) -> MetricValue:
    return MetricValue('cpu_time.mean', ms, 'ms', 99, why='' if ms else 'no CPU time')


def test_a_grid_is_in_order_knows_its_frontier_and_reads_back_to_the_same_bytes() -> None:
    spent = {(64, 8): (9.0, 10), (16, 20): (6.0, 20), (16, 8): (3.0, 10), (64, 20): (None, 20)}
    points = [Point(list(value), None, {s: s < won for s in range(20)}, (), 'bag', None, (),
                    cpu(ms)) for value, (ms, won) in spent.items()]
    points.append(Point([128, 8], None, {}, (), 'bag', None, (), cpu(1.0)))
    sweep = assemble('planner.samples,planner.horizon', 's', 'lockstep', points)
    assert [(p.text, yes) for p, yes in zip(sweep.points, sweep.frontier, strict=True)] == [
        ('16, 8', True), ('16, 20', True), ('64, 8', False), ('64, 20', None), ('128, 8', None)]
    assert [(v.name, v.value) for v in sweep.figures] == [('compute_at_bound', 6.0)]
    text = sweep.to_json()
    data = json.loads(text)
    assert [p['efficient'] for p in data['points']] == [True, True, False, None, None]
    assert sweep_from_json(data).to_json() == text


def test_a_sweep_that_costs_the_same_at_every_point_has_no_frontier() -> None:
    sweep = assemble('planner.latency_ms', 's', 'lockstep',
                     [Point(x, float(x), {0: True}, ()) for x in (1, 2)])
    assert sweep.frontier == (None, None)
    assert '"efficient"' not in sweep.to_json() and '"cpu"' not in sweep.to_json()
