"""A scenario of three features and two commands, with and without a small camera."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from wm_eval_ros.config.interface import ImageStream, Interface
from wm_eval_ros.config.scenario import find_scenario, load_scenario, Scenario


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def scenario(interface: Interface) -> Scenario:
    return replace(load_scenario(find_scenario('reacher')), interface=interface)


@pytest.fixture
def seeing(scenario: Scenario) -> Scenario:
    camera = ImageStream(topic='camera', width=4, height=6)
    return replace(scenario, plant=replace(scenario.plant, kind='hardware'),
                   interface=replace(scenario.interface, images=(camera,)))
