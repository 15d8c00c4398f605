"""Policies in the world and in a dream: paired by their planner, ranked, and judged."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from wm_eval_ros.errors import BagError, ConfigError
from wm_eval_ros.records import Interval, MetricValue, Verdict
from wm_eval_ros.scoring.dreams import correlate, Correlation
from wm_eval_ros.scoring.evidence import EpisodeEvidence, Evidence
from wm_eval_ros.scoring.scorecard import EpisodeResult

SHA = 'a' * 64
#: successes of six policies of 20 episodes each in the world
WORLD = {4: 0, 8: 4, 16: 8, 32: 12, 64: 16, 128: 20}


def side(samples: int, won: int, *, dream: bool = False, n: int = 20, first: int = 100,
         name: str = '', **changes: Any) -> Evidence:
    """Make the evidence of a policy that wins its first episodes."""
    plant = ({'kind': 'dream', 'model': 'm', 'model_sha256': SHA, 'keyframe_steps': 0} if dream
             else {'kind': 'mujoco'})
    manifest: dict[str, Any] = {
        'task': 'reacher', 'clock': 'lockstep', 'planner': 'cem', 'time_limit_s': 3.0,
        'period_ns': 50_000_000, 'deadline_ns': 50_000_000, 'model': {'name': 'r', 'sha256': 'b'},
        'settings': {'planner': {'samples': samples}, 'plant': plant}}
    manifest.update(changes)
    episodes = tuple(EpisodeEvidence(EpisodeResult(
        e, 'success' if e < won else 'timeout', first + e, False, 10, 0.5, 10, 0))
        for e in range(n))
    where = 'dream' if dream else 'world'
    return Evidence(manifest, (name or f'{where}-{samples}-{first}',), ('cpu',), episodes)


def both(dreamed: dict[int, int], **asked: Any) -> Correlation:
    return correlate([side(s, w) for s, w in WORLD.items()],
                     [side(s, w, dream=True) for s, w in dreamed.items()], **asked)


def value(found: Correlation, name: str) -> float | None:
    return found.figure(name).value


def test_a_dream_that_wins_the_same_episodes_is_perfect() -> None:
    found = both(WORLD)
    assert value(found, 'pearson') == pytest.approx(1.0)
    assert value(found, 'spearman') == pytest.approx(1.0)
    assert (value(found, 'mmrv'), value(found, 'rank_preservation')) == (0.0, 1.0)
    assert value(found, 'rank_preservation[shown]') == 1.0
    assert value(found, 'optimism') == 0.0
    assert found.verdict is Verdict.PASS
    assert [p.real.value for p in found.pairs] == [1.0, 0.8, 0.6, 0.4, 0.2, 0.0]


def test_policies_that_differ_in_much_are_still_told_apart_by_their_titles() -> None:
    def planned(samples: int, won: int, *, dream: bool) -> Evidence:
        made = side(samples, won, dream=dream)
        planner = {'samples': samples, 'budget_ms': 35.0 + (samples > 8), 'deadline_ms': 50.0 + (
            samples > 8), 'horizon': 12 + (samples > 8)}
        made.manifest['settings'] = {**made.manifest['settings'], 'planner': planner}
        return made
    found = correlate(*([planned(s, w, dream=dream) for s, w in WORLD.items()]
                        for dream in (False, True)))
    assert len({p.title for p in found.pairs}) == len(WORLD)
    assert found.pairs[0].title == ('cem, model r (samples=128, budget_ms=36.0, '
                                    'deadline_ms=51.0)')


def test_the_figures_are_those_worked_out_by_hand() -> None:
    # the dream swaps the two best: 16 <-> 20, and gives the rest 2 more of 20
    found = both({4: 2, 8: 6, 16: 10, 32: 14, 64: 20, 128: 16})
    # R = 0, .2, .4, .6, .8, 1; only the pair (.8, 1) is reversed: both policies lose .2 at most
    assert value(found, 'mmrv') == pytest.approx(2 * 0.2 / 6)
    assert value(found, 'rank_preservation') == pytest.approx(14 / 15)
    # (0.1 * 4 + 0.2 - 0.2) / 6
    assert value(found, 'optimism') == pytest.approx(0.4 / 6)
    best = found.pairs[0]
    assert (best.real.value, best.dreamed.value) == (1.0, 0.8)
    assert best.optimism.value == pytest.approx(-0.2)
    interval = best.optimism.interval
    assert interval is not None and interval.method == 'Tango, paired'
    assert interval.low < -0.2 < interval.high < 0


def test_only_pairs_shown_to_differ_count_in_the_rank_beyond_noise() -> None:
    # 4 discordant of 20: exact McNemar p = 2 / 2^4 = 0.125, so neighbours are not shown to differ
    found = both({4: 4, 8: 0, 16: 12, 32: 8, 64: 20, 128: 16})
    assert value(found, 'rank_preservation') == pytest.approx(12 / 15)
    shown = found.figure('rank_preservation[shown]')
    assert shown.value == 1.0
    # two grades apart: 8 discordant pairs, p = 2 / 2^8 = 0.0078, Holm over 15: not all of them
    assert 0 < shown.n < 15


@pytest.mark.parametrize(('dreamed', 'at_least', 'verdict'), [
    pytest.param({4: 0, 8: 4, 16: 8, 32: 13, 64: 16, 128: 19}, 0.9, Verdict.PASS, id='shown'),
    pytest.param({4: 20, 8: 16, 16: 12, 32: 7, 64: 4, 128: 1}, 0.5, Verdict.FAIL, id='reversed'),
    pytest.param({4: 3, 8: 0, 16: 12, 32: 6, 64: 17, 128: 12}, 0.9, Verdict.INCONCLUSIVE,
                 id='neither'),
])
def test_the_whole_interval_decides(dreamed: dict[int, int], at_least: float, verdict: Verdict
                                    ) -> None:
    assert both(dreamed, at_least=at_least).verdict is verdict


def test_fewer_than_five_policies_decide_nothing() -> None:
    found = both({4: 0, 8: 4, 16: 8, 32: 12})
    assert found.verdict is Verdict.INCONCLUSIVE
    assert 'fewer than 5 policies' in found.sentence
    assert found.notes[0].startswith('left out, not run in the dream: world-')


def test_a_planner_that_plans_with_the_dream_itself_is_marked() -> None:
    model = {'name': 'm', 'sha256': SHA}
    found = correlate([side(s, w, model=model) for s, w in WORLD.items()],
                      [side(s, w, dream=True, model=model) for s, w in WORLD.items()])
    assert all(pair.own for pair in found.pairs)
    assert any('the very model that is the dream' in note for note in found.notes)
    assert not any(pair.own for pair in both(WORLD).pairs)


def test_runs_of_one_policy_are_joined_and_a_start_counts_once() -> None:
    world = [side(4, 5, first=100), side(4, 10, first=200)]
    found = correlate(world, [side(4, 5, first=100, dream=True),
                              side(4, 10, first=200, dream=True)])
    assert (found.pairs[0].real.n, found.pairs[0].real.value) == (40, 15 / 40)
    with pytest.raises(ConfigError, match='seed 100 stands more than once'):
        correlate([side(4, 5), side(4, 6, name='again')], [side(4, 5, dream=True)])


def test_other_starts_are_independent_samples_and_said_to_be() -> None:
    found = correlate([side(s, w) for s, w in WORLD.items()],
                      [side(s, w, dream=True, first=900) for s, w in WORLD.items()])
    assert not any(pair.paired for pair in found.pairs)
    assert any('not run from the same starts' in note for note in found.notes)


@pytest.mark.parametrize(('world', 'dreamed', 'error', 'says'), [
    pytest.param([], [side(4, 1, dream=True)], ConfigError, 'no real run', id='no-real'),
    pytest.param([side(4, 1)], [], ConfigError, 'no dreamed run', id='no-dream'),
    pytest.param([side(4, 1, dream=True)], [side(4, 1, dream=True)], ConfigError,
                 'its plant is dream, given as real', id='dream-as-real'),
    pytest.param([side(4, 1)], [side(4, 1)], ConfigError, 'its plant is mujoco, given as dreamed',
                 id='real-as-dream'),
    pytest.param([side(4, 1)], [side(8, 1, dream=True)], ConfigError, 'no policy was run in both',
                 id='nothing-to-pair'),
    pytest.param([side(4, 1)], [side(4, 1, dream=True, task='cartpole')], ConfigError,
                 'nothing of theirs is comparable', id='tasks'),
    pytest.param([side(4, 1)], [side(4, 1, dream=True, clock='realtime')], ConfigError,
                 'clock mode', id='clocks'),
    pytest.param([side(4, 1, name='x'), side(4, 1, first=300, name='x')],
                 [side(4, 1, dream=True)], BagError, 'given twice', id='twice'),
])
def test_what_cannot_be_paired_is_refused(
    world: list[Evidence], dreamed: list[Evidence], error: type[Exception], says: str,
) -> None:
    with pytest.raises(error, match=says):
        correlate(world, dreamed)


def test_a_condition_that_is_the_question_is_waived() -> None:
    found = correlate([side(4, 1)], [side(4, 1, dream=True, clock='free')], waived=['clock'])
    assert len(found.pairs) == 1


def test_two_dreams_are_refused() -> None:
    other = side(8, 1, dream=True)
    other.manifest['settings']['plant']['model_sha256'] = 'c' * 64
    with pytest.raises(ConfigError, match='dreams of different models'):
        correlate([side(4, 1), side(8, 1)], [side(4, 1, dream=True), other])


def test_the_same_runs_in_another_order_give_the_same_bytes() -> None:
    world = [side(s, w) for s, w in WORLD.items()]
    dreamed = [side(s, w, dream=True) for s, w in WORLD.items()]
    assert correlate(world, dreamed).to_json() == correlate(world[::-1], dreamed[::-1]).to_json()


@pytest.fixture
def found() -> Correlation:
    return dataclasses.replace(both(WORLD), depth=(
        MetricValue('imagination_error[h=1]', 0.1, '1', 20, Interval(0.05, 0.2, 0.95, 'x')),))


def test_it_reads_as_text_and_as_markdown(found: Correlation) -> None:
    from wm_eval_ros.report.correlation import correlation_summary, correlation_text
    text, marked = correlation_text(found), correlation_summary(found)
    for told in ('samples=128', 'rank_preservation[shown]', 'imagination_error[h=1]', SHA[:16]):
        assert told in text
    assert text.splitlines()[-1].startswith("PASS: Pearson's r = 1.000")
    assert '| policy | world |' in marked
