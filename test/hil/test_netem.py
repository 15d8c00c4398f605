"""Two hosts whose kernel itself delays, loses and reorders, where it can."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from wm_eval_ros.cli.reading import read

ANSWER = '/proposed/joint_command'
HALF_S = 500_000_000
NETEM = 'qdisc add dev eth root netem limit 100000'


@pytest.mark.parametrize(('asked', 'words'), [
    ({'delay_ms': 5.0, 'jitter_ms': 1.0, 'loss': 0.01}, 'delay 5ms 1ms loss 1.000000%'),
    ({'delay_ms': 2.5}, 'delay 2.5ms 0ms loss 0.000000%'),
    # those that are not late leave at once
    ({'late': 0.05, 'late_ms': 30.0},
     'delay 30ms 0ms loss 0.000000% reorder 95.000000%')])
def test_the_kernel_is_told_what_the_wire_is(
    way: Any, asked: dict[str, float], words: str,
) -> None:
    assert ' '.join(way(**asked).netem()) == f'{NETEM} {words}'


@pytest.mark.parametrize(('script', 'why'), [
    ('[ "$*" = "--net tc qdisc add dev lo root netem delay 1ms" ]', ''),
    ('echo "Error: Specified qdisc kind is unknown." >&2; exit 2',
     'no tc netem: Error: Specified qdisc kind is unknown.')], ids=['with', 'without'])
def test_the_kernel_is_asked_whether_it_can(
    bench: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    script: str, why: str,
) -> None:
    tool = tmp_path / 'unshare'
    tool.write_text(f'#!/bin/sh\n{script}\n')
    tool.chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path), prepend=':')
    assert bench('_wire').netem_unavailable() == why


@pytest.mark.slow
@pytest.mark.parametrize('asked', [
    pytest.param({'delay_ms': 5.0, 'jitter_ms': 1.0, 'loss': 0.01}, id='delay-jitter-loss'),
    pytest.param({'late': 0.05, 'late_ms': 30.0, 'loss': 0.05}, id='reordering')])
def test_an_echo_is_timed_though_the_kernel_impairs_both_ways(
    bench: Callable[[str], ModuleType], two_hosts: ModuleType, way: Any, tmp_path: Path,
    asked: dict[str, float],
) -> None:
    why = bench('_wire').netem_unavailable()
    if why:
        pytest.skip(why)
    clock, plain, impaired = two_hosts.Clock(HALF_S), way(), way(**asked)
    with two_hosts.TwoHosts(tmp_path, plain, plain, clock) as hosts:
        for side in (two_hosts.HOST, two_hosts.DEVICE):
            hosts.impair(side, impaired)
        bag = two_hosts.measure(hosts, 'echo', 150.0, plant__time_limit_s=8.0,
                                plant__observation_hz=50.0, planner__deadline_ms=100.0)
        hosts.cut()
    scored = read(bag)
    _, back_ms = two_hosts.true_ms(scored.run, clock)
    back, offset = (scored.card[name] for name in (f'one_way_back[{ANSWER}].p50',
                                                   'clock_offset[planner]'))
    for true_ms, found in ((float(np.median(back_ms[ANSWER])), back), (HALF_S / 1e6, offset)):
        assert found.interval is not None
        assert found.interval.low <= true_ms <= found.interval.high
    assert scored.card[f'answers_unjoined[{ANSWER}]'].value == 0.0
