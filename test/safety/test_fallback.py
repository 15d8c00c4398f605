"""What is commanded instead: zero, hold, brake, a second controller's; and the joystick."""

from __future__ import annotations

from collections.abc import Callable
import math

import pytest

from wm_eval_ros.config.interface import CommandStream
from wm_eval_ros.config.supervisor import BrakeTerm, SupervisorSettings
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.safety.gate import CommandGate, Offer
from wm_eval_ros.safety.joystick import Joystick
from wm_eval_ros.safety.limits import Fault, Refusal
from wm_eval_ros.safety.refusals import RefusalLog

MS = 1_000_000
Make = Callable[..., CommandGate]
BRAKE = (BrakeTerm(field='b', feature='state.turn', gain=1.0),
         BrakeTerm(field='a', feature='state.velocity', gain=0.5))


def test_hold_is_the_last_command_that_passed_and_of_this_episode(make_gate: Make) -> None:
    gate = make_gate(fallback='hold')
    assert gate.substitute(0) == (0.0, 0.5), 'none yet'
    gate.offer(Offer((0.25, 1.0)), 10 * MS)
    gate.tick(200 * MS)
    assert gate.substitute(200 * MS) == (0.25, 1.0)
    gate.tick(511 * MS)
    assert gate.substitute(511 * MS) == (0.0, 0.5), 'a stop holds nothing'
    gate.arm(600 * MS)
    assert gate.substitute(600 * MS) == (0.0, 0.5), 'nothing is held over'


def test_brake_is_minus_gain_times_velocity_within_the_limits(make_gate: Make) -> None:
    gate = make_gate(fallback='brake', brake=BRAKE)
    gate.observed.update(0, [0.0, -1.5, -1.0], 0)
    assert gate.substitute(0) == (0.75, 1.0)
    gate.observed.update(0, [0.0, 40.0, 0.0], 10 * MS)
    assert gate.substitute(10 * MS) == (-1.0, 0.5), 'clipped into the limits'
    gate.observed.update(0, [0.0, math.nan, 0.0], 20 * MS)
    assert gate.substitute(20 * MS) == (0.0, 0.5), 'what is not known is not braked'
    gate.tick(900 * MS)
    gate.observed.update(0, [0.0, 1.0, 0.0], 900 * MS)
    assert gate.substitute(900 * MS) == (-0.5, 0.5), 'a stop goes on braking'


@pytest.mark.parametrize(('brake', 'text'), [
    pytest.param(BRAKE[:1], 'one term for each of a, b', id='a-field-is-left-out'),
    pytest.param((BRAKE[0], BrakeTerm(field='a', feature='wheel', gain=1.0)),
                 "'wheel' is not observed", id='not-observed'),
])
def test_brake_needs_every_field_and_velocities_that_are_observed(
    make_gate: Make, brake: tuple[BrakeTerm, ...], text: str,
) -> None:
    with pytest.raises(ConfigError, match=text):
        make_gate(fallback='brake', brake=brake)


def test_a_second_controller_passes_through_the_same_limits_in_a_fallback(
    make_gate: Make,
) -> None:
    gate = make_gate(fallback='controller', controller_topic='backup')
    gate.offer(Offer((0.5, 1.0)), 0)
    assert not gate.offer_fallback(Offer((0.1, 1.0)), 60 * MS).forward, 'the planner commands'
    gate.tick(101 * MS)
    assert gate.substitute(101 * MS) == (0.1, 1.0), 'its newest takes over at once'
    assert gate.offer_fallback(Offer((0.2, 1.0)), 110 * MS).forward
    refused = gate.offer_fallback(Offer((math.nan, 1.0)), 120 * MS).refused
    assert refused is not None
    assert gate.substitute(211 * MS) == (0.0, 0.5), 'silent for two periods: zero'


@pytest.mark.parametrize('settings', [
    pytest.param({'fallback': 'controller'}, id='no-topic'),
    pytest.param({'fallback': 'brake'}, id='no-terms'),
    pytest.param({'brake': BRAKE}, id='terms-without-the-policy'),
    pytest.param({'late_periods': 3.0}, id='late-after-stale'),
    pytest.param({'alarms': 3, 'alarm_slots': 2}, id='more-alarms-than-slots'),
])
def test_settings_that_contradict_each_other_are_refused(settings: dict) -> None:
    with pytest.raises(ConfigError):
        SupervisorSettings(**settings)


def test_the_planner_comes_back_within_reach_of_the_second_controller(make_gate: Make) -> None:
    gate = make_gate(fallback='controller', controller_topic='backup', rate=(2.0, 9.0),
                     clear_ms=0.0)
    gate.offer(Offer((math.nan, 0.5)), 50 * MS)
    assert gate.offer_fallback(Offer((0.9, 0.5)), 60 * MS).forward
    # 0.1 a period is allowed
    assert gate.offer(Offer((0.05, 0.5)), 110 * MS).refused is not None
    assert gate.offer(Offer((0.8, 0.5)), 120 * MS).forward


@pytest.mark.parametrize(('age_ms', 'fault'), [(51, Fault.LATE), (-51, Fault.FUTURE)])
def test_a_second_controller_out_of_time_is_refused_and_is_no_news_of_the_planner(
    make_gate: Make, age_ms: int, fault: Fault,
) -> None:
    gate = make_gate(fallback='controller', controller_topic='backup', clear_ms=0.0)
    gate.offer(Offer((math.nan, 0.5)), 50 * MS)
    decision = gate.offer_fallback(Offer((0.9, 0.5), 10**15, age_ms * MS), 60 * MS)
    assert not decision.forward
    assert decision.refused is not None
    assert decision.refused.fault is fault
    assert gate.substitute(70 * MS) == (0.0, 0.5)
    assert gate.offer_fallback(Offer((0.9, 0.5), 10**15, 50 * MS), 80 * MS).forward
    assert gate.offer(Offer((0.1, 0.5), 10, 0), 110 * MS).forward, 'its stamps are its own'


COMMAND = CommandStream(topic='c', type='x/msg/Y', fields=('a', 'b'), low=(-2.0, 0.5),
                        high=(1.0, 2.0))


@pytest.mark.parametrize(('axes', 'buttons', 'want'), [
    pytest.param([0.0, 9.0, 0.0], [0, 1], (0.0, 0.5), id='centre-is-zero-clipped'),
    pytest.param([1.0, 9.0, 1.0], [0, 1], (1.0, 2.0), id='full'),
    pytest.param([-0.5, 9.0, -1.0], [0, 1], (-1.0, 0.5), id='each-side-has-its-range'),
    pytest.param([1.0, 9.0, 1.0], [1, 0], None, id='dead-man-button-is-up'),
    pytest.param([1.0, 9.0, 1.0], [1], None, id='no-such-button'),
    pytest.param([1.0, 9.0], [0, 1], None, id='no-such-axis'),
])
def test_axes_become_commands_while_the_button_is_held(
    axes: list[float], buttons: list[int], want: tuple[float, ...] | None,
) -> None:
    joystick = Joystick(COMMAND, SupervisorSettings(joy_axes=(0, 2), joy_deadman=1))
    assert joystick.command(axes, buttons) == want


def test_a_joystick_needs_an_axis_a_field() -> None:
    with pytest.raises(ConfigError, match='1 axes for 2'):
        Joystick(COMMAND, SupervisorSettings(joy_axes=(0,)))


def test_few_events_tell_of_every_refusal() -> None:
    log = RefusalLog(1000)
    told = []
    for now in range(0, 2500, 100):
        log.add(Refusal(Fault.RANGE, f'at {now}'))
        told += list(log.due(now))
    log.add(Refusal(Fault.NONFINITE, 'nan'))
    told += list(log.due(2450))
    told += list(log.due(2460, rest=True))
    assert told == [('range: at 0', 1), ('range: at 1000', 10), ('range: at 2000', 10),
                    ('nonfinite: nan', 1), ('range: at 2400', 4)]
    assert list(log.due(9999)) == []
