"""Score streams of a bag: how far each moment is from what is expected of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
import math

import numpy as np

from wm_eval_ros.bag.timing import median_interval_ns
from wm_eval_ros.config.robot_map import Agreement, RobotMap
from wm_eval_ros.openloop.grid import Grid, hold
from wm_eval_ros.openloop.model import choose
from wm_eval_ros.openloop.reasons import Reason
from wm_eval_ros.openloop.recording import Floats, Times
from wm_eval_ros.openloop.tracks import Mask, Track
from wm_eval_ros.openloop.windows import windows

_NS_PER_S = 1e9
#: share of the diagonal in the covariance of the residuals
_SHRINKAGE = 0.1
#: a reference sample is held for this many of its intervals
_HOLD = 5


@dataclass(frozen=True, slots=True)
class ScoreStream:
    """One score over time; moments at which it is not known are not among them."""

    name: str
    unit: str
    #: one sentence
    what: str
    #: when each score is known [ns], ascending, shape (N,)
    times_ns: Times
    #: not negative, shape (N,)
    scores: Floats
    #: time that each score stands for [ns], shape (N,)
    spans_ns: Times
    #: whether it calibrates the threshold, shape (N,)
    nominal: Mask
    #: the score is a time of waiting: an alarm does not wait for the message to come
    waiting: bool = False


def silence_stream(topic: str, times_ns: Times, nominal_end_ns: int, end_ns: int) -> ScoreStream:
    """
    Score each message by the time since the one before it.

    :param times_ns: log times of the topic [ns], ascending, shape (N,)
    :param end_ns: end of the recording [ns]: silence up to it counts as well
    """
    last = [end_ns] if end_ns > times_ns[-1] else []
    times = np.concatenate([times_ns, np.array(last, dtype=np.int64)])
    gaps = np.diff(times)
    return ScoreStream(
        f'silence[{topic}]', 's', f'time since the last message of {topic}', times[1:],
        gaps / _NS_PER_S, gaps, np.asarray(times[1:] <= nominal_end_ns), waiting=True)


def prediction_stream(
    topics: Sequence[str], grid: Grid, nominal_end_ns: int, robot: RobotMap,
) -> ScoreStream:
    """
    Score each grid point by how far the state is from what was predicted one step earlier.

    The score is the root mean square of the residuals, whitened by their covariance in the
    nominal part (shrunk by a tenth to its diagonal): in standard deviations. In the nominal part
    each residual is that of a model fitted on the rest of it.

    :returns: without scores where the nominal part holds too few windows to fit a model on
    """
    name = '+'.join(dict.fromkeys(topics))
    title, what = f'prediction[{name}]', f'one-step prediction error of {name}'
    cut = int(np.searchsorted(grid.times_ns, nominal_end_ns))
    choice = choose(grid, cut, 1, robot.history, robot.ridge)
    if choice is None:
        none = np.zeros(0, np.int64)
        return ScoreStream(title, 'sigma', what, none, np.zeros(0), none, np.zeros(0, bool))
    later = windows(grid, choice.model.layout.history, 1).whole
    # a long fit is on every few windows only: the rest is watched as densely
    step = max(1, int(np.median(np.diff(choice.at)))) if len(choice.at) > 1 else 1
    later = later[later >= cut][::step]
    at = np.concatenate([choice.at, later])
    left = np.concatenate([choice.residuals,
                           grid.truth[later + 1] - choice.model.predict(grid, later)])
    nominal = np.arange(len(at)) < len(choice.at)
    return ScoreStream(
        title, 'sigma', what, grid.settled_ns[at + 1], _whitened(left, left[nominal]),
        np.full(len(at), step * grid.period_ns, dtype=np.int64), nominal)


def _whitened(residuals: Floats, nominal: Floats) -> Floats:
    """Return the root mean square of whitened residuals, shape (N,)."""
    size = nominal.shape[1]
    covariance = nominal.T @ nominal / len(nominal)
    spread = np.diag(covariance).copy()
    floor = 1e-12 * max(float(spread.max()), 1e-300)
    covariance = (1 - _SHRINKAGE) * covariance + np.diag(_SHRINKAGE * spread + floor)
    turned = np.linalg.solve(np.linalg.cholesky(covariance), residuals.T)
    return np.asarray(np.sqrt(np.sum(turned**2, axis=0) / size))


def disagreement_stream(
    pair: Agreement, estimate: Sequence[Track], reference: Sequence[Track], nominal_end_ns: int,
) -> tuple[ScoreStream, float | None]:
    """
    Score each sample of an estimate by its distance from the newest of the reference.

    A constant offset between both frames, the median over the nominal part, is taken off; of
    rotations the angle between them is the score.

    :returns: the stream, and the size of the offset; None for rotations and without nominal part
    """
    times = estimate[0].times_ns
    inside = times >= max(int(track.times_ns[0]) for track in reference)
    codes = np.bitwise_or.reduce([track.codes for track in estimate])
    held = [hold(t, times[inside], _HOLD * t.interval_ns) for t in reference]
    known = np.zeros(len(times), dtype=bool)
    known[inside] = np.all([c == 0 for _, c in held], axis=0)
    known &= codes & np.uint8(Reason.NOT_FINITE) == 0
    ours = np.stack([track.values for track in estimate], axis=1)[known]
    theirs = np.zeros((len(times), len(reference)))
    theirs[inside] = np.stack([values for values, _ in held], axis=1)
    theirs = theirs[known]
    nominal = np.asarray(times[known] <= nominal_end_ns)
    offset: float | None = None
    if pair.rotation:
        scores = _angles(ours, theirs)
    else:
        apart = ours - theirs
        middle = np.median(apart[nominal], axis=0) if nominal.any() else np.zeros(apart.shape[1])
        offset = float(np.linalg.norm(middle)) if nominal.any() else None
        scores = np.linalg.norm(apart - middle, axis=1)
    interval = median_interval_ns(times) or 1
    return ScoreStream(
        f'disagreement[{pair.name}]', 'rad' if pair.rotation else 'as recorded',
        f'{pair.estimate.topic} against {pair.reference.topic}', times[known], scores,
        np.full(len(scores), interval, dtype=np.int64), nominal), offset


def _angles(left: Floats, right: Floats) -> Floats:
    """Return the angle between rotations given as quaternions [rad], shape (N,)."""
    sizes = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    shared = np.abs(np.sum(left * right, axis=1)) / np.where(sizes > 0, sizes, math.inf)
    return np.asarray(2.0 * np.arccos(np.clip(shared, 0.0, 1.0)))


@dataclass(frozen=True, slots=True)
class Loss:
    """A silence of a state's topic that is long enough to count as a sensor loss."""

    topic: str
    #: last message before it, and the first after it or the end of the recording [ns]
    onset_ns: int
    end_ns: int

    @property
    def duration_s(self) -> float:
        """How long it lasted [s]."""
        return (self.end_ns - self.onset_ns) / _NS_PER_S


def losses(topic: str, times_ns: Times, end_ns: int, least_s: float) -> Iterator[Loss]:
    """
    Yield the sensor losses of a topic.

    :param times_ns: log times [ns], ascending, shape (N,)
    :param end_ns: end of the recording [ns]
    :param least_s: shortest silence that counts; one of five usual intervals or fewer never does
    """
    interval = median_interval_ns(times_ns) or 1
    least = max(int(least_s * _NS_PER_S), _HOLD * interval)
    times = np.append(times_ns, max(end_ns, int(times_ns[-1])))
    for at in np.flatnonzero(np.diff(times) >= least):
        yield Loss(topic, int(times[at]), int(times[at + 1]))
