"""Pieces of a page: figures linked to their definitions, tables, checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
import re

from wm_eval_ros.metrics.definitions import definition, DEFINITIONS, family, PARTS
from wm_eval_ros.records import MetricValue, Verdict
from wm_eval_ros.report.checks import Check
from wm_eval_ros.report.plots.base import Absent, Drawn, Plot
from wm_eval_ros.report.text import interval_text, number
from wm_eval_ros.scoring.gates import SEVERITY

MARKS = {Verdict.PASS: '✓ pass', Verdict.FAIL: '✗ fail', Verdict.INCONCLUSIVE: '? inconclusive',
         Verdict.ERROR: '! error'}
#: heading of a group of checks, in the order of their weight
GROUPS = {'gate': 'Gates', 'evidence': 'Evidence', 'preflight': 'The bag'}
_SHARE = re.compile(r'(_rate|_share|_posterior|_worst_case|handover_success|handover_end\.\w+|'
                    r'tpr_at_fpr_\w+|false_alarm_episodes|warned_failures)$')
#: passing checks of a group that stand open
_OPEN = 6


def defined(name: str, text: str = '') -> str:
    """Return a figure's name, or other words for it, as a link to its definition."""
    return f'<a href="#def-{escape(term(name))}">{escape(text or name)}</a>'


def term(name: str) -> str:
    """
    Return the name under which a figure stands among the definitions.

    >>> term('detector[surprise].auroc'), term('plan_latency.p99')
    ('detector.auroc', 'plan_latency')
    """
    part = '.'.join(re.sub(r'\[.*\]', '', name).split('.')[:2])
    return part if part in PARTS else family(name)


def lookup(values: Iterable[MetricValue], name: str) -> MetricValue:
    """Return the figure of that name, or one without a value that says that there is none."""
    found = next((v for v in values if v.name == name), None)
    return found or MetricValue(name, None, '', 0, why='not among the figures of this run')


def shown(value: MetricValue) -> tuple[str, str]:
    """Return a figure for reading, and its unit; shares in per cent."""
    if value.value is None:
        return '–', ''
    if value.unit == '1' and is_share(value.name):
        return f'{100 * value.value:.3g}', '%'
    return number(value.value, 3), unit_text(value.unit)


def unit_text(unit: str) -> str:
    """
    Return a unit for reading; nothing for a plain number.

    >>> [unit_text(unit) for unit in ('1', 'ms', '1/h')]
    ['', 'ms', 'per h']
    """
    if unit == '1':
        return ''
    return f'per {unit[2:]}' if unit.startswith('1/') else unit


def prose(text: str) -> str:
    """Return text for the page, a per cent sign kept on the line of its number."""
    return escape(text).replace(' %', '\u00a0%')


def is_share(name: str) -> bool:
    """
    Say whether a figure of unit 1 is a share, which is read in per cent.

    >>> [is_share(n) for n in ('handover_end[fallback].stopped', 'detector[surprise].auroc')]
    [True, False]
    """
    return _SHARE.search(re.sub(r'\[.*\]', '', name)) is not None


def range_text(value: MetricValue) -> str:
    """Return the interval in the unit the figure is read in, or the reason why there is none."""
    if value.interval is None:
        return value.why
    low, high, confidence, _ = value.interval
    per_cent = value.unit == '1' and is_share(value.name)
    scale, unit = (100, ' %') if per_cent else (1, f' {unit_text(value.unit)}'.rstrip())
    ends = [number(scale * end, 3) for end in (low, high)]
    return f'{ends[0]} to {ends[1]}{unit} ({100 * confidence:g} %)'


def board(values: Sequence[tuple[str, MetricValue]]) -> str:
    """Return the leading figures, large."""
    cells = ''.join(_cell(label, value) for label, value in values)
    return f'<dl class="board" style="--columns:{len(values)}">{cells}</dl>'


def _cell(label: str, value: MetricValue) -> str:
    figure, unit = shown(value)
    return (f'<div><dt>{defined(value.name, label)}</dt><dd><div class="figure">{escape(figure)}'
            f'<span>{escape(unit)}</span></div><div class="note">{prose(range_text(value))}'
            f'{f"<br>n = {value.n:,}" if value.n else ""}</div></dd></div>')


def keys(values: Sequence[tuple[str, MetricValue]]) -> str:
    """Return the figures of second rank, small."""
    cells = ''.join(_key(label, value) for label, value in values)
    return f'<dl class="keys">{cells}</dl>'


def _key(label: str, value: MetricValue) -> str:
    figure, unit = shown(value)
    return (f'<div><dt>{defined(value.name, label)}</dt><dd>{escape(f"{figure} {unit}".strip())}'
            f'<small>{prose(range_text(value))}</small></dd></div>')


def checks(found: Sequence[Check]) -> str:
    """Return the checks by group, the worst first."""
    if not found:
        return '<p class="lead">No check was made.</p>'
    return ''.join(_group(head, own) for group, head in GROUPS.items()
                   if (own := [c for c in found if c.group == group]))


def _group(head: str, found: Sequence[Check]) -> str:
    """Return a group of checks; where many pass, those are folded away."""
    ranked = sorted(found, key=lambda c: SEVERITY.index(c.verdict))
    passed = [c for c in ranked if c.verdict is Verdict.PASS]
    if len(passed) <= _OPEN:
        return _rows(head, ranked)
    folded = f'<details><summary>{len(passed)} pass</summary>{_rows("", passed)}</details>'
    return _rows(head, ranked[:len(ranked) - len(passed)]) + folded


def _rows(head: str, found: Sequence[Check]) -> str:
    rows = ''.join(
        f'<tr><td><span class="tag {c.verdict.value}">{MARKS[c.verdict]}</span></td>'
        f'<td>{_check_name(c)}</td><td class="soft">{prose(c.text)}</td></tr>' for c in found)
    caption = f'<caption>{head}</caption>' if head else ''
    return f'<table class="checks">{caption}<tbody>{rows}</tbody></table>'


def _check_name(check: Check) -> str:
    """Return a check's name; that of a gate links to what it is a bound on."""
    first = check.name.partition(' ')[0]
    if family(first) in DEFINITIONS:
        return f'<code>{defined(first, check.name)}</code>'
    return f'<code>{escape(check.name)}</code>'


def part(head: str, html: str) -> str:
    """Return a part of the page under its head."""
    return f'<section class="part" id="{anchor(head)}"><h2>{escape(head)}</h2>{html}</section>'


def anchor(head: str) -> str:
    """Return the target of links to a part."""
    return 'part-' + head.lower().replace(' ', '-')


def table(values: Sequence[MetricValue]) -> str:
    """
    Return figures as a table with every digit a reader may need.

    Of figures by the number of steps only the first is open; a search opens the others.
    """
    return ('<table class="flow"><thead><tr><th>figure</th><th class="r">value</th><th>unit</th>'
            '<th class="r">n</th><th>interval, or the reason</th></tr></thead><tbody>'
            f'{"".join(map(_row, values))}</tbody></table>')


def _row(value: MetricValue) -> str:
    method = f'<small> {escape(value.interval.method)}</small>' if value.interval else ''
    kind = '' if value.value is not None else ' class="none"'
    folded = ' data-folded hidden' if _is_folded(value.name) else ''
    return (f'<tr{kind} data-name="{escape(value.name.lower())}"{folded}>'
            f'<td><code>{defined(value.name)}</code></td>'
            f'<td class="r">{number(value.value)}</td><td>{escape(value.unit)}</td>'
            f'<td class="r" data-label="n =">{value.n:,}</td>'
            f'<td>{prose(interval_text(value).replace("%)", " %)"))}{method}</td></tr>')


def _is_folded(name: str) -> bool:
    hit = re.search(r'\[h=(\d+)\]', name)
    return hit is not None and hit[1] != '1'


def search(values: Sequence[MetricValue]) -> str:
    """Return a field that finds figures of the table, and a button that opens all of them."""
    count = sum(_is_folded(v.name) for v in values)
    more = (f'<button id="unfold" type="button">Show {count} more, by steps ahead</button>'
            if count else '')
    return ('<div class="search"><input class="find" id="find" type="search" '
            f'placeholder="find a figure" aria-label="find a figure">{more}</div>')


def definitions(names: Iterable[str]) -> str:
    """Return what each figure means, as the targets of the links."""
    rows = ''.join(
        f'<div id="def-{escape(name)}"><dt><code>{escape(name)}</code></dt>'
        f'<dd>{escape(definition(name) or "A figure of a plug-in: see its documentation.")}'
        '</dd></div>' for name in sorted({term(name) for name in names}))
    return f'<dl class="terms">{rows}</dl>'


def figure(place: str, drawn: Mapping[str, Drawn], metrics: Sequence[str] = (), *,
           wide: bool = False) -> str:
    """Return the place of a figure, with its title, how it is read, and what it shows."""
    plots = plotted(drawn)
    if not plots:
        return ''
    first = next(iter(plots.values()))
    links = ' · '.join(defined(name) for name in metrics)
    options = ''.join(f'<option>{escape(label)}</option>' for label in plots)
    choice = (f'<select data-for="{place}" aria-label="{escape(first.title)}">{options}</select>'
              if len(plots) > 1 else '')
    return (f'<figure{" class=wide" if wide else ""}><figcaption><h3 id="{place}-title">'
            f'{prose(first.title)}</h3><p class="lead"><span id="{place}-lead">'
            f'{prose(first.lead)}</span>{f" <small>{links}</small>" if links else ""}</p>'
            f'</figcaption>{choice}<div class="plot" id="{place}" '
            f'style="min-height:{first.height}px"></div></figure>')


def plotted(drawn: Mapping[str, Drawn]) -> dict[str, Plot]:
    """Leave out the figures that cannot be drawn."""
    return {label: plot for label, plot in drawn.items() if isinstance(plot, Plot)}


def missing(drawn: Mapping[str, Mapping[str, Drawn]], names: Mapping[str, str]) -> str:
    """Say which figures were not drawn, and why; empty where all were."""
    rows = [(names[place], plot.why) for place, each in drawn.items()
            for plot in each.values() if isinstance(plot, Absent)]
    if not rows:
        return ''
    items = ''.join(f'<li>{escape(name)}: {escape(why)}</li>' for name, why in rows)
    return f'<h3>Not drawn</h3><ul class="plain soft">{items}</ul>'
