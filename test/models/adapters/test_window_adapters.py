"""DINO-WM and stable-worldmodel behind the protocol, with small models of the same methods."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any
import zipfile

import pytest
import torch
from torch import nn

from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.errors import CheckpointError, ConfigError
from wm_eval_ros.models.adapters.adapter import Layout
from wm_eval_ros.models.adapters.dino_wm import DinoWm
from wm_eval_ros.models.adapters.stable_worldmodel import (
    _require_safe_loader,
    load_folder,
    StableWorldModel,
)
from wm_eval_ros.models.adapters.window import WindowAdapter
from wm_eval_ros.models.conformance import check_world_model

PIXELS = 6 * 4 * 3


class Dino(nn.Module):
    """`VWorldModel` with concat_dim 1: a patch is [visual 3 | proprio 2 | action 2]."""

    num_hist = 3

    def __init__(self, actions: int = 2) -> None:
        super().__init__()
        self.patches = nn.Linear(PIXELS, 4 * 3)
        self.proprio, self.action = nn.Linear(3, 2), nn.Linear(actions, 2)
        self.predictor = nn.Linear(7, 7)

    def eval(self) -> None:                                  # type: ignore[override]
        super().eval()

    def encode(self, obs: dict[str, torch.Tensor], act: torch.Tensor) -> torch.Tensor:
        b, t = obs['visual'].shape[:2]
        assert obs['visual'].shape[2:] == (3, 6, 4)
        visual = self.patches(obs['visual'].flatten(2)).reshape(b, t, 4, 3)
        proprio, action = (v[:, :, None].expand(-1, -1, 4, -1)
                           for v in (self.proprio(obs['proprio']), self.action(act)))
        return torch.cat([visual, proprio, action], 3)

    def predict(self, z: torch.Tensor) -> torch.Tensor:
        assert z.shape[1] <= self.num_hist
        mean = z.cumsum(1) / torch.arange(1, z.shape[1] + 1)[:, None, None]
        return torch.tanh(self.predictor(mean + z.mean(2, keepdim=True)))

    def replace_actions_from_z(self, z: torch.Tensor, act: torch.Tensor) -> torch.Tensor:
        z[..., -2:] = self.action(act)[:, :, None]
        return z

    def separate_emb(self, z: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        return {'visual': z[..., :3], 'proprio': z[:, :, 0, 3:5]}, z[:, :, 0, -2:]

    def rollout(self, obs_0: dict[str, torch.Tensor], act: torch.Tensor) -> torch.Tensor:
        """Imagine from n frames as upstream does; act is (b, n + t, A)."""
        n = obs_0['visual'].shape[1]
        z = self.encode(obs_0, act[:, :n])
        for t in range(act.shape[1] - n):
            new = self.predict(z[:, -self.num_hist:])[:, -1:]
            z = torch.cat([z, self.replace_actions_from_z(new, act[:, n + t:n + t + 1])], 1)
        return torch.cat([z, self.predict(z[:, -self.num_hist:])[:, -1:]], 1)


class Predictor(nn.Module):
    """Foresees from (B, T, D) and (B, T, A_emb), causal."""

    def __init__(self) -> None:
        super().__init__()
        self.num_frames, self.layer = 3, nn.Linear(9, 5)
        self.place = nn.Parameter(torch.randn(1, 3, 9))

    def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        both = torch.cat([x, c], -1) + self.place[:, :x.shape[1]]
        return torch.tanh(self.layer(both.cumsum(1)))


class LeWM(nn.Module):
    """`LeWM`, `PLDM`: encode(info) writes into info, predict(emb, act_emb)."""

    def __init__(self, actions: int = 2) -> None:
        super().__init__()
        self.encoder, self.predictor = nn.Linear(PIXELS, 5), Predictor()
        self.action_encoder = nn.Linear(actions, 4)

    def encode(self, info: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        assert info['pixels'].shape[2:] == (3, 6, 4)
        info['emb'] = self.encoder(info['pixels'].flatten(2))
        return info

    def predict(self, emb: torch.Tensor, act_emb: torch.Tensor) -> torch.Tensor:
        return self.predictor(emb, act_emb)


def dino(scenario: Scenario, layout: Layout | None = None) -> DinoWm:
    block = 1 if layout is None else layout.action_block
    return DinoWm(scenario, Dino(2 * block), layout or Layout(device='cpu'), name='m',
                  readout=lambda z: z['visual'].mean((1, 2)) + z['proprio'][:, 0, :1])


def lewm(scenario: Scenario) -> StableWorldModel:
    return StableWorldModel(scenario, LeWM(), Layout(device='cpu'), name='m',
                            readout=lambda emb: emb[:, :3])


@pytest.mark.parametrize('make', [dino, lewm])
def test_it_keeps_the_protocol(seeing: Scenario, make: Any) -> None:
    assert check_world_model(make(seeing)) == []


def shown(model: WindowAdapter, obs: torch.Tensor, commands: torch.Tensor) -> torch.Tensor:
    """Encode steps one after the other, (B, T, F), (B, T - 1, A)."""
    z = model.encode(obs[:, 0])
    for t in range(1, obs.shape[1]):
        z = model.encode(obs[:, t], z, commands[:, t - 1])
    return z


@pytest.mark.parametrize('seen', [1, 2, 3, 5])
def test_dino_wm_imagines_as_its_own_rollout(seeing: Scenario, seen: int) -> None:
    layout = Layout(device='cpu', action_block=2, pixel_mean=(0.5, 0.4, 0.3),
                    pixel_scale=(0.2, 0.2, 0.1))
    model = dino(seeing, layout)
    obs, commands = torch.rand(2, seen, 3 + PIXELS), torch.rand(2, seen - 1 + 6, 2) * 2 - 1
    z = shown(model, obs, commands)
    last = obs[:, -3:]
    images = (last[..., 3:].reshape(2, -1, 6, 4, 3) - torch.tensor([0.5, 0.4, 0.3])) / (
        torch.tensor([0.2, 0.2, 0.1]))
    n = last.shape[1]
    with torch.no_grad():
        want = model.upstream.rollout(
            {'visual': images.permute(0, 1, 4, 2, 3), 'proprio': last[..., :3]},
            torch.cat([commands[:, seen - n:]] * 2, -1))
    found = model.predict(z, commands[:, seen - 1:])
    for h in range(6):
        frame = found[:, h, 2 * 28:3 * 28].reshape(2, 4, 7)
        # what is behind the action of a frame nothing has left yet is anything
        assert torch.allclose(frame[..., :5], want[:, n + h, :, :5], atol=1e-5)
    assert model.decode(found).shape == (2, 6, 3)


@pytest.mark.parametrize('seen', [1, 2, 5])
def test_lewm_imagines_as_its_own_rollout(seeing: Scenario, seen: int) -> None:
    model = lewm(seeing)
    obs, commands = torch.rand(2, seen, 3 + PIXELS), torch.rand(2, seen - 1 + 4, 2) * 2 - 1
    z, upstream = shown(model, obs, commands), model.upstream
    images = obs[..., 3:].reshape(2, seen, 6, 4, 3).permute(0, 1, 4, 2, 3)
    with torch.no_grad():
        frames = list(upstream.encode({'pixels': images})['emb'].unbind(1))
        acts = upstream.action_encoder(commands)
        for t in range(4):
            begin = max(0, seen + t - 3)
            after = upstream.predict(torch.stack(frames[begin:], 1), acts[:, begin:seen + t])
            frames.append(after[:, -1])
    found = model.predict(z, commands[:, seen - 1:])
    for h in range(4):
        assert torch.allclose(found[:, h, 10:15], frames[seen + h], atol=1e-5)


def test_an_interface_without_one_image_is_refused(scenario: Scenario) -> None:
    with pytest.raises(ConfigError, match='0 images; a dino_wm sees exactly'):
        dino(scenario)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / 'config.json').write_text(json.dumps({'_target_': 'x.LeWM', 'actions': 2}))
    torch.save(LeWM().state_dict(), tmp_path / 'weights.pt')
    return tmp_path


def test_a_folder_of_weights_and_config_is_loaded(folder: Path) -> None:
    found = load_folder(folder, lambda config: LeWM(config['actions']), 'cpu')
    saved = torch.load(folder / 'weights.pt', weights_only=True)
    assert all(torch.equal(v, saved[n]) for n, v in found.state_dict().items())


def test_a_pickle_of_more_than_weights_is_refused_and_not_run(folder: Path) -> None:
    torch.save(LeWM(), folder / 'weights.pt')
    with pytest.raises(CheckpointError, match='holds more than weights'):
        load_folder(folder, lambda config: LeWM(), 'cpu')


@pytest.mark.parametrize(('weights', 'actions', 'what'), [
    (['a'], 2, 'no mapping of names to tensors'), (None, 5, 'of another architecture'),
    (b'PK', 2, 'or is damaged')])
def test_weights_that_do_not_fit_are_refused(
    folder: Path, weights: object, actions: int, what: str,
) -> None:
    if isinstance(weights, bytes):
        (folder / 'weights.pt').write_bytes(weights)
    elif weights is not None:
        torch.save(weights, folder / 'weights.pt')
    with pytest.raises(CheckpointError, match=what):
        load_folder(folder, lambda config: LeWM(actions), 'cpu')


@pytest.mark.parametrize('deflated', [True, False])
def test_what_unpacks_to_more_than_the_file_has_is_refused_before_it_is_unpacked(
    folder: Path, deflated: bool, monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = folder / 'weights.pt'
    with zipfile.ZipFile(path) as found:
        entries = {entry.filename: found.read(entry) for entry in found.infolist()}
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED if deflated else 0) as file:
        for name, data in entries.items():
            file.writestr(name, data)
        # two names of one entry
        again = copy.copy(file.infolist()[-1])
        again.filename = 'archive/data/again'
        again.file_size = path.stat().st_size if not deflated else again.file_size
        file.filelist.append(again)
    monkeypatch.setattr(torch, 'load', lambda *args, **named: pytest.fail('was loaded'))
    with pytest.raises(CheckpointError, match='that are packed'):
        load_folder(folder, lambda config: LeWM(), 'cpu')


def test_a_file_of_another_form_is_refused(folder: Path) -> None:
    torch.save(LeWM().state_dict(), folder / 'weights.pt', _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match=r'no file of torch\.save since 1\.6, or is damaged'):
        load_folder(folder, lambda config: LeWM(), 'cpu')


@pytest.mark.parametrize('value', [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_refused(folder: Path, value: float) -> None:
    module = LeWM()
    module.encoder.bias.data[2] = value
    torch.save(module.state_dict(), folder / 'weights.pt')
    with pytest.raises(CheckpointError, match=r'encoder\.bias has values that are not finite'):
        load_folder(folder, lambda config: LeWM(), 'cpu')


class Masked(LeWM):
    """Keeps the mask of an attention with its weights."""

    def __init__(self, hidden: float) -> None:
        super().__init__()
        self.register_buffer('mask', torch.tensor([0.0, hidden]))


def test_a_mask_may_be_infinite_but_no_nan(folder: Path) -> None:
    for hidden, good in ((-torch.inf, True), (torch.nan, False)):
        torch.save(Masked(hidden).state_dict(), folder / 'weights.pt')
        if good:
            load_folder(folder, lambda config: Masked(0.0), 'cpu')
            continue
        with pytest.raises(CheckpointError, match='mask has values that are no numbers'):
            load_folder(folder, lambda config: Masked(0.0), 'cpu')


@pytest.mark.parametrize(('version', 'good'), [
    ('2.5.1+cpu', False), ('1.13.0', False), ('2.6.0', True), ('2.13.0+cpu', True), ('3.0', True)])
def test_a_torch_whose_loader_could_run_code_is_refused(version: str, good: bool) -> None:
    if good:
        _require_safe_loader(version)
        return
    with pytest.raises(CheckpointError, match=f'torch {version[:5]}.*safe from 2.6 on'):
        _require_safe_loader(version)
