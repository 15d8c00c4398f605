"""A small ensemble with random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from wm_eval_ros.config.interface import CommandStream, Interface, Stream
from wm_eval_ros.models.checkpoint import save_checkpoint
from wm_eval_ros.models.ensemble import EnsembleArchitecture, EnsembleModel, EnsembleNet
from wm_eval_ros.models.protocol import WorldModelSpec


@pytest.fixture
def interface() -> Interface:
    return Interface(
        observations=(Stream(topic='joint_states', type='sensor_msgs/msg/JointState',
                             fields=('position[elbow]:angle', 'velocity[elbow]')),),
        command=CommandStream(topic='command', type='sensor_msgs/msg/JointState',
                              fields=('effort[elbow]', 'effort[wrist]'), low=(-2.0, 0.0),
                              high=(4.0, 1.0)))


@pytest.fixture
def spec(interface: Interface) -> WorldModelSpec:
    return WorldModelSpec(
        name='tiny', version='1', sha256='', family='ensemble', interface=interface,
        feature_names=('joint_states.position[elbow]:cos', 'joint_states.position[elbow]:sin',
                       'joint_states.velocity[elbow]'),
        dt_s=0.05, architecture={'features': 3, 'actions': 2, 'members': 3, 'hidden': 8,
                                 'layers': 2, 'activation': 'silu'}, provenance={'seed': 1})


@pytest.fixture
def model(spec: WorldModelSpec) -> EnsembleModel:
    rng = torch.Generator().manual_seed(0)
    arch = EnsembleArchitecture(**spec.architecture)
    tensors = EnsembleNet.initial(arch, rng)
    tensors['feature_mean'] = torch.tensor([0.1, -0.2, 3.0])
    tensors['feature_scale'] = torch.tensor([0.7, 0.6, 5.0])
    tensors['delta_scale'] = torch.tensor([0.1, 0.2, 0.9])
    return EnsembleModel(spec, tensors)


@pytest.fixture
def checkpoint(model: EnsembleModel, tmp_path: Path) -> Path:
    """A folder with the small ensemble."""
    folder = tmp_path / 'tiny'
    save_checkpoint(folder, model.spec, model.tensors, '# tiny\n')
    return folder
