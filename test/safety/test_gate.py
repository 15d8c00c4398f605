"""The command gate: what passes, what is commanded instead, and when."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
import pytest

from wm_eval_ros.records import EventKind
from wm_eval_ros.safety.gate import CommandGate, GateState
from wm_eval_ros.safety.in_force import InForce

MS = 1_000_000


def gate(fallback: str = 'zero') -> CommandGate:
    made = CommandGate([-1.0, 0.5], [1.0, 2.0], stale_ns=100 * MS, stop_ns=500 * MS,
                       fallback=fallback)
    made.arm(0)
    return made


def test_a_valid_command_passes() -> None:
    assert gate().offer([0.0, 1.0], 10 * MS).forward


@pytest.mark.parametrize('command', [
    pytest.param([math.nan, 1.0], id='nan'), pytest.param([math.inf, 1.0], id='inf'),
    pytest.param([0.0], id='short'), pytest.param([0.0, 1.0, 0.0], id='long'),
    pytest.param([1.01, 1.0], id='above'), pytest.param([0.0, 0.4], id='below'),
])
def test_a_faulty_command_never_passes_and_falls_back(command: list[float]) -> None:
    decision = gate().offer(command, 10 * MS)
    assert not decision.forward
    assert decision.event is EventKind.FALLBACK_ON
    # zero, clipped into the limits of the second field
    assert decision.substitute == (0.0, 0.5)


def test_stale_falls_back_then_stops_until_the_next_episode() -> None:
    it = gate()
    assert it.offer([0.5, 1.0], 10 * MS).forward
    assert it.tick(110 * MS).event is None
    assert it.tick(111 * MS).event is EventKind.FALLBACK_ON
    assert it.state is GateState.FALLBACK
    it.tick(511 * MS)
    assert it.state is GateState.STOPPED
    assert not it.offer([0.0, 1.0], 520 * MS).forward
    assert it.arm(600 * MS).event is EventKind.FALLBACK_OFF
    assert it.offer([0.0, 1.0], 610 * MS).forward


def test_a_fresh_command_ends_the_fallback() -> None:
    it = gate()
    it.tick(200 * MS)
    decision = it.offer([0.0, 1.0], 210 * MS)
    assert decision.forward
    assert decision.event is EventKind.FALLBACK_OFF


def test_hold_repeats_the_last_valid_command() -> None:
    it = gate('hold')
    it.offer([0.25, 1.0], 10 * MS)
    assert it.tick(200 * MS).substitute == (0.25, 1.0)
    it.arm(300 * MS)
    assert it.substitute() == (0.0, 0.5), 'nothing is held over from another episode'


def test_nothing_is_watched_between_episodes() -> None:
    it = gate()
    it.offer([0.5, 1.0], 10 * MS)
    assert it.disarm().substitute == (0.0, 0.5), 'the last command does not stay in force'
    assert it.tick(10_000 * MS).substitute is None


@given(st.lists(st.tuples(
    st.sampled_from(['offer', 'tick', 'arm', 'disarm']),
    st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=0, max_size=3),
    st.integers(0, 400)), max_size=40))
def test_whatever_happens_only_valid_commands_get_out(
    steps: list[tuple[str, list[float], int]],
) -> None:
    it, now = gate(), 0
    fallback_on = False
    for verb, command, wait in steps:
        now += wait * MS
        decision = (it.offer(command, now) if verb == 'offer'
                    else it.tick(now) if verb == 'tick'
                    else it.arm(now) if verb == 'arm' else it.disarm())
        out = command if decision.forward else decision.substitute
        if out is not None:
            assert len(out) == 2
            assert -1.0 <= out[0] <= 1.0
            assert 0.5 <= out[1] <= 2.0
        if decision.event is not None:
            assert fallback_on == (decision.event is EventKind.FALLBACK_OFF), 'events alternate'
            fallback_on = not fallback_on


def test_a_command_takes_effect_at_its_stamp_and_not_in_the_slots_before() -> None:
    in_force = InForce((0.0,))
    in_force.send((1.0,), 120, now_ns=0)
    assert [in_force.at(t) for t in (0, 50, 100)] == [(0.0,)] * 3
    # the next is sent in the first slot after, and the first goes on acting until its stamp
    in_force.send((2.0,), 270, now_ns=150)
    assert [in_force.at(t) for t in (150, 200, 250, 300)] == [
        (1.0,), (1.0,), (1.0,), (2.0,)]


def test_no_command_passes_once_the_episode_has_ended() -> None:
    it = gate()
    it.disarm()
    assert not it.offer([0.0, 1.0], 10 * MS).forward


def test_hold_ends_with_the_episode_and_with_a_stop() -> None:
    it = gate('hold')
    it.offer([0.25, 1.0], 10 * MS)
    it.tick(200 * MS)
    it.tick(511 * MS)
    assert it.state is GateState.STOPPED
    assert it.tick(520 * MS).substitute == (0.0, 0.5)
    it = gate('hold')
    it.offer([0.25, 1.0], 10 * MS)
    assert it.disarm().substitute == (0.0, 0.5)
