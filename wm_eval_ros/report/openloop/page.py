"""The page of an open-loop evaluation: one HTML file that needs no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from wm_eval_ros.config.robot_map import RobotMap
from wm_eval_ros.config.schema import to_plain
from wm_eval_ros.openloop.figures import DEFINITIONS
from wm_eval_ros.openloop.outcome import OpenLoop
from wm_eval_ros.openloop.scores import Score
from wm_eval_ros.records import MetricValue, Verdict
from wm_eval_ros.report import parts
from wm_eval_ros.report.openloop import plots
from wm_eval_ros.report.plots.base import Plot
from wm_eval_ros.report.shell import assemble
from wm_eval_ros.report.text import number
from wm_eval_ros.scoring.scorecard import canonical

#: whether a figure takes the whole width of the page
_WIDE = {'ratios': False, 'lags': False, 'series': True, 'lanes': True, 'scores': True}
_METRICS = {'ratios': ('error_ratio',), 'lags': ('lag',), 'series': ('windows_masked',),
            'lanes': ('alarms', 'detection_delay'),
            'scores': ('alarm_threshold', 'false_alarm_rate')}
_PARTS = {'Prediction': ('ratios', 'lags', 'series'), 'Surprise': ('lanes', 'scores')}


def page(outcome: OpenLoop, robot: RobotMap, bag: str) -> str:
    """
    Return the whole page as HTML.

    :param bag: what the bag is called
    :raises MissingExtraError: plotly is not installed
    """
    drawn: dict[str, Mapping[str, Plot]] = {
        'ratios': {'': plots.ratios(outcome.scores)}, 'lags': plots.lag_curves(outcome.lags),
        'series': plots.series(outcome), 'lanes': {'': plots.lanes(outcome)},
        'scores': plots.scores_over_time(outcome)}
    title = f'{robot.name}: {bag}'
    return assemble(title, _body(outcome, robot, title, drawn), drawn)


def _body(
    outcome: OpenLoop, robot: RobotMap, title: str, drawn: Mapping[str, Mapping[str, Plot]],
) -> str:
    sections = {part: '<div class="grid">' + ''.join(
        parts.figure(place, drawn[place], _METRICS[place], wide=_WIDE[place])
        for place in places) + '</div>' for part, places in _PARTS.items()}
    sections = {'Findings': _findings(outcome), **sections, 'Verdicts': _verdicts(outcome.scores),
                'Alignment': _clocks(outcome), 'Masks': _masks(outcome),
                'Figures': f'<div id="all" class="scroll">{parts.table(outcome.values)}</div>',
                'Definitions': _definitions()}
    nav = ''.join(f'<a href="#part-{part.lower()}">{part}</a>' for part in sections)
    body = ''.join(f'<section class="part" id="part-{part.lower()}"><h2>{part}</h2>{html}'
                   '</section>' for part, html in sections.items())
    settings = escape(canonical(to_plain(robot)))
    return (f'<div class="page"><header>{_head(outcome, title)}</header>'
            f'{parts.board(_board(outcome))}<nav aria-label="parts of the page">{nav}</nav>'
            f'<main>{body}</main><details class="part"><summary>Map</summary><pre>{settings}</pre>'
            '</details></div>')


def _head(outcome: OpenLoop, title: str) -> str:
    count = len(outcome.scores)
    verdicts = [score.verdict for score in outcome.scores]
    said = ', '.join(f'{verdicts.count(v)} {word}' for v, word in (
        (Verdict.PASS, 'better than persistence'), (Verdict.FAIL, 'worse'),
        (Verdict.INCONCLUSIVE, 'not decided')) if verdicts.count(v))
    duration, cut = outcome.seconds(outcome.end_ns), outcome.seconds(outcome.cut_ns)
    return (f'<p class="run">{escape(title)}</p><h1>A small model: {escape(said)} '
            f'<small>of {count} features and horizons; {duration:.1f} s, fitted on the first '
            f'{cut:.1f} s</small></h1>')


def _board(outcome: OpenLoop) -> list[tuple[str, MetricValue]]:
    longest = max(score.horizon_s for score in outcome.scores)
    first = next(score for score in outcome.scores if score.horizon_s == longest)
    lag = next((lag.lag for lag in outcome.lags if lag.lag.value is not None),
               outcome.lags[0].lag)
    return [(f'error over persistence, {longest:g} s ahead, {_short(first.feature)}', first.ratio),
            (f'lag behind the command, {_short(_feature(lag))}', lag),
            ('sensor losses', outcome['sensor_losses']),
            ('time lost to them', outcome['sensor_loss_time'])]


def _feature(value: MetricValue) -> str:
    return value.name.partition('[')[2].removesuffix(']')


def _short(feature: str) -> str:
    """Return the end of a feature's name: what tells it from its neighbours."""
    return '.'.join(feature.split('.')[-2:])


def _row(*cells: str, head: bool = False) -> str:
    tag = 'th' if head else 'td'
    return '<tr>' + ''.join(f'<{tag}>{cell}</{tag}>' for cell in cells) + '</tr>'


def _table(head: Sequence[str], rows: Sequence[str]) -> str:
    return ('<div class="scroll"><table class="flow"><thead>' + _row(*head, head=True) +
            f'</thead><tbody>{"".join(rows)}</tbody></table></div>')


def _tag(verdict: Verdict) -> str:
    return f'<span class="tag {verdict.value}">{parts.MARKS[verdict]}</span>'


def _verdicts(scores: Sequence[Score]) -> str:
    rows = [_row(_tag(s.verdict), f'<code>{escape(s.feature)}</code>', f'{s.horizon_s:g} s',
                 number(s.ratio.value, 3), _range(s.ratio), number(s.gain.value, 3),
                 str(s.ratio.n), escape(s.why)) for s in scores]
    return _table(['verdict', 'feature', 'ahead', parts.defined('error_ratio', 'ratio'),
                   '95 % interval', parts.defined('command_gain', 'command gain'), 'n', 'why'],
                  rows)


def _range(value: MetricValue) -> str:
    if value.interval is None:
        return ''
    return f'{number(value.interval.low, 3)} to {number(value.interval.high, 3)}'


def _clocks(outcome: OpenLoop) -> str:
    rows = [_row(f'<code>{escape(c.topic)}</code>', escape(c.base), escape(c.why),
                 *(_with_unit(v) for v in (c.offset, c.drift, c.jitter))) for c in outcome.clocks]
    return _table(['topic', 'time', 'why', parts.defined('clock_offset', 'stamp less log time'),
                   parts.defined('clock_drift', 'drift'), parts.defined('clock_jitter', 'jitter')],
                  rows)


def _with_unit(value: MetricValue) -> str:
    if value.value is None:
        return f'<span class="soft">{escape(value.why)}</span>'
    limits = f' <small>{_range(value)}</small>' if value.interval else ''
    return f'{number(value.value, 4)} {escape(value.unit)}{limits}'


def _masks(outcome: OpenLoop) -> str:
    rows = [_row(f'<code>{escape(m.feature or m.topic)}</code>', escape(reason.label),
                 str(count), str(m.samples))
            for m in outcome.masks for reason, count in m.counts.items()]
    rows += [_row(f'<code>{escape(c.topic)}</code>', 'zero_stamp', str(c.zero), str(c.messages))
             for c in outcome.clocks if c.zero]
    for scored in outcome.scored:
        rows += [_row(f'windows scored {scored.horizon_s:g} s ahead', escape(reason.label),
                      str(count), str(scored.possible))
                 for reason, count in scored.masked.items()]
    if not rows:
        return '<p class="lead">Nothing is masked.</p>'
    return _table(['what', 'reason', parts.defined('samples_masked', 'count'), 'of'], rows)


def _findings(outcome: OpenLoop) -> str:
    if not outcome.findings:
        return '<p class="lead">Nothing odd was found.</p>'
    rows = [_row(escape(f.severity.value), escape(f.kind),
                 f'<code style="white-space:nowrap">{escape(f.topic)}</code>', parts.prose(f.what))
            for f in outcome.ranked_findings]
    return _table(['weight', 'kind', 'topic', 'what'], rows)


def _definitions() -> str:
    rows = ''.join(f'<div id="def-{name}"><dt><code>{name}</code></dt><dd>{escape(text)}</dd>'
                   '</div>' for name, text in DEFINITIONS.items())
    return f'<dl class="terms">{rows}</dl>'
