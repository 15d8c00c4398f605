"""A latency curve as people and programs read it."""

from __future__ import annotations

from pathlib import Path
import sys

from wm_eval_ros.cli.outputs import write_files
from wm_eval_ros.cli.sweep_output import SWEEP_FILE
from wm_eval_ros.errors import MissingExtraError
from wm_eval_ros.report.text import aligned, interval_text, number
from wm_eval_ros.scoring.latency_curve import CurvePoint, LatencyCurve

#: name of the file programs read
CURVE_FILE = 'latency_curve.json'
_HOLDS = {True: 'yes', False: 'no', None: '?'}


def print_curve(curve: LatencyCurve, *, as_json: bool) -> None:
    """Print the curve on stdout."""
    sys.stdout.write(curve.to_json() if as_json else table(curve))


def write_curve(curve: LatencyCurve, folder: Path) -> list[Path]:
    """
    Write ``latency_curve.json``, the ``sweep.json`` it is made of, and the page.

    Without plotly the page is left out, with a line.

    :raises RecordingError: the folder cannot be written
    """
    from wm_eval_ros.report.latency_curve_page import page
    files = {CURVE_FILE: curve.to_json(), SWEEP_FILE: curve.sweep.to_json()}
    try:
        files['latency_curve.html'] = page(curve)
    except MissingExtraError as error:
        print(f'wm-eval latency-curve: {error}', file=sys.stderr)
    return write_files(folder, files)


def table(curve: LatencyCurve) -> str:
    """Return points, reading and boards as text."""
    head = ['latency [ms]', *(['delay', 'repeat', 'horizon'] if curve.compensated else []),
            'n', 'success', '95 %', 'change', '95 %', f'{curve.bound:g}']
    told = 3 if curve.compensated else 0
    rows = [head, *(_row(p, told=bool(told)) for p in curve.points)]
    where = f'{curve.sweep.scenario}, {curve.sweep.clock}, period {curve.period_ms:g} ms'
    text = [f'{where}{", planner told" if curve.compensated else ""}',
            aligned(rows, [*range(3 + told), 4 + told]), '']
    text += [f'{v.name}: {number(v.value)} {v.unit}  {interval_text(v)}'.replace(' 1 ', ' ')
             for v in curve.sweep.figures]
    text.append(f'curve: {curve.sentence}')
    for fit in curve.fits:
        text.append(f'this model on this board ({fit.board.name}): {fit.sentence}')
        text += [f'note: {note}' for note in fit.notes]
    for each in curve.confirmations:
        text.append(f'realtime ({each.bag}): {each.sentence}')
        text += [f'note: {note}' for note in each.notes]
    text += [f'note: {note}' for note in (*curve.sweep.notes, *curve.notes)]
    return '\n'.join([*text, f'verdict: {curve.verdict}']) + '\n'


def _row(at: CurvePoint, *, told: bool) -> list[str]:
    success, change = at.point.success, at.change
    settings = [str(value) for value in at.told] if told else []
    ends = ['' if v.interval is None else f'{v.interval.low:.3f} … {v.interval.high:.3f}'
            for v in (success, change)]
    return [f'{at.latency_ms:g}', *settings, str(success.n), number(success.value, 3), ends[0],
            number(change.value, 3), ends[1], _HOLDS[at.holds]]
