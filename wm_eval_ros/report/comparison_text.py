"""A comparison as plain text for terminals."""

from __future__ import annotations

from wm_eval_ros.records import MetricValue, Verdict
from wm_eval_ros.report.text import aligned, interval_text, number
from wm_eval_ros.scoring.compare import Better, Comparison, Contrast, Effect, HypothesisTest

_WORDS = {Verdict.PASS: 'PASS', Verdict.FAIL: 'FAIL', Verdict.INCONCLUSIVE: 'INCONCLUSIVE'}


def comparison_text(comparison: Comparison) -> str:
    """
    Return sides, differences, notes and verdict as text.

    Of several systems only success is set against each other here; the files hold the rest.
    """
    parts = [_sides(comparison)]
    if len(comparison.sides) == 2:
        parts.append(_contrast(comparison.contrasts[0]))
    else:
        parts += [_figures(comparison), _contrasts(comparison)]
    gap = comparison.planning_gap
    if gap is not None:
        parts.append(f'{gap.name} = {_with_interval(gap)}')
    parts += [f'note: {note}' for note in comparison.notes]
    parts.append(f'{_WORDS[comparison.verdict]}: {comparison.sentence}')
    return '\n\n'.join(parts) + '\n'


def _sides(comparison: Comparison) -> str:
    lettered = comparison.letters
    rows = [['', 'system', 'clock', 'episodes', 'success', *(['letters'] if lettered else [])],
            *([side.letter, side.title, str(side.manifest.get('clock', '')),
               str(len(side.episodes)), _with_interval(side.figures[0]),
               *([lettered[side.letter]] if lettered else [])] for side in comparison.sides)]
    notes = [f'{side.letter}: {note}' for side in comparison.sides for note in side.notes]
    return '\n'.join([aligned(rows, (3,)), *notes])


def _contrast(contrast: Contrast) -> str:
    """Return everything about two systems."""
    a, b = contrast.first, contrast.second
    rows = [['figure', a, b, f'{a} - {b}', 'interval or reason', 'better']]
    rows += [_row(contrast, effect) for effect in (contrast.success, *contrast.others)]
    lines = [contrast.pairing, '', aligned(rows, (1, 2, 3))]
    if contrast.table is not None:
        t = contrast.table
        lines += ['', f'pairs: both solved {t.both}, only {a} {t.only_first}, only {b} '
                  f'{t.only_second}, neither {t.neither}']
    return '\n'.join([*lines, *(_test(test) for test in contrast.success.tests)])


def _row(contrast: Contrast, effect: Effect) -> list[str]:
    return [_name(effect.name, effect.unit), number(effect.first.value),
            number(effect.second.value), number(effect.difference.value),
            interval_text(effect.difference), _better(contrast, effect)]


def _better(contrast: Contrast, effect: Effect) -> str:
    return {Better.FIRST: contrast.first, Better.SECOND: contrast.second, Better.NEITHER: '',
            Better.INCOMPARABLE: 'not comparable'}[effect.better]


def _contrasts(comparison: Comparison) -> str:
    """Return the differences in success of every two systems."""
    rows = [['success', 'difference', 'interval or reason', 'test', 'p after Holm', 'better']]
    for contrast in comparison.contrasts:
        success = contrast.success
        test = next((t for t in success.tests if t.adjusted is not None), None)
        rows.append([f'{contrast.first} - {contrast.second}', number(success.difference.value),
                     interval_text(success.difference), test.name if test else '–',
                     number(test.adjusted, 3) if test else '–', _better(contrast, success)])
    return aligned(rows, (1, 4))


def _figures(comparison: Comparison) -> str:
    """Return the figures of each system over all its episodes."""
    names = [(value.name, value.unit) for value in comparison.sides[0].figures]
    rows = [['figure', *(side.letter for side in comparison.sides)]]
    for at, (name, unit) in enumerate(names):
        rows.append([_name(name, unit), *(number(side.figures[at].value)
                                          for side in comparison.sides)])
    return aligned(rows, range(1, len(rows[0])))


def _name(name: str, unit: str) -> str:
    return name if unit == '1' else f'{name} [{unit}]'


def _with_interval(value: MetricValue) -> str:
    return f'{number(value.value)}  {interval_text(value)}'.rstrip()


def _test(test: HypothesisTest) -> str:
    kind = 'e' if test.threshold > 1 else 'p'
    value = 'beyond 1e308' if test.value is None else f'{test.value:.3g}'
    asked = f'at {"least" if kind == "e" else "most"} {test.threshold:g} shows a difference'
    return f'{test.name}: {kind} = {value} (n = {test.n}; {asked})'
