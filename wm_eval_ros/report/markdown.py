"""A run or a comparison in a few lines of Markdown, for a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import re

from wm_eval_ros.records import MetricValue, Verdict
from wm_eval_ros.report.checks import Check, GATE, overall
from wm_eval_ros.report.forest import difference_range, difference_text
from wm_eval_ros.report.page import BOARD, KEYS, reasons
from wm_eval_ros.report.parts import lookup, MARKS, range_text, shown
from wm_eval_ros.report.text import title
from wm_eval_ros.scoring.compare import Better, Comparison, Contrast, Effect
from wm_eval_ros.scoring.gates import SEVERITY
from wm_eval_ros.scoring.scorecard import Scorecard

#: checks of the evidence named at most, and notes of a comparison; the rest is counted
_MOST_CHECKS = 6


def run_summary(card: Scorecard, checks: Sequence[Check] = (),
                others: Sequence[Scorecard] = ()) -> str:
    """Return verdict, gates and key figures of a run."""
    rows = [(name, _figure(card, name)) for name in BOARD.values()]
    rows += [(name, value) for name in KEYS.values()
             if (value := _figure(card, name)).value is not None]
    parts = [f'### {_verdict(checks)}: {escaped(title(card))}',
             f'{escaped(reasons(checks))}.', _checks(checks), figures(rows),
             _baselines(card, others)]
    return '\n\n'.join(part for part in parts if part) + '\n'


def _verdict(checks: Sequence[Check]) -> str:
    """Return the verdict; complete evidence alone is no approval of what it shows."""
    verdict = overall(checks)
    if verdict is Verdict.PASS and not any(check.group == GATE for check in checks):
        return 'scored, no gate'
    return MARKS[verdict]


def escaped(text: str) -> str:
    r"""
    Return text that Markdown shows as it stands, on one line.

    >>> escaped('a|b <i> *c*')
    'a\\|b &lt;i&gt; \\*c\\*'
    """
    plain = text.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')
    return re.sub(r'([\\`*_\[\]|~#])', r'\\\1', ' '.join(plain.split()))


def code(text: str) -> str:
    """Return text in the type of code, also within a table."""
    return '`' + ' '.join(text.split()).replace('`', "'").replace('|', '\\|') + '`'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Return a Markdown table; columns in right are set flush right."""
    rule = ['---:' if at in right else '---' for at in range(len(head))]
    return '\n'.join(f'| {" | ".join(row)} |' for row in [head, rule, *rows])


def figures(rows: Iterable[tuple[str, MetricValue]]) -> str:
    """Return figures with n and interval, or the reason why there is none."""
    return table(('figure', 'value', 'n', '95 % interval, or the reason'),
                 ((code(name), ' '.join(shown(value)).strip(), f'{value.n}',
                   escaped(range_text(value))) for name, value in rows), (1, 2))


def _figure(card: Scorecard, name: str) -> MetricValue:
    return lookup((*card.values, *card.host), name)


def _checks(checks: Sequence[Check]) -> str:
    """Return the gates, then of the other checks the worst of those that do not pass."""
    ranked = sorted(checks, key=lambda c: SEVERITY.index(c.verdict))
    gates = [c for c in ranked if c.group == GATE]
    others = [c for c in ranked if c.group != GATE and c.verdict is not Verdict.PASS]
    lines = [f'- {MARKS[c.verdict]} {code(c.name)}: {escaped(c.text)}'
             for c in (*gates, *others[:_MOST_CHECKS])]
    if len(others) > _MOST_CHECKS:
        lines.append(f'- and {len(others) - _MOST_CHECKS} more of the evidence')
    return '\n'.join(lines)


def _baselines(card: Scorecard, others: Sequence[Scorecard]) -> str:
    if not others:
        return ''
    rows = [(c, lookup(c.values, 'success_rate')) for c in (card, *others)]
    return table(('planner', 'success', 'n', '95 % interval, or the reason'),
                 ((escaped(str(c.manifest.get('planner') or '?')), ' '.join(shown(value)).strip(),
                   f'{value.n}', escaped(range_text(value))) for c, value in rows), (1, 2))


def comparison_summary(comparison: Comparison) -> str:
    """Return verdict, sides and effects of a comparison."""
    notes = [*comparison.notes, *(f'{side.letter}: {note}' for side in comparison.sides
                                  for note in side.notes)]
    shown_notes = [f'- {escaped(note)}' for note in notes[:_MOST_CHECKS]]
    if len(notes) > _MOST_CHECKS:
        shown_notes.append(f'- and {len(notes) - _MOST_CHECKS} more')
    parts = [f'### {MARKS[comparison.verdict]}: {escaped(comparison.sentence)}',
             _sides(comparison), *(_contrast(comparison, c) for c in comparison.contrasts),
             '\n'.join(shown_notes)]
    return '\n\n'.join(part for part in parts if part) + '\n'


def _sides(comparison: Comparison) -> str:
    letters = ('letters',) if comparison.letters else ()
    rows = [(side.letter, escaped(side.title), ' '.join(shown(side.figures[0])).strip(),
             f'{side.figures[0].n}', escaped(range_text(side.figures[0])),
             *([comparison.letters[side.letter]] if letters else []))
            for side in comparison.sides if side.figures]
    return table(('', 'system', 'success', 'n', '95 % interval, or the reason', *letters), rows,
                 (2, 3))


def _contrast(comparison: Comparison, contrast: Contrast) -> str:
    """Return the effects of two sides; of several contrasts only that on success."""
    several = len(comparison.contrasts) > 1
    effects = (contrast.success,) if several else (contrast.success, *contrast.others)
    a, b = contrast.first, contrast.second
    head = ('figure', a, b, f'{a} − {b}', '95 % interval, or the reason', 'better')
    said = f'{a} against {b}: {escaped(contrast.pairing)}.'
    return f'{said}\n\n{table(head, (_effect(contrast, e) for e in effects), (1, 2, 3))}'


def _effect(contrast: Contrast, effect: Effect) -> tuple[str, ...]:
    better = {Better.FIRST: contrast.first, Better.SECOND: contrast.second,
              Better.NEITHER: 'neither shown', Better.INCOMPARABLE: 'not comparable'}
    return (code(effect.name), ' '.join(shown(effect.first)).strip(),
            ' '.join(shown(effect.second)).strip(), difference_text(effect.difference),
            escaped(difference_range(effect.difference)), better[effect.better])
