"""Thresholds from the nominal part of a bag, the alarms they raise, and what those are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math

import numpy as np

from wm_eval_ros.openloop.dependence import autocorrelation_time
from wm_eval_ros.openloop.recording import Times
from wm_eval_ros.openloop.streams import Loss, ScoreStream
from wm_eval_ros.openloop.windows import Index
from wm_eval_ros.records import Interval, MetricValue, NameEnum
from wm_eval_ros.stats.quantile import samples_needed
from wm_eval_ros.stats.rate import poisson_rate

_NS_PER_S = 1e9
_S_PER_H = 3600.0
_CONFIDENCE = 0.95
#: maxima of blocks this many autocorrelation times long hardly depend on each other
_BLOCK_TIMES = 2.0
#: fewer nominal scores than this are no range to leave
_LEAST_SEEN = 10


class Guarantee(NameEnum):
    """What a threshold promises; none of them holds for another run than this one."""

    #: with 95 % confidence at most the stated share of blocks like the nominal ones exceeds it
    TOLERANCE = 'tolerance'
    #: the next block exceeds it with at most the stated probability, over all calibrations
    CONFORMAL = 'conformal'
    #: too few nominal blocks: no threshold
    REFUSED = 'refused'


@dataclass(frozen=True, slots=True)
class Threshold:
    """The limit of a score stream."""

    #: in the unit of the stream; None where refused
    value: float | None
    guarantee: Guarantee
    #: nominal blocks, and how long one is [s]
    blocks: int
    block_s: float
    #: share of blocks, or probability, that the guarantee bounds
    share: float | None
    why: str


@dataclass(frozen=True, slots=True)
class Alarm:
    """A stretch of time above the threshold."""

    stream: str
    #: [ns]
    onset_ns: int
    end_ns: int
    #: largest score, in the unit of the stream, and in thresholds
    peak: float
    ratio: float
    #: number of the sensor loss it falls into; None: false by that label
    loss: int | None


@dataclass(frozen=True, slots=True)
class Watch:
    """One score stream with its threshold, alarms and figures."""

    stream: ScoreStream
    threshold: Threshold
    alarms: tuple[Alarm, ...]
    #: where a score without a threshold leaves what was seen of it in the nominal part: no alarms
    excursions: tuple[Alarm, ...]
    values: tuple[MetricValue, ...]


def watch(
    stream: ScoreStream, found: Sequence[Loss], nominal_end_ns: int, settle_s: float,
    share: float,
) -> Watch:
    """
    Calibrate, raise alarms after the nominal part, and hold them against the sensor losses.

    :param found: sensor losses of the bag, by onset
    :param settle_s: time after a loss in which alarms still belong to it [s]
    :param share: largest share of nominal blocks that may raise an alarm
    """
    threshold = calibrate(stream, share)
    limit = threshold.value
    raised = () if limit is None else raise_alarms(
        stream, limit, threshold.block_s, found, nominal_end_ns, settle_s)
    seen = stream.scores[stream.nominal]
    beyond = raise_alarms(
        stream, float(np.max(seen)), float(np.median(stream.spans_ns)) / _NS_PER_S, found,
        nominal_end_ns, settle_s) if limit is None and len(seen) >= _LEAST_SEEN else ()
    return Watch(stream, threshold, raised, beyond,
                 _figures(stream, threshold, raised, found, nominal_end_ns, settle_s))


def calibrate(stream: ScoreStream, share: float) -> Threshold:
    """
    Take the largest of the nominal blocks' maxima as the threshold.

    Neighbouring scores depend on each other, so the unit is a block two autocorrelation times
    long. Of n exchangeable blocks the largest exceeds all but a share 1 - 0.05^(1/n) of what
    will come, with 95 % confidence (Wilks, Ann. Math. Stat. 12, 1941), and the next block exceeds
    it with probability 1 / (n + 1) (Vovk, Gammerman and Shafer, 2005). Blocks are short, so even
    the strictest limit is a lenient one per hour: no weaker rank is offered.

    :param share: largest share the guarantee may leave; more is refused
    """
    scores = stream.scores[stream.nominal]
    block = max(1, math.ceil(_BLOCK_TIMES * autocorrelation_time(scores)))
    blocks = len(scores) // block
    block_s = block * float(np.mean(stream.spans_ns[stream.nominal])) / _NS_PER_S if len(
        scores) else 0.0
    firm, loose = samples_needed(1 - share), math.ceil(1 / share) - 1
    if blocks < loose:
        return Threshold(None, Guarantee.REFUSED, blocks, block_s, None, (
            f'{blocks} independent nominal blocks of {block_s:.2g} s; a threshold at {share:.2g} '
            f'of them needs {loose}, with 95 % confidence {firm}'))
    value = float(np.max(scores[:blocks * block]))
    if blocks < firm:
        return Threshold(value, Guarantee.CONFORMAL, blocks, block_s, 1 / (blocks + 1), (
            f'the highest of {blocks} nominal blocks of {block_s:.2g} s: the next one exceeds it '
            f'with probability {1 / (blocks + 1):.2g} over all calibrations; for 95 % confidence '
            f'in this one it needs {firm}'))
    left = 1 - (1 - _CONFIDENCE)**(1 / blocks)
    return Threshold(value, Guarantee.TOLERANCE, blocks, block_s, left, (
        f'the highest of {blocks} nominal blocks of {block_s:.2g} s: with 95 % confidence at most '
        f'{left:.2g} of such blocks exceed it, {left / block_s * _S_PER_H:.3g} an hour'))


def raise_alarms(
    stream: ScoreStream, limit: float, apart_s: float, found: Sequence[Loss],
    nominal_end_ns: int, settle_s: float,
) -> tuple[Alarm, ...]:
    """
    Return the stretches above a limit after the nominal part.

    A time of waiting raises its alarm when it exceeds the limit, not when the message comes at
    last.

    :param apart_s: two stretches that are closer are one [s]
    """
    above = np.flatnonzero((stream.scores > limit) & ~stream.nominal)
    alarms: list[Alarm] = []
    for run in _runs(stream.times_ns[above], above, apart_s):
        scores = stream.scores[run]
        onset, end = int(stream.times_ns[run[0]]), int(stream.times_ns[run[-1]])
        if stream.waiting:
            onset -= int((scores[0] - limit) * _NS_PER_S)
        onset = max(onset, nominal_end_ns)
        peak = float(np.max(scores))
        alarms.append(Alarm(stream.name, onset, end, peak, peak / limit if limit else math.inf,
                            loss_at(found, onset, settle_s)))
    return tuple(alarms)


def _runs(times: Times, above: Index, apart_s: float) -> list[Index]:
    """Split the scores above the threshold where they are more than a block apart."""
    if not len(above):
        return []
    cuts = np.flatnonzero((np.diff(times) > apart_s * _NS_PER_S) & (np.diff(above) > 1)) + 1
    return list(np.split(above, cuts))


def loss_at(found: Sequence[Loss], time_ns: int, settle_s: float) -> int | None:
    """Return the number of the loss a time falls into, from its onset until it has settled."""
    for number, loss in enumerate(found, 1):
        if loss.onset_ns <= time_ns <= loss.end_ns + settle_s * _NS_PER_S:
            return number
    return None


def _figures(
    stream: ScoreStream, threshold: Threshold, alarms: Sequence[Alarm], found: Sequence[Loss],
    nominal_end_ns: int, settle_s: float,
) -> tuple[MetricValue, ...]:
    name = stream.name
    limit = MetricValue(f'alarm_threshold[{name}]', threshold.value, stream.unit,
                        threshold.blocks, why=threshold.why)
    if threshold.value is None:
        why = f'no threshold: {threshold.why}'
        return (limit, MetricValue(f'alarms[{name}]', None, '1', 0, why=why),
                MetricValue(f'false_alarm_rate[{name}]', None, '1/h', 0, why=why),
                *(MetricValue(_delay_name(name, i), None, 's', 0, why=why)
                  for i in range(1, len(found) + 1)))
    false = [alarm for alarm in alarms if alarm.loss is None]
    return (limit, MetricValue(f'alarms[{name}]', float(len(alarms)), '1', len(alarms),
                               why='complete count after the nominal part'),
            _false_rate(stream, len(false), found, nominal_end_ns, settle_s),
            *(_delay(stream, alarms, loss, i) for i, loss in enumerate(found, 1)))


def _delay_name(stream: str, number: int) -> str:
    return f'detection_delay[{stream},loss={number}]'


def _false_rate(
    stream: ScoreStream, count: int, found: Sequence[Loss], nominal_end_ns: int, settle_s: float,
) -> MetricValue:
    """Alarms per hour of the part after the nominal one that no loss has touched."""
    name = f'false_alarm_rate[{stream.name}]'
    calm = np.array([loss_at(found, int(t), settle_s) is None for t in stream.times_ns], bool)
    hours = float(np.sum(stream.spans_ns[calm & ~stream.nominal])) / _NS_PER_S / _S_PER_H
    if hours <= 0:
        return MetricValue(name, None, '1/h', 0, why='no time without a loss after the nominal '
                           'part in which the score is known')
    rate = poisson_rate(count, hours)
    return MetricValue(name, rate.value, '1/h', count,
                       Interval(rate.low, rate.high, 0.95, 'exact Poisson'),
                       why=f'{count} in {hours * _S_PER_H:.3g} s')


def _delay(
    stream: ScoreStream, alarms: Sequence[Alarm], loss: Loss, number: int,
) -> MetricValue:
    """Time from the onset of a loss to the first alarm of the stream that belongs to it."""
    name = _delay_name(stream.name, number)
    own = [alarm for alarm in alarms if alarm.loss == number]
    if own:
        delay = (own[0].onset_ns - loss.onset_ns) / _NS_PER_S
        return MetricValue(name, delay, 's', 1, why='one loss: no interval')
    if any(alarm.onset_ns < loss.onset_ns < alarm.end_ns for alarm in alarms):
        return MetricValue(name, None, 's', 1, why='an alarm was up already when it began')
    during = (stream.times_ns > loss.onset_ns) & (stream.times_ns < loss.end_ns)
    why = 'no alarm' if during.any() else 'no alarm, and the score is not known while it lasts'
    return MetricValue(name, None, 's', 1, why=why)
