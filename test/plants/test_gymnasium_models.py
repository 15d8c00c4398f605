"""Reacher and Pusher move as Gymnasium's own environments do, half the step notwithstanding."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.mark.parametrize(('name', 'env_id', 'tolerance_rad'), [
    pytest.param('reacher', 'Reacher-v5', 1e-8, id='reacher'),
    # Euler instead of Runge-Kutta: the error is of the order of the step
    pytest.param('pusher', 'Pusher-v5', 2e-2, id='pusher'),
])
def test_same_start_and_commands_same_motion(make, name, env_id, tolerance_rad):
    import gymnasium

    plant, env = make(name), gymnasium.make(env_id).unwrapped
    env.reset(seed=0)
    plant.reset(0)
    env.set_state(plant.data.qpos.copy(), plant.data.qvel.copy())
    rng = np.random.default_rng(0)
    for _ in range(20):
        # a tenth: away from the end stops, where a stiff contact meets a coarse step
        action = 0.1 * rng.uniform(env.action_space.low, env.action_space.high)
        env.do_simulation(action, round(0.05 / env.model.opt.timestep))
        plant.apply(action)
        plant.advance(50_000_000)
    joints = slice(0, plant.model.nu)
    assert np.abs(env.data.qvel[joints]).max() > 0.05
    assert plant.data.qpos[joints] == pytest.approx(env.data.qpos[joints], abs=tolerance_rad)
