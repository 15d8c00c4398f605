"""A planner killed in mid-episode and started again: its scores are those the bag gives again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest

from wm_eval_ros.records import CycleRecord, CycleStatus, Record
from wm_eval_ros.surprise.calibration import Calibration
from wm_eval_ros.surprise.fit import calibrate, Wish
from wm_eval_ros.surprise.material import gather
from wm_eval_ros.surprise.monitor import rescored, SurpriseFold

Maker = Callable[..., list[Record]]
#: the last slot of the old process, the first decision of the new one
DIED, BACK = 7, 11


@pytest.fixture(scope='module')
def calibration(nominal_run: Maker) -> Calibration:
    wish = Wish(streams=('one_step', 'ensemble_variance'))
    return calibrate(gather([('bag', lambda: nominal_run(100))]), wish, created_ns=0)


@pytest.fixture
def run(nominal_run: Maker) -> list[CycleRecord]:
    """Two episodes that drift, slots from 0 and from 30."""
    return [r for r in nominal_run(2, seed=1, shift=0.2, shift_from=3)
            if isinstance(r, CycleRecord)]


def processes(run: list[CycleRecord], at: int, *, first: int | None, missed: bool = True
              ) -> tuple[list[CycleRecord], list[CycleRecord]]:
    """Return the records of a planner that died, and of the next: warm-ups, missed slots, more."""
    warm_up = replace(run[0], status=CycleStatus.WARMUP, slot=0, episode=0, latent=None,
                      rollout=None, rollout_std=None)
    absent = [replace(r, status=CycleStatus.SKIPPED, reason='the planner was not running',
                      latent=None, rollout=None, rollout_std=None, action=())
              for r in run if at + DIED < r.slot < at + BACK] if missed else []
    old = [r for r in run if r.slot <= at + DIED and (first is None or r.slot >= first)]
    after = at + (BACK if missed else DIED + 1)
    return old, [warm_up, warm_up, *absent, *(r for r in run if r.slot >= after)]


def scored(fold: SurpriseFold, records: Iterable[CycleRecord]) -> list[CycleRecord]:
    return [fold.update(r) for r in records]


def bits(records: Iterable[CycleRecord]) -> bytes:
    return np.array([(*r.scores, r.surprise) for r in records
                     if r.status is not CycleStatus.WARMUP]).tobytes()


@pytest.mark.parametrize('missed', [True, False])
@pytest.mark.parametrize('at', [0, 30])
def test_live_scores_over_a_respawn_are_those_of_the_bag_bit_for_bit(
    calibration: Calibration, run: list[CycleRecord], at: int, missed: bool,
) -> None:
    old, new = processes(run, at, first=None, missed=missed)
    live = scored(SurpriseFold((), 2, calibration), old)
    respawned = SurpriseFold((), 2, calibration)
    respawned.resume(at // 30, at)
    live += scored(respawned, new)
    bare = [replace(r, scores=(), surprise=float('nan')) for r in live]
    assert bits(rescored(bare, SurpriseFold((), 2, calibration))) == bits(live)
    # it goes on with the band where the episode is, and does not begin with its first slot
    anew = scored(SurpriseFold((), 2, calibration), new)
    assert bits(anew) != bits(live[len(old):])


def test_what_was_summed_up_before_the_planner_died_is_forgotten(
    calibration: Calibration, run: list[CycleRecord],
) -> None:
    old, new = processes(run, 0, first=None)
    whole = scored(SurpriseFold((), 2, calibration), [*old, *new])
    without = scored(SurpriseFold((), 2, calibration), run)
    back = {r.slot: r.surprise for r in whole if r.status is not CycleStatus.WARMUP}
    kept = {r.slot: r.surprise for r in without}
    assert all(np.isnan(back[k]) for k in range(DIED + 1, BACK))
    # the drift of the slots before is in the sums of the one alone
    assert back[BACK + 1] < kept[BACK + 1]
    # the next episode begins anew in both
    assert [back[k] for k in back if k >= 31] == [kept[k] for k in kept if k >= 31]


def test_an_episode_whose_first_slots_have_no_record_begins_with_the_first_that_has(
    calibration: Calibration, run: list[CycleRecord],
) -> None:
    old, new = processes(run, 0, first=2)
    live = scored(SurpriseFold((), 2, calibration), old)
    respawned = SurpriseFold((), 2, calibration)
    respawned.resume(0, 2)
    live += scored(respawned, new)
    assert bits(rescored(live, SurpriseFold((), 2, calibration))) == bits(live)
