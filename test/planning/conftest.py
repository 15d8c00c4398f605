"""A world simple enough to plan in by hand, and a clock the tests own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch

from wm_eval_ros.config.interface import CommandStream, Interface, Stream
from wm_eval_ros.models.protocol import WorldModelSpec


@dataclass
class FakeClock:
    """Steady time that passes only when told."""

    now_ns: int = 0

    def __call__(self) -> int:
        return self.now_ns


@dataclass
class PointModel:
    """A point on a line: x' = x + 0.1 a. Its spread is the size of the action."""

    spec: WorldModelSpec
    #: called with the number of candidates of each rollout
    on_predict: Callable[[int], None] = lambda count: None
    #: rows of each rollout that come out as NaN
    broken: Callable[[int], list[int]] = lambda count: []
    seen: list[torch.Tensor] = field(default_factory=list)

    def encode(self, obs, prev=None, prev_action=None, is_first=None):  # type: ignore[no-untyped-def]
        return obs.to(torch.float32)

    def predict(self, z, actions, *, generator=None):  # type: ignore[no-untyped-def]
        self.on_predict(len(actions))
        self.seen.append(actions.clone())
        out = z[:, None, :] + 0.1 * actions.cumsum(1)
        out[self.broken(len(actions))] = torch.nan
        return out

    def rolled(self, z, actions):  # type: ignore[no-untyped-def]
        return self.predict(z, actions)

    def rolled_with_uncertainty(self, z, actions):  # type: ignore[no-untyped-def]
        return self.predict(z, actions), self.uncertainty(z, actions)

    def decode(self, z):  # type: ignore[no-untyped-def]
        return z

    def uncertainty(self, z, actions):  # type: ignore[no-untyped-def]
        return actions.abs().sum(-1)


@pytest.fixture
def interface() -> Interface:
    return Interface(
        observations=(Stream(topic='state', type='sensor_msgs/msg/JointState',
                             fields=('position[0]',)),),
        goal=Stream(topic='goal', type='sensor_msgs/msg/JointState', fields=('position[0]',)),
        command=CommandStream(topic='command', type='sensor_msgs/msg/JointState',
                              fields=('effort[0]',), low=(-2.0,), high=(4.0,)))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def point_model(interface: Interface) -> PointModel:
    return PointModel(WorldModelSpec(
        name='point', version='1', sha256='', family='point', interface=interface,
        feature_names=('state.position[0]',), dt_s=0.05, architecture={}, provenance={}))
