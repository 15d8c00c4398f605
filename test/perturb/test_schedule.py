"""The schedule is a function of settings and seed alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
import pytest

from wm_eval_ros.config.perturbation import PerturbationSettings
from wm_eval_ros.perturb.schedule import schedule

SEEDS = st.integers(0, 2**53)


def settings(**changes: object) -> PerturbationSettings:
    return PerturbationSettings(**{'name': 'sensor.noise', **changes})  # type: ignore[arg-type]


def test_without_ranges_it_is_what_was_written() -> None:
    done, = schedule([settings(severity=0.25, start_s=0.5, duration_s=1.0)], 7)
    assert (done.severity, done.start_ns, done.end_ns) == (0.25, 500_000_000, 1_500_000_000)


def test_without_a_duration_it_lasts_to_the_end_of_the_episode() -> None:
    assert schedule([settings(start_s=0.5)], 7)[0].end_ns is None


@given(SEEDS)
def test_the_same_seed_gives_the_same_schedule(seed: int) -> None:
    asked = [settings(severity=0.1, severity_to=0.9, start_s=1.0, start_to_s=2.0, probability=0.5)]
    assert schedule(asked, seed) == schedule(asked, seed)


@given(SEEDS)
def test_severity_and_onset_are_drawn_between_their_ends(seed: int) -> None:
    done, = schedule([settings(severity=0.2, severity_to=0.4, start_s=1.0, start_to_s=2.0)], seed)
    assert 0.2 <= done.severity <= 0.4
    assert 1_000_000_000 <= done.start_ns <= 2_000_000_000


@given(SEEDS)
def test_changing_one_perturbation_changes_nothing_another_draws(seed: int) -> None:
    other = settings(severity=0.0, severity_to=1.0)
    before = schedule([settings(start_s=0.0, probability=1.0), other], seed)
    after = schedule([settings(start_s=3.0, start_to_s=4.0, probability=0.0), other], seed)
    assert [d for d in before if d.severity != 1.0] == list(after)


def test_another_seed_of_the_perturbation_draws_anew() -> None:
    ends = [schedule([settings(severity=0.0, severity_to=1.0, seed=seed)], 7)[0].severity
            for seed in range(20)]
    assert len(set(ends)) == 20


@pytest.mark.parametrize('share', [0.25, 0.75])
def test_the_share_of_perturbed_episodes_is_the_probability(share: float) -> None:
    hit = sum(len(schedule([settings(probability=share)], seed)) for seed in range(2000))
    # five standard deviations of a binomial
    assert abs(hit - 2000 * share) < 5 * (2000 * share * (1 - share)) ** 0.5


def test_they_come_in_order_of_their_onset() -> None:
    asked = [settings(start_s=2.0), settings(start_s=1.0, name='sensor.bias')]
    assert [d.name for d in schedule(asked, 0)] == ['sensor.bias', 'sensor.noise']
