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
