"""Recovery judged from the events of each episode, looked through once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

from wm_eval_ros.metrics.recovery import recoveries
from wm_eval_ros.scoring.scorer import score, Scorer


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


def test_on_a_robot_a_time_out_tells_nothing_unless_somebody_judged(scenes: ModuleType) -> None:
    records = [scenes.info(settings={'plant': {'kind': 'hardware'}})]
    for e in range(2):
        records += [scenes.event('START', e, 4000 * e),
                    scenes.event('PERTURB_ON', e, 4000 * e + 100, 'physical.push'),
                    scenes.event('TIMEOUT', e, 4000 * e + 3000, value=3.0)]
    nobody = score(records)['recovery_rate']
    assert (nobody.value, nobody.n) == (None, 0)
    judged = score([*records, scenes.event('RECOVERED', 1, 5000)])
    assert (judged['recovery_rate'].value, judged['recovery_rate'].n) == (0.5, 2)
    # in simulation the end judges
    assert score(records[1:])['recovery_rate'].value == 0
