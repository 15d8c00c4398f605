"""Points of the cube as perturbations, and what they cost."""

from __future__ import annotations

import numpy as np
import pytest

from wm_eval_ros.config.perturbation import PerturbationSettings
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.perturb.attack import Attack

BIAS = PerturbationSettings(name='sensor.bias', topics=('joint_states',), seed=7)
PUSH = PerturbationSettings(name='physical.impulse')


def test_the_strongest_corner_is_everything_at_1_from_the_start_to_the_end() -> None:
    attack = Attack([BIAS], 4.0)
    (made,) = attack.settings(attack.strongest)
    assert (made.severity, made.start_s, made.duration_s) == (1.0, 0.0, 4.0)
    assert (made.topics, made.seed) == (('joint_states',), 7), 'what is not searched stays'
    assert attack.cost(attack.strongest) == 1.0


@pytest.mark.parametrize(('point', 'cost'), [
    ([0.5, 0.0, 0.5], 0.25),                # severity 0.5 for half of the episode
    ([0.5, 0.75, 0.5], 0.125),              # the end of the episode comes first
    ([0.0, 0.0, 1.0], 0.0), ([1.0, 1.0, 1.0], 0.0)])
def test_cost_is_severity_times_the_share_of_the_episode(point: list[float], cost: float) -> None:
    assert Attack([BIAS], 4.0).cost(np.array(point)) == pytest.approx(cost, abs=1e-3)


def test_two_at_once_add_up_and_a_push_lasts_as_long_as_it_does() -> None:
    attack = Attack([BIAS, PUSH], 4.0)
    assert [(a.number, a.what) for a in attack.axes] == [
        (0, 'severity'), (0, 'onset'), (0, 'duration'), (1, 'severity'), (1, 'onset')]
    # the push: 0.8 for 0.2 s of 4 s
    cost = attack.cost(np.array([0.5, 0.0, 0.5, 0.8, 0.25]))
    assert cost == pytest.approx(0.25 + 0.04, abs=1e-3)


def test_severity_alone_lasts_as_the_settings_say() -> None:
    attack = Attack([BIAS], 4.0, ('severity',))
    (made,) = attack.settings(np.array([0.3]))
    assert (made.severity, made.start_s, made.duration_s) == (0.3, 0.0, 0.0)
    assert attack.cost(np.array([0.3])) == pytest.approx(0.3)


def test_a_parameter_of_its_own_is_searched_within_its_range_and_costs_nothing() -> None:
    attack = Attack([BIAS], 4.0, ('severity',), {'sensor.bias.size': (1.0, 3.0)})
    (made,) = attack.settings(np.array([0.5, 0.25]))
    assert made.parameters == {'size': 1.5}
    assert attack.cost(np.array([0.5, 0.25])) == attack.cost(np.array([0.5, 1.0]))
    assert attack.searched == {'sensor.bias.severity': (0.0, 1.0), 'sensor.bias.size': (1.0, 3.0)}


@pytest.mark.parametrize(('perturbations', 'over', 'ranges', 'why'), [
    ([], ('severity',), {}, 'nothing to search'),
    ([BIAS], (), {}, 'nothing to search'),
    ([BIAS, BIAS], ('severity',), {}, 'is there twice'),
    ([BIAS], (), {'sensor.bas.size': (1.0, 2.0)}, "no perturbation 'sensor.bas'; did you mean"),
    ([BIAS], (), {'sensor.bias.sise': (1.0, 2.0)}, "no parameter 'sise'"),
    ([BIAS], (), {'sensor.bias.size': (1.0, 2e9)}, 'outside'),
    ([BIAS], (), {'sensor.bias.size': (2.0, 2.0)}, 'not below')])
def test_what_cannot_be_searched_is_refused(
    perturbations: list[PerturbationSettings], over: tuple[str, ...],
    ranges: dict[str, tuple[float, float]], why: str,
) -> None:
    with pytest.raises(ConfigError, match=why):
        Attack(perturbations, 4.0, over, ranges)
