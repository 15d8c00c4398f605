"""The watch over a calibration, on records."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

from wm_eval_ros.records import CycleRecord, Record
from wm_eval_ros.surprise.calibration import Calibration
from wm_eval_ros.surprise.exchangeability import CalibrationWatch, Loss
from wm_eval_ros.surprise.fit import calibrate, Wish
from wm_eval_ros.surprise.material import gather
from wm_eval_ros.surprise.monitor import SurpriseFold

Maker = Callable[..., list[Record]]


@pytest.fixture(scope='module')
def calibration(nominal_run: Maker) -> Calibration:
    run = nominal_run(100)
    return calibrate(gather([('bag', lambda: run)]), Wish(), created_ns=0)


def losses(calibration: Calibration, records: list[Record],
           alpha: float = 0.05) -> tuple[list[Loss], CalibrationWatch]:
    watch, fold = CalibrationWatch(calibration, alpha), SurpriseFold((), 2, calibration)
    found = [watch.update(fold.update(r) if isinstance(r, CycleRecord) else r) for r in records]
    return [f for f in (*found, watch.finish()) if f is not None], watch



def test_runs_like_the_calibration_keep_it(calibration: Calibration, nominal_run: Maker) -> None:
    lost, watch = losses(calibration, nominal_run(100, seed=7))
    assert lost == []
    assert watch.evidence < 20


def test_a_changed_world_loses_it_once_with_the_evidence(calibration: Calibration,
                                                         nominal_run: Maker) -> None:
    lost, _ = losses(calibration, nominal_run(60, seed=8, shift=0.3))
    assert len(lost) == 1
    assert lost[0].evidence >= 20
    assert lost[0].episode + 1 == lost[0].episodes < 20
    assert lost[0].label.startswith('nominal episodes are not those of the calibration: e-value')


@pytest.mark.parametrize('kind', ['PERTURB_ON', 'INTERVENTION_ON'])
def test_episodes_that_say_nothing_of_it_are_left_out(
    calibration: Calibration, nominal_run: Maker, scenes: ModuleType, kind: str,
) -> None:
    run = nominal_run(60, seed=8, shift=0.3 if kind == 'PERTURB_ON' else 0.0)
    events = [scenes.event(kind, e, 50.0 * 30 * e + 10, 'x') for e in range(60)]
    lost, watch = losses(calibration, [*run[:1], *events, *run[1:]])
    assert lost == []
    assert watch.evidence == 1.0


def test_late_records_of_a_closed_episode_change_nothing(calibration: Calibration,
                                                         nominal_run: Maker) -> None:
    run = nominal_run(12, seed=9)
    _, watch = losses(calibration, run)
    late = [r for r in run if isinstance(r, CycleRecord) and r.episode == 0]
    _, again = losses(calibration, [*run, *late])
    assert again.evidence == watch.evidence
