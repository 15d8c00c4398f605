"""Intervals of figures over slots know that neighbours depend on each other."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from wm_eval_ros.metrics.dependence import clusters, share_of_slots, slot_mean, slot_slope
from wm_eval_ros.records import CycleStatus, NEVER_NS, Record
from wm_eval_ros.scoring.scorecard import Scorecard
from wm_eval_ros.scoring.scorer import score
from wm_eval_ros.stats.proportion import clopper_pearson


def rows(count: int, each: int) -> np.ndarray:
    found = np.zeros(count, [('slot', '<i8'), ('episode', '<i8')])
    found['slot'] = 7 + np.arange(count)
    found['episode'] = np.arange(count) // each
    return found


@pytest.mark.parametrize(('each', 'made', 'first'), [
    pytest.param(30, 10, 30, id='ten-episodes'), pytest.param(34, 3, 100, id='nine-are-too-few'),
])
def test_the_clusters_are_episodes_or_else_blocks(each: int, made: int, first: int) -> None:
    found = clusters(rows(300, each))
    assert found.count == made
    assert np.sum(found.cluster == 0) == first


def stalled(scenes: ModuleType, stalls: tuple[int, ...], slots: int = 600) -> Scorecard:
    records: list[Record] = [scenes.info(), scenes.event('START')]
    for slot in range(slots):
        made = scenes.cycle(slot)
        if any(begin <= slot < begin + 10 for begin in stalls):
            made = replace(made, status=CycleStatus.EXCEPTION, publish_ns=NEVER_NS,
                           publish_system_ns=NEVER_NS, action=(), command_stamp_ns=None)
        records.append(made)
    return score(records)


def test_a_stall_does_not_count_as_ten_independent_misses(scenes: ModuleType) -> None:
    found = stalled(scenes, (30, 330))['deadline_miss_rate']
    plain = clopper_pearson(20, 600)
    assert found.value == 20 / 600
    assert found.interval is not None
    assert found.interval.method == 'Korn-Graubard'
    # two events of 6 blocks, variance 6/5 * (2 * (20/3)^2 + 4 * (10/3)^2) / 600^2: worth 72.5
    assert found.interval.low < plain.low / 2
    assert found.interval.high > 2 * plain.high


def test_one_block_of_slots_gives_no_interval_and_more_is_the_remedy(scenes: ModuleType) -> None:
    found = stalled(scenes, (30,), 90)['deadline_miss_rate']
    assert found.value == 10 / 90 and found.interval is None
    assert found.why.endswith('record more')
    calm = stalled(scenes, (), 90)['deadline_miss_rate']
    assert calm.interval is not None and calm.interval.method == 'Clopper-Pearson'


def test_the_mean_of_constant_blocks_has_the_spread_of_their_means() -> None:
    # 4 blocks of 100 at 1, 2, 3, 6: mean 3, sd sqrt(14/3), t(3) = 3.1824
    found = slot_mean('m', 'ms', np.repeat([1.0, 2, 3, 6], 100), rows(400, 400), '')
    assert found.value == 3.0 and found.interval is not None
    assert found.interval.high - 3 == pytest.approx(3.182446 * (14 / 3)**0.5 / 2)
    assert found.interval.method == 'Student over blocks of 100 slots'
    over = slot_mean('m', 'ms', np.repeat([1.0, 2, 3, 6], 100), rows(400, 20), '')
    assert over.interval is not None and over.interval.method == 'Student over episodes'


def test_a_slope_that_clusters_move_is_less_certain() -> None:
    rng = np.random.default_rng(0)
    x = np.arange(2000.0)
    jumps = np.repeat(rng.normal(size=20), 100)
    found = slot_slope('s', '1', x, jumps, rows(2000, 2000))
    loose = slot_slope('s', '1', x, rng.permutation(jumps), rows(2000, 2000))
    assert found.interval is not None and loose.interval is not None
    assert np.ptp(found.interval[:2]) > 4 * np.ptp(loose.interval[:2])


def test_a_share_of_slots_is_counted_in_their_clusters() -> None:
    hit = np.arange(1000) < 100
    found = share_of_slots('s', hit, rows(1000, 100), 'none')
    # one cluster of ten has all of the events
    assert found.value == 0.1 and found.interval is not None and found.interval.high > 0.4
    assert share_of_slots('s', hit[:0], rows(0, 1), 'none').why == 'none'
