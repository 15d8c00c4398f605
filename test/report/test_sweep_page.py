"""The page of a sweep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from wm_eval_ros.records import Interval, MetricValue
from wm_eval_ros.report.sweep_page import page
from wm_eval_ros.scoring.sweep import assemble, Point, Sweep

pytestmark = pytest.mark.usefixtures('without_script')


def sweep(key: str = 'planner.latency_ms') -> Sweep:
    late = {0: 0.0, 20: 0.1, 80: 0.6}
    points = [Point(v, float(v), dict.fromkeys(range(20), v < 50), (
        MetricValue('deadline_miss_rate', miss, '1', 99, Interval(miss / 2, 1.0)),), f'{v}/bag')
        for v, miss in late.items()]
    return assemble(key, 'reacher', 'lockstep', points, notes=('one <version>',))


def test_what_is_read_off_the_curve_leads(elements: type) -> None:
    text = page(sweep())
    head = text[:text.index('<main>')]
    assert '<h1>latency_at_bound: 80 ms' in head
    assert 'latency_robustness' in head and 'one &lt;version&gt;' in head
    found = elements(text)
    assert {link for link in found.links if link[1:] not in found.ids} == set()


def test_success_and_what_stands_beside_it_are_drawn_over_the_values(
        figures_of: Callable[[str], dict[str, Any]]) -> None:
    text = page(sweep())
    plots = figures_of(text)
    assert plots['success']['']['data'][0]['y'] == [1, 1, 0]
    beside = next(p[''] for place, p in plots.items() if place != 'success')
    assert beside['title'] == 'deadline_miss_rate, n = 3 points'
    assert beside['data'][0]['y'] == [0.0, 0.1, 0.6]
    assert len(plots) == 2, 'a figure no point has is not drawn'
    assert '80/bag' in text


def test_a_setting_without_a_reading_leads_with_success() -> None:
    assert '<h1>planner.samples: 3 values</h1>' in page(sweep('planner.samples'))


def test_success_is_drawn_against_computing_time_with_what_nothing_beats(
        elements: type, figures_of: Callable[[str], dict[str, Any]]) -> None:
    points = [Point([samples, 8], None, {s: s < won for s in range(20)}, (), f'{samples}/bag',
                    None, (), MetricValue('cpu_time.mean', ms, 'ms', 99, Interval(ms - 1, ms + 1)))
              for samples, ms, won in ((64, 9.0, 10), (16, 3.0, 10), (32, 6.0, 20))]
    text = page(assemble('planner.samples,planner.horizon', 'reacher', 'lockstep', points))
    figure = figures_of(text)['frontier']['']
    assert [(t['name'], t['x'], t['y']) for t in figure['data']] == [
        ('efficient', [3.0, 6.0], [0.5, 1.0]), ('others', [9.0], [0.5])]
    assert figure['data'][0]['error_x']['array'] == [1.0, 1.0]
    assert figure['title'] == 'Success against computing time, n = 3 settings'
    assert figures_of(text)['success']['']['data'][0]['x'] == ['16, 8', '32, 8', '64, 8']
    assert '<b>32, 8</b>' in text and '<h1>compute_at_bound: 6 ms' in text
    found = elements(text)
    assert {link for link in found.links if link[1:] not in found.ids} == set()
