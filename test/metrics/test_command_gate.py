"""What the command gate did, and how sure that is."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from wm_eval_ros.scoring.scorecard import Scorecard
from wm_eval_ros.scoring.scorer import score


def quiet(scenes: ModuleType, episodes: int = 20) -> list[Any]:
    """Make episodes of 1 s with one command each."""
    records = []
    for e in range(episodes):
        records += [scenes.event('START', e, 1000 * e),
                    scenes.cycle(20 * e, episode=e, stamp_ms=1000 * e + 10),
                    scenes.event('SUCCESS', e, 1000 * e + 1000, value=1.0)]
    return records


def ends(card: Scorecard, name: str) -> tuple[float, float, str]:
    interval = card[name].interval
    assert interval is not None
    return interval.low, interval.high, interval.method


def test_that_nothing_happened_has_an_upper_limit_everywhere(scenes: ModuleType) -> None:
    card = score(quiet(scenes))
    for name in ('degraded', 'stopped'):
        # exact Poisson: -ln(0.025) in 20 s
        low, high, method = ends(card, f'{name}_rate')
        assert (low, method) == (0, 'exact Poisson')
        assert high == pytest.approx(3.688879 * 180, rel=1e-6)
        assert (card[f'{name}_share'].value, card[f'{name}_share'].n) == (0, 20)
        low, high, method = ends(card, f'{name}_share')
        assert (low, method) == (0, 'betting')
        assert 0.05 < high < 0.35
    assert (card['commands_refused'].value, card['commands_refused'].n) == (0, 20)
    # Clopper-Pearson of 0 of 20
    assert ends(card, 'refusal_rate')[1] == pytest.approx(1 - 0.025**(1 / 20))


def test_more_episodes_without_a_stop_bound_its_share_more_closely(scenes: ModuleType) -> None:
    few, many = (ends(score(quiet(scenes, n)), 'stopped_share')[1] for n in (5, 50))
    assert many < few / 2


def test_refusals_have_the_interval_of_whole_episodes(scenes: ModuleType) -> None:
    refused = [scenes.event('COMMAND_REFUSED', e, 1000 * e + 20, 'late', 2.0) for e in range(10)]
    card = score([*quiet(scenes), *refused])
    # 20 refusals of 20 commands, two each in every second episode: no exact share would hold
    assert card['refusal_rate'].value == 1
    low, high, method = ends(card, 'refusal_rate')
    assert method == 'bootstrap over episodes'
    assert 0.3 < low < 0.7 and 1.3 < high < 1.7


@pytest.mark.parametrize('value', [0.0, -3.0, float('nan'), float('inf'), 1e300])
def test_an_event_that_does_not_say_how_many_stands_for_one(
        scenes: ModuleType, value: float) -> None:
    card = score([*quiet(scenes), scenes.event('COMMAND_REFUSED', 0, 20, 'late', value)])
    assert card['commands_refused'].value == 1


def test_without_a_command_or_an_episode_there_is_no_rate_of_them(scenes: ModuleType) -> None:
    card = score([scenes.event('COMMAND_REFUSED', 0, 20, 'late', 1.0)])
    assert card['refusal_rate'].why == 'no command was proposed'
    assert card['stopped_share'].why == 'no episode was seen from its start on'
    assert card['stopped_rate'].why == 'nothing was recorded over time'


def test_an_open_episode_counts_up_to_the_end_of_the_record(scenes: ModuleType) -> None:
    card = score([scenes.event('START'), scenes.event('STOPPED_ON', at_ms=1000),
                  scenes.cycle(0, stamp_ms=4000)])
    assert card['stopped_share'].value == pytest.approx(0.75)
