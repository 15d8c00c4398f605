"""The page of an open-loop evaluation, from the recordings."""

from __future__ import annotations

from functools import lru_cache
from html.parser import HTMLParser
import json
from pathlib import Path
import re
import shutil
import subprocess

import pytest

from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.config.robot_map import load_map
from wm_eval_ros.openloop.evaluate import evaluate
from wm_eval_ros.openloop.figures import DEFINITIONS
from wm_eval_ros.openloop.outcome import OpenLoop
from wm_eval_ros.report.openloop import plots
from wm_eval_ros.report.openloop.page import page

pytest.importorskip('plotly')

BAGS = {'dev_tb3_rasl': 'turtlebot3', 'dev_crazyflie_fly90bag': 'crazyflie'}


@lru_cache
def evaluated(data: Path, name: str) -> OpenLoop:
    with open_bag(data / name) as bag:
        return evaluate(bag, load_map(BAGS[name]))


@lru_cache
def shown(data: Path, name: str) -> str:
    return page(evaluated(data, name), load_map(BAGS[name]), name)


class Ids(HTMLParser):
    """The ids of a page and what its links point to."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for key, value in attrs:
            if key == 'id':
                self.ids.append(value or '')
            if tag == 'a' and key == 'href':
                self.links.append(value or '')


@pytest.mark.parametrize('name', BAGS)
def test_every_link_of_the_page_has_its_target_and_no_id_stands_twice(
    shared_data: Path, name: str,
) -> None:
    found = Ids()
    found.feed(re.sub(r'<script>.*?</script>', '', shown(shared_data, name), flags=re.DOTALL))
    assert len(set(found.ids)) == len(found.ids)
    assert {link[1:] for link in found.links if link.startswith('#')} <= set(found.ids)
    assert not [link for link in found.links if not link.startswith('#')]
    assert {f'def-{family}' for family in DEFINITIONS} <= set(found.ids)


def figures(text: str) -> dict[str, dict[str, dict[str, object]]]:
    found = re.search(r'id="figures">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])  # type: ignore[no-any-return]


def test_the_page_has_ratios_series_alarms_scores_and_lags(shared_data: Path) -> None:
    drawn = figures(shown(shared_data, 'dev_crazyflie_fly90bag'))
    assert set(drawn) == {'ratios', 'lags', 'series', 'lanes', 'scores'}
    assert len(drawn['series']) == 6 and len(drawn['lags']) == 3
    # the stream with the highest alarm is the one that is shown first
    assert next(iter(drawn['scores'])) == 'silence[/vicon/Group466CF/Group466CF/pose]'


def test_the_observed_line_is_broken_and_shaded_where_the_sensor_was_lost(
    shared_data: Path,
) -> None:
    outcome = evaluated(shared_data, 'dev_crazyflie_fly90bag')
    plot = next(iter(plots.series(outcome).values()))
    observed = plot.data[0]
    pairs = list(zip(observed['x'], observed['y'], strict=True))
    assert not [x for x, y in pairs if x is not None and y is not None and 8 < x < 40]
    spans = [(s['x0'], s['x1']) for s in plot.layout['shapes'] if s['type'] == 'rect']
    assert any(x0 < 7.8 and x1 > 40 for x0, x1 in spans)
    assert 'sensor loss' in plot.lead


def test_alarms_are_drawn_from_onset_to_end_and_excursions_apart(shared_data: Path) -> None:
    plot = plots.lanes(evaluated(shared_data, 'dev_crazyflie_fly90bag'))
    alarms, excursions = plot.data
    ends = [(x0, x1) for x0, x1, _ in zip(*[iter(alarms['x'])] * 3, strict=True)]
    assert any(x0 == pytest.approx(7.604, abs=0.01) and x1 == pytest.approx(40.19, abs=0.01)
               for x0, x1 in ends)
    assert 'prediction[/cf_logpos]' in excursions['y'] and 'no alarm' in excursions['name']
    assert 'prediction[/cf_logpos]' not in alarms['y']


def test_the_interval_of_a_ratio_is_drawn_as_its_bar(shared_data: Path) -> None:
    outcome = evaluated(shared_data, 'dev_tb3_rasl')
    plot = plots.ratios(outcome.scores)
    trace = next(t for t in plot.data if t['x'] and t['name'].startswith('0.5 s'))
    score = next(s for s in outcome.scores if s.horizon_s == 0.5)
    assert trace['x'][0] == score.ratio.value and score.ratio.interval is not None
    assert score.ratio.value is not None
    assert trace['error_x']['arrayminus'][0] == pytest.approx(
        score.ratio.value - score.ratio.interval.low, rel=1e-4)
    assert '4 of 4 better' in plot.title


@pytest.mark.parametrize(('names', 'want'), [
    (['odom.twist.twist.linear.x', 'odom.twist.twist.angular.z'], ['linear.x', 'angular.z']),
    (['p.position.x', 'p.position.y'], ['position.x', 'position.y']),
    (['a/b.pose.position.x'], ['position.x']), (['x', 'y'], ['x', 'y']),
    (['j.velocity[a.b]', 'j.velocity[c]'], ['j.velocity[a.b]', 'j.velocity[c]'])])
def test_names_lose_what_all_begin_with(names: list[str], want: list[str]) -> None:
    assert list(plots.shorter(names).values()) == want


def test_what_came_out_of_a_bag_is_escaped(shared_data: Path) -> None:
    robot = load_map('turtlebot3')
    text = page(evaluated(shared_data, 'dev_tb3_rasl'), robot, '<img src=x onerror=alert(1)>')
    assert '<img src=x' not in text and '&lt;img src=x' in text


@pytest.mark.slow
@pytest.mark.parametrize('name', BAGS)
def test_a_browser_draws_every_figure(shared_data: Path, tmp_path: Path, name: str) -> None:
    browser = shutil.which('chromium') or shutil.which('google-chrome')
    if browser is None:
        pytest.skip('no chromium')
    path = tmp_path / 'openloop.html'
    path.write_text(shown(shared_data, name), encoding='utf-8')
    done = subprocess.run(
        [browser, '--headless', '--no-sandbox', '--disable-gpu', '--no-first-run',
         '--disable-background-networking', '--disable-component-update', '--disable-sync',
         f'--user-data-dir={tmp_path / "profile"}', '--virtual-time-budget=30000', '--dump-dom',
         path.as_uri()], capture_output=True, text=True, timeout=240, check=True)
    assert 'data-drawn="yes"' in done.stdout
    assert done.stdout.count('class="plot-container') == 5
    assert done.stdout.count('main-svg') >= 5
