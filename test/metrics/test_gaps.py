"""The longest time without a command shows in reaction time and command period."""

from __future__ import annotations

from types import ModuleType

import pytest

from wm_eval_ros.scoring.scorer import score


def test_a_second_without_a_command_is_the_worst_case(scenes: ModuleType) -> None:
    inputs = [{'topic': '/joints', 'age_ms': 5.0}]
    card = score([scenes.cycle(slot, 'EXCEPTION' if 10 <= slot < 30 else 'OK', inputs=inputs)
                  for slot in range(60)])
    # slot 30 publishes 21 periods of 50 ms after slot 9, 11 ms after its start
    assert card['reaction_time.max'].value == pytest.approx(21 * 50 + 11 + 5)
    assert card['command_period_error.max'].value == pytest.approx(20 * 50)
    assert card['reaction_time.p50'].value == pytest.approx(50 + 11 + 5)
    assert card['reaction_time.max'].n == 39


def test_no_pair_reaches_into_another_episode(scenes: ModuleType) -> None:
    card = score([scenes.cycle(0), scenes.cycle(30, episode=1)])
    assert card['command_period_error.max'].value is None
    assert card['reaction_time.max'].value is None
