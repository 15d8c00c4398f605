"""Time to retrain, from what several runs tell."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest

from wm_eval_ros.metrics.retrain import RunSummary, summary, time_to_retrain
from wm_eval_ros.metrics.table import RunTable
from wm_eval_ros.records import ClockMode, Record

HOUR = 3600 * 10**9
#: the lower limits of Agresti and Caffo of the difference to 36 of 40: 33 of 40 -0.225, 37 of 40
#: -0.108, 40 of 40 -0.013; a loss of 0.15 counts as back
BEFORE = RunSummary(0, 36, 40, 'old')
SHIFT = RunSummary(2 * HOUR, 5, 20, 'old', shift_ns=3 * HOUR, shift='physical.ice',
                   alarm_ns=4 * HOUR)
WEAK = RunSummary(7 * HOUR, 33, 40, 'weak', trained_ns=6 * HOUR, train_cpu_s=1800,
                  under={'physical.ice': (33, 40)})
GOOD = RunSummary(9 * HOUR, 37, 40, 'good', trained_ns=8 * HOUR, train_cpu_s=5400,
                  under={'physical.ice': (37, 40)})
LATER = RunSummary(12 * HOUR, 40, 40, 'later', trained_ns=11 * HOUR, train_cpu_s=9,
                   under={'physical.ice': (40, 40)})


def test_from_the_alarm_to_the_first_model_that_is_shown_to_be_back() -> None:
    wall, cpu = time_to_retrain([LATER, GOOD, WEAK, SHIFT, BEFORE])
    assert (wall.value, wall.unit, wall.n) == (4.0, 'h', 5)
    # both trainings were needed to get there: 0.5 h and 1.5 h
    assert cpu.value == 2.0
    assert wall.why == 'one shift: a single observation'


@pytest.mark.parametrize(('runs', 'why'), [
    pytest.param([BEFORE, GOOD], 'no run holds a shift', id='no-shift'),
    pytest.param([BEFORE, replace(SHIFT, alarm_ns=None), GOOD], 'no alarm', id='no-alarm'),
    pytest.param([SHIFT, GOOD], 'takes 10 decided episodes of the same model, there are 0',
                 id='no-run-before'),
    pytest.param([RunSummary(0, 1, 1, 'old'), SHIFT,
                  replace(GOOD, under={'physical.ice': (1, 30)})],
                 'takes 10 decided episodes of the same model, there are 1', id='few-before'),
    pytest.param([BEFORE, SHIFT, replace(GOOD, under={})], 'under physical.ice',
                 id='the-retrained-model-never-met-the-shift'),
    pytest.param([BEFORE, SHIFT, replace(GOOD, under={'visual.dark': (20, 20)})],
                 'under physical.ice', id='it-met-another-one'),
    pytest.param([BEFORE, SHIFT, replace(GOOD, under={'physical.ice': (9, 9)})],
                 'has 10 decided episodes', id='few-after'),
    pytest.param([BEFORE, SHIFT], 'no model trained after', id='no-later-model'),
    pytest.param([BEFORE, SHIFT, WEAK], 'none of 1 retrained', id='none-good-enough'),
    # all of ten, before and after: a loss of 0.22 is not ruled out
    pytest.param([replace(BEFORE, successes=10, episodes=10), SHIFT,
                  replace(GOOD, under={'physical.ice': (10, 10)})],
                 'a loss of 0.15 against the 10 of 10 before it is not ruled out',
                 id='few-episodes-show-nothing'),
    pytest.param([BEFORE, SHIFT, replace(GOOD, trained_ns=None)], 'no model trained after',
                 id='training-time-not-recorded'),
    pytest.param([BEFORE, SHIFT, replace(GOOD, trained_ns=HOUR)], 'no model trained after',
                 id='trained-before-the-alarm'),
    pytest.param([], 'no run holds a shift', id='no-runs')])
def test_what_is_missing_is_said(runs: list[RunSummary], why: str) -> None:
    for value in time_to_retrain(runs):
        assert value.value is None
        assert why in value.why


def test_cpu_time_is_none_where_a_training_did_not_record_it() -> None:
    wall, cpu = time_to_retrain([BEFORE, SHIFT, replace(WEAK, train_cpu_s=None), GOOD])
    assert wall.value == 4.0
    assert cpu.value is None


def test_all_runs_of_a_model_count_together() -> None:
    again = replace(WEAK, begin_ns=8 * HOUR, under={'physical.ice': (40, 40)})
    wall, _ = time_to_retrain([BEFORE, SHIFT, WEAK, again])
    assert wall.value == 2.0


def run_of(records: list[Record]) -> RunSummary | str:
    table = RunTable()
    for record in records:
        table.update(record)
    return summary(table.run())


def test_a_run_tells_shift_alarm_success_and_its_model(scenes: ModuleType) -> None:
    model = {'sha256': 'abc', 'trained_at_ns': 5, 'train_cpu_s': 2.5}
    records = [
        scenes.info(model=model), scenes.event('START'),
        scenes.event('PERTURB_ON', at_ms=20, label='nuisance.light'),
        scenes.event('PERTURB_ON', at_ms=60, label='physical.ice'),
        scenes.event('SUCCESS', at_ms=190, value=0.19),
        *(scenes.cycle(k, surprise=s, surprise_threshold=1) for k, s in enumerate([2, 0, 0, 2]))]
    found = run_of(records)
    start = scenes.ROS
    assert found == RunSummary(start, 1, 1, 'abc', 5, 2.5, start + 60 * scenes.MS,
                               'physical.ice', start + 150 * scenes.MS,
                               {'physical.ice': (1, 1)})


def test_simulated_time_is_no_time_of_the_wall(scenes: ModuleType) -> None:
    found = run_of([scenes.info(clock=ClockMode.LOCKSTEP), scenes.event('START')])
    assert isinstance(found, str)
    assert 'lockstep' in found
    assert isinstance(run_of([scenes.event('START')]), str)
