"""How hand-overs ended."""

from __future__ import annotations

from types import ModuleType

from wm_eval_ros.metrics.task import NO_PREDICATE
from wm_eval_ros.scoring.scorer import score

ENDS = ('stopped', 'timeout', 'failure')


def test_a_robot_that_stands_until_the_time_limit_is_no_good_hand_over(
        scenes: ModuleType) -> None:
    records = []
    for e in range(10):
        records += [scenes.event('START', e, 4000 * e),
                    scenes.event('FALLBACK_ON', e, 4000 * e + 100),
                    scenes.event('STOPPED_ON', e, 4000 * e + 600),
                    scenes.event('TIMEOUT', e, 4000 * e + 3000, value=3.0),
                    scenes.event('STOPPED_OFF', e, 4000 * e + 3000),
                    scenes.event('FALLBACK_OFF', e, 4000 * e + 3000)]
    card = score(records)
    good = card['handover_success[fallback]']
    assert (good.value, good.n) == (0, 10)
    assert good.interval is not None
    # Clopper-Pearson of 0 of 10: 1 - 0.025^(1/10)
    assert abs(good.interval.high - 0.3085) < 1e-4
    assert [card[f'handover_end[fallback].{end}'].value for end in ENDS] == [1, 0, 0]


def test_on_a_robot_it_is_told_how_it_ended_and_not_whether_that_was_success(
        scenes: ModuleType) -> None:
    card = score([
        scenes.info(settings={'plant': {'kind': 'hardware'}}), scenes.event('START'),
        scenes.event('FALLBACK_ON', at_ms=100), scenes.event('FALLBACK_OFF', at_ms=200),
        scenes.event('TIMEOUT', at_ms=3000, value=3.0)])
    assert card['handover_success[fallback]'].value is None
    assert card['handover_success[fallback]'].why == NO_PREDICATE
    assert [card[f'handover_end[fallback].{end}'].value for end in ENDS] == [0, 1, 0]


def test_without_a_hand_over_there_is_no_evidence_of_how_one_ends(scenes: ModuleType) -> None:
    card = score([scenes.event('START'), scenes.event('SUCCESS', at_ms=900, value=0.9)])
    for name in ('handover_success[fallback]', *(f'handover_end[fallback].{e}' for e in ENDS)):
        assert card[name].value is None
        assert card[name].why == 'no fallback in an episode whose outcome is known'
