"""What the bench of real-time hygiene counts, and in which part of a run; nothing is timed."""

from __future__ import annotations

from pathlib import Path
import subprocess
import sys
from typing import Any

import pytest

from wm_eval_ros.records import CycleRecord, CycleStatus, InputRef, LinkEvent, LinkKind, NEVER_NS

S, MS = 10**9, 10**6


def cycle(due_ns: int, **changes: Any) -> CycleRecord:
    """A slot that begins 2 ms late and publishes 12 ms after it was due."""
    facts: dict[str, Any] = {
        'stamp_ns': due_ns, 'slot': due_ns // (50 * MS), 'episode': 0, 'status': CycleStatus.OK,
        'due_ns': due_ns, 'start_ns': due_ns + 2 * MS, 'infer_start_ns': due_ns + 2 * MS,
        'infer_end_ns': due_ns + 12 * MS, 'publish_ns': due_ns + 12 * MS,
        'publish_system_ns': due_ns + 12 * MS, 'period_ns': 50 * MS, 'deadline_ns': 50 * MS,
        'command_stamp_ns': due_ns + 12 * MS, 'inputs': (InputRef('/joint_states', due_ns - MS),)}
    return CycleRecord(**facts | changes)


def link(kind: LinkKind, stamp_ns: int, at_ns: int, topic: str = '/joint_command') -> LinkEvent:
    return LinkEvent(kind, InputRef(topic, stamp_ns, steady_ns=at_ns))


def test_slots_and_samples_belong_to_the_part_in_which_they_were_due_or_sent(load: Any) -> None:
    bench = load('_hygiene')
    # the run begins at 10 s, the load at 15 s: 10 to 11 and 15 to 15.5 are left out
    dues = [10 * S + 500 * MS, 12 * S, 15 * S + 100 * MS, 16 * S]
    records: list[object] = []
    for k, due in enumerate(dues):
        records += [cycle(due), link(LinkKind.SENT, due - MS, due - MS, '/joint_states'),
                    link(LinkKind.RECEIVED, due + 12 * MS, due + (14 + k) * MS)]
    looked = [9 * S, 12 * S, 12 * S + 11 * MS, 16 * S, 16 * S + 30 * MS]
    found = bench.split(records, looked, 10 * S, 15 * S)
    assert found[bench.QUIET].jitter == [2.0]
    assert found[bench.QUIET].trip == [16.0]
    assert found[bench.LOADED].trip == [18.0]
    assert found[bench.LOADED].missed == [False]
    assert (found[bench.QUIET].look, found[bench.LOADED].look) == ([11.0, 3989.0], [30.0])


def test_a_slot_that_was_skipped_was_never_begun_and_is_missed(load: Any) -> None:
    bench = load('_hygiene')
    skipped = cycle(12 * S, status=CycleStatus.SKIPPED, start_ns=NEVER_NS, publish_ns=NEVER_NS,
                    command_stamp_ns=None, inputs=())
    found = bench.split([skipped], [], 10 * S, 15 * S)[bench.QUIET]
    assert (found.jitter, found.trip, found.missed) == ([], [], [True])


def test_an_echo_is_joined_by_the_stamp_of_what_it_answers(load: Any) -> None:
    found = load('_hygiene').trips([
        link(LinkKind.SENT, 7, 100 * MS, '/joint_states'), link(LinkKind.RECEIVED, 7, 101 * MS),
        # a second answer of one stamp, a proposal, and a command of the fallback
        link(LinkKind.RECEIVED, 7, 109 * MS), link(LinkKind.RECEIVED, 7, 100 * MS, '/proposed/x'),
        link(LinkKind.RECEIVED, 9, 103 * MS)], [])
    assert found == [(100 * MS, 1.0)]


@pytest.mark.parametrize(('change', 'want'), [
    ({}, False), ({'publish_ns': NEVER_NS}, True), ({'status': CycleStatus.SKIPPED}, True),
    ({'publish_ns': 50 * MS}, False), ({'publish_ns': 50 * MS + 1}, True)])
def test_a_slot_is_missed_unless_its_command_came_in_time(
    load: Any, change: dict[str, Any], want: bool
) -> None:
    assert load('_hygiene').missed(cycle(0, **change)) is want


def test_the_first_plan_is_held_against_the_later_ones_of_the_warm_up(load: Any) -> None:
    warm = [cycle(0, status=CycleStatus.WARMUP, infer_start_ns=at, infer_end_ns=at + took)
            for at, took in ((3, 20), (1, 90), (2, 30), (4, 40))]
    assert load('_hygiene').first_plan([*warm, cycle(0)]) == 3.0
    assert load('_hygiene').first_plan([cycle(0)]) is None


def test_each_block_holds_the_base_and_every_option_once_in_an_order_of_its_own(load: Any) -> None:
    found = load('bench_hygiene').orders(['mlock', 'pinned', 'composed'], 5, 0)
    assert {tuple(sorted(order)) for order in found} == {('base', 'composed', 'mlock', 'pinned')}
    assert len({tuple(order) for order in found}) > 1


def test_every_case_is_a_scenario_that_loads_and_the_base_has_no_option(
    load: Any, tmp_path: Path
) -> None:
    bench = load('_hygiene')
    made = {name: bench.scenario(case, 3.0) for name, case in bench.CASES.items()}
    base = made[bench.BASE]
    assert base.plant.time_limit_s == 7.5
    assert not (base.realtime_priority or base.lock_memory or base.pinned_cpus or base.composed)
    assert made['composed'].composed
    udp, shared = (bench.CASES[name].environment(tmp_path) for name in (
        'UDP alone', 'shared memory'))
    assert Path(udp['FASTDDS_DEFAULT_PROFILES_FILE']).is_file()
    assert shared == {'FASTDDS_BUILTIN_TRANSPORTS': 'DEFAULT'}


def test_the_heap_is_not_frozen_where_the_switch_is_set(load: Any, tmp_path: Path) -> None:
    more = load('_hygiene').CASES['no gc.freeze'].environment(tmp_path)
    code = 'import gc; gc.freeze(); print(gc.get_freeze_count() > 0)'
    said = [subprocess.run([sys.executable, '-c', code], env=env, capture_output=True, text=True,
                           check=True).stdout.strip() for env in ({}, dict(more))]
    assert said == ['True', 'False']


def test_what_a_process_has_of_the_system_is_read_from_it(load: Any) -> None:
    with subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE) as plain:
        assert load('_hygiene').granted(plain.pid) == frozenset()
        plain.communicate(b'\n')


def test_what_was_not_granted_or_failed_is_said_in_its_row(load: Any) -> None:
    hygiene, bench = load('_hygiene'), load('bench_hygiene')

    def found(trip: float, *lacks: str) -> Any:
        parts = {name: hygiene.Samples(*([trip] * 300,) * 2, [False] * 300, [10.0] * 300)
                 for name in (hygiene.QUIET, hygiene.LOADED)}
        return hygiene.Found(parts, frozenset(lacks), 60.0, None)

    rows = bench.summary({'base': [found(2.0), found(4.0)], 'mlock': [found(1.0, 'locked'), None]},
                         hygiene.LOADED)
    lines = bench.table(rows)
    assert lines[2].startswith('| base | 4.00 | 4.00 | 4.00 | 1.00 (1.00 to 1.00)')
    assert lines[3].startswith(
        '| mlock (not granted: locked) (1 failed) | 1.00 | 1.00 | 1.00 | 0.50 (')
    assert len({line.count('|') for line in lines}) == 1


@pytest.mark.slow
def test_the_bench_runs() -> None:
    pytest.importorskip('rclpy', reason='no ROS 2 here')
    script = Path(__file__).resolve().parents[2] / 'bench' / 'bench_hygiene.py'
    done = subprocess.run([sys.executable, str(script), '--quick'],
                          capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert '1 failed' not in done.stdout
    assert done.stdout.count('| composed |') == 2
