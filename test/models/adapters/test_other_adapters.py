"""JEPA-WMs and step functions behind the protocol."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.models.adapters.adapter import Layout
from wm_eval_ros.models.adapters.jepa_wms import JepaWms
from wm_eval_ros.models.adapters.step_function import StepFunction
from wm_eval_ros.models.conformance import check_world_model


class Whole(dict[str, torch.Tensor]):
    """Stands for a TensorDict: made of a mapping, read by key."""


class Jepa(nn.Module):
    """Encodes to [B, T, V, H, W, D]; unrolls actions [T, B, A] to [T + tau, B, V, H, W, D]."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.step = nn.Linear(72, 12), nn.Linear(12 + 2, 12)
        self.body = nn.Linear(3, 4)

    def encode(self, obs: Any, act: bool = True) -> Any:
        visual = obs if isinstance(obs, torch.Tensor) else obs['visual']
        assert visual.shape[2:] == (3, 6, 4)
        found = self.image(visual.flatten(2) / 255.0).reshape(*visual.shape[:2], 1, 2, 2, 3)
        if isinstance(obs, torch.Tensor):
            return found
        return Whole({'visual': found, 'proprio': self.body(obs['proprio'])[:, :, None]})

    def unroll(self, z_ctxt: Any, act_suffix: torch.Tensor) -> Any:
        plain = isinstance(z_ctxt, torch.Tensor)
        frames = [(z_ctxt if plain else z_ctxt['visual']).transpose(0, 1)[-1]]
        body = None if plain else [z_ctxt['proprio'].transpose(0, 1)[-1]]
        for act in act_suffix:
            after = torch.tanh(self.step(torch.cat([frames[-1].flatten(1), act], -1)))
            frames.append(after.reshape(frames[-1].shape))
            if body is not None:
                body.append(body[-1] * 0.9)
        if body is None:
            return torch.stack(frames)
        return Whole({'visual': torch.stack(frames), 'proprio': torch.stack(body)})


@pytest.mark.parametrize('proprio', [False, True])
def test_jepa_wms_keeps_the_protocol_and_unrolls_time_first(
    seeing: Scenario, proprio: bool,
) -> None:
    upstream = Jepa()
    model = JepaWms(seeing, upstream, Layout(device='cpu'), name='m', proprio=proprio,
                    readout=lambda z: z[:, :3])
    assert check_world_model(model) == []
    obs, actions = torch.rand(3, 3 + 72), torch.rand(3, 5, 2) * 2 - 1
    with torch.no_grad():
        frame = upstream.encode(
            obs[:, 3:].reshape(3, 6, 4, 3).permute(0, 3, 1, 2)[:, None] * 255.0)
        want = upstream.unroll(frame, actions.transpose(0, 1))
    z = model.encode(obs)
    assert torch.allclose(z[:, :12], frame.flatten(1), atol=1e-6)
    for h in range(5):
        assert torch.allclose(model.predict(z, actions)[:, h, :12], want[h + 1].flatten(1),
                              atol=1e-6)
    assert z.shape[1] == (16 if proprio else 12)


def test_a_step_function_is_called_once_a_step(scenario: Scenario) -> None:
    calls = []

    def step(obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        calls.append(action)
        return obs * 0.9 + action.sum(-1, keepdim=True)

    model = StepFunction(scenario, step, Layout(
        device='cpu', obs_mean=(1.0, 0.0, 0.0), obs_scale=(2.0, 1.0, 1.0)), name='m')
    assert check_world_model(model) == []
    calls.clear()
    z = model.encode(torch.tensor([[3.0, 1.0, 2.0]]))
    assert z.tolist() == [[1.0, 1.0, 2.0]]
    found = model.predict(z, torch.tensor([[[0.5, 0.5], [0.0, -1.0]]]))
    assert len(calls) == 2
    # 0.9 + 1 = 1.9; 0.9 * 1.9 - 1 = 0.71
    assert found[0, :, 0].tolist() == pytest.approx([1.9, 0.71])
    assert model.decode(found)[0, :, 0].tolist() == pytest.approx([4.8, 2.42])
