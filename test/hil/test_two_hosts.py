"""A device on another host, whose clock is half a second off, behind a wire that is none."""

from __future__ import annotations

from collections.abc import Callable
import os
from pathlib import Path
import signal
import subprocess
import sys
import time
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from wm_eval_ros.cli import hil
from wm_eval_ros.config.scenario import find_scenario, load_scenario
from wm_eval_ros.records import MetricValue

pytestmark = pytest.mark.slow

#: what the echo answers with, before any supervisor, and behind it
ANSWER, SUPERVISED = '/proposed/joint_command', '/joint_command'
#: what a planner is driven by
SAMPLES = ('/joint_states', '/tip_pose')
HALF_S = 500_000_000
DELAY_MS = 5.0
#: one-way times are told up to an uncertainty of a tenth of it
PATIENT = {'planner__deadline_ms': 100.0}
OFFSETS = pytest.mark.parametrize('ahead_ns', [
    pytest.param(HALF_S, id='half-a-second-ahead'),
    pytest.param(-HALF_S, id='half-a-second-behind')])


def within(true_ms: float, found: MetricValue) -> bool:
    assert found.interval is not None, found.why
    return found.interval.low <= true_ms <= found.interval.high


@OFFSETS
def test_an_echo_behind_a_wire_is_timed_though_its_clock_is_off(
    timed: Callable[..., Any], two_hosts: ModuleType, way: Any, ahead_ns: int,
) -> None:
    wire = way(delay_ms=DELAY_MS, jitter_ms=1.0, loss=0.01)
    found = timed('echo', wire, wire, two_hosts.Clock(ahead_ns), plant__time_limit_s=8.0,
                  plant__observation_hz=50.0, **PATIENT)
    card, link = found.scored.card, found.scored.run.link
    back = card[f'one_way_back[{ANSWER}].p50']
    # both the way as the clocks are, and that over the wire alone
    assert within(float(np.median(found.true_back_ms[ANSWER])), back)
    assert within(float(np.median(found.back.held_ms)), back)
    # which is not to be had from the stamps as they are
    raw_ms = np.median(link.received[ANSWER]['received'] - link.received[ANSWER]['source']) / 1e6
    assert raw_ms == pytest.approx(-ahead_ns / 1e6, abs=50.0)
    assert not within(float(raw_ms), back)
    assert within(ahead_ns / 1e6, card['clock_offset[planner]'])
    # no answer comes sooner than the wire lets it
    trip = card[f'round_trip[{ANSWER}].p50'].value
    assert trip is not None
    assert 2 * (DELAY_MS - 1.0) < trip < 2 * DELAY_MS + 100.0
    assert card[f'answers_unjoined[{ANSWER}]'].value == 0.0
    assert found.out.lost and found.back.lost
    # nor does the supervisor take the answers for old, or of the future
    supervised = card[f'stimuli_unanswered[{SUPERVISED}]'].value
    assert supervised is not None
    assert supervised < 0.2
    assert (card[f'round_trip[{SUPERVISED}].p50'].value or 0.0) > 2 * (DELAY_MS - 1.0)


@OFFSETS
def test_a_planner_behind_a_wire_is_timed_both_ways(
    timed: Callable[..., Any], two_hosts: ModuleType, way: Any, ahead_ns: int,
) -> None:
    wire = way(delay_ms=DELAY_MS, jitter_ms=1.0, loss=0.01)
    # it judges the age of what it sees by its own clock
    found = timed('planner', wire, wire, two_hosts.Clock(ahead_ns), plant__time_limit_s=15.0,
                  planner__stale_ms=2000.0, **PATIENT)
    card = found.scored.card
    half_ms = two_hosts.uncertainty_ms(found.scored.run)
    for name, true_ms in (
            *((f'one_way_out[{topic}].p50', found.true_out_ms[topic]) for topic in SAMPLES),
            (f'one_way_back[{ANSWER}].p50', found.true_back_ms[ANSWER])):
        value = card[name].value
        # few slots may tell too little of their quantiles for an interval, not of the clocks
        assert value == pytest.approx(float(np.median(true_ms)), abs=half_ms), name
    assert within(ahead_ns / 1e6, card['clock_offset[planner]'])
    assert (card[f'round_trip[{ANSWER}].p50'].value or 0.0) > 2 * (DELAY_MS - 1.0)
    # records of slots are lost as well: that of the last one may be repaired too late, and no
    # later one is delivered before it
    unjoined = card[f'answers_unjoined[{ANSWER}]']
    assert unjoined.value is not None
    assert unjoined.value < 0.3 * unjoined.n


def test_lopsided_ways_deceive_the_offset_by_no_more_than_is_stated(
    timed: Callable[..., Any], two_hosts: ModuleType, way: Any,
) -> None:
    found = timed('echo', way(delay_ms=8.0), way(delay_ms=1.0), two_hosts.Clock(HALF_S),
                  plant__time_limit_s=5.0, plant__observation_hz=50.0, **PATIENT)
    card = found.scored.card
    offset, back = card['clock_offset[planner]'], card[f'one_way_back[{ANSWER}].p50']
    true_ms = float(np.median(found.true_back_ms[ANSWER]))
    # by half of 7 ms, and what the nodes add to either
    assert offset.value is not None and back.value is not None
    assert offset.value - HALF_S / 1e6 > 1.0
    assert within(HALF_S / 1e6, offset)
    assert within(true_ms, back)


def test_a_clock_that_drifts_by_more_than_a_round_trip_hides_is_followed(
    timed: Callable[..., Any], two_hosts: ModuleType, way: Any,
) -> None:
    # 15 ms from the first questions to the last: more than any one offset would explain
    wire, clock = way(delay_ms=2.0), two_hosts.Clock(HALF_S, ppm=900.0)
    found = timed('echo', wire, wire, clock, plant__time_limit_s=17.0,
                  plant__observation_hz=50.0, **PATIENT)
    card, link = found.scored.card, found.scored.run.link
    back, offset = card[f'one_way_back[{ANSWER}].p50'], card['clock_offset[planner]']
    assert offset.interval is not None
    assert 'it moved by +1' in offset.interval.method
    off_ms = clock.off_ns(link.received[ANSWER]['steady']) / 1e6
    # the answers lie between the first and the last questions
    assert offset.interval.low <= off_ms.min() <= off_ms.max() <= offset.interval.high
    assert within(float(np.median(found.true_back_ms[ANSWER])), back)


def test_clocks_known_too_poorly_give_no_one_way_time_and_say_so(
    timed: Callable[..., Any], two_hosts: ModuleType, way: Any,
) -> None:
    wire = way(delay_ms=DELAY_MS)
    # half a round trip is 5 ms and more, of which 4 are allowed
    found = timed('echo', wire, wire, two_hosts.Clock(HALF_S), plant__time_limit_s=3.0,
                  plant__observation_hz=50.0, planner__deadline_ms=40.0)
    refused = found.scored.card[f'one_way_back[{ANSWER}]']
    assert refused.value is None
    assert 'more than 10% of the deadline; take the round trip' in refused.why
    trip = found.scored.card[f'round_trip[{ANSWER}].p50'].value
    assert trip is not None
    assert trip > 2 * DELAY_MS


def test_what_the_wire_lost_is_unanswered_and_what_it_reordered_is_joined(
    timed: Callable[..., Any], two_hosts: ModuleType, way: Any,
) -> None:
    # a frame held for 30 ms is overtaken by the next samples, sent every 10 ms
    out = way(delay_ms=2.0, loss=0.05, late=0.05, late_ms=30.0)
    found = timed('echo', out, way(delay_ms=2.0), two_hosts.Clock(HALF_S), seed=3,
                  plant__time_limit_s=5.0, plant__observation_hz=100.0, **PATIENT)
    card = found.scored.card
    share, unjoined = (card[f'{name}[{ANSWER}]']
                       for name in ('stimuli_unanswered', 'answers_unjoined'))
    assert found.out.overtaken > 0
    assert found.out.lost > 0
    # 500 samples, each in a frame of its own
    assert share.value is not None
    assert 0.01 < share.value < 0.25
    assert unjoined.value == 0.0
    assert len(found.true_back_ms[ANSWER]) == unjoined.n
    # an answer joined to another sample would be off by 10 ms, and before it half of the time
    link = found.scored.run.link
    sent = dict(zip(link.sent[SAMPLES[0]]['stamp'], link.sent[SAMPLES[0]]['steady'], strict=True))
    taken = [row['steady'] - sent[row['stamp']] for row in link.received[ANSWER]]
    assert min(taken) >= 4_000_000


def test_what_never_came_to_a_planner_is_unused_and_its_commands_are_joined(
    timed: Callable[..., Any], two_hosts: ModuleType, way: Any,
) -> None:
    # one sample a slot: with nothing lost next to none would be unused
    found = timed('planner', way(delay_ms=2.0, loss=0.1), way(delay_ms=2.0), two_hosts.Clock(),
                  plant__time_limit_s=8.0, plant__observation_hz=20.0, **PATIENT)
    card = found.scored.card
    assert found.out.lost > 0
    for topic in SAMPLES:
        unused = card[f'samples_unused[{topic}]'].value
        assert unused is not None
        assert unused > 0
    # which of them the device got, nobody on the host knows: `wm-eval hil` does not tell
    more = hil.row(hil.Point('planner', 20.0, 'state', 0), load_scenario(find_scenario('hil')),
                   card)['more']
    assert f'samples_unused[{SAMPLES[0]}]' in more
    assert not [name for name in more if name.startswith(('samples_superseded', 'samples_lost'))]
    # the way back loses nothing
    assert card[f'answers_unjoined[{ANSWER}]'].value == 0.0


def test_the_verb_measures_a_device_elsewhere(
    two_hosts: ModuleType, way: Any, tmp_path: Path,
) -> None:
    wire = way(delay_ms=DELAY_MS)
    with two_hosts.TwoHosts(tmp_path, wire, wire, two_hosts.Clock(HALF_S)) as hosts:
        common = {'scenario': 'hil', 'nodes': ['supervisor', 'planner', 'monitor', 'recorder',
                                               'plant']}
        for name in ('echo', 'supervisor'):
            hosts.node(two_hosts.DEVICE, name, common)
        verb = hosts.start(two_hosts.HOST, [
            sys.executable, '-m', 'wm_eval_ros.cli.main', 'hil', 'hil', '--devices', 'echo',
            '--elsewhere', '--domain', two_hosts.DOMAIN, '--seconds', '4', '--out',
            str(tmp_path / 'run')], tmp_path / 'verb.log')
        assert verb.wait(120.0) == 0, (tmp_path / 'verb.log').read_text()
    table = (tmp_path / 'run' / 'hil.md').read_text()
    assert '| echo |' in table
    assert '–' not in table.split('| echo |')[1].split('|')[4]


# the hosts themselves ---------------------------------------------------------------------------


def test_a_clock_that_is_off_is_off_however_it_is_asked_and_the_steady_one_is_not(
    two_hosts: ModuleType, tmp_path: Path,
) -> None:
    library = two_hosts.clock_library(tmp_path)
    # what restarts Python for its libraries keeps it; a wait until a time lasts as long as meant
    asked = ('import rclpy, threading, time\n'
             'from rclpy.clock import Clock, ClockType\n'
             'from datetime import datetime\n'
             'begin = time.monotonic()\n'
             'threading.Event().wait(0.2)\n'
             'print(time.time_ns(), datetime.now().timestamp(), '
             'Clock(clock_type=ClockType.SYSTEM_TIME).now().nanoseconds, time.monotonic_ns(), '
             'time.monotonic() - begin)\n')
    environment = {k: v for k, v in os.environ.items() if k != '_ROS_WHEELS_BOOTSTRAP_COMPLETE'}
    environment |= two_hosts.Clock(-3600 * 10**9).environment(library)
    begin_ns, steady_ns = time.time_ns(), time.monotonic_ns()
    said = subprocess.run([sys.executable, '-c', asked], env=environment, check=True,
                          capture_output=True, text=True).stdout.split()
    end_ns = time.time_ns()
    for system_ns in (int(said[0]), float(said[1]) * 1e9, int(said[2])):
        assert begin_ns - 1000 <= system_ns + 3600 * 10**9 <= end_ns + 1000
    assert steady_ns <= int(said[3]) <= time.monotonic_ns()
    assert 0.2 <= float(said[4]) < 60.0


def test_nothing_is_left_of_the_hosts_after_a_failure(
    two_hosts: ModuleType, way: Any, tmp_path: Path,
) -> None:
    with (pytest.raises(ZeroDivisionError),
          two_hosts.TwoHosts(tmp_path, way(), way()) as hosts):
        left = hosts.start(two_hosts.DEVICE, ['sleep', '600'], tmp_path / 'log')
        assert alive(hosts.namespaces)
        raise ZeroDivisionError
    assert left.poll() is not None
    assert not alive(hosts.namespaces)


def test_nothing_is_left_of_the_hosts_when_their_maker_is_killed(
    two_hosts: ModuleType, tmp_path: Path,
) -> None:
    script = ('import sys, time\nsys.path.insert(0, sys.argv[1])\n'
              'from pathlib import Path\nimport _two_hosts\nfrom _wire import Way\n'
              'with _two_hosts.TwoHosts(Path(sys.argv[2]), Way(), Way()) as hosts:\n'
              '    print(*hosts.namespaces, flush=True)\n    time.sleep(600)\n')
    maker = subprocess.Popen([sys.executable, '-c', script, str(Path(two_hosts.__file__).parent),
                              str(tmp_path)],
                             stdout=subprocess.PIPE, text=True)
    assert maker.stdout is not None
    namespaces = {int(word) for word in maker.stdout.readline().split()}
    assert len(namespaces) == 3
    assert alive(namespaces)
    maker.send_signal(signal.SIGKILL)
    maker.communicate()
    end = time.monotonic() + 20.0
    while alive(namespaces):
        assert time.monotonic() < end, 'a namespace lives on'
        time.sleep(0.05)


def alive(namespaces: set[int]) -> bool:
    """Say whether any process is in one of these network namespaces."""
    for process in Path('/proc').glob('[0-9]*'):
        try:
            if (process / 'ns' / 'net').stat().st_ino in namespaces:
                return True
        except OSError:
            continue
    return False
