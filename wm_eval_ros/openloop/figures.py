"""The outcome as figures under documented names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from wm_eval_ros.openloop.outcome import OpenLoop
from wm_eval_ros.openloop.scores import Score, Scored
from wm_eval_ros.records import MetricValue
from wm_eval_ros.stats.quantile import samples_needed

#: what each figure means, in one sentence; docs/openloop.md says the rest
DEFINITIONS = {
    'error_ratio': 'Root mean square error of the model over that of persistence, in the part of '
                   'the bag the model has not seen; below 1 the model knows more.',
    'command_gain': 'Root mean square error of the model over that of the same model without '
                    'commands; below 1 the commands tell something.',
    'windows_scored': 'Windows of the scored part that are whole.',
    'windows_masked': 'Windows of the scored part that are left out, by reason; one with two '
                      'reasons counts under both.',
    'samples_masked': 'Samples of a feature, or commands, by what is odd about them; stale '
                      'repeats are counted and not masked.',
    'stamps_zero': 'Header stamps of a topic that are zero.',
    'lag': 'How long after a command the feature follows it; negative: the command follows.',
    'clock_offset': 'Median of header stamp less log time: clock offset less the usual transport.',
    'clock_drift': 'How fast that offset grows.',
    'clock_jitter': 'Range of the central 98 % of header stamp less log time.',
    'sensor_losses': 'Silences of a state topic of at least `loss_s`.',
    'sensor_loss_time': 'Time lost to them.',
    'disagreement_offset': 'Size of the constant offset between estimate and reference.',
    'alarm_threshold': 'Limit of a score stream, the highest of its nominal blocks.',
    'alarms': 'Alarms of a score stream after the nominal part.',
    'false_alarm_rate': 'Alarms an hour where no sensor loss is, after the nominal part.',
    'detection_delay': 'Onset of a sensor loss to the first alarm of the stream.',
    'run_threshold': 'Limit for whole runs; one recording cannot calibrate it.',
}


def figures(outcome: OpenLoop, offsets: Mapping[str, float]) -> Iterator[MetricValue]:
    """
    Yield every figure of an outcome, in a fixed order.

    :param offsets: size of the constant offset by the name of its stream
    """
    for score in outcome.scores:
        yield from (score.ratio, score.gain)
    for scored in outcome.scored:
        yield from _windows(scored)
    for masks in outcome.masks:
        name = masks.feature or masks.topic
        for reason, count in masks.counts.items():
            yield _count(f'samples_masked[{name},{reason.label}]', count, masks.samples)
    for clock in outcome.clocks:
        yield _count(f'stamps_zero[{clock.topic}]', clock.zero, clock.messages)
        yield from (clock.offset, clock.drift, clock.jitter)
    yield from (lag.lag for lag in outcome.lags)
    yield from _losses(outcome)
    for name, offset in offsets.items():
        yield MetricValue(f'disagreement_offset{name.partition("disagreement")[2]}', offset,
                          'as recorded', 1, why='median over the nominal part')
    for watch in outcome.watches:
        yield from watch.values
    need = samples_needed(0.95)
    yield MetricValue('run_threshold', None, '1', 1, why=(
        f'one recording; a limit that 95 % of whole runs keep needs {need} nominal recordings'))


def _windows(scored: Scored) -> Iterator[MetricValue]:
    key = f'h={scored.horizon_s:g}s'
    yield _count(f'windows_scored[{key}]', scored.scored, scored.possible)
    for reason, count in scored.masked.items():
        yield _count(f'windows_masked[{key},{reason.label}]', count, scored.possible)


def _losses(outcome: OpenLoop) -> Iterator[MetricValue]:
    found = outcome.losses
    yield _count('sensor_losses', len(found), len(found))
    yield MetricValue('sensor_loss_time', sum(loss.duration_s for loss in found), 's', len(found),
                      why='complete count of this recording')


def _count(name: str, count: int, of: int) -> MetricValue:
    return MetricValue(name, float(count), '1', of, why='complete count of this recording')


def verdict_line(scores: tuple[Score, ...]) -> str:
    """Return how many scores passed, failed and decided nothing."""
    names = [score.verdict.value for score in scores]
    return ', '.join(f'{names.count(name)} {name}' for name in dict.fromkeys(sorted(names)))
