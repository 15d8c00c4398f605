"""The noise candidates are drawn from has the spectrum and the variance it should have."""

from __future__ import annotations

import pytest
import torch

from wm_eval_ros.planning.noise import autoregressive, held, power_law, smoothed

SHAPE = (32, 2)


def drawn(matrix: torch.Tensor | None, count: int = 20000) -> torch.Tensor:
    white = torch.randn((count, *SHAPE), generator=torch.Generator().manual_seed(3))
    return smoothed(white, matrix).double()


@pytest.mark.parametrize('exponent', [0.0, 1.0, 2.0, 3.5])
def test_the_power_falls_with_the_frequency_by_the_exponent(exponent: float) -> None:
    noise = drawn(power_law(SHAPE[0], exponent))
    power = torch.fft.rfft(noise, dim=1).abs().square().mean((0, 2))
    assert noise.var(0).mean() == pytest.approx(1.0, abs=0.02)
    # of frequencies 1/32 .. 15/32; that of 2/32 is weaker by 2^-exponent
    for k in (2, 4, 8, 15):
        assert float(power[k] / power[1]) == pytest.approx(k ** -exponent, rel=0.08)
    # the constant part has the power of the lowest frequency
    assert float(power[0] / power[1]) == pytest.approx(1.0, rel=0.08)


@pytest.mark.parametrize('horizon', [1, 2, 3, 7, 8])
def test_every_horizon_has_a_power_law_of_variance_one(horizon: int) -> None:
    matrix = power_law(horizon, 2.0)
    assert matrix is None or torch.allclose(matrix.square().sum(1), torch.ones(horizon))


@pytest.mark.parametrize('beta', [0.0, 0.4, 0.9])
def test_autoregressive_noise_has_the_correlation_of_its_neighbours(beta: float) -> None:
    noise = drawn(autoregressive(SHAPE[0], beta))
    assert noise.var(0).mean() == pytest.approx(1.0, abs=0.02)
    assert float((noise[:, 1:] * noise[:, :-1]).mean()) == pytest.approx(beta, abs=0.01)


def test_a_held_sequence_changes_at_most_twice() -> None:
    sequences = held(500, SHAPE, 0.4, torch.Generator().manual_seed(0))
    changes = (sequences[:, 1:] != sequences[:, :-1]).any(-1).sum(1)
    assert tuple(sequences.shape) == (500, *SHAPE)
    assert int(changes.max()) == 2
    # uniform up to half as much again as the limit: a third of the commands lies beyond it
    assert float(sequences.abs().max()) <= 0.6
    assert float((sequences.abs() > 0.4).float().mean()) == pytest.approx(1 / 3, abs=0.05)
