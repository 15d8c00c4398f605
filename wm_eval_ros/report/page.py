"""The report: one HTML file that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
import json
from string import Template
from typing import Any

from wm_eval_ros.errors import MissingExtraError
from wm_eval_ros.metrics.definitions import definition
from wm_eval_ros.metrics.table import Run
from wm_eval_ros.records import MetricValue, Verdict
from wm_eval_ros.report import figures
from wm_eval_ros.report.checks import Check, overall
from wm_eval_ros.report.latents import states
from wm_eval_ros.report.text import interval_text, number, title
from wm_eval_ros.report.trace import TraceCollector
from wm_eval_ros.scoring.scorecard import canonical, clean, Scorecard

_MARKS = {Verdict.PASS: '✓', Verdict.FAIL: '✗', Verdict.INCONCLUSIVE: '?', Verdict.ERROR: '!'}
_WORDS = {Verdict.PASS: 'evidence complete', Verdict.FAIL: 'a gate failed',
          Verdict.INCONCLUSIVE: 'evidence with remarks', Verdict.ERROR: 'evidence broken'}


def plotly_script() -> str:
    """
    Return plotly's script, to be put into the page.

    :raises MissingExtraError: plotly is not installed
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise MissingExtraError("no report.html: plotly is not installed: "
                                "pip install 'wm_eval_ros[report]'") from None
    return str(get_plotlyjs())


def page(card: Scorecard, run: Run, trace: TraceCollector, checks: Sequence[Check] = (),
         others: Sequence[Scorecard] = ()) -> str:
    """
    Return the whole report as HTML.

    :param others: scorecards of baselines on the same starts
    :raises MissingExtraError: plotly is not installed
    """
    script = plotly_script()
    drawn = _drawn(card, run, trace, others)
    verdict = overall(checks)
    # the folder's files are read by name, also from a zipped installation
    folder = files('wm_eval_ros.report')
    template = Template((folder / 'page.html').read_text(encoding='utf-8'))
    return template.substitute(
        title=escape(title(card)), style=(folder / 'page.css').read_text(encoding='utf-8'),
        verdict=verdict.value, badge=escape(_WORDS[verdict]), headline=_headline(card, others),
        tiles=_tiles(card), sections=_sections(drawn), checks=_checks(checks),
        table=_table(card.values), host=_table(card.host),
        manifest=escape(canonical({**card.manifest, **card.provenance})),
        plotly=script.replace('</script', '<\\/script'), figures=_embedded(drawn),
        script=(folder / 'page.js').read_text(encoding='utf-8'))


def _drawn(card: Scorecard, run: Run, trace: TraceCollector,
           others: Sequence[Scorecard]) -> dict[str, dict[str, Any]]:
    """Figures by place in the page, each under one label or several to choose from."""
    single = {'baselines': figures.baselines(card, others),
              'episodes': figures.episode_strip(card), 'latency': figures.latency(run),
              'timeline': figures.timeline(run), 'errors': figures.error_curve(card)}
    drawn = {place: {'': figure} for place, figure in single.items() if figure is not None}
    panels = states(card, trace)
    return {**drawn, 'states': panels} if panels else drawn


def _embedded(data: Any) -> str:
    """Return JSON that cannot end the script element it stands in."""
    text = json.dumps(clean(data), allow_nan=False, separators=(',', ':'))
    return text.replace('<', '\\u003c')


def _headline(card: Scorecard, others: Sequence[Scorecard]) -> str:
    rate = card['success_rate']
    if rate.value is None or rate.interval is None:
        return f'Success unknown: {escape(rate.why)}'
    done = round(rate.value * rate.n)
    low, high = rate.interval[:2]
    text = (f'{done} of {rate.n} episodes succeeded '
            f'<small>({low:.0%} to {high:.0%} at 95 % confidence)</small>')
    chips = ''.join(_against(card, other) for other in others)
    return text + (f'<br>{chips}' if chips else '')


def _against(card: Scorecard, other: Scorecard) -> str:
    mine, theirs = card['success_rate'].interval, other['success_rate'].interval
    name = escape(str(other.manifest.get('planner') or 'baseline'))
    if mine is None or theirs is None:
        word = 'not comparable to'
    elif mine.low > theirs.high:
        word = 'above'
    else:
        word = 'below' if mine.high < theirs.low else 'not told apart from'
    return f'<span class="against">{word} {name}</span>'


def _tiles(card: Scorecard) -> str:
    names = {'success_rate': 'success', 'deadline_miss_rate': 'deadline misses',
             'plan_latency.p99': 'plan latency p99', 'sense_to_act.p50': 'sense to act, median',
             'time_to_success.median': 'time to success, median',
             'prediction_ratio[h=1]': 'one-step error against persistence'}
    return ''.join(_tile(label, card[name]) for name, label in names.items())


def _tile(label: str, value: MetricValue) -> str:
    figure, scale = number(value.value, 3), value.unit
    if value.unit == '1':
        figure, scale = _percent(value)
    scope = f'n = {value.n}'
    note = _range(value) if value.interval else value.why
    hint = escape(definition(value.name))
    return (f'<div class="tile" title="{hint}"><h3>{escape(label)}</h3>'
            f'<p class="figure">{figure}<span>{escape(scale)}</span></p>'
            f'<p class="note">{escape(note)}<br>{scope}</p></div>')


def _percent(value: MetricValue) -> tuple[str, str]:
    return ('–', '') if value.value is None else (f'{100 * value.value:.3g}', '%')


def _range(value: MetricValue) -> str:
    if value.interval is None:
        return value.why
    low, high, confidence, _ = value.interval
    ends = [f'{100 * v:.3g} %' if value.unit == '1' else f'{number(v, 3)} {value.unit}'
            for v in (low, high)]
    return f'{ends[0]} to {ends[1]} ({confidence:.0%})'


_TITLES = {
    'baselines': ('Against the baselines', 'Same starts, other planners.'),
    'episodes': ('Episodes', 'How long each took and how it ended.'),
    'latency': ('Latency', 'Share of calls that took at most so long. What lies right of the '
                           'dashed line came too late.'),
    'timeline': ('Every slot', 'Each point is one slot of the schedule. A cross is a slot without '
                               'a command in time, whatever the reason.'),
    'states': ('Predicted and observed state', 'What the model foresaw one step earlier, over '
                                               'what the sensors then said.'),
    'errors': ('Prediction error by horizon', 'Below the grey line the model knows more than that '
                                              'nothing changes. Bars: 95 %, by episode.'),
}


def _sections(drawn: dict[str, dict[str, Any]]) -> str:
    return ''.join(_section(place, list(drawn[place])) for place in _TITLES if place in drawn)


def _section(place: str, labels: list[str]) -> str:
    head, text = _TITLES[place]
    options = ''.join(f'<option>{escape(label)}</option>' for label in labels)
    choice = f'<select data-for="{place}" aria-label="{escape(head)}">{options}</select>'
    return (f'<section><h2>{escape(head)}</h2><p class="lead">{escape(text)}</p>'
            f'{choice if len(labels) > 1 else ""}<div class="plot" id="{place}"></div></section>')


def _checks(checks: Sequence[Check]) -> str:
    if not checks:
        return '<p class="lead">No check was made.</p>'
    return '<ul class="checks">' + ''.join(
        f'<li class="{c.verdict.value}"><b>{_MARKS[c.verdict]}</b><span><code>'
        f'{escape(c.name)}</code> {escape(c.text)}</span></li>' for c in checks) + '</ul>'


def _table(values: Sequence[MetricValue]) -> str:
    head = ('<table><thead><tr><th>metric</th><th>value</th><th>unit</th><th>n</th>'
            '<th>interval, or the reason</th></tr></thead><tbody>')
    return head + ''.join(_row(value) for value in values) + '</tbody></table>'


def _row(value: MetricValue) -> str:
    hint = escape(definition(value.name))
    method = f'<small> {escape(value.interval.method)}</small>' if value.interval else ''
    kind = '' if value.value is not None else ' class="none"'
    return (f'<tr{kind}><td title="{hint}"><code>{escape(value.name)}</code></td>'
            f'<td class="r">{number(value.value)}</td><td>{escape(value.unit)}</td>'
            f'<td class="r">{value.n}</td><td>{escape(interval_text(value))}{method}</td></tr>')
