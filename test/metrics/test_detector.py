"""What a detector is held to where it is silenced, and where windows differ in length."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from wm_eval_ros.metrics.alarms import Perturbed, Trial
from wm_eval_ros.metrics.detector_matched import sensitivity
from wm_eval_ros.metrics.episodes import Episode
from wm_eval_ros.metrics.perturbations import Applied
from wm_eval_ros.records import Record
from wm_eval_ros.scoring.scorer import score

DEAD = float('nan')


def silenced(scenes: ModuleType, alive: int, whole: bool = False) -> list[Record]:
    """
    Make 20 episodes of 40 slots, every other one perturbed in slot 10 and ended by FAILURE.

    :param alive: the detector raises an alarm 2 slots later in as many of them; in the others it
        falls silent at the onset
    :param whole: silent from the start of the episode on, rather
    """
    records: list[Record] = [scenes.info()]
    for e in range(20):
        base, hit = 2500 * e, e % 2 == 1
        records += [scenes.event('START', e, base - 1),
                    scenes.event('FAILURE' if hit else 'SUCCESS', e, base + 1999, value=2.0)]
        if hit:
            records.append(scenes.event('PERTURB_ON', e, base + 500, 'timing.kill', 1.0))
        for k in range(40):
            off = hit and e >= 2 * alive and (whole or k >= 10)
            records.append(scenes.cycle(
                50 * e + k, 'EXCEPTION' if off else 'OK', episode=e,
                surprise=DEAD if off else 2.0 if hit and k == 12 else 0.1,
                surprise_threshold=DEAD if off else 1.0))
    return records


def test_a_perturbation_that_silences_the_detector_is_a_miss(scenes: ModuleType) -> None:
    for whole in (False, True):
        card = score(silenced(scenes, alive=1, whole=whole))
        rate = card['detector[surprise].detection_rate']
        assert (rate.value, rate.n) == (0.1, 10)
        assert rate.why == 'of 10, 9 were not watched after the onset: misses'
        assert card['detector[surprise,timing].detection_rate'].value == 0.1
        warned = card['detector[surprise].warned_failures']
        assert (warned.value, warned.n) == (0.1, 10)
        # nine are censored at the end of their episode, 1.499 s after the onset
        assert card['detector[surprise].detection_delay.median'].value is None


def test_a_detector_that_lives_is_measured_as_before(scenes: ModuleType) -> None:
    rate = score(silenced(scenes, alive=10))['detector[surprise].detection_rate']
    assert (rate.value, rate.n, rate.why) == (1.0, 10, '')


def test_silenced_in_every_perturbed_episode_it_found_none(scenes: ModuleType) -> None:
    card = score(silenced(scenes, alive=0, whole=True))
    assert card['detector[surprise].detection_rate'].value == 0
    assert card['detector[surprise].detection_rate'].n == 10


PERIOD = 50_000_000


def trial(scores: list[float], number: int = 0, onset: int | None = None) -> Trial:
    applied = () if onset is None else (
        Applied(number, 'physical.x', 1.0, onset * PERIOD, (onset + 1) * PERIOD),)
    n = len(scores)
    episode = Episode(number, 0, n * PERIOD, None, number, False, None)
    return Trial(episode, applied, np.arange(n) * PERIOD, np.array(scores), np.full(n, np.nan),
                 PERIOD)


def hit(scores: list[float], onset: int) -> Perturbed:
    made = trial(scores, 1, onset)
    return Perturbed(made, made.applied)


@pytest.mark.parametrize(('calm', 'long', 'onset'), [
    pytest.param(50, 300, 5, id='perturbed-episodes-last-longer'),
    pytest.param(300, 50, 5, id='perturbed-episodes-are-shorter'),
    pytest.param(100, 100, 80, id='a-late-onset')])
def test_pure_noise_exceeds_its_threshold_as_often_as_allowed(
        calm: int, long: int, onset: int) -> None:
    rng = np.random.default_rng(3)
    rates = []
    for _ in range(60):
        others = [trial(rng.normal(size=calm).tolist()) for _ in range(40)]
        value = sensitivity('t', [hit(rng.normal(size=long).tolist(), onset) for _ in range(20)],
                            others).value
        assert value is not None
        rates.append(value)
    # of 41 exchangeable episodes the perturbed one is among the 2 largest: 0.0488
    assert np.mean(rates) == pytest.approx(2 / 41, abs=0.025)


def test_the_threshold_is_the_second_of_forty_in_the_slots_of_the_perturbed_episode() -> None:
    # before the onset, and after the end of the perturbed ones, all are higher
    calm = [trial([99.0, k, k, 99.0]) for k in range(40)]
    found = sensitivity('t', [hit([0, 38.5, 0], 1), hit([0, 0, 38], 1), hit([99, 0, 0], 1)], calm)
    assert (found.value, found.n) == (pytest.approx(1 / 3), 3)
    # Beta(2, 39): the share above the second largest of 40
    assert '40 unperturbed episodes has in truth 0.00611 to 0.132' in found.why


def test_too_few_unperturbed_episodes_set_no_threshold() -> None:
    perturbed = [hit([0.0, 9.0], 1)]
    few = sensitivity('t', perturbed, [trial([0.0, 1.0])] * 18)
    assert few.value is None
    assert 'fewer than 19' in few.why
    assert sensitivity('t', perturbed, [trial([0.0, 1.0])] * 19).value == 1
    over = sensitivity('t', perturbed, [trial([0.0])] * 40)
    assert over.value is None


def test_an_episode_without_a_score_exceeds_no_threshold() -> None:
    found = sensitivity('t', [hit([0.0, 9.0], 1), hit([0.0], 1)], [trial([0.0, 1.0])] * 19)
    assert (found.value, found.n) == (0.5, 2)
    assert 'of 2, 1 were not watched after the onset: misses' in found.why
