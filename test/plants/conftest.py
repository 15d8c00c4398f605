from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

mujoco = pytest.importorskip('mujoco')
pytest.importorskip('gymnasium')

from wm_eval_ros.config.scenario import find_scenario, load_scenario  # noqa: E402
from wm_eval_ros.plants.mujoco_plant import MujocoPlant  # noqa: E402

SLOT_NS = 50_000_000
CHECK_NS = 10_000_000


@pytest.fixture
def make() -> Callable[[str], MujocoPlant]:
    """Make the plant of a shipped scenario."""
    def build(name: str) -> MujocoPlant:
        return MujocoPlant(name, load_scenario(find_scenario(name)).interface)
    return build


@pytest.fixture
def play() -> Callable[..., bool]:
    """Play one episode at 20 Hz, success checked at 100 Hz; say whether it ended in success."""
    def run(plant: MujocoPlant, policy: Callable[[], np.ndarray], limit_s: float) -> bool:
        held = 0
        while plant.time_ns < limit_s * 1e9 and not plant.failed():
            plant.apply(policy())
            for _ in range(SLOT_NS // CHECK_NS):
                plant.advance(CHECK_NS)
                held = held + CHECK_NS if plant.solved() else 0
                if held >= plant.hold_s * 1e9:
                    return True
        return False
    return run
