"""Which columns of a recorded moment are what."""

from __future__ import annotations

from dataclasses import replace

import torch

from wm_eval_ros.config.interface import ImageStream, Interface, Stream
from wm_eval_ros.training.columns import Columns


def test_without_images_a_row_is_what_the_model_sees_and_what_has_names(
    interface: Interface,
) -> None:
    columns, row = Columns.of(interface), torch.arange(2.0)
    assert columns.names == ('joint_states.position[a]', 'joint_states.velocity[a]')
    assert columns.seen == 2
    assert columns.named(row) is row


def test_pixels_are_seen_and_have_no_names_the_unseen_have_names_and_are_not_seen(
    interface: Interface,
) -> None:
    pose = Stream(topic='pose', type='geometry_msgs/msg/PoseStamped', fields=('pose.position.x',))
    columns = Columns.of(replace(
        interface, images=(ImageStream(topic='c', width=1, height=1),), unseen=(pose,)))
    row = torch.arange(6.0)
    assert columns.names[2:] == ('pose.pose.position.x',)
    assert row[:columns.seen].tolist() == [0, 1, 2, 3, 4]
    assert columns.named(row).tolist() == [0, 1, 5]
