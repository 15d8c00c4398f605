"""Training of the joint-embedding predictive architecture: codes do not collapse."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from wm_eval_ros.config.interface import ImageStream, Stream
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.models.jepa import JepaModel
from wm_eval_ros.training.learners.families import make_learner
from wm_eval_ros.training.learners.jepa import JepaLearner, spread_loss
from wm_eval_ros.training.settings import TrainSettings
from wm_eval_ros.training.trainer import finite_windows, train
from wm_eval_ros.training.trajectory import Dataset

QUICK = TrainSettings(family='jepa', steps=150, hidden=16, batch=64, unroll=3, context=4,
                      latent=6, checks=1)


def learner_of(data: Dataset, settings: TrainSettings) -> tuple[JepaLearner, torch.Tensor]:
    """Return a fresh learner and the loss of its first batch."""
    windows = finite_windows(data.trajectories, settings.window)
    generator = torch.Generator().manual_seed(0)
    learner = make_learner(settings, data, windows, generator)
    assert isinstance(learner, JepaLearner)
    batch = tuple(v[None] for v in windows.gather(torch.arange(16)))
    return learner, learner.loss(*batch, generator)


def codes_after(data: Dataset, settings: TrainSettings) -> torch.Tensor:
    model = train(data, settings, 'linear').model
    assert isinstance(model, JepaModel)
    seen = torch.cat([torch.as_tensor(t.features, dtype=torch.float32) for t in data.trajectories])
    return model.encode_goal(seen)


def test_codes_collapse_without_what_keeps_them_apart_and_do_not_with_it(
    linear_world: Dataset,
) -> None:
    left = codes_after(linear_world, replace(QUICK, variance_weight=0.0, covariance_weight=0.0))
    kept = codes_after(linear_world, QUICK)
    assert float(left.std(0).max()) < 0.1
    assert float(kept.std(0).min()) > 0.5


def test_what_codes_lack_is_as_worked_out_by_hand() -> None:
    # variances 4 and 0.25 lack nothing and 0.5; their covariance is 1, counted twice over two
    codes = torch.tensor([[1.0, 0.25], [-1.0, -0.25]]) * 2**0.5
    lack, covariance = spread_loss(codes)
    assert float(lack) == pytest.approx((1 - 0.5) / 2, abs=2e-4)
    assert float(covariance) == pytest.approx((1.0 + 1.0) / 2, abs=1e-5)


def test_the_read_out_does_not_shape_the_codes(linear_world: Dataset) -> None:
    """With weights for nothing else, what is left to the encoder comes from foreseeing alone."""
    learner, loss = learner_of(linear_world, QUICK)
    torch.autograd.backward(loss)
    kept = [p.grad.clone() for p in learner._net.encoder.parameters()]
    other, _ = learner_of(linear_world, QUICK)
    with torch.no_grad():
        for parameter in other._net.read_out.parameters():
            parameter.mul_(3.0)
    windows = finite_windows(linear_world.trajectories, QUICK.window)
    batch = tuple(v[None] for v in windows.gather(torch.arange(16)))
    again = other.loss(*batch, torch.Generator())
    assert float(again.detach()) != float(loss.detach())
    torch.autograd.backward(again)
    assert all(torch.equal(a, p.grad) for a, p in zip(kept, other._net.encoder.parameters(),
                                                      strict=True))


@pytest.mark.parametrize('changes', [
    {'variance_weight': 3.0}, {'covariance_weight': 1000.0}, {'latent': 9}, {'context': 6},
    {'grounded': True}])
def test_settings_change_the_loss(linear_world: Dataset, changes: dict[str, float]) -> None:
    _, one = learner_of(linear_world, QUICK)
    _, other = learner_of(linear_world, replace(QUICK, **changes))
    assert float(one.detach()) != float(other.detach())


@pytest.mark.parametrize(('family', 'seen', 'what'), [
    ('jepa', {'images': (ImageStream(topic='camera', width=32, height=32),)},
     'one image of 64 x 64 pixels'),
    ('mlp', {'unseen': (Stream(topic='tip', type='geometry_msgs/msg/PoseStamped',
                               fields=('pose.position.x',)),)}, 'train a jepa'),
])
def test_what_a_family_cannot_see_is_refused(
    linear_world: Dataset, family: str, seen: dict[str, object], what: str,
) -> None:
    data = replace(linear_world, interface=replace(linear_world.interface, **seen))
    windows = finite_windows(data.trajectories, 3)
    with pytest.raises(ConfigError, match=what):
        make_learner(replace(QUICK, family=family), data, windows, torch.Generator())
