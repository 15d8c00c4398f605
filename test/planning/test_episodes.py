"""Which episode runs, entered once and announced once."""

from __future__ import annotations

import pytest

from wm_eval_ros.planning.episodes import Episodes
from wm_eval_ros.records import EpisodeEvent, EventKind

START = EpisodeEvent(100, 4, EventKind.START)


def test_an_episode_runs_from_its_start_to_its_end_and_is_new_once() -> None:
    episodes = Episodes()
    assert episodes.enter() == (None, False)
    assert episodes.told(START)
    assert episodes.begun.is_set()
    assert episodes.enter() == (START, True)
    assert episodes.enter() == (START, False)
    assert not episodes.told(EpisodeEvent(120, 4, EventKind.FALLBACK_ON))
    assert episodes.current is START
    assert episodes.told(EpisodeEvent(150, 4, EventKind.TIMEOUT))
    assert episodes.enter() == (None, False)
    assert not episodes.begun.is_set()


def test_one_that_begins_right_after_another_is_new() -> None:
    episodes = Episodes()
    for number in (4, 5):
        start = EpisodeEvent(100, number, EventKind.START)
        episodes.told(start)
        assert episodes.enter() == (start, True)


@pytest.mark.parametrize(('goal_ns', 'wants', 'old', 'said'), [
    pytest.param(None, False, False, 4, id='no-goal-is-wanted'),
    pytest.param(None, True, True, None, id='none-came'),
    pytest.param(99, True, False, None, id='of-the-episode-before'),
    pytest.param(100, True, False, 4, id='with-the-start'),
    pytest.param(99, True, True, 4, id='a-robots-goal-stays'),
])
def test_it_is_announced_once_its_goal_is_here(
    goal_ns: int | None, wants: bool, old: bool, said: int | None,
) -> None:
    episodes = Episodes()
    assert episodes.to_announce(goal_ns, wants_goal=wants, old_goal=old) is None
    episodes.told(START)
    assert episodes.to_announce(goal_ns, wants_goal=wants, old_goal=old) == said
    if said is not None:
        assert episodes.to_announce(goal_ns, wants_goal=wants, old_goal=old) is None
