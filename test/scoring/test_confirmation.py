"""Whether runs in real time confirm a latency curve."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from wm_eval_ros.errors import BagError
from wm_eval_ros.scoring.board import Bracket
from wm_eval_ros.scoring.confirmation import Confirmation, Prediction
from wm_eval_ros.scoring.scorecard import Scorecard
from wm_eval_ros.scoring.scorer import score
from wm_eval_ros.scoring.sweep import LATENCY, make_sweep

Maker = Callable[..., Scorecard]


@pytest.fixture
def card(scenes: ModuleType) -> Maker:
    """Make the scorecard of a run in which the first `won` of 20 starts are solved."""

    def make(won: int, clock: str = 'realtime', took_ms: float = 10.0, n: int = 20,
             **planner: Any) -> Scorecard:
        settings = {'planner': {'horizon': 12, 'period_ms': 50.0, 'latency_ms': 15.0,
                                'least_latency_ms': 0.0, **planner}}
        records = [scenes.info(clock=clock, settings=settings)]
        for e in range(n):
            records += [scenes.event('START', e, 50 * e, '', 100 + e),
                        scenes.cycle(e, episode=e, took_ms=took_ms),
                        scenes.event('SUCCESS' if e < won else 'TIMEOUT', e, 50 * e + 49, '',
                                     0.9)]
        return score(records)

    return make


@pytest.fixture
def said(card: Maker) -> Prediction:
    """Success is there up to 45 ms and lost at 75."""
    cards = [(f'at{x}', card(won, 'lockstep', latency_ms=float(x)))
             for x, won in ((0, 20), (45, 20), (60, 0), (75, 0))]
    points = make_sweep(LATENCY, cards).points
    return Prediction(cards[0], points, Bracket(45.0, 75.0), 0.8, strict=False)


def confirm(said: Prediction, card: Scorecard) -> Confirmation:
    return said.confirm('r/bag', card)


@pytest.mark.parametrize(('latency', 'won', 'verdict', 'word'), [
    pytest.param(45.0, 16, 'pass', 'confirmed', id='there-as-the-curve-has-it'),
    # 12 of 20 have an upper limit of .809, 11 one of .769
    pytest.param(45.0, 12, 'inconclusive', 'not decided', id='fewer-but-not-shown-to-be-lost'),
    pytest.param(45.0, 11, 'fail', 'refuted', id='lost-where-the-curve-has-it'),
    pytest.param(75.0, 3, 'pass', 'confirmed', id='lost-as-the-curve-says'),
    pytest.param(80.0, 20, 'inconclusive', 'the curve is cautious', id='there-all-the-same'),
    pytest.param(60.0, 20, 'inconclusive', 'not decided', id='between-the-ends'),
    pytest.param(0.0, 20, 'pass', 'confirmed', id='nothing-injected'),
])
def test_the_run_says_the_same_as_the_curve_or_not(
        said: Prediction, card: Maker, latency: float, won: int, verdict: str, word: str) -> None:
    found = confirm(said, card(won, least_latency_ms=latency))
    assert str(found.verdict) == verdict
    assert found.sentence.startswith(f'{word}: with {latency:g} ms injected {won} of 20 succeed')


def test_strictly_a_run_must_show_it(said: Prediction, card: Maker) -> None:
    strict = Prediction(said.reference, said.points, said.bracket, 0.8, strict=True)
    # 19 of 20 leave 0.751 possible
    assert str(confirm(strict, card(19, least_latency_ms=45.0)).verdict) == 'inconclusive'
    assert str(confirm(strict, card(20, least_latency_ms=45.0)).verdict) == 'pass'
    assert str(confirm(strict, card(5, least_latency_ms=45.0)).verdict) == 'fail'


def test_the_change_is_from_the_same_starts_in_lockstep(said: Prediction, card: Maker) -> None:
    found = confirm(said, card(18, least_latency_ms=45.0))
    assert found.change.value == pytest.approx(-0.1)
    assert found.change.interval is not None
    assert found.change.interval.method == 'Tango, pairs of one seed'
    nowhere = confirm(said, card(18, least_latency_ms=30.0))
    assert (nowhere.change.value, nowhere.change.why) == (
        None, 'the curve has no point at this latency')


@pytest.mark.parametrize(('took_ms', 'slow'), [
    pytest.param(45.0, False, id='published-a-millisecond-after-the-plan'),
    pytest.param(48.0, True, id='longer-than-what-was-injected')])
def test_a_host_that_is_slower_than_the_injection_is_told(
        said: Prediction, card: Maker, took_ms: float, slow: bool) -> None:
    found = confirm(said, card(20, took_ms=took_ms, least_latency_ms=45.0))
    assert found.p50_ms == took_ms + 1
    assert bool(found.notes) is slow


def test_without_a_decided_episode_nothing_is_decided(said: Prediction, card: Maker) -> None:
    found = confirm(said, card(0, n=0, least_latency_ms=45.0))
    assert (str(found.verdict), found.holds, found.p50_ms) == ('inconclusive', None, None)


@pytest.mark.parametrize(('changes', 'says'), [
    ({'clock': 'lockstep'}, 'its clock is lockstep'),
    ({'samples': 8}, r'differs from at0 in planner\.samples also'),
    ({'delay_steps': 1}, r'planner\.delay_steps also'),
])
def test_a_run_of_something_else_is_refused(
        said: Prediction, card: Maker, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(BagError, match=says):
        confirm(said, card(20, least_latency_ms=45.0, **changes))


def test_settings_that_follow_the_latency_may_differ(said: Prediction, card: Maker) -> None:
    told = Prediction(said.reference, said.points, said.bracket, 0.8, strict=False,
                      following=('planner.delay_steps',))
    assert str(confirm(told, card(20, least_latency_ms=45.0, delay_steps=1)).verdict) == 'pass'
