"""What the monitor tells of one slot is what the scorecard makes of it."""

from __future__ import annotations

from types import ModuleType

import pytest

from wm_eval_ros.scoring.live import slot_values
from wm_eval_ros.scoring.scorer import score

NOTHING = {'plan_latency': None, 'decision_latency': None, 'sense_to_act': None}


def test_a_slot_gives_the_figures_of_a_run_of_that_slot(scenes: ModuleType) -> None:
    cycle = scenes.cycle(3, took_ms=20, inputs=[{'topic': '/tip', 'age_ms': 5}])
    assert dict(slot_values(cycle)) == {
        'plan_latency': 20.0, 'decision_latency': 21.0, 'sense_to_act': 26.0, 'deadline_met': 1.0}
    card = score([cycle])
    for name in NOTHING:
        assert card[f'{name}.max'].value == dict(slot_values(cycle))[name]


@pytest.mark.parametrize(('slot', 'status', 'met'), [
    pytest.param(3, 'SKIPPED', 0.0, id='a-skipped-slot-is-a-miss-without-latency'),
    pytest.param(0, 'WARMUP', None, id='a-warm-up-call-is-no-slot'),
    pytest.param(2**63, 'OK', None, id='a-number-beyond-64-bits')])
def test_no_evidence_is_none(scenes: ModuleType, slot: int, status: str,
                             met: float | None) -> None:
    found = dict(slot_values(scenes.cycle(slot, status)))
    assert found == {**NOTHING, 'deadline_met': met}
