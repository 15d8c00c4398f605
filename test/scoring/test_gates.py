"""Gates: what a figure and a bound decide, the conditions, and the profiles that ship."""

from __future__ import annotations

from dataclasses import fields, replace
import json
import math
from pathlib import Path
import re
from types import ModuleType
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
import pytest
import yaml

from wm_eval_ros.config.gate import Against, Gate, GateProfile, load_gates, shipped_gates
from wm_eval_ros.config.schema import build
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.metrics.base import share
from wm_eval_ros.records import Interval, MetricValue, Verdict
from wm_eval_ros.scoring.gates import check_families, evaluate, hold, worst
from wm_eval_ros.scoring.scorecard import Scorecard, value_from_json
from wm_eval_ros.scoring.scorer import score

CASES = sorted((Path(__file__).parent / 'gate_cases').glob('*.json'))
SHIPPED = [path.stem for path in shipped_gates()]


def profile(*gates: dict[str, Any], **changes: Any) -> GateProfile:
    return build(GateProfile, {'name': 'mine', 'gates': list(gates), **changes}, 'mine.yaml')


def card(*values: MetricValue, **manifest: Any) -> Scorecard:
    return Scorecard({**on('mujoco'), **manifest}, {}, values, ())


def on(kind: str, **plant: Any) -> dict[str, Any]:
    return {'settings': {'plant': {'kind': kind, **plant}}}


SUCCESS = {'metric': 'success_rate', 'at_least': 0.8}
GOOD = share('success_rate', 20, 20, '')


@pytest.mark.parametrize('path', CASES, ids=lambda path: path.stem)
def test_a_gate_says_what_was_worked_out_by_hand(path: Path) -> None:
    case = json.loads(path.read_text())
    gate = build(Gate, case['gate'], path.name)
    value = value_from_json(case['figure']) if 'figure' in case else share(
        gate.metric, case['k'], case['n'], '')
    found = hold(gate, value)
    assert found.verdict == case['verdict'], case['why']
    assert case['says'] in found.sentence
    assert (found.needed.n if found.needed else None) == case['needed'], case['why']


@settings(max_examples=40)
@given(st.integers(1, 40), st.data(), st.floats(0.05, 0.95))
def test_mirrored_gates_agree(n: int, data: st.DataObject, bound: float) -> None:
    # `successes >= b` is `failures <= 1 - b`
    k = data.draw(st.integers(0, n))
    up = hold(Gate(metric='m', at_least=bound), share('m', k, n, ''))
    down = hold(Gate(metric='m', at_most=1 - bound), share('m', n - k, n, ''))
    value = k / n
    if not math.isclose(value, bound, rel_tol=1e-9):
        assert up.verdict == down.verdict


@example(value=0.0, below=1.0, above=0.0, bound=-6e-215)
@given(st.floats(-10, 10), st.floats(0, 5), st.floats(0, 5), st.floats(-10, 10))
def test_pass_and_fail_exclude_each_other_and_need_the_whole_interval(
        value: float, below: float, above: float, bound: float) -> None:
    low, high = value - below, value + above
    figure = MetricValue('m', value, 'ms', 9, Interval(low, high))
    verdict = hold(Gate(metric='m', at_most=bound), figure).verdict
    assert (verdict is Verdict.PASS) == (high <= bound)
    assert (verdict is Verdict.FAIL) == (low > bound)


def test_more_evidence_of_the_same_kind_decides_as_was_foretold() -> None:
    # the forecast is for 80 % power, so that the share as seen decides at that number
    gate = Gate(metric='success_rate', at_least=0.8)
    undecided = hold(gate, share('success_rate', 45, 50, ''))
    assert undecided.verdict is Verdict.INCONCLUSIVE
    assert undecided.needed is not None and undecided.needed.n is not None
    n = undecided.needed.n
    assert hold(gate, share('success_rate', round(0.9 * n), n, '')).verdict is Verdict.PASS


@pytest.mark.parametrize(('name', 'unit'), [
    ('detector[surprise].detection_rate', 'episodes'),
    ('detector[surprise].tpr_at_fpr_5pct', 'episodes'),
    ('detector[surprise].slot_auroc', 'slots'), ('deadline_miss_rate', 'slots'),
    ('recovery_rate', 'episodes')])
def test_what_more_evidence_is_counted_in_is_what_the_figure_counts(name: str, unit: str) -> None:
    found = hold(Gate(metric=name, at_least=0.8), share(name, 45, 50, ''))
    assert found.needed is not None and found.needed.of == unit
    assert f' {unit}, ' in found.needed.sentence


def test_the_worst_verdict_counts_and_broken_evidence_is_worse_than_failing() -> None:
    every = [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL, Verdict.ERROR]
    assert [worst(every[:n]) for n in range(1, 5)] == every
    assert worst([]) is Verdict.PASS


def test_a_figure_the_scorecard_does_not_hold_is_bad_input() -> None:
    with pytest.raises(ConfigError, match="no 'succes_rate'; did you mean 'success_rate'"):
        evaluate(profile({'metric': 'succes_rate', 'at_least': 0.8}), card(GOOD))


@pytest.mark.parametrize('metric', [
    'miss_runs[m=5]', 'episodes.abort', 'surprise.p99',
    'detector[gust].lead_time.p50'])
def test_a_figure_the_run_had_nothing_to_take_of_is_no_evidence_and_no_bad_input(
        metric: str) -> None:
    report = evaluate(profile({'metric': metric, 'at_most': 1}),
                      replace(score([]), manifest=on('mujoco')))
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.results[0].sentence.startswith(f'no evidence: the run gave no {metric}')
    assert report.to_dict()['results'][0]['figure']['value'] is None


def test_a_figure_that_is_absent_names_those_of_its_family() -> None:
    report = evaluate(profile({'metric': 'success_rate.p50', 'at_least': 0.8}), card(GOOD))
    assert report.results[0].verdict is Verdict.INCONCLUSIVE
    assert '; of that family: success_rate' in report.results[0].sentence


def test_a_misspelt_family_is_refused_before_a_run_is_spent_on_it() -> None:
    check_families(profile(SUCCESS, {'metric': 'staleness[/joint_states].p99', 'at_most': 9}))
    with pytest.raises(ConfigError, match="did you mean 'plan_latency'"):
        check_families(profile({'metric': 'plan_latncy.p99', 'at_most': 9}))


def test_a_run_of_another_clock_is_an_error_and_its_figures_are_not_held() -> None:
    found = evaluate(profile(SUCCESS, clock='realtime'), card(GOOD, clock='lockstep'))
    assert [(r.name, r.verdict) for r in found.results] == [
        ('clock', Verdict.ERROR), ('success_rate >= 0.8', Verdict.INCONCLUSIVE)]
    assert 'lockstep, where the profile asks realtime' in found.results[0].sentence
    assert 'clock' in found.results[1].sentence
    assert found.verdict is Verdict.ERROR


@pytest.mark.parametrize(('ns', 'want'), [
    pytest.param(50_000_000, Verdict.PASS, id='equal'),
    pytest.param(20_000_000, Verdict.PASS, id='shorter-is-harder'),
    pytest.param(50_000_001, Verdict.ERROR, id='longer-is-another-question'),
    pytest.param(None, Verdict.INCONCLUSIVE, id='not-recorded')])
@pytest.mark.parametrize('name', ['deadline', 'period'])
def test_the_deadline_the_run_was_held_to_must_be_no_longer(
        name: str, ns: int | None, want: Verdict) -> None:
    manifest = {} if ns is None else {f'{name}_ns': ns}
    found = evaluate(profile(SUCCESS, **{f'{name}_ms': 50.0}), card(GOOD, **manifest))
    assert found.verdict is want


def test_a_dream_passes_no_gate_unless_the_profile_takes_dreams() -> None:
    dreamed = card(GOOD, **on('dream', model='reacher'))
    found = evaluate(profile(SUCCESS), dreamed)
    assert [(r.name, r.verdict) for r in found.results] == [
        ('plant', Verdict.ERROR), ('success_rate >= 0.8', Verdict.INCONCLUSIVE)]
    assert 'dream (in the dream of reacher), where the profile takes mujoco, gymnasium' in (
        found.results[0].sentence)
    assert '`plants`' in found.results[0].sentence
    taken = evaluate(profile(SUCCESS, plants=['dream']), dreamed)
    assert [r.verdict for r in taken.results] == [Verdict.PASS] * 2
    assert 'in the dream of reacher' in taken.results[0].sentence
    real = evaluate(profile(SUCCESS, plants=['dream']), card(GOOD))
    assert real.verdict is Verdict.ERROR


@pytest.mark.parametrize('kind', ['mujoco', 'gymnasium', 'hardware', 'replay'])
def test_of_a_real_plant_a_profile_need_not_speak(kind: str) -> None:
    found = evaluate(profile(SUCCESS), card(GOOD, **on(kind)))
    assert [r.name for r in found.results] == ['success_rate >= 0.8']
    assert found.verdict is Verdict.PASS


def test_what_ran_is_not_known_without_a_manifest_and_passes_nothing() -> None:
    found = evaluate(profile(SUCCESS), Scorecard({}, {}, (GOOD,), ()))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert 'no plant was recorded' in found.results[0].sentence


def test_where_nothing_moves_only_figures_of_timing_are_held() -> None:
    fast = MetricValue('plan_latency.p99', 9.0, 'ms', 3000, Interval(8.0, 10.0))
    failures = share('success_rate', 0, 40, '')
    found = evaluate(
        profile({'metric': 'plan_latency.p99', 'at_most': 20},
                {'metric': 'success_rate', 'at_most': 0.5}, plants=['stimulus']),
        card(fast, failures, **on('stimulus')))
    assert [r.verdict for r in found.results] == [
        Verdict.PASS, Verdict.PASS, Verdict.INCONCLUSIVE]
    assert 'nothing moves on the plant stimulus' in found.results[2].sentence
    assert evaluate(profile({'metric': 'plan_latency.p99', 'at_most': 20}),
                    card(fast, **on('stimulus'))).verdict is Verdict.ERROR


def test_a_profile_that_takes_no_plant_is_refused() -> None:
    with pytest.raises(ConfigError, match='plants: none is named'):
        profile(SUCCESS, plants=[])


def test_a_report_in_json_has_the_evidence_of_every_gate() -> None:
    data = evaluate(profile(SUCCESS), card(share('success_rate', 10, 10, ''))).to_dict()
    assert json.loads(json.dumps(data)) == data
    assert (data['schema_version'], data['profile'], data['verdict']) == (
        1, 'mine', 'inconclusive')
    (gate,) = data['results']
    assert gate['metric'] == 'success_rate' and gate['bound'] == 'at_least'
    assert gate['limit'] == 0.8 and gate['against'] == 'interval'
    assert gate['figure']['interval']['low'] == pytest.approx(0.6915, abs=1e-4)
    assert gate['needed']['n'] == 17 and gate['needed']['of'] == 'episodes'


@pytest.mark.parametrize(('raw', 'says'), [
    pytest.param({'metric': 'm'}, 'either at_least or at_most', id='no-bound'),
    pytest.param({'metric': 'm', 'at_least': 1, 'at_most': 2}, 'two gates', id='two-bounds'),
    pytest.param({'metric': 'm', 'atleast': 1}, "did you mean 'at_least'", id='misspelt'),
    pytest.param({'metric': 'm', 'at_least': 'high'}, 'a number', id='no-number'),
    pytest.param({'metric': 'm', 'at_least': 1, 'against': 'mean'}, 'interval', id='against'),
    pytest.param({'at_least': 1}, "missing key 'metric'", id='no-metric')])
def test_a_gate_that_is_none_is_refused(raw: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        profile(raw)


def test_a_profile_without_gates_or_with_two_bounds_of_a_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match='holds nothing'):
        profile()
    with pytest.raises(ConfigError, match='two bounds of one kind'):
        profile(SUCCESS, {'metric': 'success_rate', 'at_least': 0.9})
    assert len(profile(SUCCESS, {'metric': 'success_rate', 'at_most': 0.9}).gates) == 2


def test_an_unknown_profile_lists_what_ships(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'automotive_50ms'"):
        load_gates('automotive_50')
    broken = tmp_path / 'mine.yaml'
    broken.write_text('name: mine\ngates: [{metric: m}]\n')
    with pytest.raises(ConfigError, match=r'mine\.yaml'):
        load_gates(str(broken))


@pytest.mark.parametrize('name', SHIPPED)
def test_every_gate_of_a_shipped_profile_is_held_and_has_its_reason_above_it(
        name: str, scenes: ModuleType) -> None:
    asked = load_gates(name)
    assert asked.name == name and asked.description
    figures = score(scenes.busy_run())
    report = evaluate(asked, replace(figures, manifest={
        **figures.manifest, **on('mujoco'), 'clock': 'realtime', 'deadline_ns': 50_000_000}))
    assert len([r for r in report.results if r.gate]) == len(asked.gates)
    for result in report.results:
        if result.gate and result.gate.against is Against.INTERVAL:
            assert 'hold it with' not in result.sentence, result
    lines = (Path(__file__).parents[2] / 'config' / 'gates' / f'{name}.yaml').read_text()
    before = ''
    for line in lines.splitlines():
        if line.startswith(('  - {', 'clock', 'deadline_ms', 'period_ms')):
            assert before.strip().startswith('#'), f'{name}: no reason above {line}'
        before = line


@pytest.mark.parametrize(('bound', 'n'), [(0.95, 72), (0.8, 17)])
def test_the_numbers_of_episodes_named_in_the_profiles_hold(bound: float, n: int) -> None:
    gate = Gate(metric='success_rate', at_least=bound)
    assert hold(gate, share('success_rate', n, n, '')).verdict is Verdict.PASS
    assert hold(gate, share('success_rate', n - 1, n - 1, '')).verdict is Verdict.INCONCLUSIVE


def test_the_number_of_slots_named_in_a_profile_holds() -> None:
    gate = Gate(metric='deadline_miss_rate', at_most=0.001)
    assert hold(gate, share('m', 0, 3688, '')).verdict is Verdict.PASS
    assert hold(gate, share('m', 0, 3687, '')).verdict is Verdict.INCONCLUSIVE


def test_the_page_on_gates_names_every_key() -> None:
    page = (Path(__file__).parents[2] / 'docs' / 'gates.md').read_text()
    keys = {f.name for cls in (Gate, GateProfile) for f in fields(cls)} - {'gates'}
    assert not [key for key in keys if f'`{key}`' not in page]
    example = re.search(r'```yaml\n(.*?)```', page, re.DOTALL)
    assert example is not None
    assert len(build(GateProfile, yaml.safe_load(example[1]), 'docs/gates.md').gates) == 3
