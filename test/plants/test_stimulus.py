"""The plant that only emits: nothing moves, whatever is commanded."""

from __future__ import annotations

import numpy as np
import pytest

from wm_eval_ros.config.scenario import find_scenario, load_scenario
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.plants.load import make_plant
from wm_eval_ros.plants.stimulus import StimulusPlant


@pytest.fixture
def plant() -> StimulusPlant:
    made = make_plant(load_scenario(find_scenario('hil')))
    assert isinstance(made, StimulusPlant)
    made.reset(3)
    return made


def test_nothing_moves_but_time(plant: StimulusPlant) -> None:
    before = plant.observe()
    plant.apply(np.ones(2))
    plant.advance(250_000_000)
    after = plant.observe()
    assert plant.time_ns == 250_000_000
    assert not plant.solved()
    assert plant.failed() == ''
    assert before.keys() == after.keys() == {'joint_states', 'tip_pose'}
    assert np.array_equal(before['joint_states'].position,  # type: ignore[union-attr]
                          after['joint_states'].position)  # type: ignore[union-attr]


def test_what_it_shows_is_the_start_of_the_task(plant: StimulusPlant) -> None:
    real = make_plant(load_scenario(find_scenario('reacher')))
    real.reset(3)
    assert np.array_equal(plant.state(), real.state())
    assert plant.goal() is not None


def test_an_image_is_noise_that_no_encoder_makes_small(plant: StimulusPlant) -> None:
    import cv2
    image = plant.render(64, 48)
    assert image.pixels.shape == (48, 64, 3)
    assert image.pixels is plant.render(64, 48).pixels
    _, png = cv2.imencode('.png', image.pixels)
    assert len(png) > 0.9 * image.pixels.nbytes


@pytest.mark.parametrize('change', [{'clock': 'lockstep'}, {'clock': 'free'},
                                    {'plant.kind': 'hardware'}])
def test_a_link_is_timed_in_realtime_by_a_plant_that_sends(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r'plant\.link'):
        load_scenario(find_scenario('hil'), change)
