"""Markdown of a run: verdict, gates, key figures."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, strategies

from wm_eval_ros.records import Interval, MetricValue, Verdict
from wm_eval_ros.report.checks import Check
from wm_eval_ros.report.markdown import code, escaped, run_summary
from wm_eval_ros.scoring.scorecard import Scorecard

GOLDEN = Path(__file__).parent / 'golden'
MANIFEST = {'scenario': 'reacher', 'task': 'reacher', 'planner': 'cem', 'clock': 'lockstep',
            'seed': 7}


def card(planner: str = 'cem', rate: float = 0.75) -> Scorecard:
    values = (
        MetricValue('success_rate', rate, '1', 20, Interval(rate - 0.25, min(1, rate + 0.2))),
        MetricValue('deadline_miss_rate', 0.01, '1', 900, Interval(0.004, 0.02)),
        MetricValue('plan_latency.p99', 31.25, 'ms', 900, Interval(30.0, 33.0, 0.9)),
        MetricValue('intervention_rate', 0.0, '1/h', 0, Interval(0.0, 12.5)),
        MetricValue('cost_per_hour', None, '1/h', 0, why='no prices are declared'))
    return Scorecard({**MANIFEST, 'planner': planner}, {}, values, ())


CHECKS = (Check('success_rate >= 0.7', Verdict.INCONCLUSIVE, '0.75 in [0.5, 0.95]', 'gate'),
          Check('plan_latency.p99 <= 30', Verdict.FAIL, '31.25 ms', 'gate'),
          Check('read', Verdict.PASS, 'to the end', 'preflight'),
          Check('gap /pose', Verdict.INCONCLUSIVE, '2 gaps', 'preflight'))


def test_the_summary_is_the_golden_one() -> None:
    text = run_summary(card(), CHECKS, [card('random', 0.25)])
    assert text == (GOLDEN / 'summary.md').read_text(encoding='utf-8')


def test_without_gates_it_says_that_none_was_asked_for() -> None:
    text = run_summary(card(), CHECKS[2:3])
    # complete evidence is no approval: nobody asked for a gate
    assert text.startswith('### scored, no gate: reacher: task reacher, planner cem')
    assert 'the evidence is complete; no gate was asked for.' in text
    assert '`read`' not in text, 'what passes needs no line'


def test_many_findings_are_cut_and_counted() -> None:
    gaps = [Check(f'gap {n}', Verdict.INCONCLUSIVE, '', 'preflight') for n in range(30)]
    gates = [Check(f'gate {n}', Verdict.PASS, '', 'gate') for n in range(20)]
    text = run_summary(card(), [*gaps, *gates])
    assert text.count('`gap ') == 6 and '- and 24 more of the evidence' in text
    assert text.count('`gate ') == 20, 'no gate is left out'
    assert text.index('`gate 19`') < text.index('`gap 0`')


@given(strategies.text())
def test_no_text_breaks_a_table_or_becomes_markup(text: str) -> None:
    for found in (escaped(text), code(text)):
        assert '\n' not in found and '\r' not in found
        assert '|' not in found.replace('\\|', '')
    assert '<' not in escaped(text)
    assert code(text).count('`') == 2
