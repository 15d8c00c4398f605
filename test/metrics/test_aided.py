"""Who drove when a task was solved."""

from __future__ import annotations

from types import ModuleType

from wm_eval_ros.metrics.task import NO_PREDICATE
from wm_eval_ros.scoring.scorer import score


def test_in_shadow_mode_no_success_is_the_planners(scenes: ModuleType) -> None:
    card = score([scenes.info(), scenes.event('START'), scenes.cycle(0, mode='SHADOW'),
                  scenes.event('SUCCESS', at_ms=100, value=0.1)])
    assert card['success_rate'].value == 1
    assert card['unaided_success_rate'].value is None
    assert card['unaided_success_rate'].why == 'in shadow mode the planner did not drive'
    assert [e.aided for e in card.episodes] == [None]


def test_on_a_robot_it_is_not_known_either(scenes: ModuleType) -> None:
    card = score([scenes.info(settings={'plant': {'kind': 'hardware'}}), scenes.event('START'),
                  scenes.event('TIMEOUT', at_ms=100, value=0.1)])
    assert card['unaided_success_rate'].why == NO_PREDICATE


def test_an_operator_who_never_let_go_drove_in_the_open_episode_too(scenes: ModuleType) -> None:
    card = score([scenes.event('START'), scenes.event('INTERVENTION_ON', at_ms=500),
                  scenes.event('TIMEOUT', at_ms=1000, value=1.0),
                  scenes.event('START', 1, 2000), scenes.cycle(0, episode=1, stamp_ms=2100)])
    assert [e.aided for e in card.episodes] == [True, True]
    assert card['unaided_success_rate'].n == 1


def test_its_interval_is_that_of_a_share_of_all_decided_episodes(scenes: ModuleType) -> None:
    records = []
    for e in range(10):
        records += [scenes.event('START', e, 1000 * e),
                    scenes.event('SUCCESS', e, 1000 * e + 900, value=0.9)]
    records += [scenes.event('FALLBACK_ON', 3, 3100), scenes.event('FALLBACK_OFF', 3, 3200)]
    found = score(records)['unaided_success_rate']
    assert (found.value, found.n) == (0.9, 10)
    # Clopper-Pearson of 9 of 10
    assert found.interval is not None
    assert [round(end, 4) for end in found.interval[:2]] == [0.5550, 0.9975]
