"""What is known need not be learnt: with few episodes the kinematics pay."""

from __future__ import annotations

from dataclasses import replace

import torch

from wm_eval_ros.training.settings import TrainSettings
from wm_eval_ros.training.trainer import train
from wm_eval_ros.training.trajectory import Dataset
from wm_eval_ros.training.windows import cut


def errors(world: Dataset, family: str, seed: int) -> torch.Tensor:
    """Train on three episodes and foresee the others: root mean squares, (10, F)."""
    few = replace(world, trajectories=world.trajectories[:3])
    model = train(few, TrainSettings(family=family, steps=300, hidden=32, batch=64, unroll=3,
                                     val_share=0.3, seed=seed), 'few').model
    windows = cut(world.trajectories[3:], 10)
    features, before, actions = windows.gather(torch.arange(len(windows)))
    found = model.predict(model.encode(features[:, 0], prev_action=before), actions)
    return (model.decode(found) - features[:, 1:]).square().mean(0).sqrt()


def test_with_little_data_it_foresees_better_than_the_mlp(linear_world: Dataset) -> None:
    mlp, physics = (torch.stack([errors(linear_world, family, seed) for seed in range(3)])
                    for family in ('mlp', 'physics'))
    # the position of one step hardly needs learning; a rollout is better on the whole
    assert bool((physics[:, 0, 0] < 0.3 * mlp[:, 0, 0]).all())
    assert float(physics[:, 9].mean()) < 0.8 * float(mlp[:, 9].mean())
