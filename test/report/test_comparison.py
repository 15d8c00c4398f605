"""The page and the Markdown of a comparison."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import re
from typing import Any

import numpy as np
import pytest

from wm_eval_ros.records import Interval, MetricValue, Verdict
from wm_eval_ros.report.comparison import page
from wm_eval_ros.report.forest import difference_range, difference_text, drawing
from wm_eval_ros.report.markdown import comparison_summary
from wm_eval_ros.scoring.compare import Comparison
from wm_eval_ros.scoring.evidence import EpisodeEvidence, Evidence

Make = Callable[..., Comparison]
Figures = Callable[[str], dict[str, Any]]
GOLDEN = Path(__file__).parent / 'golden'

pytestmark = pytest.mark.usefixtures('without_script')


def evidence(comparison: Comparison) -> list[Evidence]:
    return [Evidence(side.manifest, side.run_ids, (), tuple(
        EpisodeEvidence(e, samples={'plan_latency': np.arange(10.0) + at})
        for e in side.episodes)) for at, side in enumerate(comparison.sides)]


def test_the_effect_leads_with_its_interval_and_the_verdict(comparison: Make) -> None:
    text = page(comparison('ssst', 'sttf'))
    head = text[:text.index('<main>')]
    assert 'A − B in success: +50 points <small>+10 to +90 points (95\u00a0%)</small>' in head
    assert 'class="tag pass"' in head and 'A is better: 3 of 4 against 1 of 4' in head
    assert 'A · planner A' in head and 'B · planner B' in head


def test_who_solved_which_seed_is_one_column_each(comparison: Make) -> None:
    text = page(comparison('ssst', 'sttf'))
    columns = re.findall(r'title="(seed \d+: [^"]*)"', text)
    assert columns == ['seed 100: A success, B success', 'seed 101: A success, B timeout',
                       'seed 102: A success, B timeout', 'seed 103: A timeout, B failure']
    row = re.search(r'<td>A and B</td>(.*?)</tr>', text)
    assert row is not None
    assert re.findall(r'data-label="([^"]*)">(\d+)', row[1]) == [
        ('both solved', '1'), ('only the first', '2'), ('only the second', '0'), ('neither', '1')]


def test_two_sides_have_latencies_and_evidence_but_no_letters(
        comparison: Make, figures_of: Figures) -> None:
    found = comparison('ssst', 'sttf')
    plots = figures_of(page(found, evidence(found)))
    assert set(plots) == {'success', 'latency', 'path'}
    assert plots['latency']['']['title'] == 'Plan latency, n = A 40, B 40 calls'
    assert plots['latency']['']['layout']['shapes'][0]['x0'] == 50
    path = plots['path']['A and B']
    assert path['data'][0]['y'] == [1, 2, 4, 8]
    assert path['layout']['shapes'][0]['y0'] == 20, 'one over alpha decides'
    assert path['title'].endswith('n = 4 pairs')


def test_scorecards_alone_have_no_samples_to_draw(comparison: Make, figures_of: Figures) -> None:
    assert 'latency' not in figures_of(page(comparison('ssst', 'sttf')))


def test_several_sides_have_letters_and_every_contrast(
        comparison: Make, figures_of: Figures, elements: type) -> None:
    found = comparison('ssss', 'ssst', 'tttt', letters={'A': 'a', 'B': 'a', 'C': 'b'},
                       verdict=Verdict.INCONCLUSIVE)
    text = page(found)
    plots = figures_of(text)
    assert plots['success']['']['data'][0]['y'] == [
        'C: planner C [b]', 'B: planner B [a]', 'A: planner A [a]']
    assert [t['y'][0] for t in plots['differences']['']['data']] == ['B − C', 'A − C', 'A − B']
    assert set(plots['path']) == {'A and B', 'A and C', 'B and C'}
    assert len(re.findall(r'<h2>. against .</h2>', text)) == 3
    page_elements = elements(text)
    assert {link for link in page_elements.links if link[1:] not in page_elements.ids} == set()
    assert page_elements.loaded == ['data:,']


def value(at: float | None, low: float = 0.0, high: float = 0.0, unit: str = 'ms',
          name: str = 'plan_latency.p95') -> MetricValue:
    interval = Interval(low, high) if at is not None else None
    return MetricValue(name, at, unit, 4, interval, '' if at is not None else 'none recorded')


@pytest.mark.parametrize(('found', 'text', 'ends'), [
    pytest.param(value(0.3, 0.1, 0.5, '1', 'success_rate'), '+30 points',
                 '+10 to +50 points (95 %)', id='shares-differ-by-points'),
    pytest.param(value(-2.5, -4, 1), '−2.5 ms', '−4 to +1 ms (95 %)', id='times-in-their-unit'),
    pytest.param(value(0.1, 0.0, float('inf'), '1', 'prediction_ratio[h=1]'), '+0.1',
                 '0 to +∞ (95 %)', id='ratios-have-none'),
    pytest.param(value(None), '–', 'none recorded', id='no-evidence-says-why')])
def test_a_difference_has_its_sign_and_its_unit(found: MetricValue, text: str, ends: str) -> None:
    assert difference_text(found) == text
    assert difference_range(found) == ends


def test_to_the_right_the_first_side_is_better_whatever_the_figure(comparison: Make) -> None:
    success, slow = comparison('ssst', 'sttf').contrasts[0].success, comparison(
        'ssst', 'sttf').contrasts[0].others[0]
    places = re.compile(r'<line x1="(-?[\d.]+)" x2="(-?[\d.]+)" y1="0" y2="0" stroke="var\(--acc')
    right, left = places.search(drawing(success)), places.search(drawing(slow))
    assert right is not None and left is not None
    assert float(right[1]) > 0 and float(right[2]) > 0
    # ten milliseconds slower, by how much more at most is not known: it runs to the edge
    assert float(left[1]) == -100 and float(left[2]) < 0
    assert drawing(comparison('ssst', 'sttf').contrasts[0].others[1]) == ''


def test_markdown_of_two_sides_is_the_golden_one(comparison: Make) -> None:
    text = comparison_summary(comparison('ssst', 'sttf'))
    assert text == (GOLDEN / 'compare.md').read_text(encoding='utf-8')


def test_markdown_of_several_sides_is_about_success_alone(comparison: Make) -> None:
    text = comparison_summary(comparison('ssss', 'ssst', 'tttt',
                                         letters={'A': 'a', 'B': 'a', 'C': 'b'}))
    assert text.count('| `success_rate` |') == 3
    assert 'plan_latency' not in text
    assert '| C | planner C | 0 % | 4 |' in text and text.count('| b |') == 1
