"""A policy is asked of numbers: cameras and what no model sees do not concern it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from wm_eval_ros.config.interface import ImageStream, Interface, Stream
from wm_eval_ros.errors import CheckpointError
from wm_eval_ros.models.checkpoint import save_checkpoint
from wm_eval_ros.models.policy import load_policy, POLICY, PolicyArchitecture, PolicyNetwork
from wm_eval_ros.models.protocol import WorldModelSpec


@pytest.fixture
def folder(spec: WorldModelSpec, tmp_path: Path) -> Path:
    arch = PolicyArchitecture(features=3, actions=2, inputs=3, hidden=8)
    torch.manual_seed(0)
    save_checkpoint(tmp_path / 'p', replace(spec, family=POLICY, architecture=vars(arch).copy()),
                    PolicyNetwork(arch).state_dict())
    return tmp_path / 'p'


def test_it_loads_where_a_model_sees_and_is_read_out_to_more(
    folder: Path, interface: Interface,
) -> None:
    pose = Stream(topic='pose', type='geometry_msgs/msg/PoseStamped', fields=('pose.position.x',))
    more = replace(interface, images=(ImageStream(topic='camera'),), unseen=(pose,))
    assert load_policy(str(folder), more).spec.name == 'tiny'


def test_other_numbers_are_refused(folder: Path, interface: Interface) -> None:
    other = replace(interface.observations[0], fields=('velocity[elbow]',))
    with pytest.raises(CheckpointError, match=r'observations\[0\]\.fields'):
        load_policy(str(folder), replace(interface, observations=(other,)))
