"""An open-loop evaluation as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wm_eval_ros.config.robot_map import RobotMap
from wm_eval_ros.config.schema import to_plain
from wm_eval_ros.openloop.alarms import Alarm, Watch
from wm_eval_ros.openloop.clocks import Clock
from wm_eval_ros.openloop.lags import Lag
from wm_eval_ros.openloop.outcome import OpenLoop
from wm_eval_ros.openloop.scores import Score, Scored
from wm_eval_ros.records import MetricValue
from wm_eval_ros.scoring.scorecard import canonical, clean, value_json

#: layout of the JSON; raised whenever a reader of the old one would misread the new
SCHEMA_VERSION = 2


def document(
    outcome: OpenLoop, robot: RobotMap, bag: str, declared: Mapping[str, int],
) -> dict[str, Any]:
    """
    Return the outcome in JSON's own types.

    :param bag: what the bag is called
    :param declared: messages by topic as the bag declares them
    """
    found: dict[str, Any] = clean({
        'schema_version': SCHEMA_VERSION, 'bag': bag, 'map': to_plain(robot),
        'messages': {'declared': sum(declared.values()), 'topics': dict(declared)},
        'start_ns': outcome.start_ns, 'duration_s': outcome.seconds(outcome.end_ns),
        'scored_from_s': outcome.seconds(outcome.cut_ns),
        'nominal_until_s': outcome.seconds(outcome.nominal_end_ns),
        'scores': [_score(score) for score in outcome.scores],
        'models': [_model(each) for each in outcome.scored],
        'lags': [_lag(lag) for lag in outcome.lags],
        'clocks': [_clock(clock) for clock in outcome.clocks],
        'masks': [{'topic': m.topic, 'feature': m.feature or None, 'samples': m.samples,
                   'zero_stamps': m.zero_stamps,
                   'counts': {reason.label: n for reason, n in m.counts.items()}}
                  for m in outcome.masks],
        'losses': [{'topic': loss.topic, 'onset_s': outcome.seconds(loss.onset_ns),
                    'end_s': outcome.seconds(loss.end_ns), 'duration_s': loss.duration_s}
                   for loss in outcome.losses],
        'streams': [_stream(watch, outcome) for watch in outcome.watches],
        'findings': [to_plain(finding) for finding in outcome.findings],
        'values': [_value(value) for value in outcome.values]})
    return found


def to_json(found: Mapping[str, Any]) -> str:
    """Return canonical JSON, ending in a newline."""
    return canonical(dict(found)) + '\n'


def _value(value: MetricValue) -> dict[str, Any]:
    return value_json(value)


def _score(score: Score) -> dict[str, Any]:
    return {'feature': score.feature, 'horizon_s': score.horizon_s, 'verdict': score.verdict.value,
            'why': score.why, 'p': score.p, 'p_adjusted': score.p_adjusted,
            'rmse_model': score.rmse_model, 'rmse_persistence': score.rmse_persistence,
            'validated': score.validated, 'ratio': _value(score.ratio),
            'command_gain': _value(score.gain)}


def _model(scored: Scored) -> dict[str, Any]:
    return {'horizon_s': scored.horizon_s, 'features': list(scored.features),
            'history': scored.history, 'ridge': scored.ridge, 'windows_fitted': scored.fitted,
            'windows_scored': scored.scored, 'windows_possible': scored.possible,
            'windows_outside': scored.outside,
            'windows_masked': {reason.label: n for reason, n in scored.masked.items()}}


def _lag(lag: Lag) -> dict[str, Any]:
    return {'feature': lag.feature, 'command': lag.command, 'correlation': lag.correlation,
            'chance': lag.chance, 'lag': _value(lag.lag)}


def _clock(clock: Clock) -> dict[str, Any]:
    return {'topic': clock.topic, 'time': clock.base, 'why': clock.why,
            'zero_stamps': clock.zero, 'offset': _value(clock.offset),
            'drift': _value(clock.drift), 'jitter': _value(clock.jitter)}


def _stream(watch: Watch, outcome: OpenLoop) -> dict[str, Any]:
    threshold = watch.threshold
    return {'name': watch.stream.name, 'unit': watch.stream.unit, 'what': watch.stream.what,
            'scores': len(watch.stream.scores), 'nominal': int(watch.stream.nominal.sum()),
            'threshold': threshold.value, 'guarantee': threshold.guarantee.value,
            'blocks': threshold.blocks, 'block_s': threshold.block_s, 'share': threshold.share,
            'why': threshold.why, 'alarms': [_alarm(a, outcome) for a in watch.alarms],
            'excursions': [_alarm(a, outcome) for a in watch.excursions]}


def _alarm(alarm: Alarm, outcome: OpenLoop) -> dict[str, Any]:
    return {'onset_s': outcome.seconds(alarm.onset_ns), 'end_s': outcome.seconds(alarm.end_ns),
            'duration_s': (alarm.end_ns - alarm.onset_ns) / 1e9, 'peak': alarm.peak,
            'ratio': alarm.ratio, 'loss': alarm.loss}
