"""Made-up runs with latents, for the tests of surprise."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from wm_eval_ros.records import Record

#: a scenario's settings as far as calibrations look at them
SETTINGS = {'planner': {'horizon': 4}, 'interface': {'observations': []}}


@pytest.fixture(scope='session')
def nominal_run(scenes: ModuleType) -> Callable[..., list[Record]]:
    """
    Make a run of a two-dimensional world that the model knows up to noise.

    From slot `shift_from` of every episode on its state moves on by `shift` more than foreseen.
    """
    def make(episodes: int, seed: int = 0, *, shift: float = 0.0, shift_from: int = 5,
             slots: int = 20, **manifest: Any) -> list[Record]:
        rng = np.random.default_rng(seed)
        info: dict[str, Any] = {'episodes': episodes, 'seed': seed, 'settings': SETTINGS,
                                'run_id': f'run-{seed}'}
        model = {'name': 'm', 'sha256': 'a' * 64}
        records: list[Record] = [scenes.info(**{**info, 'model': model, **manifest})]
        for e in range(episodes):
            own = slots + int(rng.integers(6))
            base = 50.0 * 30 * e
            records.append(scenes.event('START', e, base, '', seed + e))
            z = rng.normal(size=2)
            for k in range(own):
                rollout = np.stack([z * 0.9**h for h in (1, 2, 3, 4)])
                spread = np.full((4, 2), 0.1) * (1 + 0.1 * rng.random((4, 2)))
                records.append(scenes.cycle(30 * e + k, episode=e, latent=z, rollout=rollout,
                                            rollout_std=spread, action=[0.0]))
                z = rollout[0] + 0.1 * rng.normal(size=2) + (shift if k >= shift_from else 0.0)
            records.append(scenes.event('TIMEOUT', e, base + 50 * own - 10, '', 0.05 * own))
        return records
    return make
