"""Spells between ON and OFF, worked out by hand."""

from __future__ import annotations

import itertools
from types import ModuleType

import pytest

from wm_eval_ros.metrics.spells import FALLBACK, spells
from wm_eval_ros.scoring.scorer import score

MS = 1_000_000


def spans(scenes: ModuleType, *events: tuple[str, int, float]) -> list[tuple[float, float]]:
    """Return the spells [ms] of events given by kind, episode and time [ms], in order of time."""
    made = [scenes.event(kind, episode, at) for kind, episode, at in events]
    return [((on - scenes.ROS) / MS, (off - scenes.ROS) / MS)
            for on, off in spells(made, *FALLBACK, scenes.ROS + 9000 * MS)]


def test_a_spell_lasts_from_on_to_off_or_to_the_end_of_the_record(scenes: ModuleType) -> None:
    assert spans(scenes, ('FALLBACK_ON', 0, 10), ('FALLBACK_ON', 0, 20), ('FALLBACK_OFF', 0, 30),
                 ('FALLBACK_ON', 0, 40)) == [(10, 30), (40, 9000)]


def test_an_off_stamped_with_the_end_closes_what_began_behind_the_end(scenes: ModuleType) -> None:
    assert spans(scenes, ('START', 0, 0), ('SUCCESS', 0, 1000), ('FALLBACK_OFF', 0, 1000),
                 ('FALLBACK_ON', 0, 1002), ('START', 1, 2000), ('FALLBACK_ON', 1, 2500),
                 ('FALLBACK_OFF', 1, 2600)) == [(1002, 1002), (2500, 2600)]


def test_an_off_within_its_episode_whose_on_was_not_recorded_closes_nothing_later(
        scenes: ModuleType) -> None:
    assert spans(scenes, ('START', 0, 0), ('FALLBACK_OFF', 0, 100), ('FALLBACK_ON', 0, 200),
                 ('FALLBACK_OFF', 0, 300), ('SUCCESS', 0, 1000)) == [(200, 300)]


def test_what_begins_behind_an_end_and_has_its_off_later_lasts_until_then(
        scenes: ModuleType) -> None:
    assert spans(scenes, ('SUCCESS', 0, 1000), ('FALLBACK_ON', 0, 1500), ('START', 1, 2000),
                 ('FALLBACK_OFF', 1, 2500)) == [(1500, 2500)]


@pytest.mark.parametrize('kind', ['FALLBACK', 'STOPPED', 'DEGRADED'])
def test_what_the_gate_does_a_moment_behind_an_end_taints_no_episode(
        kind: str, scenes: ModuleType) -> None:
    records = []
    for e in range(10):
        records += [scenes.event('START', e, 4000 * e),
                    scenes.event('SUCCESS', e, 4000 * e + 3000, value=3.0)]
    # in the order of the bag: the gate fell back before it heard of the end, and let go then
    records[2:2] = [scenes.event(f'{kind}_ON', 0, 3002),
                    scenes.event(f'{kind}_OFF', 0, 3000)]
    card = score(records)
    assert card['unaided_success_rate'].value == 1.0
    assert not any(e.aided for e in card.episodes)
    name = {'FALLBACK': 'fallback_rate', 'STOPPED': 'stopped_rate',
            'DEGRADED': 'degraded_rate'}[kind]
    assert card[name].n == 1
    assert all(score(some).values == card.values
               for some in (records[::-1], [*itertools.islice(records, 5, None), *records[:5]]))
