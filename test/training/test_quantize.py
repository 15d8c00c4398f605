"""Rounding on a grid, sizes worked out by hand, and a grid of cells tried on the real model."""

from __future__ import annotations

from dataclasses import replace
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
import numpy as np
import pytest
import torch

from wm_eval_ros.config.scenario import find_scenario, load_scenario, PlannerSettings, Scenario
from wm_eval_ros.errors import CheckpointError, ConfigError
from wm_eval_ros.models.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint
from wm_eval_ros.models.compiled import RANGES
from wm_eval_ros.models.conformance import check_world_model
from wm_eval_ros.models.load import load_model
from wm_eval_ros.models.modules import modules_of
from wm_eval_ros.records import ClockMode, EventKind
from wm_eval_ros.stats.estimate import Estimate
from wm_eval_ros.stats.paired import paired_difference
from wm_eval_ros.stats.proportion import clopper_pearson
from wm_eval_ros.training.quantize import (
    cells,
    DEFAULT_BITS,
    GRANULARITIES,
    QUANTIZED,
    quantized,
    rounded,
    size,
    steps,
)
from wm_eval_ros.training.quantize_latency import engines_of
from wm_eval_ros.training.quantize_record import Cell, CellResult, Driven, Imagined, Trial
from wm_eval_ros.training.quantize_trial import (
    _driven,
    errors,
    Questions,
    require_tryable,
    timing_of,
    try_grid,
)
from wm_eval_ros.training.settings import FAMILIES, TrainSettings
from wm_eval_ros.training.trainer import train
from wm_eval_ros.training.trajectory import Dataset, Trajectory

QUICK = TrainSettings(steps=200, hidden=32, batch=64, unroll=3, context=4, members=2)

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def matrices(draw: Any) -> torch.Tensor:
    shape = draw(st.tuples(st.integers(1, 2), st.integers(1, 4), st.integers(1, 9)))
    count = math.prod(shape)
    return torch.tensor(draw(st.lists(FLOATS, min_size=count, max_size=count))).reshape(shape)


def per_weight(weight: torch.Tensor, bits: int, granularity: str, group: int) -> torch.Tensor:
    """Return the step of each weight, (M, O, I)."""
    scale = steps(weight, bits, granularity, group)
    if granularity == 'group':
        scale = torch.stack([scale[..., i // group] for i in range(weight.shape[2])], -1)
    return scale.expand(weight.shape)


any_rounding = given(matrices(), st.integers(2, 8), st.sampled_from(GRANULARITIES),
                     st.integers(1, 12))


@any_rounding
@example(torch.full((1, 1, 1), 3.4028234663852886e38), 8, 'tensor', 1)
@example(torch.full((1, 1, 1), 1e-45), 3, 'group', 4)
def test_rounding_what_was_rounded_changes_nothing(
    weight: torch.Tensor, bits: int, granularity: str, group: int
) -> None:
    once = rounded(weight, bits, granularity, group)
    assert bool(torch.isfinite(once).all())
    assert torch.equal(rounded(once, bits, granularity, group), once)


@any_rounding
def test_a_weight_moves_by_at_most_half_a_step_of_its_scale(
    weight: torch.Tensor, bits: int, granularity: str, group: int
) -> None:
    off = (rounded(weight, bits, granularity, group).double() - weight.double()).abs()
    half = per_weight(weight, bits, granularity, min(group, weight.shape[2])) / 2
    assert bool((off <= half * (1 + 1e-12)).all())


@any_rounding
def test_there_are_no_more_values_than_the_bits_tell_apart(
    weight: torch.Tensor, bits: int, granularity: str, group: int
) -> None:
    whole = rounded(weight, bits, granularity, group).double() / per_weight(
        weight, bits, granularity, min(group, weight.shape[2]))
    inside = rounded(weight, bits, granularity, group).abs() < torch.finfo(torch.float32).max
    assert torch.equal(whole[inside], whole[inside].round())
    assert bool((whole.abs() <= 2 ** (bits - 1) - 1).all())


@any_rounding
def test_zero_stays_zero_and_the_sign_turns_with_the_weight(
    weight: torch.Tensor, bits: int, granularity: str, group: int
) -> None:
    found = rounded(weight, bits, granularity, group)
    assert bool((found[weight == 0] == 0).all())
    assert torch.equal(rounded(-weight, bits, granularity, group), -found)


@given(matrices(), st.integers(2, 7), st.sampled_from(GRANULARITIES), st.integers(1, 12))
def test_a_bit_more_never_makes_the_worst_case_worse(
    weight: torch.Tensor, bits: int, granularity: str, group: int
) -> None:
    few, more = (steps(weight, b, granularity, group) for b in (bits, bits + 1))
    assert bool((more <= few).all())


def test_a_bit_more_can_make_the_error_itself_worse() -> None:
    # 3 bits have the steps 1/3, 2/3 and 1, 4 bits the sevenths of 1: a third lies on the first
    weight = torch.tensor([[[3.0, 1.0]]])
    three, four = (float((rounded(weight, b, 'tensor') - weight).abs().max()) for b in (3, 4))
    assert three == 0.0
    assert four == pytest.approx(1 - 2 * 3 / 7, abs=1e-4)


@given(matrices(), st.integers(2, 8), st.integers(1, 12))
def test_finer_scales_never_have_larger_steps(
    weight: torch.Tensor, bits: int, group: int
) -> None:
    tensor, channel, grouped = (per_weight(weight, bits, g, min(group, weight.shape[2]))
                                for g in GRANULARITIES)
    assert bool((grouped <= channel).all())
    assert bool((channel <= tensor).all())


def test_rounding_by_hand() -> None:
    # 3 bits: three steps to the largest, 6: whole steps of 2; a tie goes to the even step
    weight = torch.tensor([[[6.0, 1.0, -3.0, 0.9], [1.5, 0.5, -0.2, 0.0]]])
    assert rounded(weight, 3, 'tensor').tolist() == [[[6, 0, -4, 0], [2, 0, 0, 0]]]
    assert rounded(weight, 3, 'channel').tolist() == [[[6, 0, -4, 0], [1.5, 0.5, 0, 0]]]
    by_group = rounded(weight, 3, 'group', 2)
    assert by_group[0, 0].tolist()[:2] == [6, 0]
    assert by_group[0, 0, 2:].tolist() == pytest.approx([-3, 1], abs=1e-3)


def test_the_last_group_may_be_short() -> None:
    weight = torch.tensor([[[8.0, 1.0, 8.0, 1.0, 1.0]]])
    assert rounded(weight, 2, 'group', 2).tolist() == [[[8, 0, 8, 0, 1]]]


@pytest.fixture(scope='module')
def reacher() -> Scenario:
    return load_scenario(find_scenario('reacher'))


@pytest.fixture(scope='module')
def shipped() -> Any:
    return load_checkpoint(find_checkpoint('reacher'))


@pytest.mark.parametrize(('cell', 'scales', 'weight_bits'), [
    # 5 members, layers 13 -> 64 -> 64 -> 18
    pytest.param(Cell('fp32'), 0, 32, id='fp32'),
    pytest.param(Cell('bf16', 'all'), 0, 16, id='bf16'),
    pytest.param(Cell('int4', 'all', 'tensor'), 15, 4, id='tensor'),
    pytest.param(Cell('int4', 'all', 'channel'), 5 * (64 + 64 + 18), 4, id='channel'),
    pytest.param(Cell('int4', 'all', 'group'), 5 * (64 + 2 * 64 + 2 * 18), 4, id='group'),
])
def test_size_counts_bits_scales_and_what_stays(
    shipped: Any, cell: Cell, scales: int, weight_bits: int
) -> None:
    weights = 5 * (13 * 64 + 64 * 64 + 64 * 18)
    rest = 5 * (64 + 64 + 18) + 6 * 9
    want = weights * weight_bits // 8 + 4 * (rest + scales)
    assert size(shipped, cell) == (want, scales)


def test_a_cell_of_one_module_leaves_the_others_alone(shipped: Any) -> None:
    assert modules_of(shipped) == {
        'weight0': 'dynamics', 'weight1': 'dynamics', 'weight2': 'read_out'}
    made = quantized(shipped, Cell('int3', 'dynamics', 'channel'))
    changed = {n for n in shipped.tensors if not torch.equal(shipped.tensors[n], made.tensors[n])}
    assert changed == {'weight0', 'weight1'}


def test_a_channel_of_a_member_is_what_makes_one_output(shipped: Any) -> None:
    made = quantized(shipped, Cell('int3', 'all', 'channel')).tensors['weight1']
    for column in (made[0, :, 0], made[4, :, 63]):
        assert len(column.unique()) <= 7


def test_the_grid_is_every_combination_with_the_reference_first(shipped: Any) -> None:
    grid = cells(shipped, DEFAULT_BITS, (), GRANULARITIES)
    assert grid[0].name == 'fp32'
    assert len(grid) == len(set(grid)) == 1 + 3 + 4 * 3 * 3
    assert [c.name for c in cells(shipped, ['int4', 'bf16'], ['all'], ['group'])] == [
        'fp32', 'bf16/all', 'int4/all/group']


def test_a_module_that_the_family_has_not_is_refused(shipped: Any) -> None:
    with pytest.raises(ConfigError, match='ensemble has dynamics, read_out, all'):
        cells(shipped, DEFAULT_BITS, ['encoder'], GRANULARITIES)
    with pytest.raises(ConfigError, match='no cell beside fp32'):
        cells(shipped, ['fp32'], (), GRANULARITIES)


def test_a_cell_is_a_checkpoint_that_names_its_source_and_rounds_to_itself(
    shipped: Any, tmp_path: Path
) -> None:
    cell = Cell('int4', 'all', 'group')
    told = replace(shipped.spec, provenance={**shipped.spec.provenance, RANGES: {}})
    made = quantized(type(shipped)(told, shipped.tensors), cell)
    spec = save_checkpoint(tmp_path / 'c', made.spec, made.tensors)
    again: Any = load_checkpoint(tmp_path / 'c', interface=shipped.spec.interface)
    assert RANGES not in spec.provenance
    assert spec.name == 'reacher_int4_all_group'
    assert spec.provenance[QUANTIZED] == {
        'bits': 4, 'format': 'int4', 'module': 'all', 'granularity': 'group', 'group': 32,
        'rounding': 'symmetric, to nearest', 'source_name': 'reacher',
        'source_sha256': shipped.spec.sha256}
    twice = quantized(again, cell)
    assert all(torch.equal(twice.tensors[n], made.tensors[n]) for n in made.tensors)
    assert twice.spec.provenance[QUANTIZED]['source_sha256'] == spec.sha256
    assert twice.spec.provenance[QUANTIZED]['source_quantized']['bits'] == 4


def test_convolutions_and_linear_layers_are_rounded_too() -> None:
    model: Any = load_checkpoint(find_checkpoint('two_room_pixels'))
    made = quantized(model, Cell('int3', 'encoder', 'channel'))
    name = 'encoder.convolutions.2.weight'
    assert made.tensors[name].shape == model.tensors[name].shape
    assert len(made.tensors[name][0].unique()) <= 7
    assert torch.equal(made.tensors['predictor.0.weight'], model.tensors['predictor.0.weight'])


@pytest.mark.parametrize(('cell', 'want'), [
    pytest.param(Cell('fp32'), 2, id='fp32'),
    pytest.param(Cell('bf16', 'all'), 1, id='bf16'),
    pytest.param(Cell('int8', 'all', 'channel'), 1, id='int8'),
    pytest.param(Cell('int8', 'all', 'tensor'), 0, id='other-scales'),
    pytest.param(Cell('bf16', 'dynamics'), 0, id='one-module'),
    pytest.param(Cell('int6', 'all', 'channel'), 0, id='int6'),
])
def test_latency_is_claimed_only_where_an_engine_computes_so(cell: Cell, want: int) -> None:
    engines, why = engines_of(cell)
    assert len(engines) == want
    assert bool(why) is (want == 0)


def result(cell: Cell, won: int, rank: float | None, bytes_: int, n: int = 20) -> CellResult:
    """Return a cell that solves the first so many of n episodes, all of them fp32's."""
    solved = tuple(i < won for i in range(n))
    driven = Driven(solved, (1.0,) * n, (0.0,) * n, 0, clopper_pearson(won, n), Estimate(None),
                    Estimate(None), Estimate(None), 0)
    return CellResult(cell, bytes_, 0, driven, paired_difference(0, n - won, n), 0, n - won,
                      Imagined(rank, rank, 40, None, None, None, None, 0))


def test_where_cost_and_success_part_is_found() -> None:
    trial = Trial((
        result(Cell('fp32'), 20, 1.0, 100),
        result(Cell('int8', 'all', 'tensor'), 16, 0.99, 50),
        result(Cell('int6', 'all', 'tensor'), 17, 0.99, 40),
        result(Cell('int4', 'all', 'tensor'), 20, 0.98, 30),
        result(Cell('int3', 'all', 'tensor'), 5, 0.5, 20),
        result(Cell('int2', 'all', 'tensor'), 20, None, 35)), 0.985)
    assert [r.cell.bits for r in trial.fell_though_ranked] == ['int8']
    assert [r.cell.bits for r in trial.held_though_misranked] == ['int4']
    assert trial.least_shown == 4
    assert trial.smallest is not None
    assert trial.smallest.cell.bits == 'int4'
    assert trial.smallest_ranked is not None
    assert trial.smallest_ranked.cell.bits == 'int6'


@pytest.mark.parametrize(('won', 'n'), [
    pytest.param(0, 20, id='nothing-to-lose'), pytest.param(3, 3, id='too-few')])
def test_where_no_fall_would_be_shown_nothing_is_the_smallest(won: int, n: int) -> None:
    trial = Trial((result(Cell('fp32'), won, 1.0, 100, n),
                   result(Cell('int3', 'all', 'tensor'), 0, 0.5, 20, n)), 0.985)
    assert trial.least_shown is None
    assert trial.smallest is None
    assert trial.smallest_ranked is None


def outcome(kind: EventKind, slots: int) -> Any:
    return SimpleNamespace(kind=kind, plan_ns=(1,) * slots, nonfinite=0)


def test_failures_come_after_every_success_in_the_order_that_cost_is_held_against() -> None:
    ends = [(EventKind.SUCCESS, 10), (EventKind.SUCCESS, 20), (EventKind.SUCCESS, 30),
            (EventKind.FAILURE, 2), (EventKind.SUCCESS, 40)]
    found = _driven([outcome(*e) for e in ends],
                    [[1.0, math.nan], [2.0], [3.0], [5.0], [4.0]], 50_000_000)
    assert found.time_s == pytest.approx((0.5, 1.0, 1.5, 0.1, 2.0))
    assert found.cost == (1.0, 2.0, 3.0, 5.0, 4.0)
    assert found.cost_time.value == 1.0
    assert found.cost_failure.value == pytest.approx(2**-0.5, abs=1e-6)


def test_what_failures_cost_is_also_held_against_the_slots_that_all_episodes_have() -> None:
    # a failure that lingers where it is cheap is cheap in the mean, and was dear at first
    ends = [(EventKind.SUCCESS, 2), (EventKind.SUCCESS, 2), (EventKind.TIMEOUT, 6),
            (EventKind.SUCCESS, 3)]
    found = _driven([outcome(*e) for e in ends],
                    [[2.0, 2.0], [3.0, 1.9], [5.0, 4.0, 0.0, 0.0, 0.0, 0.0], [2.0, 2.0, 2.0]],
                    50_000_000)
    assert found.early_slots == 2
    assert found.cost_failure.value is not None
    assert found.early_failure.value is not None
    assert found.cost_failure.value < 0 < found.early_failure.value


@pytest.mark.parametrize('kind', ['SUCCESS', 'TIMEOUT'])
def test_where_all_episodes_end_alike_there_is_no_correlation_but_a_reason(kind: str) -> None:
    found = _driven([outcome(EventKind[kind], 3 + i) for i in range(6)],
                    [[float(i)] for i in range(6)], 50_000_000)
    assert found.cost_failure.value is None
    assert 'solved' in found.cost_failure.why
    assert (found.cost_time.value is None) is (kind == 'TIMEOUT')


def test_episodes_too_short_for_an_error_have_none(shipped: Any) -> None:
    row = np.zeros((2, 9))
    short = Trajectory(row, np.zeros((2, 2)), np.zeros(2), 0)
    assert errors(shipped, [short])[0] is None


@pytest.mark.parametrize(('changes', 'says'), [
    pytest.param({'delay_steps': 1}, 'delay_steps', id='in-flight'),
])
def test_a_scenario_that_the_loop_cannot_follow_is_refused(
    reacher: Scenario, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        require_tryable(replace(reacher, planner=replace(reacher.planner, **changes)))


@pytest.mark.parametrize('kind', ['hardware', 'replay', 'stimulus'])
def test_what_is_no_simulator_is_refused(reacher: Scenario, kind: str) -> None:
    with pytest.raises(ConfigError, match=kind):
        require_tryable(replace(reacher, plant=replace(reacher.plant, kind=kind)))


def test_the_latency_is_the_declared_one_or_that_of_the_trace(
    reacher: Scenario, tmp_path: Path
) -> None:
    def latency(**changes: Any) -> tuple[int, int]:
        settings: PlannerSettings = replace(reacher.planner, **changes)
        return timing_of(replace(reacher, planner=settings)).latency_ns

    (tmp_path / 'trace').write_text('12\n8\n30\n')
    assert latency() == (15_000_000, 15_000_000)
    assert latency(latency_ms=-1.0) == (10_000_000, 40_000_000)
    assert latency(latency_trace=str(tmp_path / 'trace')) == (8_000_000, 30_000_000)


@pytest.mark.parametrize('family', FAMILIES)
def test_every_family_is_rounded_and_imagines_worse_with_fewer_bits(
    family: str, linear_world: Dataset
) -> None:
    model = train(linear_world, replace(QUICK, family=family), 'linear').model
    grid = cells(model, ['int8', 'int2'], ['all'], GRANULARITIES)
    far = {cell: errors(quantized(model, cell), linear_world.trajectories[:8]) for cell in grid}
    exact = far[grid[0]][0]
    assert exact is not None
    for granularity in GRANULARITIES:
        eight, two = (far[Cell(bits, 'all', granularity)][0] for bits in ('int8', 'int2'))
        assert eight == pytest.approx(exact, rel=0.2)
        assert two is not None
        assert two > exact
    assert all(size(model, cell)[0] < size(model, grid[0])[0] for cell in grid[1:])
    assert check_world_model(quantized(model, grid[-1])) == []


@pytest.fixture(scope='module')
def tried(reacher: Scenario, shipped: Any) -> Trial:
    pytest.importorskip('mujoco')
    torch.set_num_threads(1)
    grid = cells(shipped, ['bf16', 'int8', 'int2'], ['all'], ['channel'])
    return try_grid(reacher, shipped, grid, Questions(range(1000, 1006), states=8))


def test_fp32_is_the_measure_of_itself(tried: Trial) -> None:
    own = tried.reference
    assert (own.difference.value, own.gained, own.lost) == (0.0, 0, 0)
    assert own.imagined.rank == own.imagined.rank_min == 1.0
    assert own.imagined.states == 8
    assert all(own.driven.solved)


def test_two_bits_lose_the_task_and_sixteen_do_not(tried: Trial) -> None:
    _, sixteen, eight, two = tried.results
    for kept in (sixteen, eight):
        assert all(kept.driven.solved)
        assert kept.imagined.rank is not None
        assert kept.imagined.rank > 0.99
    assert not any(two.driven.solved)
    assert two.falls
    assert two.imagined.error_last is not None
    assert eight.imagined.error_last is not None
    assert two.imagined.error_last > 2 * eight.imagined.error_last
    assert tried.smallest is not None
    assert tried.smallest.cell.bits == 'int8'


def test_latency_is_there_for_fp32_and_not_for_two_bits(tried: Trial) -> None:
    assert tried.reference.latency[0].engine == 'torch'
    assert tried.reference.latency[0].batch_ms > 0
    assert tried.results[-1].latency == ()
    assert '2 bits' in tried.results[-1].why_no_latency


def test_the_same_starts_give_the_same_figures(
    tried: Trial, reacher: Scenario, shipped: Any
) -> None:
    grid = cells(shipped, ['int2'], ['all'], ['channel'])
    again = try_grid(reacher, shipped, grid, Questions(range(1000, 1006), states=8))
    for one, other in ((again.results[0], tried.results[0]), (again.results[1],
                                                              tried.results[-1])):
        assert (one.driven, one.imagined) == (other.driven, other.imagined)


def test_a_planner_that_does_not_imagine_is_refused(reacher: Scenario, shipped: Any) -> None:
    pytest.importorskip('mujoco')
    scenario = replace(reacher, planner=replace(reacher.planner, planner='noop'))
    with pytest.raises(ConfigError, match='plans without the model'):
        try_grid(scenario, shipped, cells(shipped, ['int4'], ['all'], ['tensor']),
                 Questions(range(2)))


def test_a_model_without_weights_is_refused(reacher: Scenario) -> None:
    pytest.importorskip('mujoco')
    oracle: Any = load_model(replace(reacher, clock=ClockMode.LOCKSTEP, planner=replace(
        reacher.planner, model='oracle', model_sha256='')))
    with pytest.raises(CheckpointError, match='no weights'):
        cells(oracle, ['int4'], (), GRANULARITIES)
