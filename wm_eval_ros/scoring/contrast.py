"""Two systems held against each other: measured first, decided when all p-values are known."""

from __future__ import annotations

from dataclasses import dataclass, replace

from wm_eval_ros.metrics.definitions import family
from wm_eval_ros.records import MetricValue
from wm_eval_ros.scoring.compare import Better, Contrast, Effect, Rule
from wm_eval_ros.scoring.conditions import obstacle, unmet
from wm_eval_ros.scoring.effects import effect, measures
from wm_eval_ros.scoring.evidence import Evidence
from wm_eval_ros.scoring.pairs import match, Matched
from wm_eval_ros.scoring.success import (
    helped,
    needed,
    success_gap,
    SuccessGap,
    unaided,
    worst_case,
)


@dataclass(frozen=True)
class Question:
    """What is asked of every two systems."""

    rule: Rule = Rule.BATCH
    alpha: float = 0.05
    #: conditions that may differ, because they are what is compared
    waived: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Measured:
    """Two systems measured, and nothing decided yet."""

    first: str
    second: str
    matched: Matched
    gap: SuccessGap
    others: tuple[Effect, ...]
    #: why success is not comparable; empty where it is
    obstacle: str

    @property
    def p_value(self) -> float | None:
        """Return the p-value of the deciding test; None where there is none."""
        return None if self.obstacle else self.gap.p_value


def measure(names: tuple[str, str], sides: tuple[Evidence, Evidence],
            question: Question) -> Measured:
    """Measure every difference between two systems."""
    matched = match(sides[0].episodes, sides[1].episodes)
    broken = unmet(*sides)
    unknown = sides[0].unknown_success or sides[1].unknown_success
    why = unknown or obstacle('success_rate', broken, question.waived)
    gap = success_gap(matched, question.rule, question.alpha)
    of_success = [take(matched, 1 - question.alpha) for take in (worst_case, unaided)]
    if why:
        of_success = [replace(e, difference=_refused(e, why), better=Better.INCOMPARABLE)
                      for e in of_success]
    horizon = min(side.horizon_s for side in sides)
    others = (*of_success, *(effect(m, matched, sides, 1 - question.alpha,
                                    (unknown if family(m.name) == 'time_to_success' else '')
                                    or obstacle(m.name, broken, question.waived))
                             for m in measures(horizon)))
    if question.rule is Rule.SEQUENTIAL:
        others = tuple(map(_unjudged, others))
    return Measured(*names, matched, gap, others, why)


def _unjudged(found: Effect) -> Effect:
    """Name no better side: the limits hold for a number of episodes that was fixed beforehand."""
    if found.better is Better.INCOMPARABLE:
        return found
    return replace(found, better=Better.NEITHER)


def decide(found: Measured, adjusted: float | None, question: Question) -> Contrast:
    """
    Say what a measured difference shows.

    :param adjusted: p-value of the deciding test after Holm; None where it stands alone
    """
    p = found.p_value if adjusted is None else adjusted
    shown = p is not None and p <= question.alpha
    better = found.gap.leader if shown else Better.NEITHER
    if found.obstacle or found.gap.effect.difference.value is None:
        better = Better.INCOMPARABLE
    success = _success(found, adjusted, better)
    more, why = (None, '')
    if better is Better.NEITHER:
        more, why = needed(found.gap, question.rule, question.alpha)
    return Contrast(
        found.first, found.second, found.matched.paired, found.matched.text, found.gap.table,
        success, found.others, found.gap.path, better,
        _sentence(found, success, question, p, more, why), more, why)


def _success(found: Measured, adjusted: float | None, better: Better) -> Effect:
    success = replace(found.gap.effect, better=better)
    if found.obstacle:
        return replace(success, difference=_refused(success, found.obstacle), tests=())
    if adjusted is None:
        return success
    tests = tuple(replace(test, adjusted=adjusted) if test.name == found.gap.deciding else test
                  for test in success.tests)
    return replace(success, tests=tests)


def _refused(refused: Effect, why: str) -> MetricValue:
    return replace(refused.difference, value=None, interval=None, why=why, n=0)


def _sentence(found: Measured, success: Effect, question: Question, p: float | None,
              more: int | None, why: str) -> str:
    gap = success.difference
    if success.better is Better.INCOMPARABLE:
        return f'{found.first} and {found.second}: {gap.why}'
    first, second = success.first, success.second
    rates = (f'{found.first} solved {_share(first.value)} ({first.n}), {found.second} '
             f'{_share(second.value)} ({second.n})')
    if any(aided := helped(found.matched)):
        rates += (f', with somebody else driving as well in {aided[0]} and {aided[1]} of the '
                  'solved ones')
    spread = ''
    if gap.interval is not None and gap.value is not None:
        spread = f', difference {gap.value:+.3f} [{gap.interval.low:.3f}, {gap.interval.high:.3f}]'
    test = _test_text(found, question, p)
    if success.better is Better.NEITHER:
        plan = f'; {more} {why}' if more is not None else f'; {why}'
        return f'no difference in success is shown: {rates}{spread}; {test}{plan}'
    winner = found.first if success.better is Better.FIRST else found.second
    return f'{winner} is better: {rates}{spread}; {test}'


def _share(value: float | None) -> str:
    return 'nothing' if value is None else f'{value:.1%}'


def _test_text(found: Measured, question: Question, p: float | None) -> str:
    name = found.gap.deciding
    if p is None or not name:
        return 'the sequential test needs pairs of one seed'
    test = next(t for t in found.gap.effect.tests if t.name == name)
    holm = '' if p == found.p_value else f', p = {p:.3g} after Holm'
    if question.rule is Rule.SEQUENTIAL:
        value = 'beyond 1e308' if test.value is None else f'{test.value:.3g}'
        return f'largest e-value {value}, {test.threshold:g} asked{holm}'
    return f'{name} p = {found.p_value:.3g}{holm}'
