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
    lines = [f'{report["case"]}: {report["scenario"]}, {shift}', '', 'old model',
             f'  old condition      {_rate(success["nominal_old"])}',
             f'  under the shift    {_rate(success["shifted_old"])}']
    if 'alarms' in report:
        lines += [f'  with its detector  {_alarms(report["alarms"])}',
                  f'                     {_rate(success["guarded_old"])}', '',
                  _mined(report['mined'])]
    for number, entry in enumerate(report['rounds'], 1):
        lines += ['', *_round(number, entry)]
    return '\n'.join([*lines, '', *_end(report)]) + '\n'


def _mined(mined: Mapping[str, Any]) -> str:
    why = ', '.join(f'{name} {count}' for name, count in mined['reasons'].items())
    return f'mined {mined["windows"]} windows, {mined["mined"]} of {mined["slots"]} slots: {why}'


def _round(number: int, entry: Mapping[str, Any]) -> list[str]:
    made = entry['training']
    return [f'round {number}: version {entry["version"]}',
            f'  trained            {made["steps"]} steps on {made["transitions"]} transitions, '
            f'{made["wall_s"]:.1f} s, {made["cpu_s"]:.1f} s of CPU',
            *([] if made['improved'] else ['  NOT IMPROVED: the weights it began with']),
            f'  under the shift    {_rate(entry["success"]["shifted"])}',
            f'  old condition      {_rate(entry["success"]["nominal"])}',
            *_conditions(entry)]


def _conditions(judged: Mapping[str, Any]) -> list[str]:
    return [f'  {c["verdict"].upper()}: {c["name"]}: {c["sentence"]}'
            for c in judged['conditions']]


def _end(report: Mapping[str, Any]) -> list[str]:
    kept, lines = report['registry'], []
    if (again := report.get('confirmed')) is not None:
        lines += ['once more, on fresh starts',
                  f'  under the shift    {_rate(again["success"]["shifted"])}',
                  f'  old condition      {_rate(again["success"]["nominal"])}',
                  *_conditions(again), '']
    if (done := report.get('guarded')) is not None:
        lines += ['as deployed, under the shift',
                  f'  with its detector  {_alarms(done)}',
                  f'                     {_rate(done["success"])}']
    lines += [f'{v["name"]}: {_time(v)}' for v in report['time']]
    if 'turned_down' in report:
        lines.append(f'NOT PROMOTED: {report["turned_down"]}')
    lines.append(f'{report["verdict"].upper()}: version {kept["in_force"]} is in force in '
                 f'{kept["folder"]}')
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
