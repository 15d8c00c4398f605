"""What a detector is held to where it is silenced, and where windows differ in length."""

from __future__ import annotations

from types import ModuleType

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
