"""The pure parts of the benches; nothing here is timed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from wm_eval_ros.records import CycleRecord, CycleStatus, InputRef, Interval, MetricValue, NEVER_NS

MS = 1_000_000


def cycle() -> CycleRecord:
    """A slot that starts at 100 ms steady, 1100 ms system, and plans for 20 ms."""
    return CycleRecord(
        stamp_ns=1100 * MS, slot=3, episode=0, status=CycleStatus.OK, due_ns=99 * MS,
        start_ns=100 * MS, infer_start_ns=101 * MS, infer_end_ns=121 * MS,
        publish_ns=122 * MS, publish_system_ns=1122 * MS, period_ns=50 * MS, deadline_ns=50 * MS,
        command_stamp_ns=7,
        # stamped 10 ms before the start; in the callback 8 and 7 ms before it
        inputs=(InputRef('/a', 1090 * MS, steady_ns=92 * MS),
                InputRef('/b', 1090 * MS, steady_ns=93 * MS)))


def test_the_wait_for_the_slot_and_the_plan_are_no_overhead(load):
    found = load('_loop').overheads([cycle()], {7: 125 * MS}, {7: 1124 * MS})
    assert found.sense == [3.0]
    assert found.decide == [2.0]
    assert found.act == [3.0]
    assert found.total == [8.0]
    assert found.plan == [20.0]
    assert found.bag == [7.0]


def test_a_command_the_plant_never_saw_is_counted_and_not_averaged_in(load):
    found = load('_loop').overheads([cycle()], {}, {})
    assert (found.unseen, found.total) == (1, [])


@pytest.mark.parametrize('change', [
    pytest.param({'status': CycleStatus.WARMUP}, id='warm-up'),
    pytest.param({'publish_ns': NEVER_NS}, id='nothing-published'),
    pytest.param({'inputs': ()}, id='no-input'),
])
def test_a_slot_without_a_whole_path_is_no_sample(load, change):
    found = load('_loop').overheads([replace(cycle(), **change)], {7: 125 * MS}, {})
    assert (found.unseen, found.total) == (0, [])


def test_quantiles_are_values_that_were_measured(load):
    found = load('_spread').spread([4.0, 1.0, 3.0, 2.0])
    assert (found['n'], found['p50'], found['p10'], found['max']) == (4, 3.0, 2.0, 4.0)


def test_a_99_percent_quantile_is_shown_only_with_enough_samples(load):
    module = load('_spread')
    few, many = (module.shown(module.spread([1.0] * n)) for n in (298, 299))
    assert 'p99' not in few and 'max' in few
    assert 'p99' in many


def test_a_ratio_is_taken_block_by_block_and_over_all(load):
    found = load('_spread').ratio([[2.0, 2.0], [8.0]], [[1.0], [2.0, 2.0]])
    assert found['blocks'] == [2.0, 4.0]
    assert (found['low'], found['high'], found['p50']) == (2.0, 4.0, 1.0)


def test_no_block_is_no_ratio(load):
    assert load('_spread').ratio([[]], [[1.0]])['p50'] is None


def test_calls_take_turns_and_warm_up_uncounted(load):
    order = []

    def call(name):
        order.append(name)
        sum(range(10_000))

    rows = load('_turns').in_turn({n: lambda n=n: call(n) for n in 'ab'}, 'a', rounds=3,
                                  warm_up=2, pause_s=0.0)
    assert order == ['a', 'b'] * 5
    assert rows['a']['ratio_p10'] == rows['a']['ratio_p90'] == rows['a']['cpu_ratio'] == 1.0


def test_figures_of_a_call_stand_below_the_heading(load):
    figures = {'p50_ms': 1.25, 'p99_over_p50': 1.5, 'ratio_p50': 0.5, 'ratio_p10': 0.25,
               'ratio_p90': 0.75, 'cpu_ratio': 2.0}
    assert load('_turns').as_text(figures, 12) == (
        '   1.25 ms    1.50          0.500 [0.250, 0.750]      2.000')


def test_an_episode_counts_from_its_start_to_its_end_in_wall_time(load):
    clock = load('_lockstep').EpisodeClock()
    for said, now_s in (({'episode': 0, 'kind': 'START', 'value': 9.0}, 1.0),
                        ({'episode': 0, 'kind': 'SUCCESS', 'value': 3.0}, 2.0),
                        ({'episode': 1, 'kind': 'START', 'value': 9.0}, 50.0),
                        ({'episode': 1, 'kind': 'TIMEOUT', 'value': 4.0}, 52.0),
                        ({'done': 2}, 60.0)):
        clock.tell(said, now_s)
    assert clock.factors == [3.0, 2.0]
    assert clock.overall == pytest.approx(7 / 3)


def test_no_episode_has_no_speed(load):
    assert load('_lockstep').EpisodeClock().overall is None


def test_every_task_is_a_case_and_random_runs_on_each(load):
    bench = load('bench_lockstep')
    assert {task for task, planner in bench.cases() if planner == 'random'} == set(bench.TASKS)


def test_a_figure_without_evidence_keeps_its_reason(load):
    bench = load('bench_success')
    assert bench.figure(MetricValue('x', None, '1', 0, why='no episode was decided')) == {
        'value': None, 'n': 0, 'why': 'no episode was decided'}
    share = bench.figure(MetricValue('x', 1.0, '1', 20, Interval(0.8316, 1.0)))
    assert bench.limits(share) == '1 [0.832, 1]'


def test_a_planner_in_place_of_the_scenarios_has_no_model(load):
    chosen = load('_graph').scenario('reacher', 'noop', plant__time_limit_s=1.5)
    assert (chosen.planner.planner, chosen.planner.model) == ('noop', '')
    assert chosen.plant.time_limit_s == 1.5


def test_the_machine_is_described_in_one_line(load):
    bench = load('_machine')
    line = bench.machine_line(bench.machine(), 2.0)
    assert 'cores' in line and 'OMP_NUM_THREADS' in line and '\n' not in line


def outcome(load, recovered, wait_s, speed, **more):
    """What became of one start."""
    facts = {'handed_over': False, 'stopped': False, 'early': False, **more}
    return load('_recovery').Perturbed(recovered, wait_s, speed, **facts)


def test_only_starts_perturbed_on_both_sides_are_held_against_each_other(load):
    on = {1: outcome(load, True, 1.0, 2.0, handed_over=True), 2: outcome(load, False, 3.0, 1.0),
          3: outcome(load, True, 2.0, 5.0), 8: outcome(load, True, 1.0, 1.0)}
    off = {1: outcome(load, False, 3.0, 4.0), 2: outcome(load, False, 3.0, 3.0),
           3: outcome(load, True, 1.5, 5.0), 9: outcome(load, False, 3.0, 9.0)}
    found = load('_recovery').contrast(on, off)
    assert (found['n'], found['unpaired']) == (3, 2)
    assert (found['recovered'], found['only_on'], found['only_off']) == ([2, 1], 1, 0)
    assert found['difference'] == pytest.approx(1 / 3)
    # the one discordant pair says nothing
    assert found['p'] == 1.0
    assert (found['slower'], found['faster'], found['handed_over']) == (2, 0, 1)
    # the times of the one start that recovered on both sides
    assert [side['p50'] for side in found['wait_s']] == [2.0, 1.5]


def test_without_a_pair_nothing_is_said(load):
    assert load('_recovery').contrast({}, {1: outcome(load, True, 1.0, 1.0)}) == {'n': 0}


def test_every_case_of_the_recovery_bench_is_a_scenario_that_loads(load):
    bench = load('bench_recovery')
    for case in bench.CASES.values():
        for fallback in case.fallbacks:
            laid = {f'supervisor__{key}': value
                    for key, value in bench.supervisor(case.task, fallback).items()}
            chosen = load('_graph').scenario(case.task, perturbations=[case.fault], **laid)
            assert chosen.supervisor.fallback == fallback
            assert chosen.perturbations[0].name == case.fault['name']
