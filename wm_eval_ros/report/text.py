"""The scorecard as a table for terminals."""

from __future__ import annotations

from collections.abc import Sequence
import math
import re

from wm_eval_ros.records import MetricValue
from wm_eval_ros.scoring.conditions import whereabouts
from wm_eval_ros.scoring.scorecard import Scorecard

_ENDS = ('p50', 'p95', 'p99', 'p99_9', 'max')
_SPREAD = re.compile(rf'^(.*)\.({"|".join(_ENDS)})$')
_HEADS = {'p99_9': 'p99.9'}


def number(value: float | None, digits: int = 4) -> str:
    """
    Return a figure for reading.

    >>> [number(v) for v in (None, 20.0, 0.0123456, 1234567.0, float('inf'))]
    ['–', '20', '0.01235', '1234567', '∞']
    """
    if value is None:
        return '–'
    if math.isinf(value):
        return '∞' if value > 0 else '-∞'
    if value == round(value) and abs(value) < 1e9:
        return f'{value:.0f}'
    return f'{value:.{digits}g}' if abs(value) < 10**digits else f'{value:.0f}'


def interval_text(value: MetricValue) -> str:
    """Return the interval with its confidence, or the reason why there is none."""
    if value.interval is None:
        return value.why
    low, high, confidence, _ = value.interval
    # the confidence is that of the interval, so that one-sided limits are not oversold
    return f'{number(low)} … {number(high)}  ({confidence:.0%})'


def aligned(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Return rows as text in columns, the first row underlined; columns in right to the right."""
    widths = [max(len(row[c]) for row in rows) for c in range(len(rows[0]))]
    lines = ['  '.join(cell.rjust(w) if c in right else cell.ljust(w)
                       for c, (cell, w) in enumerate(zip(row, widths, strict=True))).rstrip()
             for row in rows]
    return '\n'.join([lines[0], '-' * (sum(widths) + 2 * len(widths) - 2), *lines[1:]])


def _distributions(values: Sequence[MetricValue]) -> list[list[str]]:
    families: dict[str, dict[str, MetricValue]] = {}
    for value in values:
        if hit := _SPREAD.match(value.name):
            families.setdefault(hit[1], {})[hit[2]] = value
    return [_spread(name, family) for name, family in families.items()]


def _spread(name: str, family: dict[str, MetricValue]) -> list[str]:
    last = next(reversed(family.values()))
    p99 = family.get('p99')
    limit = number(p99.interval.high) if p99 and p99.interval else '–'
    cells = [number(family[end].value) if end in family else '–' for end in _ENDS]
    return [name, str(last.n), *cells[:3], limit, *cells[3:], last.unit]


def _scalars(values: Sequence[MetricValue]) -> list[list[str]]:
    steps = {v.name for v in values if re.search(r'\[h=\d+\]', v.name)}
    keep = {n for n in steps if n.endswith('[h=1]')}
    shown = [v for v in values if not _SPREAD.match(v.name)
             and (v.name not in steps or v.name in keep)]
    return [[v.name, number(v.value), v.unit, str(v.n), interval_text(v)] for v in shown]


def title(card: Scorecard) -> str:
    """Return one line that says what was scored."""
    get = card.manifest.get
    if not card.manifest:
        return 'scorecard of a run without a manifest'
    where = whereabouts(card.manifest)
    task = f'{get("task")} {where}' if where else get('task')
    return (f'{get("scenario")}: task {task}, planner {get("planner")}, '
            f'clock {get("clock")}, seed {get("seed")}')


def table(card: Scorecard) -> str:
    """
    Return the scorecard as aligned plain text.

    Of the h-step errors only the first step stands here; the files hold them all.
    """
    values = (*card.values, *card.host)
    scalars = [['metric', 'value', 'unit', 'n', 'interval or reason'], *_scalars(values)]
    heads = [_HEADS.get(end, end) for end in _ENDS]
    spreads = [['distribution', 'n', *heads[:3], 'p99 <=', *heads[3:], 'unit'],
               *_distributions(values)]
    note = ('p99 <= is the upper 95 % limit; – means too few samples or no evidence, '
            'with the reason in scorecard.json')
    return '\n'.join([title(card), '', aligned(scalars, (1, 3)), '',
                      aligned(spreads, range(1, 8)), note, ''])
