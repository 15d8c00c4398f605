"""A comparison as plain text for terminals."""

from __future__ import annotations

from wm_eval_ros.records import MetricValue, Verdict
from wm_eval_ros.report.text import aligned, number
from wm_eval_ros.scoring.compare import Better, Comparison, Contrast, Effect, HypothesisTest

_WORDS = {Verdict.PASS: 'PASS', Verdict.FAIL: 'FAIL', Verdict.INCONCLUSIVE: 'INCONCLUSIVE'}


def comparison_text(comparison: Comparison) -> str:
    """Return sides, every contrast, notes and verdict as text."""
    parts = [_sides(comparison)]
    parts += [_contrast(comparison, contrast) for contrast in comparison.contrasts]
    gap = comparison.planning_gap
    if gap is not None:
        parts.append(f'{gap.name} = {_value(gap)} {_interval(gap)}'.rstrip())
    parts += [f'note: {note}' for note in comparison.notes]
    parts.append(f'{_WORDS[comparison.verdict]}: {comparison.sentence}')
    return '\n\n'.join(parts) + '\n'


def _sides(comparison: Comparison) -> str:
    rows = [['', 'system', 'clock', 'episodes', 'success', *(['letters'] * bool(
        comparison.letters))]]
    for side in comparison.sides:
        success = side.figures[0]
        rows.append([side.letter, side.title, str(side.manifest.get('clock', '')),
                     str(len(side.episodes)), f'{_value(success)} {_interval(success)}'.rstrip(),
                     *([comparison.letters[side.letter]] if comparison.letters else [])])
    notes = [f'{side.letter}: {note}' for side in comparison.sides for note in side.notes]
    return '\n'.join([aligned(rows, (3,)), *notes])


def _contrast(comparison: Comparison, contrast: Contrast) -> str:
    a, b = contrast.first, contrast.second
    rows = [['figure', a, b, f'{a} - {b}', 'interval or reason', 'better']]
    rows += [_row(contrast, effect) for effect in (contrast.success, *contrast.others)]
    lines = [f'{a} against {b}: {contrast.pairing}', aligned(rows, (1, 2, 3))]
    if contrast.table is not None:
        t = contrast.table
        lines.append(f'pairs: both solved {t.both}, only {a} {t.only_first}, only {b} '
                     f'{t.only_second}, neither {t.neither}')
    lines += [_test(test) for test in contrast.success.tests]
    if len(comparison.contrasts) > 1:
        lines.append(contrast.sentence)
    return '\n'.join(lines)


def _row(contrast: Contrast, effect: Effect) -> list[str]:
    names = {Better.FIRST: contrast.first, Better.SECOND: contrast.second,
             Better.NEITHER: '', Better.INCOMPARABLE: 'not comparable'}
    unit = '' if effect.unit == '1' else f' [{effect.unit}]'
    return [effect.name + unit, number(effect.first.value), number(effect.second.value),
            number(effect.difference.value), _interval(effect.difference), names[effect.better]]


def _value(value: MetricValue) -> str:
    return number(value.value)


def _interval(value: MetricValue) -> str:
    if value.interval is None:
        return value.why
    low, high, confidence, _ = value.interval
    return f'{number(low)} … {number(high)}  ({confidence:.0%})'


def _test(test: HypothesisTest) -> str:
    kind = 'e' if test.threshold > 1 else 'p'
    value = 'none' if test.value is None else f'{test.value:.3g}'
    asked = f'at {"least" if kind == "e" else "most"} {test.threshold:g} shows a difference'
    adjusted = '' if test.adjusted is None else f', {test.adjusted:.3g} after Holm'
    return f'{test.name}: {kind} = {value}{adjusted} (n = {test.n}; {asked})'
