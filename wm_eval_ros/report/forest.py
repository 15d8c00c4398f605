"""Differences with their intervals, each drawn on its own scale around no difference."""

from __future__ import annotations

from html import escape
import math

from wm_eval_ros.records import MetricValue
from wm_eval_ros.report.parts import defined, is_share, prose, range_text, shown
from wm_eval_ros.report.text import number
from wm_eval_ros.scoring.compare import Better, Contrast, Effect

#: half the width of a drawing, in its own units
_HALF = 100.0


def forest(contrast: Contrast) -> str:
    """Return every figure of two sides, their difference, and a drawing of it."""
    a, b = escape(contrast.first), escape(contrast.second)
    rows = ''.join(_row(contrast, effect) for effect in (contrast.success, *contrast.others))
    return ('<table class="flow forest"><thead><tr><th>figure</th>'
            f'<th class="r">{a}</th><th class="r">{b}</th><th class="r">{a} − {b}</th>'
            f'<th class="sides"><span>← {b} better</span><span>{a} better →</span></th>'
            '<th>shown</th></tr></thead>'
            f'<tbody>{rows}</tbody></table>')


def difference_text(value: MetricValue) -> str:
    """Return a difference with its sign and unit; of shares, in points of per cent."""
    if value.value is None:
        return '–'
    scale, unit = (100, ' points') if _in_points(value) else (1, f' {value.unit}')
    return f'{_signed(scale * value.value)}{"" if unit == " 1" else unit}'


def difference_range(value: MetricValue) -> str:
    """Return the interval of a difference, or the reason why there is none."""
    if value.interval is None or value.interval.low is None:
        return value.why
    scale, unit = (100, ' points') if _in_points(value) else (1, f' {value.unit}')
    low, high = (_signed(scale * end) for end in value.interval[:2])
    return (f'{low} to {high}{"" if unit == " 1" else unit} '
            f'({100 * value.interval.confidence:g} %)')


def _in_points(value: MetricValue) -> bool:
    return value.unit == '1' and is_share(value.name)


def _signed(value: float) -> str:
    return f'+{number(value, 3)}' if value > 0 else number(value, 3).replace('-', '−')


def _row(contrast: Contrast, effect: Effect) -> str:
    first, second = (f'{" ".join(shown(v)).strip()}' for v in (effect.first, effect.second))
    words = {Better.FIRST: f'{contrast.first} better', Better.SECOND: f'{contrast.second} better',
             Better.NEITHER: 'neither', Better.INCOMPARABLE: 'not comparable'}
    bold = ' style="font-weight:600"' if effect.better in (Better.FIRST, Better.SECOND) else ''
    return (f'<tr><td>{defined(effect.name)}</td>'
            f'<td class="r" data-label="{escape(contrast.first)}" '
            f'title="{escape(range_text(effect.first))}">{escape(first)}</td>'
            f'<td class="r" data-label="{escape(contrast.second)}" '
            f'title="{escape(range_text(effect.second))}">{escape(second)}</td>'
            f'<td class="r difference">{prose(difference_text(effect.difference))}'
            f'<small>{prose(difference_range(effect.difference))}</small></td>'
            f'<td class="chart">{drawing(effect)}</td>'
            f'<td{bold}>{escape(words[effect.better])}</td></tr>')


def drawing(effect: Effect) -> str:
    """
    Draw a difference and its interval as SVG; to the right the first side is better.

    An end that the data does not reach runs to the edge.
    """
    value = effect.difference.value
    if value is None:
        return ''
    sign = 1.0 if effect.higher_is_better else -1.0
    ends = effect.difference.interval
    low, high = (sign * value, sign * value) if ends is None else sorted(
        sign * end for end in ends[:2])
    reach = max((abs(e) for e in (low, high, value) if math.isfinite(e)), default=0.0) or 1.0
    x, left, right = (_place(v, reach) for v in (sign * value, low, high))
    told = effect.better in (Better.FIRST, Better.SECOND)
    colour = 'var(--accent)' if told else 'var(--muted)'
    text = f'{difference_text(effect.difference)}, {difference_range(effect.difference)}'
    return (f'<svg viewBox="{-_HALF - 8:g} -12 {2 * _HALF + 16:g} 24" role="img" '
            f'aria-label="{escape(text)}" preserveAspectRatio="none">'
            f'<line x1="{-_HALF:g}" x2="{_HALF:g}" y1="0" y2="0" stroke="var(--grid)" '
            'vector-effect="non-scaling-stroke"/>'
            '<line x1="0" x2="0" y1="-11" y2="11" stroke="var(--limit)" stroke-dasharray="3 3" '
            'vector-effect="non-scaling-stroke"/>'
            f'<line x1="{left:.1f}" x2="{right:.1f}" y1="0" y2="0" stroke="{colour}" '
            'stroke-width="2.5" vector-effect="non-scaling-stroke"/>'
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="-5" y2="5" stroke="{colour}" stroke-width="7" '
            'vector-effect="non-scaling-stroke"/></svg>')


def _place(value: float, reach: float) -> float:
    return math.copysign(_HALF, value) if math.isinf(value) else 0.92 * _HALF * value / reach
