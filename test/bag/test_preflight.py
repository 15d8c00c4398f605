from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wm_eval_ros.bag.preflight import Preflight, preflight, Severity
from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.records import EpisodeEvent, EventKind, RunInfo, Verdict


def look(path: Path, **options: Any) -> Preflight:
    with open_bag(path, salvage=True) as bag:
        return preflight(bag, **options)


def kinds(found: Preflight, severity: Severity | None = None) -> set[str]:
    return {f.kind for f in found.findings if severity in (None, f.severity)}


def test_a_sound_run_passes_without_a_word(
    make_run_bag: Callable[..., Path], run_records: list[Any],
) -> None:
    found = look(make_run_bag(run_records))
    assert found.verdict is Verdict.PASS
    assert kinds(found) <= {'read', 'repeats', 'seal'}
    [sealed] = [f.what for f in found.findings if f.kind == 'seal']
    assert sealed.startswith('not sealed')


def is_info(record: Any) -> bool:
    return isinstance(record, RunInfo)


@pytest.mark.parametrize(('break_it', 'kind'), [
    pytest.param(lambda r: [x for x in r if not is_info(x)], 'run_info', id='no-run-info'),
    pytest.param(lambda r: [*r, replace(r[0], run_id='other')], 'run_info', id='two-runs'),
    pytest.param(lambda r: [*r, r[-1]], 'events', id='an-episode-ends-twice'),
    pytest.param(lambda r: [r[0], *r[2:]], 'events', id='an-end-without-a-start'),
])
def test_a_broken_run_is_an_error(
    make_run_bag: Callable[..., Path], run_records: list[Any],
    break_it: Callable[[list[Any]], list[Any]], kind: str,
) -> None:
    found = look(make_run_bag(break_it(run_records)))
    assert found.verdict is Verdict.ERROR
    assert kind in kinds(found, Severity.ERROR)


def test_an_open_episode_is_a_warning(
    make_run_bag: Callable[..., Path], run_records: list[Any],
) -> None:
    found = look(make_run_bag(run_records[:-1]))
    assert found.verdict is Verdict.PASS
    assert 'events' in kinds(found, Severity.WARNING)


def test_an_abort_ends_an_episode(
    make_run_bag: Callable[..., Path], run_records: list[Any],
) -> None:
    last = run_records[-1]
    assert isinstance(last, EpisodeEvent)
    aborted = [*run_records[:-1], replace(last, kind=EventKind.ABORT)]
    assert 'events' not in kinds(look(make_run_bag(aborted)))


def test_a_clock_that_is_off_is_named(make_joint_bag: Callable[..., Path]) -> None:
    found = look(make_joint_bag(50, clock_offset_ns=774_000_000), closed_loop=False)
    clock = next(f for f in found.findings if f.kind == 'clock')
    assert clock.value == pytest.approx(774.0)
    assert '774 ms ahead' in clock.what
    assert found.verdict is Verdict.PASS


def test_a_cut_file_is_an_error(make_joint_bag: Callable[..., Path]) -> None:
    path = make_joint_bag(900) / 'joints_0.mcap'
    path.write_bytes(path.read_bytes()[:-200])
    found = look(path, closed_loop=False)
    assert found.verdict is Verdict.ERROR


def test_what_is_odd_about_the_turtlebot_is_named(shared_data: Path) -> None:
    found = look(shared_data / 'dev_tb3_rasl', closed_loop=False)
    clocks = [f.value for f in found.findings if f.kind == 'clock']
    assert clocks and all(v == pytest.approx(775, abs=10) for v in clocks if v is not None)
    order = next(f for f in found.findings if f.kind == 'order')
    assert order.value is not None and 0.25 < order.value / 10627 < 0.45


def test_the_silence_of_vicon_is_named(shared_data: Path) -> None:
    found = look(shared_data / 'dev_crazyflie_fly90bag', closed_loop=False)
    gap = next(f for f in found.findings if f.kind == 'gap' and 'vicon' in f.topic)
    assert gap.value == pytest.approx(32_600, abs=100)


def test_stamps_of_the_gps_vehicle_are_named(shared_data: Path) -> None:
    found = look(shared_data / 'dev_gps_nav_1', closed_loop=False)
    assert {'clock', 'stamp', 'unreadable', 'repeats'} <= kinds(found)
    assert any('66.0 days behind' in f.what for f in found.findings)
