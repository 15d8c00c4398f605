"""A sweep is made of scorecards alone, and says what its runs do not have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import json
from types import ModuleType
from typing import Any

import pytest

from wm_eval_ros.errors import BagError
from wm_eval_ros.scoring.scorecard import Scorecard
from wm_eval_ros.scoring.scorer import score
from wm_eval_ros.scoring.sweep import assemble, make_sweep, Point, sweep_from_json, varied

Maker = Callable[..., Scorecard]


@pytest.fixture
def card(scenes: ModuleType) -> Maker:
    """Make the scorecard of a run in which the first `won` of 20 starts are solved."""

    def make(won: int, planner: dict[str, Any], model: dict[str, Any] | None = None,
             seed: int = 100, **changes: Any) -> Scorecard:
        records = [scenes.info(
            settings={'planner': {'samples': 64, **planner}, 'plant': {'task': 'reacher'},
                      'episodes': 20}, model=model or {}, **changes)]
        for e in range(20):
            end = 'SUCCESS' if e < won else 'TIMEOUT'
            records += [scenes.event('START', e, 1000 * e, '', seed + e),
                        scenes.cycle(e, episode=e, stamp_ms=1000 * e + 1),
                        scenes.event(end, e, 1000 * e + 900, '', 0.9)]
        return score(records)

    return make


def test_points_come_in_the_order_of_the_setting_with_success_and_its_interval(
    card: Maker,
) -> None:
    sweep = make_sweep('planner.horizon', [
        ('b', card(18, {'horizon': 10})), ('c', card(18, {'horizon': 20})),
        ('a', card(10, {'horizon': 5}))])
    assert [(p.value, p.x, p.bag) for p in sweep.points] == [
        (5, 5.0, 'a'), (10, 10.0, 'b'), (20, 20.0, 'c')]
    success = sweep.points[0].success
    assert (success.value, success.n) == (0.5, 20)
    assert success.interval is not None
    assert success.interval.method == 'Clopper-Pearson'
    # the planner of the scene takes 8 ms of CPU time
    assert [(v.name, v.value) for v in sweep.figures] == [
        ('planning_horizon', 10), ('compute_at_bound', 8.0)]
    assert (sweep.scenario, sweep.clock, sweep.notes) == ('reacher', 'realtime', ())
    assert any(v.name == 'time_to_success.median' for v in sweep.points[0].values)


@pytest.mark.parametrize(('key', 'names'), [
    ('planner.latency_ms', ['latency_at_bound', 'latency_robustness']),
    ('perturb.gust.severity', ['severity_at_bound', 'severity_robustness']),
    ('planner.samples', []),
])
def test_what_is_read_off_depends_on_the_setting(key: str, names: list[str]) -> None:
    points = [Point(x, float(x), {s: s < 20 - x for s in range(20)}, ()) for x in (0, 5, 15)]
    sweep = assemble(key, 's', 'lockstep', points)
    assert [v.name for v in sweep.figures] == names
    if names:
        # success 1, .75, .25 at 0, 5, 15: below .8 from 5 on; (4.375 + 5) / 15 under the curve
        assert sweep.figures[0].value == 5
        assert sweep.figures[1].value == pytest.approx(0.625)


def test_models_are_placed_at_their_environment_steps(card: Maker) -> None:
    def model(name: str, steps: int) -> dict[str, Any]:
        return {'name': name, 'sha256': name * 8, 'family': 'ensemble', 'transitions': steps}

    sweep = make_sweep('planner.model', [
        ('a', card(20, {'model': 'x', 'model_sha256': ''}, model('x', 4000))),
        ('b', card(0, {'model': 'y', 'model_sha256': 'ff'}, model('y', 500))),
        ('c', card(20, {'model': 'z', 'model_sha256': ''}, model('z', 2000)))])
    assert [(p.value, p.x) for p in sweep.points] == [('y', 500), ('z', 2000), ('x', 4000)]
    # 20 of 20 has a lower limit of .832, above .8
    assert sweep.figures[0].value == 2000


def test_training_seeds_on_one_amount_of_data_are_pooled_and_their_spread_is_told() -> None:
    def point(name: str, steps: int, won: int) -> Point:
        return Point(name, float(steps), {s: s < won for s in range(20)}, ())

    sweep = assemble('planner.model', 's', 'lockstep',
                     [point('a', 100, 5), point('b', 100, 10), point('c', 900, 20),
                      point('d', 900, 20)])
    steps, asymptote = sweep.figures
    # two models on the same 20 starts: n counts starts
    assert (asymptote.value, asymptote.n) == (1.0, 20)
    assert steps.value == 900
    assert sweep.notes[0].startswith('2 models at 100 steps: success 0.25 to 0.50')


def test_models_that_do_not_say_their_steps_give_no_sample_efficiency(card: Maker) -> None:
    sweep = make_sweep('planner.model', [('a', card(3, {'model': 'x'})),
                                         ('b', card(4, {'model': 'oracle'}))])
    assert [p.x for p in sweep.points] == [None, None]
    assert sweep.figures[0].value is None
    assert 'no model says' in sweep.figures[0].why


def test_runs_that_differ_in_something_else_are_refused(card: Maker) -> None:
    cards = [('a', card(3, {'horizon': 5})), ('b', card(3, {'horizon': 8, 'samples': 32}))]
    with pytest.raises(BagError, match=r'b: differs from a in planner\.samples also'):
        make_sweep('planner.horizon', cards)
    assert varied([c for _, c in cards]) == ['planner.horizon', 'planner.samples']


def test_the_clock_mode_is_part_of_the_condition(card: Maker) -> None:
    cards = [('a', card(3, {'horizon': 5})), ('b', card(3, {'horizon': 8}, clock='lockstep'))]
    with pytest.raises(BagError, match='clock'):
        make_sweep('planner.horizon', cards)


def test_one_value_twice_and_a_setting_nobody_has_are_refused(card: Maker) -> None:
    with pytest.raises(BagError, match='5 in two of the runs'):
        make_sweep('planner.horizon', [('a', card(3, {'horizon': 5})),
                                       ('b', card(4, {'horizon': 5}))])
    with pytest.raises(BagError, match=r"no setting 'planner\.nothing'"):
        make_sweep('planner.nothing', [('a', card(3, {}))])


def test_starts_that_are_not_shared_are_told(card: Maker) -> None:
    sweep = make_sweep('planner.horizon', [('a', card(3, {'horizon': 5})),
                                           ('b', card(3, {'horizon': 8}, seed=110))])
    assert sweep.notes == ('not all seeds were decided at every point: 10 are shared by all',)


def test_points_whose_success_somebody_helped_to_are_told(card: Maker) -> None:
    alone, made = card(3, {'horizon': 5}), card(3, {'horizon': 8})
    # of the first five episodes three were solved
    aided = replace(made, episodes=tuple(replace(e, aided=e.episode < 5) for e in made.episodes))
    sweep = make_sweep('planner.horizon', [('a', alone), ('b', aided)])
    assert sweep.notes == ('success at 8 counts 3 episodes in which somebody but the planner '
                           'drove as well; unaided_success_rate does not',)


def test_other_versions_are_told(card: Maker) -> None:
    sweep = make_sweep('planner.horizon', [
        ('a', card(3, {'horizon': 5})), ('b', card(3, {'horizon': 8}, package_version='0.2.0'))])
    assert '0.1.0, 0.2.0' in sweep.notes[0]


def test_json_reads_back_to_the_same_bytes(card: Maker) -> None:
    sweep = make_sweep('planner.horizon', [('a', card(3, {'horizon': 5})),
                                           ('b', card(9, {'horizon': 8}))])
    again = sweep_from_json(json.loads(sweep.to_json()))
    assert again.to_json() == sweep.to_json()
    with pytest.raises(BagError, match='schema 99'):
        sweep_from_json({'schema_version': 99})


def test_a_start_that_stands_twice_in_a_point_is_refused(card: Maker) -> None:
    run = card(3, {'horizon': 5})
    twice = replace(run, episodes=(*run.episodes, replace(run.episodes[0], episode=20)))
    with pytest.raises(BagError, match='a: seed 100 stands more than once'):
        make_sweep('planner.horizon', [('a', twice), ('b', card(3, {'horizon': 8}))])


def test_episodes_without_a_seed_count_in_the_success_of_a_point(card: Maker) -> None:
    run = card(15, {'horizon': 5})
    episodes = tuple(replace(e, seed=None) if e.episode % 2 else e for e in run.episodes)
    sweep = make_sweep('planner.horizon', [('a', replace(run, episodes=episodes)),
                                           ('b', card(20, {'horizon': 8}))])
    point = sweep.points[0]
    # the scorecard says 15 of 20, and so does the point, ten of them by seed
    assert (point.success.value, point.success.n) == (0.75, 20)
    assert (len(point.outcomes), len(point.seedless)) == (10, 10)
    again = sweep_from_json(json.loads(sweep.to_json()))
    assert again.to_json() == sweep.to_json()
    assert again.points[0].success == point.success


def test_ten_models_on_the_same_ten_starts_are_ten_pieces_of_evidence() -> None:
    def point(name: str, steps: int, won: int) -> Point:
        return Point(name, float(steps), {s: s < won for s in range(10)}, ())

    models = [point(f'm{i}', 100, 9 + i % 2) for i in range(10)]
    steps, asymptote = assemble('planner.model', 's', 'lockstep', models).figures
    # nine starts by all, one by every other model: 9.5 of 10, rounded outwards to 9 and 10
    assert asymptote.value == pytest.approx(0.95)
    assert asymptote.n == 10
    assert asymptote.interval is not None
    assert asymptote.interval[:2] == pytest.approx((0.5550, 1.0), abs=1e-4)
    # 95 of 100 would have a lower limit of .887, above .8 of .95
    assert steps.value is None
