"""Observations that cannot be read: an alarm where calibrated, the same way live and offline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
import math
from types import ModuleType

import numpy as np
import pytest

from wm_eval_ros.errors import CalibrationError
from wm_eval_ros.records import CycleRecord, CycleStatus, Mode, Record
from wm_eval_ros.surprise.calibration import Calibration
from wm_eval_ros.surprise.fit import calibrate, Wish
from wm_eval_ros.surprise.material import gather
from wm_eval_ros.surprise.monitor import rescored, SurpriseFold
from wm_eval_ros.surprise.unreadable import Unreadable

Maker = Callable[..., list[Record]]
NAN = float('nan')
#: few streams: what is tried here does not depend on them
WISH = Wish(streams=('one_step', 'ensemble_variance'))


def broken(record: CycleRecord) -> CycleRecord:
    """Return the slot as it is where a sensor sends what is no number."""
    return blind(replace(record, observation=(1.0, NAN)), CycleStatus.NO_INPUT)


def blind(record: CycleRecord, status: CycleStatus) -> CycleRecord:
    return replace(record, status=status, latent=None, rollout=None, rollout_std=None, action=())


def blinded(records: Sequence[Record], slots: Callable[[int], bool],
            episodes: Sequence[int]) -> list[Record]:
    """Return a run whose input is stale in some slots of some episodes, slots from 0 in each."""
    return [blind(r, CycleStatus.STALE_INPUT)
            if isinstance(r, CycleRecord) and r.episode in episodes and slots(r.slot % 30) else r
            for r in records]


def calibrated(records: list[Record], wish: Wish = WISH) -> Calibration:
    return calibrate(gather([('bag', lambda: records)]), wish, created_ns=0)


@pytest.fixture(scope='module')
def calibration(nominal_run: Maker) -> Calibration:
    return calibrated(nominal_run(100))


def scores(records: Sequence[Record], calibration: Calibration) -> list[float]:
    fold = SurpriseFold((), 2, calibration)
    return [fold.update(r).surprise for r in records if isinstance(r, CycleRecord)]


@pytest.mark.parametrize(('missing', 'want'), [
    pytest.param('.' * 12, None, id='none'),
    pytest.param('.x..........', None, id='a-single-one'),
    pytest.param('.xxxx.......', None, id='four-in-a-row'),
    pytest.param('xxxxx.......', 4, id='the-fifth-in-a-row'),
    pytest.param('.x.x.x.x.x.x', 9, id='every-second-one'),
    pytest.param('x..x..x..x..x..x..x..x', None, id='every-third-one'),
    pytest.param('xxxx......x.', None, id='five-of-eleven'),
])
@pytest.mark.parametrize('status', ['NO_INPUT', 'STALE_INPUT'])
def test_slots_without_input_are_unreadable_once_they_are_half_of_ten(
    scenes: ModuleType, missing: str, want: int | None, status: str,
) -> None:
    fold = Unreadable()
    found = [fold.update(scenes.cycle(k, status if m == 'x' else 'OK', observation=[0.0]))
             for k, m in enumerate(missing)]
    assert next((k for k, seen in enumerate(found) if seen), None) == want


def test_a_value_that_is_no_number_is_unreadable_at_once_and_a_new_episode_begins_anew(
    scenes: ModuleType,
) -> None:
    fold = Unreadable()
    assert fold.update(scenes.cycle(0, 'NO_INPUT', observation=[0.0, math.inf]))
    assert not fold.update(scenes.cycle(1, observation=[0.0, 1.0]))
    for k in range(2, 5):
        assert not fold.update(scenes.cycle(k, 'NO_INPUT'))
    assert fold.update(scenes.cycle(5, 'NO_INPUT'))
    fold.begin()
    assert not fold.update(scenes.cycle(6, 'NO_INPUT'))


def test_a_sensor_that_sends_no_number_in_every_second_slot_is_an_alarm_at_once(
    nominal_run: Maker, calibration: Calibration,
) -> None:
    run = [r for r in nominal_run(1, seed=1) if isinstance(r, CycleRecord)]
    upset = [broken(r) if r.slot % 2 else r for r in run]
    found = np.array(scores(upset, calibration)) > calibration.threshold
    # from the fifth on the planner has been without input for half of ten slots
    assert found.tolist() == [r.slot % 2 == 1 or r.slot >= 9 for r in run]
    # whoever drives: the planner could not take over
    driven = [replace(r, mode=Mode.FALLBACK) for r in upset]
    assert (np.array(scores(driven, calibration)) > calibration.threshold).tolist() == (
        found.tolist())
    assert all(map(math.isnan, (SurpriseFold((), 2).update(r).surprise for r in upset)))


def test_a_single_stale_slot_is_no_alarm_and_a_stream_that_stays_away_is(
    nominal_run: Maker, calibration: Calibration,
) -> None:
    run = nominal_run(2, seed=1)
    once = scores(blinded(run, lambda slot: slot == 7, [0, 1]), calibration)
    assert not any(s > calibration.threshold for s in once)
    gone = blinded(run, lambda slot: slot >= 7, [0])
    alarms = [r.slot for r, s in zip((r for r in gone if isinstance(r, CycleRecord)),
                                     scores(gone, calibration), strict=True) if s == math.inf]
    # the fifth stale slot of the first episode, to its end; the second begins anew
    assert alarms[0] == 11
    assert alarms[-1] < 30


def test_the_bag_gives_the_same_alarms_again(nominal_run: Maker, calibration: Calibration,
                                             ) -> None:
    run = [r for r in blinded(nominal_run(2, seed=1), lambda slot: slot % 2 == 1, [0])
           if isinstance(r, CycleRecord)]
    fold = SurpriseFold((), 2, calibration)
    live = [fold.update(r) for r in run]
    again = rescored([replace(r, scores=(), surprise=NAN) for r in live],
                     SurpriseFold((), 2, calibration))
    assert [r.surprise for r in live] == pytest.approx([r.surprise for r in again], abs=0,
                                                       rel=0, nan_ok=True)
    assert math.inf in [r.surprise for r in live]


def test_nominal_runs_whose_input_stays_away_are_counted_or_refused(nominal_run: Maker) -> None:
    # of episodes 39 to 42 the parts for reference and band take 41
    run = blinded(nominal_run(100), lambda slot: slot % 2 == 1, [39, 40, 42])
    with pytest.raises(CalibrationError, match=r'^3 of 70 ranked nominal episodes hold a slot '
                                               r'whose .* 0 of them may raise an alarm'):
        calibrated(run)
    marginal = replace(WISH, rule='marginal')
    assert calibrated(nominal_run(100), marginal).unreadable == 0
    with pytest.raises(CalibrationError, match=r'^3 of 70 .* 2 of them may'):
        calibrated(run, marginal)
    run = blinded(nominal_run(100), lambda slot: slot % 2 == 1, [39, 40])
    found = calibrated(run, marginal)
    assert (found.n, found.rank, found.unreadable) == (70, 68, 2)
    # ranked and live alike: those two are above the threshold, and only they
    above = {r.episode for r, s in zip((r for r in run if isinstance(r, CycleRecord)),
                                       scores(run, found), strict=True) if s == math.inf}
    assert above == {39, 40}
    assert sum(m > found.threshold for m in found.maxima) == 2
