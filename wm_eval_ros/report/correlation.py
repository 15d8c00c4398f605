"""What a dream says of policies beside what the world says, as text and as markdown."""

from __future__ import annotations

from wm_eval_ros.records import MetricValue
from wm_eval_ros.report.markdown import escaped, table
from wm_eval_ros.report.parts import MARKS
from wm_eval_ros.report.text import aligned, interval_text, number
from wm_eval_ros.scoring.dreams import Correlation

_POLICIES = ['policy', 'world', 'n', 'dream', 'n', 'dream - world', 'interval or reason', 'model']
_FIGURES = ['figure', 'value', 'n', 'interval or reason']


def correlation_text(found: Correlation) -> str:
    """Return policies, figures, error by depth, notes and verdict as text."""
    rows, figures, depth = _policies(found), _values(found.figures), _values(found.depth)
    parts = [_title(found), aligned([_POLICIES, *rows], (1, 2, 3, 4, 5)),
             aligned([_FIGURES, *figures], (1, 2)), aligned([_FIGURES, *depth], (1, 2)),
             *(f'note: {note}' for note in found.notes),
             f'{found.verdict.value.upper()}: {found.sentence}']
    return '\n\n'.join(parts) + '\n'


def correlation_summary(found: Correlation) -> str:
    """Return the same as markdown."""
    parts = [f'### {MARKS[found.verdict]}: {escaped(found.sentence)}', escaped(_title(found)),
             table(_POLICIES, _marked(_policies(found)), (1, 2, 3, 4, 5)),
             table(_FIGURES, _marked([*_values(found.figures), *_values(found.depth)]), (1, 2)),
             '\n'.join(f'- {escaped(note)}' for note in found.notes)]
    return '\n\n'.join(part for part in parts if part) + '\n'


def _title(found: Correlation) -> str:
    dream = found.dream
    frames = dream.get('keyframe_steps')
    often = f'key frames every {frames} steps' if frames else 'no key frames'
    return (f'task {found.task}, clock {found.clock}, dream of {dream.get("model")} '
            f'({str(dream.get("model_sha256"))[:16]}...), {often}')


def _policies(found: Correlation) -> list[list[str]]:
    return [[p.title, number(p.real.value), str(p.real.n), number(p.dreamed.value),
             str(p.dreamed.n), number(p.optimism.value), interval_text(p.optimism),
             "the dream's own" if p.own else ''] for p in found.pairs]


def _values(values: tuple[MetricValue, ...]) -> list[list[str]]:
    return [[v.name, number(v.value), str(v.n), interval_text(v)] for v in values]


def _marked(rows: list[list[str]]) -> list[list[str]]:
    return [[escaped(cell) for cell in row] for row in rows]
