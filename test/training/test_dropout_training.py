"""An mlp trained with dropout knows where it knows little."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from wm_eval_ros.cli.main import main
from wm_eval_ros.models.checkpoint import load_checkpoint
from wm_eval_ros.models.mlp import DropoutMlpModel
from wm_eval_ros.training import dataset
from wm_eval_ros.training.trajectory import Dataset


@pytest.fixture
def trained(
    linear_world: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> DropoutMlpModel:
    monkeypatch.setattr(dataset, 'load_dataset', lambda paths: linear_world)
    assert main(['train', 'bag', '--family', 'mlp', '--steps', '300', '--hidden', '32',
                 '--batch', '64', '--set', 'dropout=0.1', '--set', 'masks=8', '--out',
                 str(tmp_path / 'm'), '--json']) == 0
    report = json.loads(capsys.readouterr().out)
    assert report['one_step_ratio'] < 1.0
    assert report['coverage90'] is not None
    model = load_checkpoint(tmp_path / 'm', interface=linear_world.interface)
    assert isinstance(model, DropoutMlpModel)
    assert (model.arch.dropout, model.arch.masks) == (0.1, 8)
    return model


def test_far_from_its_data_it_is_less_sure(trained: DropoutMlpModel) -> None:
    rng = torch.Generator().manual_seed(1)
    near = torch.randn(64, 2, generator=rng)
    actions = torch.rand(64, 5, 1, generator=rng) * 2 - 1
    seen, unseen = (trained.uncertainty(trained.encode(x), actions).mean()
                    for x in (near, 10 * near))
    assert float(unseen) > 3 * float(seen)
    # and less so with every step it imagines
    steps = trained.uncertainty(trained.encode(near), actions).mean(0)
    assert bool((steps.diff() > 0).all())


def test_a_setting_that_no_training_has_is_refused(
    tmp_path: Path, linear_world: Dataset, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(dataset, 'load_dataset', lambda paths: linear_world)
    for words, what in (('dropuot=0.1', 'dropuot'), ('dropout', 'write KEY=VALUE')):
        assert main(['train', 'bag', '--set', words, '--out', str(tmp_path / 'm')]) == 2
        assert what in capsys.readouterr().err
