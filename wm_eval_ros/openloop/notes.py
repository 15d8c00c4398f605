"""What is odd about a bag, as findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from wm_eval_ros.bag.findings import Finding, Severity
from wm_eval_ros.bag.reader import Bag
from wm_eval_ros.config.robot_map import RobotMap
from wm_eval_ros.openloop.clocks import Clock
from wm_eval_ros.openloop.lags import Lag
from wm_eval_ros.openloop.reasons import among, Reason
from wm_eval_ros.openloop.scores import Scored
from wm_eval_ros.openloop.streams import Loss
from wm_eval_ros.openloop.tracks import longest_rest_ns, outliers, Track

_NS_PER_MS, _NS_PER_S = 1e6, 1e9
#: a command that stays the same for so long, and this many of its intervals, is worth a word
_REST_S, _REST_INTERVALS = 5.0, 20


def warning(kind: str, topic: str, what: str, value: float | None = None) -> Finding:
    """Return a finding that a reader of the figures must know."""
    return Finding(Severity.WARNING, kind, topic, what, value)


def undefined(bag: Bag, robot: RobotMap) -> Iterator[Finding]:
    """Name the types that the bag does not define and the map does."""
    for connection in bag.connections:
        if connection.type in robot.definitions and not connection.text:
            yield warning('definition', connection.topic, f'the bag does not define '
                          f'{connection.type}; read by the definition of the map')


def without_agreement(bag: Bag, robot: RobotMap) -> Iterator[Finding]:
    """Name the agreements of the map that the bag has no topics for."""
    for pair in robot.agreement:
        lacking = [s.topic for s in (pair.estimate, pair.reference)
                   if bag.topics.get(s.topic) != s.type]
        if lacking:
            yield Finding(Severity.INFO, 'agreement', lacking[0], f'not in the bag: {pair.name} '
                          'is held against no reference')


def of_state(track: Track, start_ns: int) -> Iterator[Finding]:
    """Name what is masked of a state, and what repeats."""
    count = len(track.values)
    if bad := _count(track, Reason.NOT_FINITE):
        yield warning('not_finite', track.topic,
                      f'{track.name}: {bad} of {count} values are not finite; masked', bad)
    spikes = among(track.codes, Reason.OUTLIER) != 0
    if spikes.any():
        worst = int(np.argmax(np.where(spikes, np.abs(track.values), -1.0)))
        at = (int(track.times_ns[worst]) - start_ns) / _NS_PER_S
        yield warning('outlier', track.topic, f'{track.name}: {np.sum(spikes)} of {count} values '
                      f'leave their neighbours, the largest {track.values[worst]:.6g} at '
                      f'{at:.2f} s; masked', float(track.values[worst]))
    if track.stale:
        fresh, interval = track.fresh_ns / _NS_PER_MS, track.interval_ns / _NS_PER_MS
        repeats = _count(track, Reason.STALE_REPEAT)
        yield warning('stale', track.topic, f'{track.name}: new every {fresh:.0f} ms in messages '
                      f'every {interval:.0f} ms: {count - repeats} values, not {count}; scored at '
                      'the rate at which it is new', fresh)


def of_command(tracks: Sequence[Track], robot: RobotMap, start_ns: int) -> Iterator[Finding]:
    """Name what is masked of a command, what leaps, and whether it stands still."""
    first = tracks[0]
    count = len(first.values)
    for reason, what in ((Reason.NOT_FINITE, 'are not finite'),
                         (Reason.SENTINEL, f'hold a value of {robot.sentinel:.3g} or more, a mark '
                                           'of "no command"')):
        if bad := _count(first, reason):
            yield warning(reason.label, first.topic, f'{bad} of {count} commands {what}; masked',
                          bad)
    for track in tracks:
        yield from _leaps(track, robot, start_ns)
    rest = min(longest_rest_ns(track) for track in tracks)
    if rest >= max(_REST_S * _NS_PER_S, _REST_INTERVALS * first.interval_ns) and any(
            np.ptp(track.values[track.good]) > 0 for track in tracks):
        yield Finding(Severity.INFO, 'rest', first.topic, f'the same command for '
                      f'{rest / _NS_PER_S:.1f} s on end', rest / _NS_PER_S)


def _leaps(track: Track, robot: RobotMap, start_ns: int) -> Iterator[Finding]:
    good = np.flatnonzero(track.good)
    leaps = good[outliers(track.values[good], robot.outlier_mads)]
    if len(leaps):
        worst = int(leaps[np.argmax(np.abs(track.values[leaps]))])
        at = (int(track.times_ns[worst]) - start_ns) / _NS_PER_S
        yield warning('leap', track.topic, f'{track.name}: {len(leaps)} of {len(good)} leave '
                      f'their neighbours, the largest {track.values[worst]:.6g} at {at:.2f} s; it '
                      'was sent, so it stays, clipped to what the fit has seen',
                      float(track.values[worst]))


def _count(track: Track, reason: Reason) -> int:
    return int(np.count_nonzero(among(track.codes, reason)))


def of_losses(found: Sequence[Loss], start_ns: int) -> Iterator[Finding]:
    """Name the sensor losses."""
    for number, loss in enumerate(found, 1):
        yield warning('sensor_loss', loss.topic, f'loss {number}: silent for '
                      f'{loss.duration_s:.1f} s from {(loss.onset_ns - start_ns) / _NS_PER_S:.2f} '
                      's; nothing is scored in it', loss.duration_s)


def of_clock(clock: Clock, moved_s: float, read: Mapping[str, float | None]) -> Finding:
    """
    Say what raw header stamps would do to the lags.

    :param moved_s: how far they would move the topic against its command [s]
    :param read: lag by feature on raw header stamps [s]; None: none would be found
    """
    side = 'ahead of' if moved_s > 0 else 'behind'
    text = ', '.join(f'{name} ' + ('no lag at all' if value is None else f'{value:.2f} s')
                     for name, value in read.items())
    return warning('alignment', clock.topic, f'header stamps are {abs(moved_s):.3f} s {side} '
                   f'those of the command: on them, uncorrected, the lags would read {text}',
                   moved_s)


def of_lag(lag: Lag) -> Iterator[Finding]:
    """Name a command that follows what it commands."""
    interval = lag.lag.interval
    if interval is not None and interval.high < 0:
        yield warning('feedback', '', f'{lag.command} follows {lag.feature} by '
                      f'{-(lag.lag.value or 0.0):.3f} s: recorded commands of the steps ahead '
                      'tell of the state ahead, and flatter the model', lag.lag.value)


def of_scored(found: Scored) -> Iterator[Finding]:
    """Name windows whose inputs the fit has never seen."""
    if found.outside:
        yield Finding(Severity.INFO, 'outside', '', f'{found.outside} of {found.scored} windows '
                      f'scored {found.horizon_s:g} s ahead have an input beyond the range of the '
                      'fit; it is clipped', found.outside)
