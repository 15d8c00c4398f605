"""Recovery judged from the events of each episode, looked through once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

from wm_eval_ros.metrics.recovery import recoveries
from wm_eval_ros.scoring.scorer import Scorer


class Counted(tuple[Any, ...]):
    """Count how often it is gone through."""

    passes = 0

    def __iter__(self) -> Iterator[Any]:
        Counted.passes += 1
        return super().__iter__()


def test_the_events_are_gone_through_as_often_for_many_episodes_as_for_one(
        scenes: ModuleType) -> None:
    passes = []
    for episodes in (1, 30):
        scorer = Scorer()
        for e in range(episodes):
            base = 1000 * e
            for kind, at, label in (('START', 0, ''), ('PERTURB_ON', 100, 'physical.push'),
                                    ('RECOVERED', 400, ''), ('SUCCESS', 900, '')):
                scorer.update(scenes.event(kind, e, base + at, label))
        run = scorer.run()
        counted = replace(run, events=Counted(run.events))
        assert counted.applied
        Counted.passes = 0
        found = recoveries(counted)
        passes.append(Counted.passes)
        assert [r.wait_s for r in found] == [0.3] * episodes
    assert passes == [1, 1]


def test_an_open_episode_is_seen_until_its_last_slot_or_event(scenes: ModuleType) -> None:
    for slots, wait_s in ((10, 0.35), (0, 0.0)):
        scorer = Scorer()
        scorer.update(scenes.event('START', 0, 0))
        scorer.update(scenes.event('PERTURB_ON', 0, 100, 'physical.push'))
        for k in range(slots):
            scorer.update(scenes.cycle(k))
        found, = recoveries(scorer.run())
        assert found.recovered is None
        assert found.wait_s == wait_s
