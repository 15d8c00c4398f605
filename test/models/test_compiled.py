"""Rollouts that OpenVINO runs are those of torch, but for rounding."""

from __future__ import annotations

from dataclasses import replace
import sys
from typing import Any

import pytest
from scipy.stats import spearmanr
import torch

from wm_eval_ros import plugins
from wm_eval_ros.config.interface import Interface, Stream
from wm_eval_ros.config.scenario import ObjectiveTerm, PlannerSettings
from wm_eval_ros.errors import CheckpointError, ConfigError, MissingExtraError
from wm_eval_ros.models.checkpoint import GROUP
from wm_eval_ros.models.compiled import (
    compiled_rollouts,
    CompiledRollouts,
    RANGES,
    ranges_in,
    ranges_of,
)
from wm_eval_ros.models.ensemble import EnsembleArchitecture, EnsembleModel, EnsembleNet
from wm_eval_ros.models.mlp import MlpArchitecture, MlpModel, MlpNetwork
from wm_eval_ros.models.protocol import WorldModelSpec
from wm_eval_ros.planning.cem import CemPlanner

FEATURE, NEVER = 'joint_states.velocity[elbow]', 2**62
SETTINGS = PlannerSettings(
    samples=64, horizon=3, objective=(ObjectiveTerm(features=(FEATURE,), target=('3.5',)),))


def needs_openvino() -> None:
    pytest.importorskip('openvino', reason='the extra `fast` is not installed')


@pytest.fixture
def mlp(spec: WorldModelSpec) -> MlpModel:
    """A network wide enough for int8, with random weights."""
    arch = MlpArchitecture(features=3, actions=2, hidden=128, activation='silu')
    torch.manual_seed(0)
    net = MlpNetwork(arch)
    net.delta_scale.fill_(0.5)
    return MlpModel(replace(spec, family='mlp', architecture=vars(arch).copy()), net.state_dict())


@pytest.fixture
def wide_ensemble(spec: WorldModelSpec) -> EnsembleModel:
    arch = EnsembleArchitecture(features=3, actions=2, hidden=96)
    tensors = EnsembleNet.initial(arch, torch.Generator().manual_seed(0))
    return EnsembleModel(replace(spec, architecture=vars(arch).copy()), tensors)


def questions(count: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """Return one latent for all, and commands."""
    rng = torch.Generator().manual_seed(3)
    z = torch.randn(1, 5, generator=rng).clamp(-1, 1).expand(count, -1)
    return z, torch.rand(count, 3, 2, generator=rng) * 2 - 1


def with_ranges(model: Any) -> Any:
    found = {k: list(v) for k, v in ranges_of(model.rolled, questions()).items()}
    return type(model)(replace(model.spec, provenance={RANGES: found}), model.tensors)


@pytest.mark.parametrize('name', ['mlp', 'wide_ensemble'])
def test_fp32_is_torch_but_for_rounding(name: str, request: pytest.FixtureRequest) -> None:
    needs_openvino()
    model = request.getfixturevalue(name)
    z, actions = questions()
    [rollout] = CompiledRollouts(model, 'fp32', 1, wary=False)(z, actions)
    assert rollout.shape == (64, 3, 5)
    torch.testing.assert_close(rollout, model.predict(z, actions), rtol=1e-4, atol=1e-5)


def of_family(family: str, spec: WorldModelSpec, names: tuple[str, ...]) -> Any:
    """Return a small model of these features with random weights."""
    kind = plugins.load(GROUP, family)
    sizes = {'features': len(names), 'actions': 2, 'hidden': 8, 'layers': 1}
    sizes |= {'inputs': len(names)} if family == 'jepa' else {}
    spec = replace(spec, family=family, feature_names=names, architecture=sizes,
                   interface=replace(spec.interface, observations=(Stream(
                       topic='odom', type='x', fields=names),)))
    rng = torch.Generator().manual_seed(0)
    tensors = {name: torch.ones(shape) if name.endswith('scale') else
               torch.randn(shape, generator=rng) * 0.3
               for name, shape in kind.tensor_shapes(spec).items()}
    return kind(spec, tensors)


ELBOW = ('joint_states.position[elbow]:cos', 'joint_states.position[elbow]:sin',
         'joint_states.velocity[elbow]')
ODOMETRY = tuple(f'odom.{name}' for name in (
    'pose.pose.position.x', 'pose.pose.position.y', 'pose.pose.orientation.w',
    'pose.pose.orientation.z', 'twist.twist.linear.x', 'twist.twist.angular.z'))
SLIDE = ('odom.position[a]', 'odom.velocity[a]')
#: all but the simulator itself
FAMILIES = sorted(set(plugins.names(GROUP)) - {'oracle'})


@pytest.mark.parametrize(('family', 'names'), [
    *((family, ELBOW) for family in FAMILIES), ('physics', ODOMETRY), ('physics', SLIDE)])
def test_every_family_is_compiled(
    family: str, names: tuple[str, ...], spec: WorldModelSpec,
) -> None:
    needs_openvino()
    model = of_family(family, spec, names)
    rng = torch.Generator().manual_seed(1)
    obs, actions = torch.randn(1, len(names), generator=rng), torch.rand(5, 2, 2, generator=rng)
    [rollout] = CompiledRollouts(model, 'fp32', 1, wary=False)(model.encode(obs), actions)
    torch.testing.assert_close(rollout, model.predict(model.encode(obs), actions), rtol=1e-4,
                               atol=1e-5)


@pytest.mark.parametrize(('rolled', 'what'), [
    (lambda z, actions: torch.sinc(z[:, None] + actions.sum(-1, keepdim=True)), 'aten::sinc'),
    (lambda z, actions: 1 / 0, 'division by zero'),
])
def test_what_openvino_does_not_know_is_refused_in_one_line(
    mlp: MlpModel, rolled: Any, what: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    needs_openvino()
    monkeypatch.setattr(mlp, 'rolled', rolled)
    with pytest.raises(ConfigError, match=f'cannot compile .*{what}.*use torch') as caught:
        CompiledRollouts(mlp, 'fp32', 1, wary=False)(*questions())
    assert '\n' not in str(caught.value)
    with pytest.raises(ConfigError, match=what):
        ranges_of(rolled, questions())


def test_the_members_disagreement_is_compiled_as_well(wide_ensemble: EnsembleModel) -> None:
    needs_openvino()
    z, actions = questions()
    rollout, spread = CompiledRollouts(wide_ensemble, 'fp32', 1, wary=True)(z, actions)
    want = wide_ensemble.imagine(z, actions)
    torch.testing.assert_close(rollout, want[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(spread, want[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('name', ['mlp', 'wide_ensemble'])
@pytest.mark.parametrize('precision', ['bf16', 'int8'])
def test_fewer_bits_keep_the_ranks_of_costs(
    name: str, precision: str, request: pytest.FixtureRequest
) -> None:
    needs_openvino()
    import openvino
    if precision == 'bf16' and 'BF16' not in openvino.Core().get_property(
            'CPU', 'OPTIMIZATION_CAPABILITIES'):
        pytest.skip('this processor has no bf16')
    model = with_ranges(request.getfixturevalue(name))
    z, actions = questions(512)
    [rollout] = CompiledRollouts(model, precision, 1, wary=False)(z, actions)
    costs = [(model.decode(r)[..., 2] - 3.5).abs().mean(1)
             for r in (rollout, model.predict(z, actions))]
    assert not torch.equal(*costs)
    assert spearmanr(*costs).statistic >= 0.985


def test_what_a_caller_holds_does_not_change_under_the_next_call(mlp: MlpModel) -> None:
    needs_openvino()
    roll, (z, actions) = CompiledRollouts(mlp, 'fp32', 1, wary=False), questions()
    [first] = roll(z, actions)
    kept = first.clone()
    roll(z, -actions)
    assert torch.equal(first, kept)


def test_a_candidate_that_is_not_finite_is_not_finite_compiled(mlp: MlpModel) -> None:
    needs_openvino()
    roll, (z, actions) = CompiledRollouts(mlp, 'fp32', 1, wary=False), questions()
    broken = z.clone()
    broken[3] = torch.nan
    [rollout] = roll(broken, actions)
    good = torch.isfinite(rollout).flatten(1).all(1)
    assert good.sum() == 63
    assert not good[3]


def test_plans_are_those_of_torch_but_for_rounding_and_come_out_the_same_again(
    mlp: MlpModel, interface: Interface
) -> None:
    needs_openvino()
    latent, plans = mlp.encode(torch.zeros(1, 3))[0], []
    for engine in ('torch', 'openvino', 'openvino'):
        planner = CemPlanner(replace(SETTINGS, engine=engine), mlp, interface)
        planner.reset(5)
        plans.append([planner.plan(latent, torch.zeros(0), NEVER) for _ in range(3)])
    for eager, compiled, again in zip(*plans, strict=True):
        torch.testing.assert_close(compiled.actions, eager.actions, rtol=0, atol=1e-3)
        assert compiled.cost == pytest.approx(eager.cost, rel=1e-4)
        assert torch.equal(compiled.actions, again.actions)
        assert compiled.cost == again.cost


def test_fewer_bits_change_the_costs_of_a_plan(mlp: MlpModel, interface: Interface) -> None:
    needs_openvino()
    model, costs = with_ranges(mlp), []
    for precision in ('fp32', 'int8'):
        settings = replace(SETTINGS, engine='openvino', precision=precision)
        planner = CemPlanner(settings, model, interface)
        costs.append(planner.plan(model.encode(torch.zeros(1, 3))[0], torch.zeros(0), NEVER).cost)
    assert costs[0] != costs[1]
    assert costs[0] == pytest.approx(costs[1], rel=0.05)


def test_only_the_first_shapes_are_compiled(
    mlp: MlpModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_openvino()
    monkeypatch.setattr('wm_eval_ros.models.compiled._SHAPES', 1)
    roll = CompiledRollouts(with_ranges(mlp), 'int8', 1, wary=False)
    for count, same in ((64, False), (5, True)):
        z, actions = questions(count)
        assert torch.equal(roll(z, actions)[0], mlp.rolled(z, actions)) is same


def test_ranges_are_those_of_every_step_and_of_no_narrow_product(mlp: MlpModel) -> None:
    needs_openvino()
    z, actions = questions()
    every, first = (ranges_of(mlp.rolled, (z, a)) for a in (actions, actions[:, :1]))
    assert len(every) == 2  # hidden to hidden, hidden to features; 7 inputs are too few
    assert set(every) == set(first)
    assert all(every[k][0] <= first[k][0] and every[k][1] >= first[k][1] for k in every)


@pytest.mark.parametrize('precision', ['bf16', 'int8'])
def test_torch_plans_in_fp32_only(mlp: MlpModel, precision: str) -> None:
    with pytest.raises(ConfigError, match='torch plans in fp32 only'):
        compiled_rollouts(replace(SETTINGS, precision=precision), mlp)


def test_without_the_extra_one_line_names_it(
    mlp: MlpModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'openvino', None)
    with pytest.raises(MissingExtraError, match=r"pip install 'wm_eval_ros\[fast\]'"):
        compiled_rollouts(replace(SETTINGS, engine='openvino'), mlp)


def test_a_family_that_cannot_be_compiled_is_refused(spec: WorldModelSpec) -> None:
    class Opaque:
        def __init__(self) -> None:
            self.spec = spec

    with pytest.raises(ConfigError, match="'tiny' of the family ensemble cannot be compiled"):
        compiled_rollouts(replace(SETTINGS, engine='openvino'), Opaque())  # type: ignore[arg-type]


def test_int8_without_ranges_says_what_adds_them(mlp: MlpModel) -> None:
    with pytest.raises(CheckpointError, match='wm-eval export-model'):
        compiled_rollouts(replace(SETTINGS, engine='openvino', precision='int8'), mlp)


@pytest.mark.parametrize('said', [
    [], {'a': 3.0}, {'a': [1.0]}, {'a': [0.0, 'x']}, {'a': [1.0, 1.0]}, {'a': [0.0, True]},
])
def test_ranges_that_are_none_are_refused(mlp: MlpModel, said: object) -> None:
    mlp.spec = replace(mlp.spec, provenance={RANGES: said})
    with pytest.raises(CheckpointError, match='are no ranges'):
        ranges_in(mlp)


def test_ranges_of_other_weights_are_refused(mlp: MlpModel) -> None:
    needs_openvino()
    mlp.spec = replace(mlp.spec, provenance={RANGES: {'0' * 16: [0.0, 1.0]}})
    with pytest.raises(CheckpointError, match='no int8 range of the product'):
        CompiledRollouts(mlp, 'int8', 1, wary=False)(*questions())


def test_nobody_is_told_that_a_model_was_compiled(
    mlp: MlpModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_openvino()
    import openvino

    def told(*args: object, **named: object) -> None:
        raise AssertionError('openvino.convert_model reports its use')

    monkeypatch.setattr(openvino, 'convert_model', told)
    CompiledRollouts(mlp, 'fp32', 1, wary=False)(*questions())
