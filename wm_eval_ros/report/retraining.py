"""The report of a retraining as plain text: what happened, in order, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def text(report: Mapping[str, Any]) -> str:
    """
    Tell the story of `wm-eval retrain`.

    :param report: what ``retrain.json`` holds
    """
    shift = ' + '.join(f'{p["name"]} {p["severity"]:g}' for p in report['shift'])
    success = report['success']
    lines = [f'{report["case"]}: {report["scenario"]}, {shift}', '',
             'old model', f'  old condition         {_rate(success["nominal_old"])}',
             f'  under the shift       {_rate(success["shifted_old"])}']
    if 'alarms' in report:
        lines += [f'  with its detector     {_alarms(report["alarms"])}',
                  f'                        {_rate(success["guarded"])}']
    lines += _training(report)
    lines += ['retrained model', f'  under the shift       {_rate(success["shifted_new"])}',
              f'  old condition         {_rate(success["nominal_new"])}', '']
    lines += [f'{c["verdict"].upper()}: {c["name"]}: {c["sentence"]}'
              for c in report['promotion']['conditions']]
    return '\n'.join([*lines, '', *_end(report)]) + '\n'


def _training(report: Mapping[str, Any]) -> list[str]:
    made, mined = report['training'], report.get('mined')
    lines = ['']
    if mined is not None:
        why = ', '.join(f'{name} {count}' for name, count in mined['reasons'].items())
        lines.append(f'mined    {mined["windows"]} windows, {mined["mined"]} of '
                     f'{mined["slots"]} slots ({why})')
    lines += [f'trained  {made["steps"]} steps on {made["transitions"]} transitions of '
              f'{made["episodes"]} episodes, new and old: {made["wall_s"]:.1f} s, '
              f'{made["cpu_s"]:.1f} s of CPU', '']
    return lines


def _end(report: Mapping[str, Any]) -> list[str]:
    kept = report['registry']
    lines = []
    if (done := report.get('confirmed')) is not None:
        lines += [f'in force, fresh starts under the shift: {_rate(done["success"])}',
                  f'  {_alarms(done)}']
    lines += [f'{v["name"]}: {_time(v)}' for v in report['time']]
    if 'rolled_back' in report:
        lines.append(f'ROLLED BACK: {report["rolled_back"]}')
    what = 'promoted' if report['verdict'] == 'pass' else 'not promoted'
    lines.append(f'version {kept["version"]} {what}; in force: {kept["in_force"]} '
                 f'({kept["folder"]})')
    return lines


def _rate(rate: Mapping[str, Any]) -> str:
    return (f'{rate["successes"]}/{rate["episodes"]} solved, {rate["value"]:.2f} '
            f'[{rate["low"]:.2f}, {rate["high"]:.2f}]')


def _alarms(found: Mapping[str, Any]) -> str:
    delay = found['delay_s']
    after = '' if delay is None else f', {delay:.2f} s after the shift (median)'
    return (f'alarm in {found["alarmed"]}/{found["episodes"]} episodes{after}; handed over in '
            f'{found["handed_over"]}/{found["episodes"]}')


def _time(value: Mapping[str, Any]) -> str:
    if value['value'] is None:
        return f'none: {value["why"]}'
    return f'{3600 * value["value"]:.1f} s'
