"""
Alarms, hand-overs and refused commands as OCSF detection findings, for tools that collect those.

Open Cybersecurity Schema Framework 1.3.0, class Detection Finding (2004) of category Findings (2):
one finding for each spell of an alarm, each spell of another's command, and each refusal.
Times are arrivals at the recorder, as stamps may be simulated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
import json
from typing import Any

from wm_eval_ros.records import CycleRecord, EpisodeEvent, EventKind, Record, RunInfo

OCSF_VERSION = '1.3.0'
CLASS_UID = 2004
CATEGORY_UID = 2
_CREATE = 1
_NEW = 1
_NS_PER_MS = 1_000_000
_MEDIUM, _HIGH, _CRITICAL = 3, 4, 5
#: caption of each severity, as the schema names it
_SEVERITIES = {_MEDIUM: 'Medium', _HIGH: 'High', _CRITICAL: 'Critical'}


@dataclass(slots=True)
class Spell:
    """Something that began, went on and ended, or happened at once."""

    kind: str
    title: str
    severity: int
    episode: int
    #: arrival at the recorder of its first and last record [ns, system]
    begin_ns: int
    end_ns: int
    why: str = ''
    #: of an alarm: slots it was on in, and the largest score over its threshold
    first_slot: int | None = None
    last_slot: int | None = None
    score: float | None = None
    threshold: float | None = None


#: what begins a spell -> (what ends it, name, title, severity)
_SPELLS = {
    EventKind.DEGRADED_ON: (EventKind.DEGRADED_OFF, 'degraded', 'Supervision degraded', _MEDIUM),
    EventKind.FALLBACK_ON: (EventKind.FALLBACK_OFF, 'fallback',
                            'Command handed over to the fallback policy', _HIGH),
    EventKind.STOPPED_ON: (EventKind.STOPPED_OFF, 'stopped', 'Robot stopped by the supervisor',
                           _CRITICAL),
    EventKind.INTERVENTION_ON: (EventKind.INTERVENTION_OFF, 'intervention',
                                'Command taken over by an operator', _HIGH),
}
#: what happens at once -> (name, title, severity)
_MOMENTS = {
    EventKind.COMMAND_REFUSED: ('command_refused', 'Command refused by the gate', _MEDIUM),
    EventKind.CALIBRATION_LOST: ('calibration_lost', 'Calibration of the detector does not hold',
                                 _MEDIUM),
    EventKind.RECORDER_FAILED: ('recorder_failed', 'Recorder failed', _HIGH),
}
_ENDS = {end: begin for begin, (end, *_) in _SPELLS.items()}


def found_spells(records: Iterable[tuple[int, Record]]) -> list[Spell]:
    """
    Return alarms, hand-overs and refusals in the order in which they began.

    A spell that did not end ends with the last record.

    :param records: arrival [ns, system] and record, in order
    """
    found: list[Spell] = []
    opened: dict[EventKind, Spell] = {}
    alarm: Spell | None = None
    last_ns = 0
    for log_ns, record in records:
        last_ns = max(last_ns, log_ns)
        if isinstance(record, CycleRecord):
            alarm = _alarm(alarm, log_ns, record, found)
        elif isinstance(record, EpisodeEvent):
            _event(log_ns, record, opened, found)
    for spell in opened.values():
        spell.end_ns = last_ns
    return sorted(found, key=lambda spell: spell.begin_ns)


def finding_lines(spells: Iterable[Spell], info: RunInfo | None) -> Iterator[str]:
    """Yield each as a line of JSON."""
    for number, spell in enumerate(spells):
        yield json.dumps(finding(spell, number, info), ensure_ascii=False,
                         allow_nan=False) + '\n'


def finding(spell: Spell, number: int, info: RunInfo | None) -> dict[str, Any]:
    """
    Return one as an OCSF detection finding.

    :param number: of the findings of the run, from 0
    """
    run_id = info.run_id if info is not None else ''
    details = {name: value for name in (
        'kind', 'episode', 'why', 'first_slot', 'last_slot', 'score', 'threshold')
        if (value := getattr(spell, name)) not in (None, '')}
    return {
        'activity_id': _CREATE, 'activity_name': 'Create',
        'category_uid': CATEGORY_UID, 'category_name': 'Findings',
        'class_uid': CLASS_UID, 'class_name': 'Detection Finding',
        'type_uid': CLASS_UID * 100 + _CREATE, 'type_name': 'Detection Finding: Create',
        'severity_id': spell.severity, 'severity': _SEVERITIES[spell.severity],
        'status_id': _NEW, 'status': 'New',
        'time': spell.begin_ns // _NS_PER_MS, 'start_time': spell.begin_ns // _NS_PER_MS,
        'end_time': spell.end_ns // _NS_PER_MS,
        'message': spell.title + (f': {spell.why}' if spell.why else ''),
        'finding_info': {
            'uid': f'{run_id}/{number}', 'title': spell.title, 'types': [spell.kind],
            'created_time': spell.begin_ns // _NS_PER_MS,
            'first_seen_time': spell.begin_ns // _NS_PER_MS,
            'last_seen_time': spell.end_ns // _NS_PER_MS},
        'metadata': {
            'version': OCSF_VERSION,
            'product': {'name': 'wm_eval_ros', 'vendor_name': 'wm_eval_ros',
                        'version': info.package_version if info is not None else ''}},
        'unmapped': {'run_id': run_id, 'task': info.task if info is not None else '', **details},
    }


def _alarm(alarm: Spell | None, log_ns: int, cycle: CycleRecord, found: list[Spell],
           ) -> Spell | None:
    """Go on with a spell of the alarm, or begin or end one; no score does neither."""
    if alarm is not None and alarm.episode != cycle.episode:
        alarm = None
    if cycle.surprise != cycle.surprise or cycle.surprise_threshold != cycle.surprise_threshold:
        return alarm
    if not cycle.surprise > cycle.surprise_threshold:
        return None
    if alarm is None:
        alarm = Spell('alarm', 'Surprise above its threshold', _MEDIUM, cycle.episode, log_ns,
                      log_ns, first_slot=cycle.slot)
        found.append(alarm)
    alarm.end_ns, alarm.last_slot = log_ns, cycle.slot
    if alarm.score is None or cycle.surprise > alarm.score:
        alarm.score, alarm.threshold = _number(cycle.surprise), _number(cycle.surprise_threshold)
    return alarm


def _event(log_ns: int, event: EpisodeEvent, opened: dict[EventKind, Spell],
           found: list[Spell]) -> None:
    if event.kind in _SPELLS and event.kind not in opened:
        _, kind, title, severity = _SPELLS[event.kind]
        opened[event.kind] = Spell(kind, title, severity, event.episode, log_ns, log_ns,
                                   event.label)
        found.append(opened[event.kind])
    elif event.kind in _ENDS and (spell := opened.pop(_ENDS[event.kind], None)) is not None:
        spell.end_ns = log_ns
    elif event.kind in _MOMENTS:
        kind, title, severity = _MOMENTS[event.kind]
        found.append(Spell(kind, title, severity, event.episode, log_ns, log_ns, event.label))


def _number(value: float) -> float:
    """Return a number JSON can hold: an infinite score is the largest there is."""
    return max(-1.7976931348623157e308, min(1.7976931348623157e308, value))
