"""Limits of change and of state, worked out by hand for a period of 50 ms."""

from __future__ import annotations

from collections.abc import Callable
import math

import pytest

from wm_eval_ros.errors import ConfigError
from wm_eval_ros.safety.gate import CommandGate, Decision, Offer
from wm_eval_ros.safety.limits import Fault
from wm_eval_ros.safety.state import GateState

MS = 1_000_000
Make = Callable[..., CommandGate]


def faults(gate: CommandGate, values: list[float], every_ms: int = 50) -> list[Fault | None]:
    """Offer a ramp of the first field; the second stays where it was."""
    found = []
    for k, value in enumerate(values, start=1):
        refused = gate.offer(Offer((value, 0.5)), k * every_ms * MS).refused
        found.append(None if refused is None else refused.fault)
    return found


def test_a_rate_of_two_a_second_is_a_tenth_a_period(make_gate: Make) -> None:
    assert faults(make_gate(rate=(2.0, 9.0)), [0.1, 0.2, 0.1, 0.0]) == [None] * 4
    assert faults(make_gate(rate=(2.0, 9.0)), [0.1, 0.21]) == [None, Fault.RATE]


def test_an_acceleration_of_four_is_a_hundredth_a_period_squared(make_gate: Make) -> None:
    # first differences 0.01 0.02 0.03 0.02, second ones 0.01 0.01 0.01 -0.01
    gate = make_gate(acceleration=(4.0, 9.0))
    assert faults(gate, [0.01, 0.03, 0.06, 0.08]) == [None] * 4
    # first differences 0.01 0.03: the second one is 0.02
    assert faults(make_gate(acceleration=(4.0, 9.0)), [0.01, 0.04]) == [None, Fault.ACCELERATION]


def test_a_jerk_of_eighty_is_a_hundredth_a_period_cubed(make_gate: Make) -> None:
    # second differences 0.01 0.02 0.03, third ones 0.01 each
    gate = make_gate(jerk=(80.0, 800.0))
    assert faults(gate, [0.01, 0.04, 0.10]) == [None] * 3
    # second differences 0.01 then 0.03
    assert faults(make_gate(jerk=(80.0, 800.0)), [0.01, 0.05]) == [None, Fault.JERK]


def test_a_command_that_was_held_counts_once_a_period(make_gate: Make) -> None:
    # 0.1 a period is the rate; after it a hold of two periods makes its rate zero again, so that
    # a change of 0.01 is an acceleration of 0.01, and -0.09 without the hold
    gate = make_gate(acceleration=(36.0, 9.0), stale_periods=9.0, late_periods=9.0)
    gate.offer(Offer((0.09, 0.5)), 50 * MS)
    assert gate.offer(Offer((0.18, 0.5)), 200 * MS).forward
    assert faults(make_gate(acceleration=(36.0, 9.0)), [0.09, 0.08]) == [None, Fault.ACCELERATION]


@pytest.mark.parametrize('operator', [False, True])
def test_many_commands_within_a_period_are_one_step(make_gate: Make, operator: bool) -> None:
    gate = make_gate(rate=(2.0, 9.0), clear_ms=0.0)
    if operator:
        gate.take_over(0)

    def act(value: float, at_ms: int) -> Decision:
        if operator:
            return gate.operate((value, 0.5), at_ms * MS)
        return gate.offer(Offer((value, 0.5)), at_ms * MS)

    # 0.1 is allowed in 50 ms
    assert act(0.1, 50).forward
    refused = act(0.2, 51).refused
    assert refused is not None
    assert refused.fault is Fault.RATE
    assert act(0.05, 52).forward, 'back is within reach of both'
    assert act(0.15, 102).forward


def test_an_arrival_a_quarter_of_a_period_early_is_no_fault_and_an_earlier_one_is(
    make_gate: Make,
) -> None:
    for wait_ms, passes in ((38, True), (37, False)):
        gate = make_gate(rate=(2.0, 9.0))
        assert gate.offer(Offer((0.1, 0.5)), 50 * MS).forward
        assert gate.offer(Offer((0.2, 0.5)), (50 + wait_ms) * MS).forward is passes


def test_acceleration_is_no_larger_in_a_burst(make_gate: Make) -> None:
    # second differences of 0.005 a period: 0.005, then 0.015
    gate = make_gate(acceleration=(2.0, 9.0))
    assert faults(gate, [0.005, 0.015], every_ms=1) == [None, Fault.ACCELERATION]
    assert faults(make_gate(acceleration=(2.0, 9.0)), [0.005, 0.015]) == [None, None]


def test_the_first_command_starts_from_zero_and_the_return_from_the_fallback(
    make_gate: Make,
) -> None:
    gate = make_gate(rate=(2.0, 100.0), clear_ms=0.0)
    assert gate.offer(Offer((0.5, 0.5)), 10 * MS).refused is not None
    assert gate.substitute(10 * MS) == (0.0, 0.5)
    assert gate.offer(Offer((0.5, 0.5)), 60 * MS).refused is not None, 'still out of reach'
    assert gate.offer(Offer((0.1, 0.5)), 110 * MS).forward


def test_a_planner_that_stays_out_of_reach_is_refused_each_time_and_stopped(
    make_gate: Make,
) -> None:
    gate = make_gate(rate=(2.0, 9.0))
    refused, told = 0, []
    for now in range(50, 601, 50):
        for decision in (gate.offer(Offer((0.5, 0.5)), now * MS), gate.tick(now * MS)):
            refused += decision.refused is not None
            told += decision.changes
        gate.substitute(now * MS)
    assert refused == 12
    assert [c.kind.name for c in told] == ['FALLBACK_ON', 'STOPPED_ON']
    assert told[1].reason.startswith('no valid command for 550 ms; the last was refused: rate of '
                                     'command value 0: change of 0.5 a period, 0.1 is allowed')


@pytest.mark.parametrize(('fallback', 'state'), [('hold', GateState.NOMINAL),
                                                 ('zero', GateState.STOPPED)])
def test_after_a_gap_a_steady_planner_is_within_reach_of_hold_and_not_of_zero(
    make_gate: Make, fallback: str, state: GateState,
) -> None:
    gate = make_gate(rate=(2.0, 9.0), fallback=fallback)
    for k in range(1, 6):
        assert gate.offer(Offer((0.1 * k, 0.5)), 50 * k * MS).forward
    # 120 ms of silence, then 0.5 as before
    for now in range(370, 1000, 50):
        gate.tick(now * MS)
        if gate.commands(now * MS):
            gate.substitute(now * MS)
        gate.offer(Offer((0.5, 0.5)), (now + 1) * MS)
    assert gate.state is state


def test_under_an_operator_a_proposal_out_of_reach_is_no_refusal(make_gate: Make) -> None:
    gate = make_gate(rate=(2.0, 9.0))
    gate.take_over(10 * MS)
    assert gate.offer(Offer((0.5, 0.5)), 20 * MS).refused is None


def test_a_start_while_the_operator_drives_does_not_forget_what_he_sent(make_gate: Make) -> None:
    gate = make_gate(rate=(2.0, 9.0))
    gate.take_over(0)
    for k in range(1, 6):
        assert gate.operate((0.1 * k, 0.5), 50 * k * MS).forward
    gate.disarm()
    gate.arm(260 * MS)
    assert gate.operate((0.0, 0.5), 300 * MS).refused is not None, '0.5 is in force'
    assert gate.operate((0.6, 0.5), 310 * MS).forward


LIMIT = {'feature': 'state.position', 'low': -2.0, 'high': 2.0, 'field': 'a'}


@pytest.mark.parametrize(('at', 'command', 'passes'), [
    pytest.param(1.9, 0.5, True, id='inside'), pytest.param(2.0, 0.5, False, id='outwards'),
    pytest.param(2.5, -0.5, True, id='back-in'), pytest.param(-2.0, -0.5, False, id='low'),
    pytest.param(2.5, 0.0, True, id='standing'),
    pytest.param(math.nan, 0.5, False, id='not-known'),
])
def test_no_command_drives_a_joint_further_out(make_gate: Make, at: float, command: float,
                                               passes: bool) -> None:
    from wm_eval_ros.config.supervisor import StateLimit
    gate = make_gate(state_limits=(StateLimit(**LIMIT),))
    gate.observed.update(0, [at], 5 * MS)
    decision = gate.offer(Offer((command, 0.5)), 10 * MS)
    assert decision.forward is passes
    assert passes or decision.refused.fault is Fault.STATE


@pytest.mark.parametrize(('at', 'sent'), [
    pytest.param(1.9, 0.5, id='inside'), pytest.param(2.0, 0.0, id='outwards'),
    pytest.param(-2.5, 0.5, id='back-in'), pytest.param(math.nan, 0.0, id='not-known'),
])
def test_nor_does_what_the_gate_holds(make_gate: Make, at: float, sent: float) -> None:
    from wm_eval_ros.config.supervisor import StateLimit
    gate = make_gate(state_limits=(StateLimit(**LIMIT),), fallback='hold')
    gate.observed.update(0, [0.0], 5 * MS)
    assert gate.offer(Offer((0.5, 0.5)), 10 * MS).forward
    gate.observed.update(0, [at], 15 * MS)
    assert gate.offer(Offer((math.nan, 0.5)), 20 * MS).refused is not None
    assert gate.substitute(20 * MS) == (sent, 0.5)


def test_a_position_that_is_old_is_not_known(make_gate: Make) -> None:
    from wm_eval_ros.config.supervisor import StateLimit
    gate = make_gate(state_limits=(StateLimit(**LIMIT),))
    gate.observed.update(0, [0.0], 5 * MS)
    assert gate.offer(Offer((0.5, 0.5)), 105 * MS).forward
    refused = gate.offer(Offer((0.5, 0.5)), 106 * MS).refused
    assert refused is not None
    assert 'not known' in refused.reason


@pytest.mark.parametrize(('settings', 'text'), [
    pytest.param({'rate': (1.0,)}, 'rate: 1 numbers for 2', id='one-rate'),
    pytest.param({'limit': LIMIT | {'low': 2.5}}, 'low, 2.5, is above high, 2', id='no-range'),
    pytest.param({'limit': LIMIT | {'field': 'c'}}, "no command field 'c'", id='field'),
    pytest.param({'limit': LIMIT | {'field': 'b'}}, r'b ranges over \[0\.5, 2\], without zero',
                 id='nothing-safe-to-send'),
    pytest.param({'limit': LIMIT | {'feature': 'elbow'}}, "'elbow' is not observed", id='feature'),
])
def test_limits_that_fit_nothing_are_refused_at_the_start(make_gate: Make, settings: dict,
                                                          text: str) -> None:
    from wm_eval_ros.config.supervisor import StateLimit
    with pytest.raises(ConfigError, match=text):
        if 'limit' in settings:
            settings = {'state_limits': (StateLimit(**settings['limit']),)}
        make_gate(**settings)
