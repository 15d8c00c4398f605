"""The pages in a real browser: drawn without a complaint, without a request, without overflow."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from wm_eval_ros.records import Verdict
from wm_eval_ros.report.checks import Check
from wm_eval_ros.report.comparison import page as comparison_page
from wm_eval_ros.report.page import page
from wm_eval_ros.report.sweep_page import page as sweep_page
from wm_eval_ros.report.trace import TraceCollector
from wm_eval_ros.report.viewer import Frame, Frames
from wm_eval_ros.scoring.scorer import Scorer
from wm_eval_ros.scoring.sweep import assemble, Point

pytestmark = pytest.mark.slow
pytest.importorskip('plotly', reason='the pages need plotly')

#: figures with lines, marks or areas in them
COUNT = ('[...document.querySelectorAll(".js-plotly-plot")].filter('
         '(e) => e.querySelector(".cartesianlayer .trace path, .cartesianlayer .trace .point"))'
         '.length')
#: what sticks out to the right, apart from what scrolls in a box of its own
OUTSIDE = """[...document.querySelectorAll('body *')].filter((e) => {
  const box = e.getBoundingClientRect();
  return box.width > 0 && box.right > innerWidth + 1 && !e.closest('pre, svg, .scroll');
}).map((e) => e.tagName + '.' + e.className)"""
#: a picture of one pixel
PNG = b64decode(
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGMQUDAAAACkAGE0Zn1yAAAA'
    'AElFTkSuQmCC')


@pytest.fixture(scope='module')
def run_page(tmp_path_factory: pytest.TempPathFactory, scenes: ModuleType) -> Path:
    """The page of a run with everything in it: baselines, sweeps, perturbations, a camera."""
    scorer, trace = Scorer(), TraceCollector()
    records = scenes.busy_run(model={
        'latent_names': ['tip.pose.position.x', 'tip.pose.position.y'],
        'latent_mean': [0.0, 0.0], 'latent_scale': [1.0, 1.0]})
    for e, (severity, seconds) in enumerate(((1.0, 0.4), (2.0, 0.4), (2.0, 0.5))):
        at = 2000.0 * e + 1000 * seconds
        records += [scenes.event('PERTURB_ON', e, at, 'physical.push', severity),
                    scenes.event('PERTURB_OFF', e, at + 200, 'physical.push', severity)]
    for record in records:
        scorer.update(record)
        trace.update(record)
    card, run = scorer.compute(), scorer.run()
    frames = Frames('/camera', {0: [Frame(scenes.ROS + k * 10**8, PNG) for k in range(5)]})
    points = [Point(v, float(v), dict.fromkeys(range(10), v < 8), ()) for v in (4, 8)]
    sweep = assemble('planner.horizon', 'reacher', 'lockstep', points)
    checks = (Check('plan_latency.p99 <= 50', Verdict.FAIL, '58 ms ' * 20, 'gate'),
              Check('a' * 80, Verdict.PASS, 'a name that does not fit a phone', 'preflight'))
    path = tmp_path_factory.mktemp('page') / 'report.html'
    path.write_text(page(card, run, trace, checks, [card], frames, [sweep]), encoding='utf-8')
    return path


@pytest.mark.parametrize('dark', [False, True], ids=['light', 'dark'])
def test_every_figure_is_drawn_and_nothing_is_asked_for(
        browser: Any, run_page: Path, figures_of: Callable[[str], dict[str, Any]],
        dark: bool) -> None:
    seen = browser.open(run_page, dark=dark)
    places = figures_of(run_page.read_text(encoding='utf-8'))
    # and one more: the same rollouts in the plane
    assert browser.evaluate(COUNT) == len(places) + 1 >= 12
    assert seen.complaints == []
    assert seen.requests == []
    back = browser.evaluate('getComputedStyle(document.body).backgroundColor')
    assert back == ('rgb(16, 19, 24)' if dark else 'rgb(255, 255, 255)')


@pytest.mark.parametrize('width', [390, 768, 1280])
def test_nothing_sticks_out_at_any_width(browser: Any, run_page: Path, width: int) -> None:
    browser.open(run_page, width)
    assert browser.evaluate('document.documentElement.scrollWidth') == width
    assert browser.evaluate(OUTSIDE) == []


def test_the_slider_moves_plan_and_camera(browser: Any, run_page: Path) -> None:
    browser.open(run_page)
    browser.evaluate('document.getElementById("slider").focus()')
    before = browser.evaluate('document.getElementById("slot").textContent')
    plan = ('(() => { const data = document.getElementById("states").data;'
            'return JSON.stringify(data[data.length - 1].x); })()')
    drawn = browser.evaluate(plan)
    for kind in ('rawKeyDown', 'keyUp'):
        browser.call('Input.dispatchKeyEvent', type=kind, key='ArrowRight', code='ArrowRight',
                     windowsVirtualKeyCode=39)
    after = browser.evaluate('document.getElementById("slot").textContent')
    assert before != after and after.startswith('slot ')
    assert browser.evaluate(plan) != drawn
    assert browser.evaluate('document.getElementById("frame").naturalWidth') == 1
    assert 's into episode 0' in browser.evaluate('document.getElementById("frame").alt')


def test_another_episode_is_chosen_from_the_list(browser: Any, run_page: Path) -> None:
    browser.open(run_page)
    title = 'document.getElementById("states-title").textContent'
    first = browser.evaluate('document.getElementById("states").getAttribute("aria-label")')
    browser.evaluate("""(() => { const list = document.getElementById('episode');
        list.selectedIndex = 1; list.dispatchEvent(new Event('change')); })()""")
    assert browser.evaluate(title).startswith('Imagined and actual state')
    assert browser.evaluate('document.getElementById("camera").hidden') is True
    assert browser.evaluate(
        'document.getElementById("states").getAttribute("aria-label")') != first


def test_a_search_opens_what_was_folded_away(browser: Any, run_page: Path) -> None:
    browser.open(run_page)
    shown = '[...document.querySelectorAll("#all tbody tr")].filter((r) => !r.hidden).length'
    few = browser.evaluate(shown)
    browser.evaluate("""(() => { const field = document.getElementById('find');
        field.value = 'prediction_error[h=2]'; field.dispatchEvent(new Event('input')); })()""")
    assert browser.evaluate(shown) == 1
    browser.evaluate("""(() => { const field = document.getElementById('find'); field.value = '';
        field.dispatchEvent(new Event('input'));
        document.getElementById('unfold').click(); })()""")
    assert browser.evaluate(shown) > few


def test_colours_follow_the_system_while_the_page_is_open(browser: Any, run_page: Path) -> None:
    browser.open(run_page)
    line = 'document.getElementById("latency").data[0].line.color'
    light = browser.evaluate(line)
    browser.call('Emulation.setEmulatedMedia', features=[
        {'name': 'prefers-color-scheme', 'value': 'dark'}])
    browser.until('document.documentElement.dataset.drawn === "yes"'
                  f' && {line} !== {light!r}')
    assert browser.evaluate(line) != light


@pytest.mark.parametrize('width', [390, 1280])
def test_a_comparison_is_drawn_too(
        browser: Any, comparison: Callable[..., Any], tmp_path: Path, width: int) -> None:
    path = tmp_path / 'compare.html'
    found = comparison('s' * 60 + 'tf', 't' * 60 + 'sf', 'f' * 62,
                       letters={'A': 'a', 'B': 'b', 'C': 'b'})
    path.write_text(comparison_page(found), encoding='utf-8')
    seen = browser.open(path, width)
    assert browser.evaluate(COUNT) == 3
    assert (seen.complaints, seen.requests) == ([], [])
    assert browser.evaluate('document.documentElement.scrollWidth') == width
    assert browser.evaluate(OUTSIDE) == []


def test_a_sweep_is_drawn_too(browser: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    points = [Point(v, float(v), {n: bool(rng.random() < 0.8) for n in range(20)}, ())
              for v in (1, 10, 100)]
    path = tmp_path / 'sweep.html'
    path.write_text(sweep_page(assemble('planner.latency_ms', 'reacher', 'lockstep', points)),
                    encoding='utf-8')
    seen = browser.open(path, 390)
    assert browser.evaluate(COUNT) == 1
    assert (seen.complaints, seen.requests) == ([], [])
    assert browser.evaluate('document.documentElement.scrollWidth') == 390
