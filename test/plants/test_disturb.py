"""Changes of the world: felt while they last, gone to the bit afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from wm_eval_ros.config.scenario import find_scenario, load_scenario
from wm_eval_ros.errors import MissingExtraError, RunError
from wm_eval_ros.perturb import catalogue
from wm_eval_ros.perturb.protocol import ChangesWorld, Quantity, WorldChange
from wm_eval_ros.plants.mujoco_plant import MujocoPlant
from wm_eval_ros.plants.protocol import Disturbable
from wm_eval_ros.plants.tasks import task_names

TASKS = task_names()
Make = Callable[[str], MujocoPlant]
#: perturbations of the physics, and the tasks that do not feel them
PHYSICAL = [name for name in catalogue.names() if name.startswith('physical.')]
UNFELT = {('physical.contact_friction', 'reacher'), ('physical.contact_friction', 'cartpole'),
          # its links weigh next to nothing beside what its motors can do
          ('physical.gravity', 'reacher')}
SLOT_NS = 50_000_000


def change(name: str, severity: float = 0.5, seed: int = 0) -> WorldChange:
    made = catalogue.make(name, severity, np.random.default_rng(seed), {})
    assert isinstance(made, ChangesWorld)
    return made.world_change()


def drive(plant: MujocoPlant, task: str, slots: int = 12) -> np.ndarray[Any, Any]:
    """Drive with commands drawn anew for each slot, from the state as it is."""
    command = load_scenario(find_scenario(task)).interface.command
    rng = np.random.default_rng(5)
    states = []
    for _ in range(slots):
        plant.apply(rng.uniform(command.low, command.high))
        plant.advance(SLOT_NS)
        states.append(np.concatenate([plant.data.qpos, plant.data.qvel]))
    return np.array(states)


def arrays(model: Any) -> dict[str, bytes]:
    names = [n for n in dir(model) if not n.startswith('_')]
    return {n: v.tobytes() for n in names if isinstance(v := getattr(model, n), np.ndarray)} | {
        'gravity': model.opt.gravity.tobytes()}


@pytest.mark.parametrize('task', TASKS)
@pytest.mark.parametrize('name', PHYSICAL)
def test_it_is_felt_on_every_task_or_refused_with_the_reason(
    make: Make, name: str, task: str,
) -> None:
    plant = make(task)
    plant.reset(3)
    plain = drive(plant, task)
    plant.reset(3)
    if (name, task) in UNFELT:
        with pytest.raises(ValueError, match=r'no grip|nothing touches'):
            plant.disturb([change(name)])
        assert np.array_equal(drive(plant, task), plain)
        return
    plant.disturb([change(name)])
    if name == 'physical.contact_friction':
        assert (plant.model.geom_friction[:, 0] == 2 * make(task).model.geom_friction[:, 0]).all()
        return
    assert np.abs(drive(plant, task) - plain).max() > 1e-3


@pytest.mark.parametrize('name', [n for n in PHYSICAL if n != 'physical.contact_friction'])
def test_a_higher_severity_is_felt_more(make: Make, name: str) -> None:
    plant = make('two_room' if name == 'physical.payload' else 'pusher')
    task = 'two_room' if name == 'physical.payload' else 'pusher'
    plant.reset(3)
    plain = drive(plant, task, slots=4)
    felt = []
    for severity in (0.25, 0.5, 1.0):
        plant.reset(3)
        plant.disturb([change(name, severity)])
        felt.append(np.abs(drive(plant, task, slots=4) - plain).sum())
    assert felt[0] < felt[1] < felt[2]


@pytest.mark.parametrize('task', TASKS)
def test_at_the_end_and_after_a_reset_the_world_is_the_nominal_one_to_the_bit(
    make: Make, task: str,
) -> None:
    plant, other = make(task), make(task)
    nominal = arrays(plant.model)
    plain = drive(other, task)
    changes = [change(name) for name in PHYSICAL if (name, task) not in UNFELT]
    plant.disturb(changes)
    drive(plant, task, slots=3)
    assert arrays(plant.model) != nominal
    plant.disturb([])
    assert arrays(plant.model) == nominal
    assert not plant.data.xfrc_applied.any()
    plant.disturb(changes)
    plant.reset(0)
    assert arrays(plant.model) == nominal
    assert np.array_equal(drive(plant, task), plain)


def test_what_begins_meanwhile_turns_no_direction(make: Make) -> None:
    plant = make('cartpole')
    plant.reset(0)
    push, pull = change('physical.impulse'), change('physical.gravity')
    plant.disturb([push, pull])
    force = plant.data.xfrc_applied.copy()
    gravity = plant.model.opt.gravity.copy()
    plant.apply(np.array([8.0]))
    plant.advance(500_000_000)
    plant.disturb([push, pull, change('physical.damping')])
    assert np.array_equal(plant.data.xfrc_applied, force)
    assert np.array_equal(plant.model.opt.gravity, gravity)


def test_a_push_of_strength_1_is_what_the_actuator_holds(make: Make) -> None:
    plant = make('two_room')
    plant.reset(0)
    # a slide along x with 20 N: the lever is 1
    plant.disturb([WorldChange(Quantity.IMPULSE, 1.0, (0.0, 1.0, 0.0))])
    assert np.allclose(plant.data.xfrc_applied[plant.model.body('robot').id],
                       [0.0, 20.0, 0.0, 0.0, 0.0, 0.0])


def test_a_payload_of_ratio_1_doubles_the_inertia(make: Make) -> None:
    plant = make('two_room')
    plant.disturb([WorldChange(Quantity.PAYLOAD, 1.0)])
    assert np.allclose(plant.model.dof_M0, [2.0, 2.0])


def test_a_gain_lost_by_half_halves_the_force(make: Make) -> None:
    plant = make('cartpole')
    plant.disturb([WorldChange(Quantity.ACTUATOR_GAIN, 0.5)])
    plant.apply(np.array([10.0]))
    plant.advance(plant.step_ns)
    assert plant.data.actuator_force[0] == 5.0


@pytest.mark.parametrize('which', [0.0, 0.49, 0.5, 0.99])
def test_one_actuator_alone_fails(make: Make, which: float) -> None:
    plant = make('reacher')
    plant.disturb([WorldChange(Quantity.ACTUATOR_GAIN, 1.0, which=which)])
    dead = plant.model.actuator_gainprm[:, 0] == 0.0
    assert dead.tolist() == [which < 0.5, which >= 0.5]


def test_the_camera_is_moved_and_put_back(make: Make) -> None:
    plant = make('reacher')
    plant.reset(0)
    try:
        before = plant.render(64, 64).pixels
    except (MissingExtraError, RunError) as error:
        pytest.skip(f'no headless rendering here: {error}')
    moved = []
    for severity in (0.25, 1.0):
        plant.disturb([change('visual.camera_shift', severity)])
        moved.append(np.abs(plant.render(64, 64).pixels.astype(int) - before).mean())
    plant.disturb([])
    assert np.array_equal(plant.render(64, 64).pixels, before)
    plant.close()
    assert 0.0 < moved[0] < moved[1]


def test_a_mujoco_plant_is_disturbable(make: Make) -> None:
    assert isinstance(make('reacher'), Disturbable)
