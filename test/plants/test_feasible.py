"""
Each task can be solved at 20 Hz with commands one period late, and not by chance.

The controllers know the true dynamics: a learned planner that fails where they succeed fails for
its own reasons, not the task's.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from wm_eval_ros.config.scenario import find_scenario, load_scenario

SLOT_NS = 50_000_000
DISTURBANCE_N = 2.0


def late(plant, mirror, low, high, law):
    """Make a policy whose every command takes effect one slot after its observation."""
    flying = np.zeros(len(low))

    def policy():
        nonlocal flying
        mirror.restore(plant.state())
        mirror.apply(flying)
        mirror.advance(SLOT_NS)
        now, flying = flying, np.clip(law(mirror), low, high)
        return now

    return policy


def rate(make, play, name, law, seeds, disturb=0.0):
    scenario = load_scenario(find_scenario(name))
    command = scenario.interface.command
    plant, mirror, won = make(name), make(name), 0
    for seed in seeds:
        plant.reset(seed)
        rng = np.random.default_rng(seed)
        won += play(
            plant,
            late(plant, mirror, command.low, command.high,
                 lambda p, rng=rng: law(p) + disturb * rng.standard_normal(len(command.low))),
            scenario.plant.time_limit_s)
    return won / len(seeds)


def test_reacher_inverse_kinematics_and_pd(make, play):
    def law(plant):
        x, y, _ = plant.goal().position
        q, v = plant.data.qpos[:2], plant.data.qvel[:2]
        cosine = np.clip((x * x + y * y - 0.1**2 - 0.11**2) / (2 * 0.1 * 0.11), -1.0, 1.0)
        elbow = math.copysign(min(math.acos(cosine), 2.99), q[1])
        shoulder = math.atan2(y, x) - math.atan2(
            0.11 * math.sin(elbow), 0.1 + 0.11 * math.cos(elbow))
        error = np.array([(shoulder - q[0] + math.pi) % (2 * math.pi) - math.pi, elbow - q[1]])
        return (60.0 * error - 12.0 * v) / 200.0

    assert rate(make, play, 'reacher', law, range(50)) >= 0.95


def _lqr_gain(plant):
    """Return the discrete LQR gain about upright, from finite differences of the simulator."""
    from scipy.linalg import solve_discrete_are

    def step(x, u):
        plant.reset(0)
        plant.data.qpos[:], plant.data.qvel[:] = x[:2], x[2:]
        plant.apply(np.array([u]))
        plant.advance(SLOT_NS)
        return np.concatenate([plant.data.qpos, plant.data.qvel])

    eps = 1e-4
    a = np.array([(step(eps * e, 0.0) - step(-eps * e, 0.0)) / (2 * eps) for e in np.eye(4)]).T
    b = ((step(np.zeros(4), eps) - step(np.zeros(4), -eps)) / (2 * eps))[:, None]
    q, r = np.diag([1.0, 5.0, 0.2, 0.5]), np.array([[0.05]])
    p = solve_discrete_are(a, b, q, r)
    return np.linalg.solve(r + b.T @ p @ b, b.T @ p @ a)[0]


@pytest.mark.slow
@pytest.mark.parametrize('disturb', [0.0, DISTURBANCE_N])
def test_cartpole_energy_shaping_and_lqr(make, play, disturb):
    gain = _lqr_gain(make('cartpole'))

    def law(plant):
        slider, hinge = plant.data.qpos
        v, w = plant.data.qvel
        hinge = (hinge + math.pi) % (2 * math.pi) - math.pi
        if abs(hinge) < 0.5 and abs(w) < 3.0:
            return -gain @ np.array([[slider], [hinge], [v], [w]])
        energy = 0.5 * 0.0333 * w * w + 0.1 * 9.81 * 0.5 * (math.cos(hinge) - 1.0)
        pump = np.clip(40.0 * energy * np.sign(w * math.cos(hinge)), -8.0, 8.0)
        return np.array([1.1 * (pump - 2.0 * slider - 1.5 * v)])

    assert rate(make, play, 'cartpole', law, range(50), disturb) >= 0.95


def test_two_room_by_way_of_the_door(make, play):
    def law(plant):
        at, goal = plant.data.qpos, plant.goal().position[:2]
        target = goal
        if at[0] * goal[0] < 0 and abs(at[1]) > 0.2:
            target = np.array([math.copysign(0.35, at[0]), 0.0])
        elif at[0] * goal[0] < 0 or abs(at[0]) < 0.25:
            target = np.array([math.copysign(0.35, goal[0]), 0.0])
        return 5.0 * (target - at)

    assert rate(make, play, 'two_room', law, range(50)) >= 0.95


@pytest.mark.parametrize('name', ['cartpole', 'pusher', 'reacher', 'two_room'])
@pytest.mark.parametrize('kind', ['noop', 'random'])
def test_nothing_is_solved_by_doing_nothing_or_anything(make, play, name, kind):
    scenario = load_scenario(find_scenario(name))
    low, high = np.array(scenario.interface.command.low), np.array(scenario.interface.command.high)
    plant, rng, won = make(name), np.random.default_rng(0), 0
    policies = {'noop': lambda: np.zeros(len(low)), 'random': lambda: rng.uniform(low, high)}
    for seed in range(20):
        plant.reset(seed)
        won += play(plant, policies[kind], scenario.plant.time_limit_s)
    assert won <= 1
