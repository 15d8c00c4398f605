"""Score streams, thresholds from the nominal part, alarms and what they are worth."""

from __future__ import annotations

from collections.abc import Callable
import math

import numpy as np
import pytest

from wm_eval_ros.config.interface import Stream
from wm_eval_ros.config.robot_map import Agreement, RobotMap
from wm_eval_ros.openloop.alarms import calibrate, Guarantee, loss_at, Watch, watch
from wm_eval_ros.openloop.grid import Grid
from wm_eval_ros.openloop.streams import (
    disagreement_stream,
    Loss,
    losses,
    prediction_stream,
    ScoreStream,
    silence_stream,
)
from wm_eval_ros.openloop.tracks import Track
from wm_eval_ros.records import MetricValue

S = 1_000_000_000


def stream(scores: np.ndarray, nominal: int, period_ns: int = S // 10) -> ScoreStream:
    times = period_ns * np.arange(len(scores), dtype=np.int64)
    return ScoreStream('s', 'sigma', 'a score', times, scores,
                       np.full(len(scores), period_ns, np.int64),
                       np.arange(len(scores)) < nominal)


def value(found: Watch, name: str) -> MetricValue:
    return next(v for v in found.values if v.name.startswith(name))


@pytest.mark.parametrize(('nominal', 'guarantee'), [
    (36, Guarantee.REFUSED), (38, Guarantee.CONFORMAL), (117, Guarantee.CONFORMAL),
    (118, Guarantee.TOLERANCE)])
def test_19_blocks_bound_the_next_one_and_59_give_confidence(
    nominal: int, guarantee: Guarantee,
) -> None:
    # alternating scores do not depend on each other: blocks of two, 18, 19, 58 and 59 of them
    scores = np.tile([1.0, 2.0], 100)
    found = calibrate(stream(scores, nominal), 0.05)
    assert found.blocks == nominal // 2
    assert found.guarantee is guarantee
    if guarantee is Guarantee.REFUSED:
        assert found.value is None and 'needs 19, with 95 % confidence 59' in found.why
    else:
        assert found.value == 2.0
    if guarantee is Guarantee.TOLERANCE:
        # 1 - 0.05 ** (1 / 59)
        assert found.share == pytest.approx(0.0495, abs=1e-4)


def test_a_smaller_share_needs_more_blocks() -> None:
    found = calibrate(stream(np.tile([1.0, 2.0], 500), 1000), 0.005)
    # 199 for the next block, 598 with confidence
    assert found.guarantee is Guarantee.CONFORMAL and 'it needs 598' in found.why


def test_scores_that_depend_on_each_other_are_fewer_blocks() -> None:
    white = np.abs(np.random.default_rng(0).normal(size=600))
    assert calibrate(stream(white, 600), 0.05).guarantee is Guarantee.TOLERANCE
    slow = np.repeat(white[:20], 30)
    assert calibrate(stream(slow, 600), 0.05).guarantee is Guarantee.REFUSED


def test_alarms_are_stretches_above_the_threshold_with_onset_end_and_peak() -> None:
    scores = np.tile([1.0, 2.0], 100)
    scores[150:153], scores[170] = [5.0, 8.0, 5.0], 4.0
    found = watch(stream(scores, 120), (), 12 * S, 1.0, 0.05)
    assert [(a.onset_ns / S, a.end_ns / S, a.peak, a.ratio) for a in found.alarms] == [
        (15.0, 15.2, 8.0, 4.0), (17.0, 17.0, 4.0, 2.0)]
    assert value(found, 'alarms').value == 2
    # 8 s after the nominal part: 2 alarms, exact Poisson limits 0.2422 and 7.2247
    rate = value(found, 'false_alarm_rate')
    assert rate.value == pytest.approx(900.0)
    assert rate.interval is not None
    assert rate.interval[:2] == pytest.approx((109.0, 3251.1), rel=1e-3)


def test_alarms_of_a_loss_are_no_false_ones_and_have_a_delay() -> None:
    scores = np.tile([1.0, 2.0], 100)
    scores[155:180], scores[190] = 9.0, 9.0
    loss = Loss('/x', 15 * S, 18 * S)
    found = watch(stream(scores, 120), (loss,), 12 * S, 0.5, 0.05)
    assert [a.loss for a in found.alarms] == [1, None]
    delay = value(found, 'detection_delay')
    assert delay.value == pytest.approx(0.5) and 'no interval' in delay.why
    # of the 8 s after the nominal part 15.0 .. 18.5 belong to the loss: 36 samples of 80
    rate = value(found, 'false_alarm_rate')
    assert (rate.n, rate.why) == (1, '1 in 4.4 s')


def test_an_alarm_that_is_up_before_the_loss_detects_nothing() -> None:
    scores = np.tile([1.0, 2.0], 100)
    scores[145:160] = 9.0
    found = watch(stream(scores, 120), (Loss('/x', 15 * S, 18 * S),), 12 * S, 0.5, 0.05)
    delay = value(found, 'detection_delay')
    assert delay.value is None and 'up already' in delay.why
    assert found.alarms[0].loss is None


def test_a_miss_says_whether_the_score_was_known() -> None:
    quiet = stream(np.tile([1.0, 2.0], 100), 120)
    found = watch(quiet, (Loss('/x', 15 * S, 18 * S),), 12 * S, 0.5, 0.05)
    assert value(found, 'detection_delay').why == 'no alarm'
    keep = (quiet.times_ns <= 15 * S) | (quiet.times_ns >= 18 * S)
    unknown = ScoreStream('s', 'sigma', '', quiet.times_ns[keep], quiet.scores[keep],
                          quiet.spans_ns[keep], quiet.nominal[keep])
    found = watch(unknown, (Loss('/x', 15 * S, 18 * S),), 12 * S, 0.5, 0.05)
    assert 'not known' in value(found, 'detection_delay').why


def test_without_a_threshold_there_are_excursions_and_no_figures() -> None:
    scores = np.tile([1.0, 2.0], 20)
    scores[30] = 6.0
    found = watch(stream(scores, 20), (), 2 * S, 1.0, 0.05)
    assert found.threshold.guarantee is Guarantee.REFUSED and found.alarms == ()
    assert [(a.onset_ns / S, a.ratio) for a in found.excursions] == [(3.0, 3.0)]
    for name in ('alarm_threshold', 'alarms', 'false_alarm_rate'):
        assert value(found, name).value is None and 'needs 19' in value(found, name).why


def test_a_silence_raises_its_alarm_while_it_lasts() -> None:
    times = np.concatenate([np.arange(0, 2000), np.arange(4000, 4050)]) * (S // 100)
    found = watch(silence_stream('/x', times, 10 * S, int(times[-1])),
                  tuple(losses('/x', times, int(times[-1]), 1.0)), 10 * S, 1.0, 0.05)
    assert found.threshold.value == pytest.approx(0.01)
    alarm, = found.alarms
    # last message at 19.99 s, one more was due 10 ms later, the next came at 40 s
    assert (alarm.onset_ns / S, alarm.end_ns / S) == pytest.approx((20.0, 40.0))
    assert alarm.peak == pytest.approx(20.01) and alarm.loss == 1
    assert value(found, 'detection_delay').value == pytest.approx(0.01)
    assert value(found, 'false_alarm_rate').value == 0.0


def test_a_silence_up_to_the_end_of_the_recording_counts() -> None:
    times = np.arange(0, 1000) * (S // 100)
    found = silence_stream('/x', times, 5 * S, 15 * S)
    assert found.scores[-1] == pytest.approx(5.01) and found.times_ns[-1] == 15 * S
    loss, = losses('/x', times, 15 * S, 1.0)
    assert loss.duration_s == pytest.approx(5.01)
    assert not list(losses('/x', times, int(times[-1]), 1.0))


def test_a_slow_topic_is_not_lost_between_its_messages() -> None:
    assert not list(losses('/gps', np.arange(20) * S, 19 * S, 1.0))


def test_a_loss_lasts_until_it_has_settled() -> None:
    found = (Loss('/x', 10 * S, 20 * S),)
    assert [loss_at(found, t * S // 10, 1.0) for t in (99, 100, 200, 210, 211)] == [
        None, 1, 1, 1, None]


def test_a_shove_is_a_surprise_in_standard_deviations(
    driven: Callable[..., Grid], robot: Callable[..., RobotMap],
) -> None:
    grid = driven(1000, noise=0.01)
    grid.truth[800:, 0] += 0.5  # state and truth are the same array here
    found = prediction_stream(['/x'], grid, int(grid.times_ns[600]), robot())
    nominal = found.scores[found.nominal]
    assert float(np.sqrt(np.mean(nominal**2))) == pytest.approx(1.0, abs=0.05)
    assert int(found.times_ns[np.argmax(found.scores)]) == int(grid.times_ns[800])
    assert float(found.scores.max()) > 20
    assert int(found.times_ns[found.nominal].max()) < grid.times_ns[600]


def test_too_short_a_nominal_part_leaves_the_stream_without_scores(
    driven: Callable[..., Grid], robot: Callable[..., RobotMap],
) -> None:
    found = prediction_stream(['/x'], driven(), 10 * 50_000_000, robot())
    assert len(found.scores) == 0
    assert watch(found, (), S, 1.0, 0.05).threshold.why.startswith('0 independent')


def tracks(values: np.ndarray, step_ns: int, name: str) -> list[Track]:
    times = step_ns * np.arange(len(values), dtype=np.int64)
    return [Track(f'{name}{i}', f'/{name}', times, values[:, i],
                  np.zeros(len(values), np.uint8), step_ns, step_ns)
            for i in range(values.shape[1])]


def pair(rotation: bool = False) -> Agreement:
    fields = ('a', 'b', 'c', 'd')
    return Agreement(name='p', rotation=rotation,
                     estimate=Stream(topic='/e', type='a/msg/B', fields=fields),
                     reference=Stream(topic='/r', type='a/msg/B', fields=fields))


def test_estimates_are_held_against_the_reference_less_a_constant_offset() -> None:
    truth = np.stack([np.sin(np.arange(1000) / 50 + i) for i in range(4)], axis=1)
    estimate = truth[::10] + np.array([1.0, 2.0, 3.0, 0.0])
    estimate[60:, 0] += 4.0
    found, offset = disagreement_stream(
        pair(), tracks(estimate, S // 10, 'e'), tracks(truth, S // 100, 'r'), 5 * S)
    assert offset == pytest.approx(math.sqrt(14))
    assert np.allclose(found.scores[:60], 0.0) and np.allclose(found.scores[60:], 4.0)
    assert len(found.scores) == 100


def test_where_the_reference_is_silent_the_disagreement_is_not_known() -> None:
    reference = [Track(t.name, t.topic, t.times_ns[:500], t.values[:500], t.codes[:500],
                       t.interval_ns, t.fresh_ns)
                 for t in tracks(np.zeros((1000, 4)), S // 100, 'r')]
    found, _ = disagreement_stream(pair(), tracks(np.ones((100, 4)), S // 10, 'e'), reference,
                                   2 * S)
    # the last reference at 4.99 s holds for 50 ms
    assert found.times_ns.max() == 5 * S


def test_rotations_differ_by_their_angle_whatever_the_sign_of_the_quaternion() -> None:
    half = 0.3 / 2
    estimate = np.tile([0.0, 0.0, -math.sin(half), -math.cos(half)], (100, 1))
    reference = np.tile([0.0, 0.0, 0.0, 1.0], (1000, 1))
    found, offset = disagreement_stream(
        pair(rotation=True), tracks(estimate, S // 10, 'e'), tracks(reference, S // 100, 'r'),
        5 * S)
    assert offset is None and found.unit == 'rad'
    assert np.allclose(found.scores, 0.3)


@pytest.mark.slow
@pytest.mark.parametrize('persistence', [0.0, 0.5, 0.8])
def test_the_guarantees_hold_for_scores_that_depend_on_each_other(persistence: float) -> None:
    rng = np.random.default_rng(7)
    def process(count: int) -> np.ndarray:
        noise = rng.normal(size=count + 200) * math.sqrt(1 - persistence**2)
        found = np.zeros(count + 200)
        for t in range(1, count + 200):
            found[t] = persistence * found[t - 1] + noise[t]
        return np.abs(found[200:])
    future, kept, beyond = process(300_000), [], []
    for _ in range(200):
        firm, loose = (calibrate(stream(process(n), n), 0.05) for n in (1500, 300))
        for found, into in ((firm, kept), (loose, beyond)):
            if found.value is None or found.share is None:
                continue
            size = round(found.block_s / 0.1)
            maxima = future[:len(future) // size * size].reshape(-1, size).max(axis=1)
            into.append((float(np.mean(maxima > found.value)), found.share))
    assert len(kept) == 200 and len(beyond) > 180
    # tolerance: at most the stated share, in 95 % of calibrations; 3 standard errors of 200
    assert np.mean([share <= bound for share, bound in kept]) > 0.95 - 3 * 0.0154
    # conformal: as much as stated, on average over calibrations
    assert np.mean([share - bound for share, bound in beyond]) < 0.005
