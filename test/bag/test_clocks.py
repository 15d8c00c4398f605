"""Clocks and rates of whole bags, each thing wrong made on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from wm_eval_ros.bag.columns import from_payloads, ROW
from wm_eval_ros.bag.preflight import Finding, Preflight, preflight, Severity
from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.bag.run_checks import RunChecks
from wm_eval_ros.bag.watch import TopicWatch
from wm_eval_ros.bag.writer import BagWriter
from wm_eval_ros.records import (
    ClockMode,
    CycleRecord,
    CycleStatus,
    EpisodeEvent,
    EventKind,
    Record,
    RunInfo,
    Verdict,
)

MS, S = 10**6, 10**9
START = 1_700_000_000 * S
JOINTS = 'sensor_msgs/msg/JointState'
PERIOD = 50 * MS


def look(path: Path, **options: Any) -> Preflight:
    with open_bag(path, salvage=True) as bag:
        return preflight(bag, **options)


def of_kind(found: Preflight, kind: str) -> list[Finding]:
    return [finding for finding in found.findings if finding.kind == kind]


@pytest.fixture
def make_bag(tmp_path: Path, joint_data: Callable[..., bytes]) -> Callable[..., Path]:
    """Return what writes topics of joint states from log times and stamps, in the order given."""

    def make(topics: dict[str, list[tuple[int, int]]]) -> Path:
        with BagWriter(tmp_path / 'bag') as writer:
            entries = [(log, n, topic, stamp) for topic, times in topics.items()
                       for n, (log, stamp) in enumerate(times)]
            for topic in topics:
                writer.add_topic(topic, JOINTS)
            if len(topics) > 1:
                entries.sort()
            for log, n, topic, stamp in entries:
                writer.write(topic, joint_data(stamp, float(n)), log)
        return tmp_path / 'bag'

    return make


def ticks(count: int = 400, offset: Callable[[int], int] = lambda n: 0,
          start: int = START) -> list[tuple[int, int]]:
    """Return log times 50 ms apart, and stamps that are so far ahead."""
    return [(start + n * PERIOD, start + n * PERIOD + offset(n)) for n in range(count)]


def test_a_bag_of_one_clock_says_nothing(make_bag: Callable[..., Path]) -> None:
    found = look(make_bag({'/a': ticks(), '/b': ticks(offset=lambda n: -3 * MS)}),
                 closed_loop=False)
    assert [f for f in found.findings if f.severity is not Severity.INFO] == []


def test_two_clocks_in_one_bag_are_counted_and_named(make_bag: Callable[..., Path]) -> None:
    found = look(make_bag({
        '/robot/a': ticks(offset=lambda n: 774 * MS), '/robot/b': ticks(offset=lambda n: 770 * MS),
        '/here': ticks(offset=lambda n: -20 * MS)}), closed_loop=False)
    clocks, = of_kind(found, 'clocks')
    assert clocks.value == 2
    assert clocks.what == ("header stamps of 2 clocks in one bag: /here on the recorder's; "
                           '/robot/b, /robot/a 770 ms ahead of it')


def test_age_alone_makes_no_second_clock(make_bag: Callable[..., Path]) -> None:
    found = look(make_bag({'/a': ticks(), '/slow': ticks(offset=lambda n: -400 * MS)}),
                 closed_loop=False)
    assert of_kind(found, 'clocks') == []


def test_an_offset_is_told_in_a_unit_that_suits_it(make_bag: Callable[..., Path]) -> None:
    found = look(make_bag({'/a': ticks(offset=lambda n: 300 * S)}), closed_loop=False)
    assert [f.what for f in of_kind(found, 'clock')] == [
        "header stamps are 300.0 s ahead of the recorder's clock"]


def test_a_clock_that_was_set_is_one_finding_with_time_and_size(
    make_bag: Callable[..., Path],
) -> None:
    def jump(n: int) -> int:
        return 0 if n < 200 else 250 * MS

    found = look(make_bag({'/a': ticks(offset=jump), '/b': ticks(offset=jump), '/c': ticks()}),
                 closed_loop=False)
    step, = of_kind(found, 'clock_step')
    assert (step.value, step.at_ns) == (250, START + 10 * S)
    assert '/a, /b step ahead by 250 ms' in step.what and '10.0 s into the bag' in step.what


@pytest.mark.parametrize(('starts', 'severity', 'what'), [
    pytest.param([0, START], Severity.ERROR, '100 before 2000, 100 of this century',
                 id='set-on-the-way'),
    pytest.param([10**15, 10**15 + S], Severity.WARNING, '200 before 2000', id='never-set'),
    pytest.param([START, 5 * 10**18], Severity.ERROR, '100 of this century, 100 after 2100',
                 id='in-the-future'),
])
def test_log_times_are_of_one_clock_that_was_set(
    make_bag: Callable[..., Path], starts: list[int], severity: Severity, what: str,
) -> None:
    times = [(log, START) for start in starts for log, _ in ticks(100, start=start)]
    log_time, = of_kind(look(make_bag({'/a': times}), closed_loop=False), 'log_time')
    assert log_time.severity is severity
    assert what in log_time.what


def test_log_times_before_1970_are_an_error(tmp_path: Path) -> None:
    from mcap.writer import Writer
    with (tmp_path / 'x.mcap').open('wb') as file:
        writer = Writer(file)
        writer.start('ros2')
        channel = writer.register_channel('/t', 'cdr', writer.register_schema('a/b', '', b''))
        for log_ns in (START, 2**64 - 5, START + 1):
            writer.add_message(channel, log_ns, b'', 0)
        writer.finish()  # type: ignore[no-untyped-call]
    with open_bag(tmp_path / 'x.mcap') as bag:
        assert [m.log_ns for m in bag.messages()] == [-5, START, START + 1]
    log_time, = of_kind(look(tmp_path / 'x.mcap', closed_loop=False), 'log_time')
    assert log_time.severity is Severity.ERROR
    assert '1 before 1970' in log_time.what


def test_a_recorder_s_clock_that_was_set_back_is_told_from_a_queue(
    make_bag: Callable[..., Path],
) -> None:
    # one topic falls back in its own file order: only a clock does that
    times = [(START + n * PERIOD - (3 * S if n >= 2000 else 0), START) for n in range(4000)]
    step, = of_kind(look(make_bag({'/a': times}), closed_loop=False), 'clock_step')
    assert step.value == -2950  # the last before it is 50 ms older than where it begins
    assert 'set back' in step.what


# ---- the run


def run(episodes: int = 2, slots: int = 100, **changes: Any) -> list[Record]:
    """Return the records of a sound run in real time."""
    info = RunInfo(
        schema_version=1, run_id='r', scenario='s', task='t', clock=ClockMode.REALTIME, seed=1,
        episodes=episodes, planner='cem', period_ns=PERIOD, deadline_ns=PERIOD, time_limit_s=5.0,
        package_version='0')
    records: list[Record] = [replace(info, **changes)]
    for slot in range(episodes * slots):
        at, episode = START + slot * PERIOD, slot // slots
        if slot % slots == 0:
            records.append(EpisodeEvent(at, episode, EventKind.START))
        records.append(CycleRecord(
            stamp_ns=at, slot=slot, episode=episode, status=CycleStatus.OK, due_ns=slot * PERIOD,
            start_ns=slot * PERIOD, infer_start_ns=slot * PERIOD, infer_end_ns=slot * PERIOD,
            publish_ns=slot * PERIOD + MS, publish_system_ns=at + MS, period_ns=PERIOD,
            deadline_ns=PERIOD, command_stamp_ns=at))
        if slot % slots == slots - 1:
            records.append(EpisodeEvent(at + 2 * MS, episode, EventKind.SUCCESS, value=1.0))
    return records


def problems(path: Path) -> list[Finding]:
    return [f for f in look(path).findings if f.severity is not Severity.INFO]


def test_a_sound_run_has_no_warning(make_run_bag: Callable[..., Path]) -> None:
    assert problems(make_run_bag(run())) == []


def test_slots_that_were_not_recorded_lower_the_rate(make_run_bag: Callable[..., Path]) -> None:
    records = [r for r in run() if not isinstance(r, CycleRecord) or r.slot % 6]
    rate = next(f for f in problems(make_run_bag(records)) if f.kind == 'rate')
    # 5 of 6 slots of 20 Hz
    assert rate.topic == '/planner_cycle'
    assert rate.value == pytest.approx(-1 / 6, abs=0.01)
    assert 'where 20.0 Hz are declared' in rate.what


def test_one_slot_in_twelve_may_be_missing(make_run_bag: Callable[..., Path]) -> None:
    records = [r for r in run() if not isinstance(r, CycleRecord) or r.slot % 12]
    assert 'rate' not in {f.kind for f in problems(make_run_bag(records))}


def test_slots_of_another_period_than_the_run_s_are_named(
    make_run_bag: Callable[..., Path],
) -> None:
    found, = problems(make_run_bag(run(period_ns=20 * MS)))
    assert found.kind == 'run_info'
    assert found.what == '200 slots of a period of 50 ms where the run info says 20 ms'


def declaring(settings: dict[str, Any], **changes: Any) -> RunInfo:
    info = run()[0]
    assert isinstance(info, RunInfo)
    return replace(info, settings=settings, **changes)


STREAMS = {'plant': {'observation_hz': 100.0}, 'interface': {
    'command': {'topic': 'cmd_vel'}, 'observations': [{'topic': 'joint_states'}, {'no': 1}, 7]}}


@pytest.mark.parametrize(('info', 'want'), [
    pytest.param(declaring(STREAMS), [-0.5], id='half-the-rate'),
    pytest.param(declaring({'plant': {'observation_hz': 52.0}, 'interface': STREAMS['interface']}),
                 [], id='within-a-tenth'),
    pytest.param(declaring(STREAMS, clock=ClockMode.LOCKSTEP), [], id='simulated-time'),
    pytest.param(declaring({'plant': 3}), [], id='nothing-declared'),
])
def test_a_state_topic_off_the_rate_of_the_scenario_is_named(
    info: RunInfo, want: list[float],
) -> None:
    watch = TopicWatch('/joint_states')
    rows = np.zeros(200, ROW)
    rows['log_ns'] = START + np.arange(200) * 20 * MS  # 50 Hz
    watch.add(from_payloads(rows, [b''] * 200), None)
    checks = RunChecks()
    checks.add(info)
    found = [f for f in checks.findings({}, {'/joint_states': watch}, START) if f.kind == 'rate']
    assert [f.value for f in found] == pytest.approx(want)


def test_the_system_clock_of_the_run_that_was_set_is_found(
    make_run_bag: Callable[..., Path],
) -> None:
    def later(record: Record) -> Record:
        if not isinstance(record, CycleRecord) or record.slot < 100:
            return record
        return replace(record, publish_system_ns=record.publish_system_ns + 40 * MS)

    step = next(f for f in problems(make_run_bag([later(r) for r in run()]))
                if f.kind == 'clock_step')
    assert step.value == pytest.approx(40)
    assert step.at_ns == pytest.approx(START + 5 * S, abs=S)
    assert 'system clock of the run was set ahead by 40.0 ms' in step.what


@pytest.mark.parametrize(('kinds', 'severity', 'what'), [
    pytest.param(['PERTURB_ON', 'PERTURB_OFF', 'PERTURB_ON', 'PERTURB_OFF'], None, '',
                 id='balanced'),
    pytest.param(['PERTURB_ON'], Severity.INFO, '1 x perturbation push without an end', id='open'),
    pytest.param(['PERTURB_OFF'], Severity.WARNING, '1 x perturbation push ends without a begin',
                 id='orphan'),
])
def test_what_begins_within_an_episode_also_ends(
    make_run_bag: Callable[..., Path], kinds: list[str], severity: Severity | None, what: str,
) -> None:
    events = [EpisodeEvent(START + n * S, 0, EventKind[kind], 'push') for n, kind in
              enumerate(kinds)]
    found = of_kind(look(make_run_bag([*run(), *events])), 'events')
    assert [(f.severity, f.what) for f in found] == [(severity, what)][:severity is not None]


@pytest.mark.parametrize('name', ['DEGRADED', 'FALLBACK', 'STOPPED', 'INTERVENTION'])
def test_a_state_of_the_supervisor_ends_whatever_its_reasons(
    make_run_bag: Callable[..., Path], name: str,
) -> None:
    events = [EpisodeEvent(START + S, 0, EventKind[f'{name}_ON'], 'stale'),
              EpisodeEvent(START + 2 * S, 0, EventKind[f'{name}_OFF'], 'fresh command')]
    assert of_kind(look(make_run_bag([*run(), *events])), 'events') == []


def test_a_stop_that_does_not_end_is_told(make_run_bag: Callable[..., Path]) -> None:
    events = [EpisodeEvent(START + S, 0, EventKind.STOPPED_ON, 'silence')]
    found = of_kind(look(make_run_bag([*run(), *events])), 'events')
    assert [f.what for f in found] == ['1 x stopped without an end']


def test_run_infos_that_differ_name_the_fields(make_run_bag: Callable[..., Path]) -> None:
    records = run()
    other = replace(records[0], seed=2, planner='random')  # type: ignore[type-var]
    found = look(make_run_bag([*records, records[0], other]))
    assert found.verdict is Verdict.ERROR
    assert [f.what for f in of_kind(found, 'run_info')] == [
        '2 run infos that differ in seed, planner: more than one run']


def test_commands_pause_between_episodes_and_have_no_gaps() -> None:
    checks = RunChecks()
    assert checks.commands() == frozenset()
    cycle = next(r for r in run() if isinstance(r, CycleRecord))
    for record in (declaring(STREAMS), replace(cycle, command_topic='/proposed/arm')):
        checks.add(record)
    assert checks.commands() == {'cmd_vel', 'proposed/cmd_vel', 'proposed/arm'}


def test_what_was_read_is_told(make_bag: Callable[..., Path]) -> None:
    path = make_bag({'/a': ticks(20), '/b': ticks(30)})
    read, = of_kind(look(path, closed_loop=False), 'read')
    size = (path / 'bag_0.mcap').stat().st_size
    assert (read.severity, read.value) == (Severity.INFO, 50)
    assert read.what == (f'50 messages of 2 topics were read to the end, {size / 1e6:.3f} MB, and '
                         'every checksum holds')


def test_a_gap_is_one_of_a_topic_that_keeps_a_rate(tmp_path: Path, scenes: ModuleType) -> None:
    times = [*range(0, 1000, 10), *range(9000, 10_000, 10)]
    samples = [scenes.sample(topic, at) for at in times for topic in ('/cmd_vel', '/other')]
    path = scenes.write_bag(tmp_path / 'bag', [declaring(STREAMS), *scenes.busy_run()[1:],
                                               *samples])
    assert [f.topic for f in of_kind(look(path), 'gap')] == ['/other']
