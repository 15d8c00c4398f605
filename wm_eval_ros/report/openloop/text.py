"""An open-loop evaluation as tables for terminals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wm_eval_ros.config.robot_map import RobotMap
from wm_eval_ros.openloop.alarms import Alarm, Guarantee, Watch
from wm_eval_ros.openloop.outcome import OpenLoop
from wm_eval_ros.openloop.scores import Score, Scored
from wm_eval_ros.records import MetricValue
from wm_eval_ros.report.text import aligned, number

#: alarms of one stream that the table shows
_MOST_ALARMS = 6


def tables(outcome: OpenLoop, robot: RobotMap) -> str:
    """Return scores, alignment, masks, alarms and findings as aligned plain text."""
    cut = outcome.seconds(outcome.cut_ns)
    head = (f'{robot.name}: RMSE(model) / RMSE(persistence), fitted on the first '
            f'{robot.train_share:.0%} ({cut:.1f} s), scored on the rest')
    parts = [head, aligned(_scores(outcome.scores), (1, 2, 4)), *_windows(outcome.scored), '',
             aligned(_lags(outcome), (1,)), '', aligned(_clocks(outcome), (2, 3, 4)), '',
             *_masked(outcome), *_alarms(outcome), f'{len(outcome.findings)} findings',
             *(f'{f.severity:<8}{f.kind:<12}{f.topic}{": " if f.topic else ""}{f.what}'
               for f in outcome.findings)]
    return '\n'.join(parts) + '\n'


def between(value: MetricValue, digits: int = 2) -> str:
    """Return the interval of a figure in short, empty where there is none."""
    if value.interval is None:
        return ''
    return f'{value.interval.low:.{digits}f} .. {value.interval.high:.{digits}f}'


def _scores(scores: Sequence[Score]) -> list[list[str]]:
    rows = [['feature', 'ahead', 'ratio', '95 % interval', 'n', 'verdict', '']]
    for score in scores:
        value = score.ratio.value
        rows.append([score.feature, f'{score.horizon_s:g} s', '-' if value is None else
                     f'{value:.2f}', between(score.ratio), str(score.ratio.n),
                     score.verdict.value, score.why])
    return rows


def _windows(scored: Sequence[Scored]) -> Iterator[str]:
    for each in scored:
        masked = ', '.join(f'{count} {reason.label}' for reason, count in each.masked.items())
        yield (f'{each.horizon_s:g} s ahead: {each.scored} of {each.possible} windows scored'
               f'{f"; masked: {masked}" if masked else ""}; history {each.history or "-"}, ridge '
               f'{"-" if each.ridge is None else f"{each.ridge:g}"}')


def _lags(outcome: OpenLoop) -> list[list[str]]:
    rows = [['feature', 'lag', '95 % interval', 'follows']]
    for lag in outcome.lags:
        value = lag.lag.value
        rows.append([lag.feature, '-' if value is None else f'{value:.3f} s',
                     between(lag.lag, 3), f'({lag.lag.why})' if value is None else
                     f'{lag.command} (correlation {lag.correlation:.2f})'])
    return rows


def _clocks(outcome: OpenLoop) -> list[list[str]]:
    rows = [['topic', 'time', 'stamp - log', 'drift', 'jitter', 'why']]
    return rows + [[clock.topic, clock.base, _with_unit(clock.offset, 3),
                    _with_unit(clock.drift, 1), _with_unit(clock.jitter, 3), clock.why]
                   for clock in outcome.clocks]


def _with_unit(value: MetricValue, digits: int) -> str:
    return '-' if value.value is None else f'{value.value:.{digits}f} {value.unit}'


def _masked(outcome: OpenLoop) -> list[str]:
    rows = [['masked or odd', 'samples', 'of', 'what']]
    for masks in outcome.masks:
        name = masks.feature or masks.topic
        rows += [[name, str(count), str(masks.samples), reason.label]
                 for reason, count in masks.counts.items()]
    for clock in outcome.clocks:
        if clock.zero:
            rows.append([clock.topic, str(clock.zero), str(clock.messages), 'zero_stamp'])
    return [aligned(rows, (1, 2)), ''] if len(rows) > 1 else []


def _alarms(outcome: OpenLoop) -> Iterator[str]:
    until = outcome.seconds(outcome.nominal_end_ns)
    yield f'score streams, nominal until {until:.2f} s'
    rows = [['stream', 'threshold', 'guarantee', 'alarms', 'false per h', '95 % interval']]
    for watch in outcome.watches:
        limit = watch.threshold.value
        rate = next(v for v in watch.values if v.name.startswith('false_alarm_rate'))
        rows.append([watch.stream.name,
                     '-' if limit is None else f'{number(limit, 3)} {watch.stream.unit}',
                     watch.threshold.guarantee.value,
                     '-' if limit is None else str(len(watch.alarms)), number(rate.value, 3),
                     between(rate, 0) or rate.why if limit is not None else watch.threshold.why])
    yield aligned(rows, (1, 3, 4))
    for watch in outcome.watches:
        yield from _raised(watch, outcome)
    yield ''


def _raised(watch: Watch, outcome: OpenLoop) -> Iterator[str]:
    refused = watch.threshold.guarantee is Guarantee.REFUSED
    found = sorted(watch.excursions if refused else watch.alarms, key=lambda a: -a.ratio)
    kind = 'beyond its nominal range, no alarm' if refused else 'alarm'
    for alarm in sorted(found[:_MOST_ALARMS], key=lambda a: a.onset_ns):
        yield f'  {_when(alarm, outcome)}  {watch.stream.name}: {kind}, {_how_much(alarm)}'
    if len(found) > _MOST_ALARMS:
        yield f'  {len(found) - _MOST_ALARMS} more of {watch.stream.name}, all smaller'


def _when(alarm: Alarm, outcome: OpenLoop) -> str:
    onset, end = outcome.seconds(alarm.onset_ns), outcome.seconds(alarm.end_ns)
    return f'{onset:8.2f} .. {end:8.2f} s'


def _how_much(alarm: Alarm) -> str:
    where = 'outside of any sensor loss' if alarm.loss is None else f'in loss {alarm.loss}'
    return f'{number(alarm.ratio, 3)} times the limit, {where}'
