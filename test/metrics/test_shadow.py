"""Proposals beside what really drove, counted by hand."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from wm_eval_ros.metrics.shadow import Driving, shadow

MS = 1_000_000


def driving(scenes: ModuleType, commands: list[tuple[float, float]]) -> Driving:
    """Make commands of one field in [-1, 1], given the time [ms, system] and the value."""
    logs = np.array([scenes.ROS + round(at * MS) for at, _ in commands], np.int64)
    values = np.array([[value] for _, value in commands]).reshape(len(commands), 1)
    return Driving(logs, values, ('effort',), (-1.0,), (1.0,))


def figures(scenes: ModuleType, proposals: list[float], commands: list[tuple[float, float]],
            events: list | None = None) -> dict:
    # slot k publishes 11 ms after 50 k
    cycles = [scenes.cycle(k, mode='SHADOW', action=(p,)) for k, p in enumerate(proposals)]
    return {v.name: v for v in shadow(cycles, events or [], driving(scenes, commands))}


def test_a_proposal_is_held_against_the_command_in_force_when_it_was_sent(
    scenes: ModuleType,
) -> None:
    # range 2: up to 0.2 agrees. In force at 11, 61, 111, 161 ms: 0.0, 0.5, 0.5, 0.5
    found = figures(scenes, [0.2, 0.2, 0.4, 0.5], [(0, 0.0), (60, 0.5), (110, 0.5)])
    assert found['shadow_agreement'].value == pytest.approx(3 / 4)
    assert found['shadow_difference[effort].max'].value == pytest.approx(0.3)
    assert found['shadow_undriven'].value == 0


def test_where_nobody_drives_there_is_nothing_to_agree_with(scenes: ModuleType) -> None:
    # two periods after the command it drives no more: 161 - 60 > 100
    found = figures(scenes, [0.5] * 4, [(60, 0.5)])
    assert (found['shadow_agreement'].value, found['shadow_agreement'].n) == (1.0, 2)
    assert found['shadow_undriven'].value == 2
    nobody = figures(scenes, [0.5], [])['shadow_agreement']
    assert (nobody.value, 'somebody drove' in nobody.why) == (None, True)


def test_it_says_in_how_many_slots_the_fallback_would_have_commanded(scenes: ModuleType) -> None:
    events = [scenes.event('FALLBACK_ON', 0, 60), scenes.event('FALLBACK_OFF', 0, 120)]
    # slots 1 (50 to 100 ms) and 2 (100 to 150 ms) share time with the spell
    found = figures(scenes, [0.0] * 4, [(0, 0.0)], events)
    assert found['shadow_fallback'].value == pytest.approx(2 / 4)
    assert found['shadow_fallbacks'].value == 1
