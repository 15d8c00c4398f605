"""How much evidence a question needs, asked before any of it is recorded."""

from __future__ import annotations

from dataclasses import dataclass

from wm_eval_ros.metrics.base import QUANTILES
from wm_eval_ros.stats.exact_power import paired_chances
from wm_eval_ros.stats.exposure import exposure_for_bound
from wm_eval_ros.stats.power import (
    episodes_for_gap,
    episodes_for_half_width,
    episodes_for_lower_bound,
    episodes_for_quantile,
    expected_episodes_sequential,
    LIMIT,
)

#: correlations of the successes of one seed that are shown where none is given
CORRELATIONS = (0.0, 0.3, 0.6)
#: pairs after which a sequential comparison is taken for given up
MOST_PAIRS = 2000


@dataclass(frozen=True, slots=True)
class Answer:
    """An amount of evidence, and what it buys."""

    #: the plan, such as `paired, correlation 0.3`
    plan: str
    #: None: more than is searched
    amount: float | None
    #: episodes, pairs, slots or hours
    unit: str
    meaning: str


def for_half_width(success: float, half_width: float, confidence: float) -> list[Answer]:
    """Return the episodes until the interval of a success rate is that narrow."""
    n = episodes_for_half_width(success, half_width, confidence)
    return [Answer('Clopper-Pearson', n, 'episodes',
                   f'the interval at {confidence:.0%} is expected to reach {half_width:g} either '
                   f'way if the rate is {success:g}')]


def for_bound(success: float, bound: float, power: float, confidence: float) -> list[Answer]:
    """
    Return the episodes until a success rate is shown to lie above, or below, a bound.

    :raises ValueError: the rate is the bound
    """
    if success == bound:
        raise ValueError(f'the rate is the bound, {bound:g}: no number of episodes shows either')
    above = success > bound
    n = (episodes_for_lower_bound(success, bound, power, confidence) if above
         else episodes_for_lower_bound(1 - success, 1 - bound, power, confidence))
    return [Answer('Clopper-Pearson', n, 'episodes',
                   f'the {"lower" if above else "upper"} limit at {confidence:.0%} reaches '
                   f'{bound:g} with {power:.0%} chance if the rate is {success:g}')]


def for_gap(first: float, second: float, power: float, alpha: float,
            correlation: float | None = None) -> list[Answer]:
    """
    Return the episodes that show a gap between two systems: unpaired, paired and sequential.

    :param correlation: of the successes of one seed; None: some that the rates can have
    :raises ValueError: no gap, or a correlation the rates cannot have
    """
    plans = [Answer('unpaired: Boschloo', episodes_for_gap(first, second, power, alpha),
                    'episodes a side', f'found with {power:.0%} chance')]
    shown = [c for c in CORRELATIONS if _possible(first, second, c)]
    for c in shown if correlation is None else [correlation]:
        n = episodes_for_gap(first, second, power, alpha, c)
        plans.append(Answer(f'paired by seed, correlation {c:g}: McNemar', n, 'pairs',
                            f'found with {power:.0%} chance'))
        plans.append(_sequential(first, second, c, alpha))
    return plans


def _sequential(first: float, second: float, correlation: float, alpha: float) -> Answer:
    plan = expected_episodes_sequential(first, second, correlation, alpha, MOST_PAIRS)
    ninety = f'more than {MOST_PAIRS}' if plan.ninety is None else str(plan.ninety)
    half = f'more than {MOST_PAIRS}' if plan.median is None else str(plan.median)
    return Answer(f'paired by seed, correlation {correlation:g}: sequential', plan.expected,
                  'pairs', f'on average when given up after {MOST_PAIRS}; half of all comparisons '
                  f'are decided by {half}, nine in ten by {ninety}')


def _possible(first: float, second: float, correlation: float) -> bool:
    try:
        paired_chances(max(first, second), min(first, second), correlation)
    except ValueError:
        return False
    return True


def for_quantiles(quantile: float | None, confidence: float) -> list[Answer]:
    """Return the slots a quantile needs for both of its limits; of every reported one if None."""
    asked = list(QUANTILES.values()) if quantile is None else [quantile]
    return [Answer(f'p{100 * q:g}', episodes_for_quantile(q, confidence), 'slots',
                   f'the sample holds a limit on either side, each at {confidence:.0%}')
            for q in asked]


def for_rate(rate: float, bound: float, power: float, confidence: float) -> list[Answer]:
    """
    Return the hours until a rate per hour is shown to lie below, or above, a bound.

    :raises ValueError: a negative rate, or one that is the bound
    """
    found = exposure_for_bound(rate, bound, power, confidence)
    below = rate < bound
    if found is None:
        return [Answer('exact Poisson', None, 'hours', f'the rate lies too near {bound:g} / h')]
    events = f'{found.events} or {"fewer" if below else "more"}' if found.events else 'no'
    return [Answer('exact Poisson', found.exposure, 'hours',
                   f'the {"upper" if below else "lower"} limit at {confidence:.0%} reaches '
                   f'{bound:g} / h with {power:.0%} chance if the rate is {rate:g} / h: '
                   f'{events} events')]


def amount_text(answer: Answer) -> str:
    """
    Return the amount for reading.

    >>> amount_text(Answer('', 3.6889, 'hours', '')), amount_text(Answer('', 76.2, 'pairs', ''))
    ('3.69', '77')
    """
    if answer.amount is None:
        return f'> {LIMIT}'
    return f'{answer.amount:.3g}' if answer.unit == 'hours' else f'{-(-answer.amount // 1):.0f}'
