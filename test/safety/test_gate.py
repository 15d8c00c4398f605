"""The command gate: what passes, who commands instead, and when the planner gets it back."""

from __future__ import annotations

from collections.abc import Callable
import math

import pytest

from wm_eval_ros.safety.gate import CommandGate, Decision, Offer
from wm_eval_ros.safety.in_force import InForce
from wm_eval_ros.safety.limits import Fault
from wm_eval_ros.safety.monitors import Level
from wm_eval_ros.safety.state import GateState

MS = 1_000_000
GOOD = (0.5, 1.0)
#: zero, clipped into the limits of the second field
ZERO = (0.0, 0.5)
Make = Callable[..., CommandGate]


def kinds(decision: Decision) -> list[str]:
    return [change.kind.name for change in decision.changes]


def feed(gate: CommandGate, begin_ms: int, end_ms: int, action: tuple[float, ...] = GOOD,
         ) -> list[Decision]:
    """Offer a command every 50 ms, both ends included."""
    return [gate.offer(Offer(action), t * MS) for t in range(begin_ms, end_ms + 1, 50)]


def test_a_valid_command_passes(make_gate: Make) -> None:
    assert make_gate().offer(Offer((0.0, 1.0)), 10 * MS) == Decision(forward=True)


@pytest.mark.parametrize(('command', 'fault'), [
    pytest.param((math.nan, 1.0), Fault.NONFINITE, id='nan'),
    pytest.param((math.inf, 1.0), Fault.NONFINITE, id='inf'),
    pytest.param((0.0,), Fault.SHAPE, id='short'),
    pytest.param((0.0, 1.0, 0.0), Fault.SHAPE, id='long'),
    pytest.param((1.01, 1.0), Fault.RANGE, id='above'),
    pytest.param((0.0, 0.4), Fault.RANGE, id='below'),
])
def test_a_faulty_command_never_passes_and_falls_back(
    make_gate: Make, command: tuple[float, ...], fault: Fault,
) -> None:
    gate = make_gate()
    decision = gate.offer(Offer(command), 10 * MS)
    assert not decision.forward
    assert decision.refused is not None
    assert decision.refused.fault is fault
    assert kinds(decision) == ['FALLBACK_ON']
    assert gate.substitute(10 * MS) == ZERO


def test_late_degrades_stale_falls_back_and_silence_stops(make_gate: Make) -> None:
    gate = make_gate()
    gate.offer(Offer(GOOD), 10 * MS)
    assert kinds(gate.tick(85 * MS)) == []
    assert kinds(gate.tick(86 * MS)) == ['DEGRADED_ON']
    assert not gate.commands(86 * MS), 'the last command stays in force'
    assert kinds(gate.tick(111 * MS)) == ['DEGRADED_OFF', 'FALLBACK_ON']
    assert kinds(gate.tick(510 * MS)) == []
    stopped = gate.tick(511 * MS)
    assert kinds(stopped) == ['STOPPED_ON'], 'the fallback goes on'
    assert 'command age after 101 ms' in stopped.changes[0].reason
    feed(gate, 550, 1500)
    assert gate.state is GateState.STOPPED
    assert kinds(gate.arm(2000 * MS)) == ['STOPPED_OFF', 'FALLBACK_OFF']


def test_before_the_first_command_of_an_episode_only_the_stop_counts(make_gate: Make) -> None:
    gate = make_gate()
    assert kinds(gate.tick(499 * MS)) == kinds(gate.deadline_missed(499 * MS)) == []
    assert gate.offer(Offer(GOOD), 500 * MS).forward
    assert kinds(gate.tick(601 * MS)) == ['FALLBACK_ON']
    gate.arm(1000 * MS)
    assert kinds(gate.tick(1500 * MS)) == []
    assert kinds(gate.tick(1501 * MS)) == ['FALLBACK_ON', 'STOPPED_ON']


def test_the_planner_gets_back_control_after_t_clear_of_good_commands(make_gate: Make) -> None:
    gate = make_gate()
    gate.offer(Offer(GOOD), 0)
    gate.tick(101 * MS)
    told = feed(gate, 150, 350)
    # the trouble ended at 150 ms: 150 + 200
    assert [d.forward for d in told] == [False, False, False, False, True]
    assert kinds(told[-1]) == ['FALLBACK_OFF']
    assert told[-1].changes[0].reason == 'clear for 200 ms (command age after 101 ms)'


def test_a_fault_on_the_way_back_starts_t_clear_anew(make_gate: Make) -> None:
    gate = make_gate()
    gate.offer(Offer(GOOD), 0)
    gate.tick(101 * MS)
    feed(gate, 150, 250)
    assert gate.offer(Offer((math.nan, 1.0)), 300 * MS).refused is not None
    assert not any(d.forward for d in feed(gate, 350, 450))
    assert gate.offer(Offer(GOOD), 500 * MS).forward


@pytest.mark.parametrize('offer', [
    pytest.param(Offer(GOOD, 100, 51 * MS), id='old-at-its-arrival'),
    pytest.param(Offer(GOOD, 90, 0), id='stamped-before-the-last'),
    pytest.param(Offer(GOOD, 100, 0), id='twice'),
    pytest.param(Offer(GOOD, 10**9, -51 * MS), id='from-the-future'),
])
def test_a_command_out_of_time_is_dropped_and_degrades(make_gate: Make, offer: Offer) -> None:
    gate = make_gate()
    assert gate.offer(Offer(GOOD, 100, 50 * MS), 10 * MS).forward, 'as old as allowed'
    decision = gate.offer(offer, 20 * MS)
    assert not decision.forward
    assert kinds(decision) == ['DEGRADED_ON']
    assert gate.offer(Offer(GOOD, 101, 0), 30 * MS).forward, 'good ones still pass'


def test_a_clock_within_the_deadline_of_ours_is_ours(make_gate: Make) -> None:
    gate = make_gate()
    assert gate.offer(Offer(GOOD, 100, -50 * MS), 10 * MS).forward


def test_an_alarm_falls_back_and_without_a_score_there_is_none(make_gate: Make) -> None:
    gate = make_gate()
    assert kinds(gate.alarm(math.nan, 1.0, 10 * MS)) == []
    assert kinds(gate.alarm(5.0, math.nan, 10 * MS)) == []
    assert kinds(gate.alarm(1.0, 1.0, 10 * MS)) == [], 'on the threshold is no alarm'
    assert kinds(gate.alarm(math.inf, 1.0, 10 * MS)) == ['FALLBACK_ON']


def test_t_clear_doubles_with_each_alarm_that_hands_over_and_begins_anew_with_an_episode(
    make_gate: Make,
) -> None:
    gate = make_gate(clear_ms=100.0, stop_ms=1e6, returns=99)
    waits, now = [], 0
    for _ in range(8):
        assert 'FALLBACK_ON' in kinds(gate.alarm(2.0, 1.0, now * MS))
        gate.alarm(0.0, 1.0, now * MS)
        begun = now
        while gate.state is GateState.FALLBACK:
            now += 50
            gate.offer(Offer(GOOD), now * MS)
        waits.append(now - begun)
    assert waits == [100, 200, 400, 800, 1600, 3200, 3200, 3200]
    gate.arm(now * MS)
    gate.alarm(2.0, 1.0, now * MS)
    gate.alarm(0.0, 1.0, now * MS)
    assert not any(d.forward for d in feed(gate, now + 50, now + 50))
    assert gate.offer(Offer(GOOD), (now + 100) * MS).forward


def play(gate: CommandGate, slots: int, *, silent: bool = False) -> tuple[int, list[str]]:
    """
    Play a planner that is wrong whenever it drives; return slots it drove in, and the events.

    :param silent: it falls silent for three slots; else it commands NaN
    """
    drove, told, quiet_until = 0, [], -1
    for k in range(1, slots + 1):
        now_ns, wrong = 50 * MS * k, gate.state in (GateState.NOMINAL, GateState.DEGRADED)
        if silent:
            quiet_until = k + 3 if wrong and k > quiet_until + 1 else quiet_until
            decision = Decision() if k <= quiet_until else gate.offer(Offer(GOOD), now_ns)
        else:
            decision = gate.offer(Offer((math.nan, 1.0) if wrong else GOOD), now_ns)
        told += kinds(decision) + kinds(gate.tick(now_ns))
        drove += decision.forward
        if gate.commands(now_ns):
            gate.substitute(now_ns)
    return drove, told


def test_faulty_commands_back_off_as_alarms_do_and_the_returns_are_bounded(
    make_gate: Make,
) -> None:
    gate = make_gate(returns=3)
    drove, told = play(gate, 1200)
    assert gate.state is GateState.STOPPED
    assert [k for k in told if k in ('FALLBACK_ON', 'STOPPED_ON')] == [
        'FALLBACK_ON'] * 4 + ['STOPPED_ON']
    assert drove == 3, 'the command with which it gets back control, each time'


def test_with_the_defaults_a_minute_of_faults_has_eleven_hand_overs_at_most(
    make_gate: Make,
) -> None:
    gate = make_gate()
    _, told = play(gate, 1200)
    # 0.2 + 0.4 + 0.8 + 1.6 + 3.2 s, then 6.4 s five times: 38.2 s to the eleventh
    assert told.count('FALLBACK_ON') == 11
    assert gate.state is GateState.STOPPED


def test_silences_are_bounded_too_but_need_no_longer_t_clear(make_gate: Make) -> None:
    gate = make_gate(returns=3)
    _, told = play(gate, 1200, silent=True)
    assert told.count('FALLBACK_ON') == 4
    assert gate.state is GateState.STOPPED


@pytest.mark.parametrize(('good_s', 'state'), [(61, GateState.NOMINAL), (58, GateState.STOPPED)])
def test_a_hand_over_is_forgotten_after_a_minute_without_trouble(
    make_gate: Make, good_s: int, state: GateState,
) -> None:
    gate = make_gate(returns=1)
    now = 0
    for _ in range(4):
        gate.offer(Offer((math.nan, 1.0)), now * MS)
        if gate.state is GateState.STOPPED:
            break
        feed(gate, now + 50, now + good_s * 1000)
        now += good_s * 1000 + 50
    assert gate.state is state


def test_what_is_not_nominal_forgets_no_hand_over(make_gate: Make) -> None:
    gate = make_gate(returns=1)
    gate.watch('calibration', Level.DEGRADED, 'lost', 0)
    gate.offer(Offer((math.nan, 1.0)), 0)
    feed(gate, 50, 130_000)
    assert kinds(gate.offer(Offer((math.nan, 1.0)), 130_050 * MS))[-1] == 'STOPPED_ON'


def test_an_order_gives_the_planner_its_returns_anew(make_gate: Make) -> None:
    gate = make_gate(returns=0)
    decision = gate.alarm(2.0, 1.0, 10 * MS)
    assert kinds(decision) == ['FALLBACK_ON', 'STOPPED_ON']
    assert decision.changes[1].reason.endswith('control was given back 0 times in this episode')
    gate.alarm(0.0, 1.0, 20 * MS)
    assert gate.clear()[1] == ''
    assert kinds(gate.alarm(2.0, 1.0, 30 * MS)) == ['FALLBACK_ON', 'STOPPED_ON']


def test_fewer_alarms_than_asked_for_degrade(make_gate: Make) -> None:
    gate = make_gate(alarms=2, alarm_slots=3)
    scores = [2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 2.0]
    told = [kinds(gate.alarm(s, 1.0, k * MS)) for k, s in enumerate(scores)]
    assert told == [['DEGRADED_ON'], [], [], [], [], [], ['DEGRADED_OFF', 'FALLBACK_ON']]


def test_a_lost_calibration_degrades_for_the_rest_of_the_run(make_gate: Make) -> None:
    gate = make_gate()
    assert kinds(gate.watch('calibration', Level.DEGRADED, 'lost', 0)) == ['DEGRADED_ON']
    assert all(d.forward for d in feed(gate, 0, 1000))
    assert kinds(gate.disarm()) == ['DEGRADED_OFF']
    assert kinds(gate.arm(2000 * MS)) == ['DEGRADED_ON']


def test_from_a_fallback_it_returns_to_degraded_while_that_trouble_lasts(make_gate: Make) -> None:
    gate = make_gate()
    gate.watch('calibration', Level.DEGRADED, 'lost', 0)
    gate.offer(Offer((math.nan, 1.0)), 0)
    feed(gate, 50, 150)
    assert kinds(gate.offer(Offer(GOOD), 200 * MS)) == ['FALLBACK_OFF', 'DEGRADED_ON']


def test_dds_events_act_where_they_come_first_and_all_are_told(make_gate: Make) -> None:
    gate = make_gate()
    gate.offer(Offer(GOOD), 10 * MS)
    assert kinds(gate.deadline_missed(60 * MS)) == [], 'of a silence before this one'
    assert kinds(gate.deadline_missed(109 * MS)) == ['FALLBACK_ON']
    gate.tick(112 * MS)
    gate.liveliness(0, 310 * MS)
    stopped = gate.tick(512 * MS)
    assert stopped.changes[0].reason.endswith(
        '(DDS deadline after 99 ms, command age after 102 ms, DDS liveliness after 300 ms)')


def test_two_live_proposers_fall_back_until_one_is_gone(make_gate: Make) -> None:
    gate = make_gate()
    assert kinds(gate.liveliness(2, 0)) == ['FALLBACK_ON']
    assert not any(d.forward for d in feed(gate, 0, 400))
    gate.liveliness(1, 400 * MS)
    assert gate.offer(Offer(GOOD), 600 * MS).forward


def test_a_stop_is_lifted_by_order_once_nothing_speaks_against_it(make_gate: Make) -> None:
    gate = make_gate(latch_stop=True)
    gate.tick(501 * MS)
    decision, why = gate.clear()
    assert (kinds(decision), why) == ([], 'no valid command for 501 ms')
    gate.disarm()
    assert kinds(gate.arm(600 * MS)) == ['FALLBACK_ON', 'STOPPED_ON'], 'a robot was not reset'
    assert not gate.offer(Offer(GOOD), 610 * MS).forward
    decision, why = gate.clear()
    assert (kinds(decision), why) == (['STOPPED_OFF', 'FALLBACK_OFF'], '')
    assert gate.offer(Offer(GOOD), 620 * MS).forward


def test_an_operator_commands_within_the_limits_and_hands_back_to_the_fallback(
    make_gate: Make,
) -> None:
    gate = make_gate()
    gate.offer(Offer(GOOD), 0)
    assert kinds(gate.take_over(10 * MS)) == ['INTERVENTION_ON']
    assert gate.commands(10 * MS), 'until he says something'
    assert gate.operate((0.2, 1.0), 20 * MS).forward
    assert not gate.commands(120 * MS)
    assert gate.commands(121 * MS), 'he lets go of the button'
    refused = gate.operate((1.2, 1.0), 130 * MS).refused
    assert refused is not None
    assert not gate.offer(Offer(GOOD), 130 * MS).forward
    assert kinds(gate.release(140 * MS)) == ['INTERVENTION_OFF', 'FALLBACK_ON']
    assert [d.forward for d in feed(gate, 150, 350)] == [False] * 4 + [True]


def test_an_operator_may_drive_between_episodes_and_does_not_lift_a_stop(make_gate: Make) -> None:
    gate = make_gate(latch_stop=True)
    gate.tick(501 * MS)
    assert kinds(gate.take_over(510 * MS)) == ['STOPPED_OFF', 'FALLBACK_OFF', 'INTERVENTION_ON']
    assert kinds(gate.disarm()) == kinds(gate.arm(600 * MS)) == []
    assert gate.operate((0.2, 1.0), 620 * MS).forward
    assert kinds(gate.release(640 * MS)) == ['INTERVENTION_OFF', 'FALLBACK_ON', 'STOPPED_ON']


def test_nothing_is_watched_or_passed_between_episodes(make_gate: Make) -> None:
    gate = make_gate()
    gate.offer(Offer(GOOD), 10 * MS)
    gate.disarm()
    assert gate.tick(10_000 * MS) == gate.alarm(9.0, 1.0, 0) == Decision()
    assert gate.deadline_missed(10_000 * MS) == Decision()
    assert not gate.offer(Offer(GOOD), 10_000 * MS).forward
    assert not gate.commands(10_000 * MS)


def test_a_command_takes_effect_at_its_stamp_and_not_in_the_slots_before() -> None:
    in_force = InForce((0.0,))
    in_force.send((1.0,), 120, now_ns=0)
    assert [in_force.at(t) for t in (0, 50, 100)] == [(0.0,)] * 3
    # the next is sent in the first slot after, and the first goes on acting until its stamp
    in_force.send((2.0,), 270, now_ns=150)
    assert [in_force.at(t) for t in (150, 200, 250, 300)] == [
        (1.0,), (1.0,), (1.0,), (2.0,)]


def test_an_operator_may_take_over_before_the_first_episode() -> None:
    from wm_eval_ros.config.interface import CommandStream
    from wm_eval_ros.config.supervisor import SupervisorSettings
    command = CommandStream(topic='cmd', type='x/msg/Y', fields=('a', 'b'), low=(-1.0, 0.5),
                            high=(1.0, 2.0))
    gate = CommandGate(command, SupervisorSettings(), period_ns=50 * MS, deadline_ns=50 * MS,
                       features=())
    assert kinds(gate.take_over(10 * MS)) == ['INTERVENTION_ON']
    assert gate.substitute(10 * MS) == gate.zero
    assert gate.operate(GOOD, 20 * MS).forward
