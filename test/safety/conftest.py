"""A gate of two fields, with the settings a test asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from wm_eval_ros.config.interface import CommandStream
from wm_eval_ros.config.supervisor import SupervisorSettings
from wm_eval_ros.safety.gate import CommandGate

MS = 1_000_000
COMMAND = CommandStream(topic='cmd', type='x/msg/Y', fields=('a', 'b'), low=(-1.0, 0.5),
                        high=(1.0, 2.0))
FEATURES = ('state.position', 'state.velocity', 'state.turn')


@pytest.fixture
def make_gate() -> Callable[..., CommandGate]:
    """Make an armed gate with a period and a deadline of 50 ms."""
    def make(*, latch_stop: bool = False, **settings: Any) -> CommandGate:
        made = CommandGate(COMMAND, SupervisorSettings(**settings), period_ns=50 * MS,
                           deadline_ns=50 * MS, features=FEATURES, latch_stop=latch_stop)
        made.arm(0)
        return made

    return make
