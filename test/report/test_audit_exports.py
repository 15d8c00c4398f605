"""Audit lines and OCSF findings of runs whose alarms and hand-overs are known."""

from __future__ import annotations

from hashlib import sha256
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.cli.main import main
from wm_eval_ros.report.exports.ocsf import finding, found_spells

#: attributes that OCSF 1.3.0 requires, and their types: those of the base event, of Detection
#: Finding (2004), and of the objects in it
REQUIRED = {
    '': {'activity_id': int, 'category_uid': int, 'class_uid': int, 'finding_info': dict,
         'metadata': dict, 'severity_id': int, 'time': int, 'type_uid': int},
    'finding_info': {'title': str, 'uid': str},
    'metadata': {'product': dict, 'version': str},
    'metadata.product': {'vendor_name': str},
}
#: values that the schema allows
ALLOWED = {'activity_id': {1, 2, 3, 99}, 'severity_id': {0, 1, 2, 3, 4, 5, 6, 99},
           'status_id': {0, 1, 2, 3, 4, 99}}


def at(event: dict[str, Any], path: str) -> Any:
    for key in filter(None, path.split('.')):
        event = event[key]
    return event


def check_ocsf(event: dict[str, Any]) -> None:
    for path, names in REQUIRED.items():
        for name, kind in names.items():
            assert isinstance(at(event, path)[name], kind), f'{path}.{name}'
    for name, values in ALLOWED.items():
        assert event[name] in values, name
    assert event['class_uid'] == 2004
    assert event['category_uid'] == event['class_uid'] // 1000
    assert event['type_uid'] == event['class_uid'] * 100 + event['activity_id']
    # milliseconds since 1970, of this century
    assert 10**12 < event['time'] < 4 * 10**12
    assert event['start_time'] <= event['end_time']


@pytest.fixture
def records(scenes: ModuleType) -> list[Any]:
    """Episode 0: an alarm in slots 2 to 3 and in 5; episode 1: one in slot 6, and a fallback."""
    scores = [0.1, 0.2, 1.5, 2.5, 0.3, 1.1, 1.2, 0.1]
    cycles = [scenes.cycle(k, episode=k // 6, surprise=s, surprise_threshold=1.0)
              for k, s in enumerate(scores)]
    return [scenes.info(), scenes.event('START', 0, 0, '', 7), *cycles[:4],
            scenes.cycle(90, 'SKIPPED'), *cycles[4:6],
            scenes.event('COMMAND_REFUSED', 0, 260, 'effort[0] is not finite'),
            scenes.event('SUCCESS', 0, 290, '', 0.29), scenes.event('START', 1, 300, '', 8),
            cycles[6], scenes.event('FALLBACK_ON', 1, 310, 'alarm'), cycles[7],
            scenes.event('FALLBACK_OFF', 1, 360, 'clear'),
            scenes.event('STOPPED_ON', 1, 370, 'operator')]


def test_each_spell_of_an_alarm_or_hand_over_is_one_finding(
    records: list[Any], scenes: ModuleType,
) -> None:
    spells = found_spells((scenes.ROS + n * 10**9, r) for n, r in enumerate(records))
    assert [(s.kind, s.episode, s.first_slot, s.last_slot) for s in spells] == [
        ('alarm', 0, 2, 3), ('alarm', 0, 5, 5), ('command_refused', 0, None, None),
        ('alarm', 1, 6, 6), ('fallback', 1, None, None), ('stopped', 1, None, None)]
    assert (spells[0].score, spells[0].threshold) == (2.5, 1.0)
    assert (spells[0].end_ns - spells[0].begin_ns, spells[4].why) == (10**9, 'alarm')
    # stopped is still on at the end of the record
    assert spells[5].end_ns == scenes.ROS + (len(records) - 1) * 10**9
    for number, spell in enumerate(spells):
        event = finding(spell, number, scenes.info())
        check_ocsf(event)
        assert event['finding_info']['uid'] == f'r1/{number}'
    assert finding(spells[4], 4, None)['severity'] == 'High'


def test_findings_and_audit_records_are_lines_of_a_bag(
    records: list[Any], scenes: ModuleType, tmp_path: Path,
) -> None:
    bag = scenes.write_bag(tmp_path / 'bag', records)
    assert main(['export', str(bag), '--ocsf', str(tmp_path / 'o'), '--audit',
                 str(tmp_path / 'a')]) == 0
    events = [json.loads(line) for line in (tmp_path / 'o').read_text().splitlines()]
    assert len(events) == 6
    for event in events:
        check_ocsf(event)
    lines = [json.loads(line) for line in (tmp_path / 'a').read_text().splitlines()]
    with open_bag(bag) as opened:
        hashes = [sha256(m.data).hexdigest() for m in opened.messages(['/planner_cycle'])]
    assert [line['cdr_sha256'] for line in lines] == hashes
    assert [line['slot'] for line in lines] == [0, 1, 2, 3, 90, 4, 5, 6, 7]
    assert lines[2]['surprise'] == 1.5
    assert lines[2]['run']['model'] == {'name': 'reacher'}


def test_a_bag_of_another_kind_has_neither(tmp_path: Path, capsys: Any) -> None:
    from wm_eval_ros.bag.writer import BagWriter
    with BagWriter(tmp_path / 'bag') as writer:
        writer.add_topic('/u', 'std_msgs/msg/Empty')
        writer.write('/u', b'\0\1\0\0\0', 1)
    assert main(['export', str(tmp_path / 'bag'), '--ocsf', str(tmp_path / 'o')]) == 2
    assert 'no record of this package; it holds /u' in capsys.readouterr().err
    assert not (tmp_path / 'o').exists()
