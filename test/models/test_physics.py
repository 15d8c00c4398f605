"""The kinematics are exact, the residual is learnt."""

from __future__ import annotations

from dataclasses import replace
import math

import pytest
import torch

from wm_eval_ros.config.interface import Interface, Stream
from wm_eval_ros.errors import CheckpointError, ConfigError
from wm_eval_ros.models.conformance import check_world_model
from wm_eval_ros.models.physics import _sine_over, PhysicsModel
from wm_eval_ros.models.protocol import WorldModelSpec

#: as test/models/conftest.py names them: cosine, sine and velocity of the elbow
SIZES = {'features': 3, 'actions': 2, 'hidden': 8, 'layers': 1, 'activation': 'silu'}


def made(spec: WorldModelSpec, seed: int | None = None) -> PhysicsModel:
    """Return a model whose residual is zero, or drawn."""
    spec = replace(spec, family='physics', architecture=dict(SIZES))
    shapes = PhysicsModel.tensor_shapes(spec)
    rng = torch.Generator().manual_seed(seed or 0)
    tensors = {n: torch.zeros(s) if seed is None else torch.randn(s, generator=rng) * 0.3
               for n, s in shapes.items()}
    tensors['feature_mean'] = torch.tensor([0.1, -0.2, 3.0])
    tensors['feature_scale'] = torch.tensor([0.7, 0.6, 5.0])
    tensors['delta_mean'] = torch.tensor([0.03, -0.01, 0.2])
    tensors['delta_scale'] = torch.tensor([0.1, 0.2, 0.9])
    return PhysicsModel(spec, tensors)


def named(spec: WorldModelSpec, names: tuple[str, ...]) -> WorldModelSpec:
    stream = Stream(topic='odom', type='nav_msgs/msg/Odometry', fields=names)
    return replace(spec, family='physics', feature_names=tuple(f'odom.{n}' for n in names),
                   interface=Interface(observations=(stream,), command=spec.interface.command),
                   architecture={**SIZES, 'features': len(names)})


def test_a_world_of_constant_velocity_is_foreseen_without_learning(spec: WorldModelSpec) -> None:
    model = made(spec)
    angle, velocity = 0.4, 2.5
    z = model.encode(torch.tensor([[math.cos(angle), math.sin(angle), velocity]]))
    rollout = model.predict(z, torch.rand(1, 20, 2) * 2 - 1)
    after = angle + velocity * spec.dt_s * torch.arange(1, 21)
    want = torch.stack([after.cos(), after.sin(), torch.full((20,), velocity)], 1)
    assert torch.allclose(model.decode(rollout)[0], want, atol=2e-5)


def test_under_constant_acceleration_the_way_is_exact(spec: WorldModelSpec) -> None:
    names = ('position[a]', 'velocity[a]')
    spec = named(spec, names)
    tensors = {n: torch.zeros(s) for n, s in PhysicsModel.tensor_shapes(spec).items()}
    tensors['feature_scale'], tensors['delta_scale'] = torch.ones(2), torch.ones(2)
    tensors['body.2.bias'] = torch.tensor([0.1, 0.0])          # of the velocity, of the rest
    model = PhysicsModel(spec, tensors)
    found = model.predict(model.encode(torch.tensor([[1.0, 2.0]])), torch.zeros(1, 10, 2))
    # 10 steps of 0.05 s under an acceleration of 2: x = 1 + 2 t + t^2
    assert found[0, -1, :2].tolist() == pytest.approx([1.0 + 2.0 * 0.5 + 0.5**2, 3.0], abs=1e-5)


def test_a_cosine_and_its_sine_stay_on_their_circle_whatever_was_learnt(
    spec: WorldModelSpec,
) -> None:
    model = made(spec, seed=3)
    z = model.encode(torch.tensor([[0.6, 0.8, -4.0]]))
    found = model.decode(model.predict(z, torch.rand(1, 30, 2) * 2 - 1))
    assert torch.allclose(found[..., :2].norm(dim=-1), torch.ones(1, 30), atol=1e-4)


@pytest.mark.parametrize('side', [0.0, 0.7])
def test_what_drives_at_constant_twist_runs_on_an_arc(spec: WorldModelSpec, side: float) -> None:
    names = ('pose.pose.position.x', 'pose.pose.position.y', 'pose.pose.orientation.w',
             'pose.pose.orientation.z', 'twist.twist.linear.x', 'twist.twist.angular.z')
    names += ('twist.twist.linear.y',) if side else ()
    spec = named(spec, names)
    tensors = {n: torch.zeros(s) for n, s in PhysicsModel.tensor_shapes(spec).items()}
    for key in ('feature_scale', 'delta_scale'):
        tensors[key] = torch.ones(len(names))
    model = PhysicsModel(spec, tensors)
    speed, turning, heading = 1.5, 2.0, 0.8
    start = [1.0, -2.0, math.cos(heading / 2), math.sin(heading / 2), speed, turning]
    z = model.encode(torch.tensor([start + ([side] if side else [])]))
    x, y, w, sine = model.predict(z, torch.zeros(1, 12, 2))[0, -1, :4].tolist()
    end = heading + 12 * 0.05 * turning
    # integral of the velocity, turned by the heading, over the heading
    assert x == pytest.approx(1.0 + (speed * (math.sin(end) - math.sin(heading))
                                     + side * (math.cos(end) - math.cos(heading))) / turning,
                              abs=1e-4)
    assert y == pytest.approx(-2.0 + (speed * (math.cos(heading) - math.cos(end))
                                      + side * (math.sin(end) - math.sin(heading))) / turning,
                              abs=1e-4)
    assert 2 * math.atan2(sine, w) == pytest.approx(end, abs=1e-4)


def test_the_chord_of_an_arc_is_that_of_sinc_and_has_a_gradient_on_a_straight_way() -> None:
    half = torch.cat([torch.zeros(1), torch.logspace(-6, 1, 200), -torch.logspace(-6, 1, 200)])
    half.requires_grad_(True)
    found = _sine_over(half)
    torch.testing.assert_close(found, torch.sinc(half / math.pi), rtol=1e-6, atol=1e-6)
    assert found[0] == 1.0
    found.sum().backward()
    assert half.grad is not None
    assert bool(half.grad.isfinite().all())
    assert half.grad[0] == 0.0
    assert bool(_sine_over(torch.tensor([torch.nan])).isnan().all())


def test_it_keeps_the_protocol(spec: WorldModelSpec) -> None:
    assert check_world_model(made(spec, seed=1)) == []


def test_features_without_kinematics_are_refused_in_one_line(spec: WorldModelSpec) -> None:
    spec = named(spec, ('twist.twist.linear.x', 'twist.twist.angular.z'))
    with pytest.raises(CheckpointError, match='here: family physics: no feature is the integral'):
        PhysicsModel.tensor_shapes(spec, 'here')
    arch = PhysicsModel.architecture(features=2, actions=2)
    with pytest.raises(ConfigError, match='add the other of a pair to the interface'):
        PhysicsModel.network_for(arch, spec.feature_names, 0.05)
