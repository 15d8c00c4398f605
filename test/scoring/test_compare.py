"""Comparing systems: pairs, tests, intervals, conditions, letters, and what cannot be given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
import json
from pathlib import Path
from types import ModuleType
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from wm_eval_ros.errors import BagError, ConfigError
from wm_eval_ros.metrics.base import share
from wm_eval_ros.metrics.latency import plan_latency
from wm_eval_ros.records import EventKind, Record
from wm_eval_ros.scoring.compare import Better, Comparison, Rule
from wm_eval_ros.scoring.contrast import Question
from wm_eval_ros.scoring.evidence import Evidence, merge, of_card, of_run
from wm_eval_ros.scoring.ranking import compare
from wm_eval_ros.scoring.saved import read_card
from wm_eval_ros.scoring.scorecard import EpisodeResult, Scorecard
from wm_eval_ros.scoring.scorer import score, Scorer

CASES = sorted((Path(__file__).parent / 'compare_cases').glob('*.json'))
OUTCOMES = {'S': 'success', 's': 'success', 'F': 'failure', 'T': 'timeout', 'A': 'abort',
            'O': 'open'}
MANIFEST: dict[str, Any] = {
    'task': 'reacher', 'clock': 'lockstep', 'time_limit_s': 3.0, 'planner': 'cem',
    'period_ns': 50_000_000, 'deadline_ns': 50_000_000, 'model': {'name': 'reacher'},
    'settings': {'plant': {'kind': 'mujoco'}, 'planner': {'samples': 64}}}


def card(outcomes: str, seeds: Sequence[int | None] | None = None, run_id: str = 'r',
         **changes: Any) -> Scorecard:
    """Make a scorecard of one outcome a seed; a dot is a seed without an episode."""
    numbers = [100 + i for i in range(len(outcomes))] if seeds is None else seeds
    episodes = tuple(
        EpisodeResult(i, OUTCOMES[c], seed, c == 's', 20, 1.0 if c in 'Ss' else 3.0, 60, 0)
        for i, (c, seed) in enumerate(zip(outcomes, numbers, strict=True)) if c != '.')
    return Scorecard({**MANIFEST, **changes}, {'run_id': run_id}, (), (), episodes)


def system(outcomes: str, seeds: Sequence[int | None] | None = None, **changes: Any) -> Evidence:
    return of_card(card(outcomes, seeds, **changes))


def bag_like(evidence: Evidence) -> Evidence:
    return replace(evidence, figures=None)


def against(a: str, b: str, rule: Rule = Rule.BATCH) -> Comparison:
    return compare([system(a), system(b)], Question(rule))


def recorded(records: list[Record]) -> Evidence:
    scorer = Scorer()
    for record in records:
        scorer.update(record)
    return of_run(scorer.run(), scorer.compute().episodes)


@pytest.mark.parametrize('path', CASES, ids=lambda path: path.stem)
def test_a_comparison_says_what_was_worked_out_by_hand(path: Path) -> None:
    case = json.loads(path.read_text())
    want, why = case['expect'], case['why']
    found = compare([system(s) for s in case['sides']], Question(Rule(case.get('rule', 'batch'))))
    first = found.contrasts[0]
    assert found.verdict == want['verdict'], why
    assert first.better == want['better'], why
    assert first.paired == want['paired'], why
    table = first.table
    assert (table and [table.both, table.only_first, table.only_second, table.neither]) \
        == want['table'], why
    assert first.success.difference.value == pytest.approx(want['difference']), why
    tests = {t.name: t.value for t in first.success.tests}
    assert {n: tests[n] for n in want.get('tests', {})} == pytest.approx(want.get('tests', {}))
    if 'low' in want:
        assert first.success.difference.interval is not None
        assert first.success.difference.interval[:2] == pytest.approx(
            (want['low'], want['high']), abs=1e-5), why
    if 'worst' in want:
        assert first.others[0].difference.value == pytest.approx(want['worst']), why
    assert found.letters == want.get('letters', {}), why
    if 'adjusted' in want:
        adjusted = [next(t.adjusted for t in c.success.tests if t.adjusted is not None)
                    for c in found.contrasts]
        assert adjusted == pytest.approx(want['adjusted']), why


outcome_lists = st.text('SFTAOs.', min_size=1, max_size=14)


@settings(max_examples=20)
@given(st.data(), outcome_lists, st.sampled_from(list(Rule)))
def test_the_order_of_the_episodes_changes_no_byte(data: Any, a: str, rule: Rule) -> None:
    b = data.draw(st.text('SFTAOs.', min_size=len(a), max_size=len(a)))
    sides = [card(a), card(b)]
    shuffled = [replace(side, episodes=tuple(data.draw(st.permutations(side.episodes))))
                for side in sides]
    want = compare([of_card(s) for s in sides], Question(rule)).to_json()
    assert compare([of_card(s) for s in shuffled], Question(rule)).to_json() == want


@settings(max_examples=20)
@given(st.data(), st.integers(1, 12))
def test_the_mirrored_comparison_says_the_mirrored_thing(data: Any, n: int) -> None:
    a, b = (data.draw(st.text('SF', min_size=n, max_size=n)) for _ in 'ab')
    there, back = against(a, b).contrasts[0], against(b, a).contrasts[0]
    mirror = {Better.FIRST: Better.SECOND, Better.SECOND: Better.FIRST}
    assert mirror.get(there.better, there.better) == back.better
    one, other = there.success.difference, back.success.difference
    assert one.value is not None and other.value == pytest.approx(-one.value)
    assert one.interval is not None and other.interval is not None
    assert one.interval.low == pytest.approx(-other.interval.high, abs=1e-9)
    assert [t.value for t in there.success.tests] == pytest.approx(
        [t.value for t in back.success.tests])


@pytest.mark.slow
def test_the_sequential_test_errs_rarely_though_it_looks_after_every_pair() -> None:
    # both sides solve a seed with chance 0.5 each: whoever is called better is called so wrongly
    rng = np.random.default_rng(0)
    wrong = sum(against(*(''.join('SF'[int(x)] for x in rng.integers(2, size=60)) for _ in 'ab'),
                        Rule.SEQUENTIAL).contrasts[0].better is not Better.NEITHER
                for _ in range(200))
    assert wrong <= 10 + 3 * 3.1  # 0.05, and three standard errors of 200 draws


def test_the_path_of_the_e_value_is_in_the_order_of_the_seeds() -> None:
    found = compare([system('FSSF', [9, 2, 5, 7]), system('SFFF', [9, 2, 5, 7])])
    path = found.contrasts[0].path
    assert [p.seed for p in path] == [2, 5, 7, 9]
    assert [(p.only_first, p.only_second) for p in path] == [(1, 0), (2, 0), (2, 0), (2, 1)]
    # 2^m B(s + 1, m - s + 1): 2 / 2, 4 / 3, unchanged, 8 B(3, 2) = 8 / 12
    assert [p.e_value for p in path] == pytest.approx([1.0, 4 / 3, 4 / 3, 2 / 3])


def test_a_start_that_a_side_has_several_times_is_refused_and_not_counted_as_several() -> None:
    # 7/10 against 3/10, the same ten starts three times over: no 30 pieces of evidence
    with pytest.raises(ConfigError, match=r'A: seed 100, 101, 102 and 7 more stands more than'):
        compare([system(('S' * 7 + 'F' * 3) * 3, [*range(100, 110)] * 3),
                 system(('F' * 7 + 'S' * 3) * 3, [*range(100, 110)] * 3)])
    parts = [bag_like(system('SSF', run_id=name)) for name in ('r1', 'r2')]
    with pytest.raises(ConfigError, match=r'B: seed 100, 101, 102 stands .* \(r1, r2\)'):
        compare([system('SSF'), merge(parts, 'runs')])


def test_episodes_without_a_seed_are_independent_samples() -> None:
    found = compare([system('SSSS', [None] * 4), system('FFFF', [None] * 4)]).contrasts[0]
    assert not found.paired and 'no seed is common' in found.pairing


def test_the_sequential_rule_decides_nothing_without_pairs() -> None:
    found = compare([system('S' * 20), system('.' * 20 + 'F' * 20)], Question(Rule.SEQUENTIAL))
    assert found.contrasts[0].better is Better.NEITHER
    assert 'needs pairs of one seed' in found.sentence


@pytest.mark.parametrize(('changes', 'says', 'broken'), [
    pytest.param({'clock': 'realtime'}, 'clock mode: lockstep against realtime',
                 {'success_rate', 'deadline_miss_rate', 'plan_latency.p50'}, id='clock'),
    pytest.param({'time_limit_s': 5.0}, 'time limit of an episode: 3 s against 5 s',
                 {'success_rate', 'time_to_success.restricted_mean'}, id='time-limit'),
    pytest.param({'period_ns': 100_000_000}, 'control period: 50 ms against 100 ms',
                 {'deadline_miss_rate', 'prediction_ratio[h=1]'}, id='period'),
    pytest.param({'deadline_ns': 20_000_000}, 'deadline: 50 ms against 20 ms',
                 {'deadline_miss_rate'}, id='deadline'),
    pytest.param({'settings': {'plant': {'kind': 'dream'}}}, 'plant: mujoco against dream',
                 {'success_rate', 'prediction_ratio[h=1]'}, id='plant'),
    pytest.param({'settings': {'plant': {'kind': 'mujoco'}, 'perturbations': ['drop']}},
                 'perturbations: unknown against perturbations', {'success_rate'},
                 id='perturbations')])
def test_what_depends_on_a_condition_that_differs_is_not_comparable(
        changes: dict[str, Any], says: str, broken: set[str]) -> None:
    found = compare([system('S' * 10), system('F' * 10, **changes)])
    contrast = found.contrasts[0]
    effects = {e.name: e for e in (contrast.success, *contrast.others)}
    refused = {n for n, e in effects.items() if e.better is Better.INCOMPARABLE}
    assert broken <= refused
    assert any(says in note for note in found.notes)
    for name in refused:
        assert effects[name].difference.value is None
        assert says in effects[name].difference.why
    assert (found.verdict == 'inconclusive') == ('success_rate' in broken)
    kept = {'success_rate', 'time_to_success.restricted_mean', 'deadline_miss_rate'} - refused
    assert all('not comparable' not in effects[name].difference.why for name in kept)


def test_a_condition_that_is_the_question_is_waived_and_named() -> None:
    sides = [system('S' * 10), system('F' * 10, clock='realtime')]
    found = compare(sides, Question(waived=frozenset({'clock'})))
    assert found.contrasts[0].better is Better.FIRST
    assert any('asked to be compared across' in note for note in found.notes)


def test_what_success_is_on_a_robot_is_not_known_and_no_episode_counts_as_failed() -> None:
    robot: dict[str, Any] = {'settings': {'plant': {'kind': 'hardware'}}}
    found = compare([system('S' * 10, **robot), system('F' * 10, **robot)])
    contrast = found.contrasts[0]
    effects = {e.name: e for e in (contrast.success, *contrast.others)}
    why = 'what success is on this robot is not known'
    for name in ('success_rate', 'success_rate_worst_case', 'time_to_success.restricted_mean'):
        assert effects[name].better is Better.INCOMPARABLE
        assert effects[name].difference.value is None and effects[name].difference.why == why
        assert effects[name].first.value is None
    assert effects['deadline_miss_rate'].difference.value == 0.0
    assert found.verdict == 'inconclusive' and why in found.sentence
    rate, waited, *_ = found.sides[0].figures
    assert (rate.value, rate.why, waited.value, waited.why) == (None, why, None, why)


def test_different_tasks_are_refused_and_so_is_an_unknown_one() -> None:
    with pytest.raises(ConfigError, match='A is of task reacher, B of task pusher'):
        compare([system('S'), system('S', task='pusher')])
    with pytest.raises(ConfigError, match='B: no manifest'):
        compare([system('S'), of_card(Scorecard({}, {}, (), (), card('S').episodes))])


def test_other_settings_that_differ_are_named() -> None:
    other = {**MANIFEST['settings'], 'supervisor': {'stop_ms': 100}}
    found = compare([system('S'), system('S', settings=other)])
    assert 'A and B differ in settings.supervisor' in ' '.join(found.notes)


def test_equally_named_systems_are_told_apart_by_their_settings() -> None:
    other = {**MANIFEST['settings'], 'planner': {'samples': 128}}
    titles = [s.title for s in compare([system('S'), system('S', settings=other)]).sides]
    assert titles == ['cem, model reacher (samples=64)', 'cem, model reacher (samples=128)']


def titles_of(*planners: dict[str, Any], **changes: Any) -> list[str]:
    return [side.title for side in compare([
        system('S', settings={**MANIFEST['settings'], 'planner': each}, **changes)
        for each in planners]).sides]


def test_what_tells_most_systems_apart_is_named_first_and_is_never_cut() -> None:
    few = {'budget_ms': 35.0, 'deadline_ms': 50.0, 'horizon': 12, 'samples': 8}
    assert titles_of(few, {**few, 'samples': 16}, {**few, 'samples': 32, 'budget_ms': 20.0,
                                                  'deadline_ms': 40.0, 'horizon': 8}) == [
        'cem, model reacher (samples=8, budget_ms=35.0, deadline_ms=50.0)',
        'cem, model reacher (samples=16, budget_ms=35.0, deadline_ms=50.0)',
        'cem, model reacher (samples=32, budget_ms=20.0, deadline_ms=40.0)']


def test_more_than_three_settings_are_named_where_only_all_of_them_tell_apart() -> None:
    grid = [{key: int(key in chosen) for key in 'abcd'}
            for n in range(5) for chosen in combinations('abcd', n)]
    titles = titles_of(*grid)
    assert len(set(titles)) == 16


def test_systems_that_differ_in_a_term_of_the_objective_alone_are_told_apart() -> None:
    term = {'features': ['x'], 'target': ['0'], 'weight': 1.0}
    titles = titles_of({'objective': [term]}, {'objective': [{**term, 'weight': 2.0}]})
    assert titles == ['cem, model reacher (objective[0].weight=1.0)',
                      'cem, model reacher (objective[0].weight=2.0)']


def test_two_models_of_one_name_are_told_apart_by_their_weights() -> None:
    sides = [system('S', model={'name': 'reacher', 'sha256': sha * 64}) for sha in 'ab']
    assert [s.title for s in compare(sides).sides] == [
        'cem, model reacher (weights=aaaaaaaaaaaa...)',
        'cem, model reacher (weights=bbbbbbbbbbbb...)']


def test_a_comparison_within_a_dream_says_so() -> None:
    dreamed = {**MANIFEST['settings'], 'plant': {'kind': 'dream', 'model': 'rssm'}}
    found = compare([system('S', settings=dreamed), system('S', settings=dreamed)])
    assert found.notes[:2] == ('A was run in the dream of rssm', 'B was run in the dream of rssm')


def test_an_oracle_against_a_learned_model_gives_the_planning_gap() -> None:
    oracle = system('S' * 10, model={'family': 'oracle', 'name': 'oracle'})
    learned = system('SSSSFFFFFF', model={'family': 'ensemble', 'name': 'reacher'})
    for sides in ([oracle, learned], [learned, oracle]):
        gap = compare(sides).planning_gap
        assert gap is not None and gap.interval is not None
        # Agresti-Caffo of 10/10 and 4/10, whichever stands first
        assert gap.name == 'counterfactual_planning_gap'
        assert gap.value == pytest.approx(0.6)
        assert gap.interval[:2] == pytest.approx((0.180217, 0.819783), abs=1e-5)
    assert compare([learned, learned]).planning_gap is None
    assert compare([oracle, oracle]).planning_gap is None


@pytest.mark.parametrize(('changes', 'says'), [
    pytest.param({'clock': 'realtime'}, 'clock mode: lockstep against realtime', id='clock'),
    pytest.param({'time_limit_s': 1.0}, 'time limit', id='time-limit'),
    pytest.param({'planner': 'mppi'}, "the planner's planner also", id='planner'),
    pytest.param({'settings': {'plant': {'kind': 'mujoco'}, 'planner': {
        'samples': 32, 'model': 'reacher'}}}, "the planner's samples also", id='settings')])
def test_the_planning_gap_is_given_where_the_model_alone_differs(
        changes: dict[str, Any], says: str) -> None:
    with_oracle = {**MANIFEST['settings'], 'planner': {'samples': 64, 'model': 'oracle'}}
    oracle = system('S' * 10, model={'family': 'oracle'}, settings=with_oracle)
    gap = compare([oracle, system('F' * 10)]).planning_gap
    assert gap is not None and gap.value == 1.0
    gap = compare([oracle, system('F' * 10, **changes)]).planning_gap
    assert gap is not None and gap.value is None and says in gap.why


def test_an_undecided_comparison_says_about_how_many_pairs_would_decide() -> None:
    found = against('S' * 7 + 'F' + 'S' * 6 + 'F' * 6, 'F' * 7 + 'S' + 'S' * 6 + 'F' * 6)
    contrast = found.contrasts[0]
    # 7 against 1 of 20 discordant, each half an episode more: (7.5, 1.5, 6.5, 6.5) of 22
    assert contrast.needed is not None and 20 < contrast.needed < 60
    assert f'{contrast.needed} pairs for 80 % power' in contrast.sentence
    # 1/1 and 3/4, each with half an episode more of either kind: 2/3 both
    few = compare([system('S'), system('....SSSF')]).contrasts[0]
    assert few.needed is None and 'only thousands' in few.needed_why
    equal = against('SFSF', 'SFSF').contrasts[0]
    assert equal.needed is None and 'only thousands' in equal.sentence


def test_several_runs_are_one_system_where_only_seed_and_number_differ() -> None:
    parts = [system('SSS', [1, 2, 3], run_id='a', seed=1, episodes=3),
             system('FFF', [4, 5, 6], run_id='b', seed=4, episodes=3)]
    whole = merge([bag_like(p) for p in parts], 'here')
    assert whole.run_ids == ('a', 'b')
    assert [e.result.seed for e in whole.episodes] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(('parts', 'says'), [
    pytest.param([system('S', run_id='a'), system('S', run_id='a')], 'run a is given twice',
                 id='twice'),
    pytest.param([system('S', run_id='a'), system('S', run_id='b', clock='realtime')],
                 'its runs differ in clock', id='another-clock')])
def test_runs_that_are_not_one_system_are_refused(parts: list[Evidence], says: str) -> None:
    with pytest.raises(BagError, match=says):
        merge([bag_like(p) for p in parts], 'here')


def test_figures_of_several_scorecards_cannot_be_joined() -> None:
    with pytest.raises(BagError, match='give the bags'):
        merge([system('S', run_id='a'), system('S', run_id='b')], 'here')


def slower(scenes: ModuleType, ms: float, episodes: int = 12) -> list[Record]:
    """Make a run of 30 calls an episode whose duration varies from episode to episode."""
    records: list[Record] = [scenes.info(episodes=episodes, run_id=f'{ms}')]
    for e in range(episodes):
        records += [scenes.event('START', e, 1500.0 * e, '', 100 + e),
                    *(scenes.cycle(30 * e + k, episode=e, took_ms=ms + e + 0.1 * k)
                      for k in range(30)),
                    scenes.event('SUCCESS', e, 1500.0 * e + 1475, '', 1.475)]
    return records


def test_a_latency_that_differs_in_every_pair_is_found_and_pairing_narrows_it(
        scenes: ModuleType) -> None:
    a, b = recorded(slower(scenes, 10)), recorded(slower(scenes, 12))
    paired = compare([a, b]).contrasts[0]
    median = next(e for e in paired.others if e.name == 'plan_latency.p50')
    # every call of B takes 2 ms more than its partner
    assert median.difference.value == pytest.approx(-2.0)
    assert median.difference.interval is not None
    assert median.better is Better.FIRST
    strangers = replace(b, episodes=tuple(
        replace(e, result=replace(e.result, seed=900 + i)) for i, e in enumerate(b.episodes)))
    unpaired = compare([a, strangers]).contrasts[0]
    wide = next(e for e in unpaired.others if e.name == 'plan_latency.p50')
    assert wide.difference.interval is not None
    assert wide.difference.interval.high - wide.difference.interval.low \
        > 2 * (median.difference.interval.high - median.difference.interval.low)


def test_few_episodes_and_no_spread_give_no_interval(scenes: ModuleType) -> None:
    found = compare([recorded(slower(scenes, ms, 9)) for ms in (10, 12)]).contrasts[0]
    effects = {e.name: e for e in found.others}
    assert effects['plan_latency.p50'].difference.why == 'no interval of fewer than 10 pairs'
    many = compare([recorded(slower(scenes, ms)) for ms in (10, 12)]).contrasts[0]
    misses = next(e for e in many.others if e.name == 'deadline_miss_rate')
    # not one miss on either side: no spread to resample, which does not show that there is none
    assert misses.difference.value == 0 and misses.difference.interval is None


def test_a_bag_and_its_scorecard_agree_in_all_but_the_intervals_of_samples(
        scenes: ModuleType) -> None:
    def both(seed: int, **changes: Any) -> tuple[Evidence, Evidence]:
        scorer = Scorer()
        for record in scenes.busy_run(seed, episodes=10, slots=20, **changes):
            scorer.update(record)
        made = scorer.compute()
        read = read_card(made.to_json(), 'card')
        return of_run(scorer.run(), made.episodes), of_card(read)

    a, b = both(1, run_id='a'), both(2, run_id='b')
    bags, cards = compare([a[0], b[0]]), compare([a[1], b[1]])
    pairs = zip((bags.contrasts[0].success, *bags.contrasts[0].others),
                (cards.contrasts[0].success, *cards.contrasts[0].others), strict=True)
    for of_bags, of_cards in pairs:
        assert of_cards.first.value == pytest.approx(of_bags.first.value), of_bags.name
        assert of_cards.difference.value == pytest.approx(of_bags.difference.value), of_bags.name
        if of_bags.name.startswith(('plan_', 'sense_', 'cpu_', 'prediction')):
            assert of_cards.difference.interval is None
            assert of_cards.difference.why
    assert cards.sides[0].notes and not bags.sides[0].notes


def test_the_figures_of_a_side_are_those_of_its_scorecard(scenes: ModuleType) -> None:
    scorer = Scorer()
    for record in scenes.busy_run(3, episodes=10, slots=20):
        scorer.update(record)
    made = scorer.compute()
    side = compare([of_run(scorer.run(), made.episodes)] * 2).sides[0]
    for figure in side.figures:
        assert figure == made[figure.name], figure.name


def test_records_in_another_order_give_the_same_bytes(scenes: ModuleType) -> None:
    records = scenes.busy_run(4, episodes=10, slots=12)
    other = scenes.busy_run(5, episodes=10, slots=12, run_id='other')
    want = compare([recorded(records), recorded(other)]).to_json()
    shuffled = [records[i] for i in np.random.default_rng(0).permutation(len(records))]
    assert compare([recorded(shuffled), recorded(other)]).to_json() == want


def test_json_is_strict_and_keeps_its_layout(scenes: ModuleType) -> None:
    found = against('SSSSSSSS', 'FFFFFFFF')
    data = json.loads(found.to_json())
    assert data['schema_version'] == 1
    assert set(data) == {'schema_version', 'sides', 'contrasts', 'rule', 'alpha', 'verdict',
                         'sentence', 'letters', 'planning_gap', 'notes'}
    assert set(data['contrasts'][0]) == {
        'first', 'second', 'paired', 'pairing', 'table', 'success', 'others', 'path', 'better',
        'sentence', 'needed', 'needed_why'}
    assert data['contrasts'][0]['success']['tests'][0]['name'] == 'exact McNemar'


@pytest.mark.parametrize(('text', 'says'), [
    pytest.param('no', 'not usable as JSON', id='text'),
    pytest.param('[]', 'no scorecard', id='list'),
    pytest.param('{"schema_version": 99}', 'layout 99', id='newer'),
    pytest.param('{"schema_version": 1}', 'no whole scorecard', id='empty'),
    pytest.param(card('S').to_json().replace('"success"', '7'), 'outcome is 7', id='outcome')])
def test_a_file_that_is_no_scorecard_is_refused_by_name(text: str, says: str) -> None:
    with pytest.raises(BagError, match=f'here.json: .*{says}'):
        read_card(text, 'here.json')


@pytest.mark.parametrize(('place', 'value', 'says'), [
    ('manifest.time_limit_s', 'x', "time_limit_s is 'x', where a number belongs"),
    ('manifest.period_ns', 'x', "period_ns is 'x', where a number belongs"),
    ('manifest.model', 'x', "model is 'x', where a table belongs"),
    ('manifest.settings', ['x'], r"settings is \['x'\], where a table belongs"),
    ('manifest.settings.plant', 'x', "settings.plant is 'x', where a table belongs"),
    ('manifest.settings.planner', 3, 'settings.planner is 3, where a table belongs'),
    ('provenance.host', 'x', "host is 'x', where a table belongs"),
    ('episodes.0.misses', 'x', "misses is 'x', where a whole number belongs"),
    ('episodes.0.seed', [1], r'seed is \[1\], where a whole number belongs'),
    ('episodes.0.time_s', 'x', "time_s is 'x', where a number belongs"),
    ('episodes.0.slots', None, 'slots is None, where a whole number belongs'),
    ('values.0.value', 'x', "value is 'x', where a number belongs"),
    ('values.0.value', True, 'value is True, where a number belongs'),
    ('values.0.interval.low', 'x', "interval.low is 'x', where a number belongs")])
def test_a_scorecard_with_a_field_of_another_type_is_refused_in_one_line(
        place: str, value: Any, says: str) -> None:
    whole = replace(card('S'), values=(share('success_rate', 1, 1, ''),))
    data = json.loads(whole.to_json())
    at: Any = data
    *path, last = place.split('.')
    for part in path:
        at = at[int(part)] if part.isdigit() else at[part]
    at[last] = value
    with pytest.raises(BagError, match=f'^here.json: .*{says}$'):
        read_card(json.dumps(data), 'here.json')


def test_a_recorded_manifest_with_a_field_of_another_type_is_refused(scenes: ModuleType) -> None:
    with pytest.raises(BagError, match=r"settings\.plant is 'x', where a table belongs"):
        recorded([scenes.info(settings={'plant': 'x'}), scenes.event('START', 0, 0.0, '', 1)])


def test_aborts_of_a_recorded_run_are_no_success(scenes: ModuleType) -> None:
    records = slower(scenes, 10)
    aborted = [replace(r, kind=EventKind.ABORT) if getattr(r, 'kind', None) == EventKind.SUCCESS
               else r for r in records]
    found = compare([recorded(records), recorded(aborted)]).contrasts[0]
    assert found.better is Better.INCOMPARABLE
    worst = found.others[0]
    assert (worst.name, worst.difference.value) == ('success_rate_worst_case', 1.0)


def test_the_samples_of_each_episode_are_its_own_in_the_order_of_its_slots(
        scenes: ModuleType) -> None:
    records = slower(scenes, 10)
    scorer = Scorer()
    for record in records:
        scorer.update(record)
    run = scorer.run()
    found = of_run(run, scorer.compute().episodes)
    assert len(found.episodes) > 1
    for episode in found.episodes:
        own = run.slots[run.slots['episode'] == episode.result.episode]
        assert len(own) > 1
        assert np.array_equal(episode.samples['plan_latency'], plan_latency(own))
    assert of_run(replace(run, slots=run.slots[:0]), ()).episodes == ()


def test_a_scorecard_with_a_number_that_json_does_not_have_is_refused() -> None:
    text = card('S').to_json().replace('"schema_version": ', '"more": NaN, "schema_version": ', 1)
    assert 'NaN' in text
    with pytest.raises(BagError, match=r'here.json: not usable as JSON \(NaN is not JSON\)'):
        read_card(text, 'here.json')


def helped(outcomes: str, aided: Sequence[bool | None]) -> Evidence:
    made = card(outcomes)
    return of_card(replace(made, episodes=tuple(
        replace(e, aided=a) for e, a in zip(made.episodes, aided, strict=True))))


def test_what_was_solved_with_help_counts_in_success_and_not_in_unaided_success() -> None:
    found = compare([helped('SSST', [True, False, False, True]),
                     helped('STTT', [False] * 4)]).contrasts[0]
    # with help 3 of 4 against 1 of 4; without 2 and 1: pair 0 is B's, 1 and 2 are A's
    assert found.success.difference.value == pytest.approx(2 / 4)
    alone = next(e for e in found.others if e.name == 'unaided_success_rate')
    assert (alone.first.value, alone.second.value) == (0.5, 0.25)
    assert alone.difference.value == pytest.approx(1 / 4)
    assert alone.difference.interval is not None
    assert alone.difference.interval.method == 'Tango, paired'
    assert 'somebody else driving as well in 1 and 0 of the solved ones' in found.sentence


def test_where_nobody_helped_the_sentence_says_nothing_of_it() -> None:
    found = compare([helped('SSST', [False] * 4), helped('STTT', [False, True, True, True])])
    assert 'somebody else' not in found.contrasts[0].sentence


def test_against_a_run_in_shadow_mode_there_is_no_difference_of_unaided_success(
        scenes: ModuleType) -> None:
    made = score([scenes.info(), *(record for e in range(3) for record in (
        scenes.event('START', e, 1000 * e, value=100.0 + e),
        scenes.cycle(20 * e, episode=e, stamp_ms=1000.0 * e, mode='SHADOW'),
        scenes.event('SUCCESS', e, 1000 * e + 900, value=0.9)))])
    shadow = replace(system('SSS'), episodes=of_card(made).episodes)
    assert [e.result.outcome for e in shadow.episodes] == ['success'] * 3
    found = compare([shadow, helped('SST', [False] * 3)]).contrasts[0]
    alone = next(e for e in found.others if e.name == 'unaided_success_rate')
    assert (alone.first.value, alone.difference.value) == (None, None)
    assert 'in shadow mode' in alone.difference.why


def test_a_scorecard_that_does_not_tell_who_drove_has_no_unaided_success() -> None:
    data = json.loads(card('SST').to_json())
    for episode in data['episodes']:
        del episode['aided']
    old = of_card(read_card(json.dumps(data), 'old.json'))
    found = compare([old, helped('SST', [False] * 3)]).contrasts[0]
    alone = next(e for e in found.others if e.name == 'unaided_success_rate')
    assert alone.difference.value is None
    assert 'score the bags anew' in alone.difference.why
    assert found.success.difference.value == 0
