"""A search for breaking perturbations as people read it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from wm_eval_ros.report.text import aligned
from wm_eval_ros.scoring.red_team import RedTeam, Trial

#: trials shown at most, the mildest first
_MOST = 12


def table(found: RedTeam) -> str:
    """Return what was run, the mildest first, and what that says."""
    ranked = sorted(found.trials, key=lambda trial: trial.cost)
    kept = [trial for trial in ranked if trial.breaks][:_MOST]
    kept += [t for t in reversed(ranked) if not t.breaks][:_MOST - len(kept)]
    rows = [['cost', 'success', 'fall', 'p', 'breaks', 'perturbations'],
            *_rows(sorted(kept, key=lambda trial: trial.cost))]
    text = [f'{found.scenario}, {found.clock}, seed {found.seed}: searched '
            + ', '.join(f'{key} in [{low:g}, {high:g}]'
                        for key, (low, high) in found.searched.items()),
            aligned(rows, [0, 1, 2, 3])]
    if len(found.trials) > len(kept):
        text.append(f'{len(found.trials) - len(kept)} more are in the result file')
    if found.confirmations:
        text += ['', 'on fresh starts:', aligned([rows[0], *_rows(found.confirmations)],
                                                 [0, 1, 2, 3])]
    return '\n'.join([*text, '', found.verdict, *(f'note: {n}' for n in found.notes)]) + '\n'


def _rows(trials: Iterable[Trial]) -> list[list[str]]:
    return [[f'{t.cost:.3f}', f'{t.effect.perturbed}/{t.effect.n}',
             f'{t.effect.drop(t.alpha).value:.2f}', f'{t.effect.p_value:.2g}',
             'yes' if t.breaks else 'no', '; '.join(_named(p) for p in t.perturbations)]
            for t in trials]


def _named(each: Mapping[str, Any]) -> str:
    lasts = f' for {each["duration_s"]:.3g} s' if each['duration_s'] else ''
    own = ''.join(f' {key} {value:.3g}' for key, value in each['parameters'].items())
    return f'{each["name"]} {each["severity"]:.3g} from {each["start_s"]:.3g} s{lasts}{own}'
