"""What holds for every perturbation there is."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from wm_eval_ros.errors import ConfigError, UnknownNameError
from wm_eval_ros.perturb import catalogue
from wm_eval_ros.perturb.protocol import (
    ABILITIES,
    ChangesDelivery,
    ChangesEncoding,
    ChangesEndpoints,
    ChangesImages,
    ChangesLength,
    ChangesPlanning,
    ChangesProcesses,
    ChangesRate,
    ChangesSize,
    ChangesValues,
    ChangesWorld,
    HasDuration,
    Perturbation,
    PlanningFault,
)

NAMES = catalogue.names()
KINDS = {'physical', 'visual', 'sensor', 'command', 'timing', 'nuisance'}
#: messages, images, slots of a trial; 10 ms apart
LENGTH = 200
UNIT = np.array([0.2, 1.0, 0.05])
TRUTH = np.cumsum(np.random.default_rng(3).normal(size=(LENGTH, 3)) * 0.3, axis=0)
IMAGES = np.random.default_rng(4).integers(0, 256, (20, 24, 32, 3), dtype=np.uint8)


def trial(name: str, severity: float, seed: int = 1, **parameters: float) -> list[Any]:
    """Return everything a perturbation does to a fixed stream of messages."""
    made = catalogue.make(name, severity, np.random.default_rng(seed), parameters)
    done: list[Any] = []
    for k in range(LENGTH):
        task_ns = k * 10_000_000
        if isinstance(made, ChangesValues):
            done.append(made.change_values(TRUTH[k], UNIT, task_ns).tolist())
        if isinstance(made, ChangesLength):
            done.append(made.change_length(3))
        if isinstance(made, ChangesSize):
            done.append(made.change_size(1000))
        if isinstance(made, ChangesEncoding):
            done.append(made.change_encoding('rgb8'))
        if isinstance(made, ChangesDelivery):
            done.append(tuple(made.deliver(task_ns)))
        if isinstance(made, ChangesRate):
            done.append(made.samples_between())
        if isinstance(made, ChangesPlanning):
            try:
                done.append(made.disturb_plan(task_ns))
            except PlanningFault as fault:
                done.append(str(fault))
        if isinstance(made, ChangesImages) and k < len(IMAGES):
            done.append(made.change_image(IMAGES[k], task_ns).tobytes())
    if isinstance(made, ChangesWorld):
        done.append(made.world_change())
    if isinstance(made, HasDuration):
        done.append(made.lasts_s())
    return done


def strength(name: str, severity: float) -> float:
    """Return how far a perturbation is from doing nothing, as one number."""
    made = catalogue.make(name, severity, np.random.default_rng(1), {})
    total = 0.0
    for k in range(LENGTH):
        task_ns = k * 10_000_000
        if isinstance(made, ChangesValues):
            changed = made.change_values(TRUTH[k], UNIT, task_ns)
            far = np.nan_to_num(np.abs(changed - TRUTH[k]) / UNIT, nan=10.0, posinf=10.0)
            total += float(far.sum())
        if isinstance(made, ChangesLength):
            total += 3 - made.change_length(3)
        if isinstance(made, ChangesSize):
            total += 1000 - made.change_size(1000)
        if isinstance(made, ChangesEncoding):
            total += made.change_encoding('rgb8') != 'rgb8'
        if isinstance(made, ChangesDelivery):
            copies = made.deliver(task_ns)
            total += abs(len(copies) - 1) + sum(
                abs(c.delay_ns) + abs(c.stamp_shift_ns) for c in copies) * 1e-9
        if isinstance(made, ChangesRate):
            total += made.samples_between()
        if isinstance(made, ChangesPlanning):
            try:
                total += made.disturb_plan(task_ns) * 1e-9
            except PlanningFault:
                total += 1
        if isinstance(made, ChangesImages) and k < len(IMAGES):
            changed_image = made.change_image(IMAGES[k], task_ns).astype(float)
            total += float(np.abs(changed_image - IMAGES[k]).mean())
    if isinstance(made, ChangesWorld):
        total += abs(made.world_change().amount)
    if isinstance(made, ChangesProcesses | ChangesEndpoints):
        total += made.lasts_s() if isinstance(made, HasDuration) else severity
    return total


def test_there_is_every_kind() -> None:
    assert {catalogue.kind_of(name) for name in NAMES} == KINDS


@pytest.mark.parametrize('name', NAMES)
def test_it_has_an_ability(name: str) -> None:
    assert any(issubclass(catalogue.load(name), ability) for ability in ABILITIES)


@pytest.mark.parametrize('name', NAMES)
def test_severity_0_changes_nothing(name: str) -> None:
    assert strength(name, 0.0) == 0.0


@pytest.mark.parametrize('name', NAMES)
def test_a_higher_severity_is_stronger(name: str) -> None:
    found = [strength(name, s) for s in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert all(low < high for low, high in pairwise(found)), found


@pytest.mark.parametrize('name', NAMES)
def test_the_same_seed_does_the_same(name: str) -> None:
    assert repr(trial(name, 0.5)) == repr(trial(name, 0.5))


@pytest.mark.parametrize('name', NAMES)
def test_the_true_numbers_and_pictures_stay_as_they_are(name: str) -> None:
    values, images = TRUTH.copy(), IMAGES.copy()
    trial(name, 1.0)
    assert np.array_equal(TRUTH, values)
    assert np.array_equal(IMAGES, images)


@pytest.mark.parametrize(('name', 'parameter'), [
    (name, parameter) for name in NAMES for parameter in catalogue.parameters_of(name)
    # carried out by the launcher: its own test
    if name != 'command.second_publisher'])
def test_every_parameter_has_an_effect(name: str, parameter: str) -> None:
    declared = catalogue.parameters_of(name)[parameter]
    other = declared.default / 2.0
    assert repr(trial(name, 0.5)) != repr(trial(name, 0.5, **{parameter: other}))


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean 'sensor\.noise'"):
        catalogue.load('sensor.noize')


def test_an_unknown_parameter_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no parameter 'stt'; did you mean 'std'"):
        catalogue.check('sensor.noise', {'stt': 1.0})


def test_a_parameter_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r'share: 2 is outside \[0\.001, 1\]'):
        catalogue.check('sensor.salt', {'share': 2.0})


@pytest.mark.parametrize('severity', [-0.1, 1.1, float('nan')])
def test_a_severity_out_of_range_is_refused(severity: float) -> None:
    with pytest.raises(ConfigError, match='severity'):
        catalogue.make('sensor.noise', severity, np.random.default_rng(0), {})


@pytest.mark.parametrize('name', NAMES)
def test_it_extends_what_every_perturbation_is_made_with(name: str) -> None:
    assert issubclass(catalogue.load(name), Perturbation)
    assert not {'severity', 'rng'} & set(catalogue.parameters_of(name))
