"""The gate in lockstep: one answer a slot, whatever comes first and whatever was left over."""

from __future__ import annotations

from collections.abc import Callable
import math

from wm_eval_ros.config.supervisor import StateLimit
from wm_eval_ros.records import CycleRecord, CycleStatus
from wm_eval_ros.safety.gate import CommandGate, Offer
from wm_eval_ros.safety.limits import Fault, Refusal
from wm_eval_ros.safety.lockstep import Answer, Proposal, SlotGate

MS = 1_000_000
PERIOD_NS = 50 * MS
CHARGE_NS = 15 * MS
GO, ZERO = (0.5, 1.0), (0.0, 0.5)
Make = Callable[..., CommandGate]


def cycle(slot: int, *, stamp_ns: int | None, surprise: float = 0.0,
          observation: tuple[float, ...] = ()) -> CycleRecord:
    now_ns = slot * PERIOD_NS
    return CycleRecord(now_ns, slot, 0, CycleStatus.OK, now_ns, now_ns, now_ns, now_ns, now_ns,
                       now_ns, PERIOD_NS, PERIOD_NS, surprise=surprise, surprise_threshold=1.0,
                       command_stamp_ns=stamp_ns, observation=observation)


def proposal(slot: int, action: tuple[float, ...] = GO, charge_ns: int = CHARGE_NS) -> Proposal:
    stamp_ns = slot * PERIOD_NS + charge_ns
    return Proposal(stamp_ns, Offer(action, stamp_ns))


def slot(slots: SlotGate, number: int, action: tuple[float, ...] | None = GO,
         charge_ns: int = CHARGE_NS, **record: object) -> Answer:
    """Play one slot; without an action the planner skips it."""
    stamp_ns = None
    if action is not None:
        made = proposal(number, action, charge_ns)
        stamp_ns = made.stamp_ns
        assert slots.propose(made) is None
    answer = slots.record(cycle(number, stamp_ns=stamp_ns, **record))  # type: ignore[arg-type]
    assert answer is not None
    return answer


def kinds(answer: Answer) -> list[str]:
    return [change.kind.name for change in answer.decision.changes]


def test_the_answer_waits_for_both_and_their_order_changes_nothing(make_gate: Make) -> None:
    one, two = SlotGate(make_gate()), SlotGate(make_gate())
    record, proposed = cycle(1, stamp_ns=65 * MS), proposal(1)
    assert one.propose(proposed) is two.record(record) is None
    answer = one.record(record)
    assert answer == two.propose(proposed)
    assert answer is not None
    assert (answer.action, answer.stamp_ns, answer.passed) == (GO, 65 * MS, proposed)


def test_a_record_before_the_first_episode_is_answered_with_zero(make_gate: Make) -> None:
    gate = make_gate()
    gate.disarm()
    assert slot(SlotGate(gate), 0).action == ZERO


def test_what_an_episode_left_over_answers_nothing_in_the_next(make_gate: Make) -> None:
    gate = make_gate()
    slots = SlotGate(gate)
    assert slots.propose(proposal(1)) is None
    assert slots.record(cycle(2, stamp_ns=115 * MS)) is None
    gate.arm(0)
    slots.begin()
    assert slots.propose(proposal(2, ZERO)) is None, 'the record before is of another episode'
    slots.begin()
    assert slots.record(cycle(1, stamp_ns=65 * MS)) is None, 'so is the proposal'
    answer = slots.propose(proposal(1, (0.1, 1.0)))
    assert answer is not None
    assert answer.action == (0.1, 1.0)


def test_an_unreadable_proposal_is_a_fault_and_the_fallback_answers(make_gate: Make) -> None:
    slots = SlotGate(make_gate())
    slot(slots, 0)
    slots.propose(Proposal(65 * MS, Refusal(Fault.UNREADABLE, 'no effort')))
    answer = slots.record(cycle(1, stamp_ns=65 * MS))
    assert answer is not None
    assert (answer.action, answer.stamp_ns, answer.passed) == (ZERO, 50 * MS, None)
    assert kinds(answer) == ['FALLBACK_ON']


def test_the_alarm_of_a_slot_acts_on_its_own_command(make_gate: Make) -> None:
    slots = SlotGate(make_gate())
    assert slot(slots, 0).action == GO
    answer = slot(slots, 1, surprise=math.inf)
    assert (answer.action, kinds(answer)) == (ZERO, ['FALLBACK_ON'])


def test_a_skipped_slot_goes_on_with_what_is_in_force(make_gate: Make) -> None:
    slots = SlotGate(make_gate())
    assert slot(slots, 0, charge_ns=70 * MS).action == GO
    assert [slot(slots, k, None).action for k in (1, 2)] == [ZERO, GO], 'it acts from 70 ms on'


def test_silence_is_from_when_a_command_comes_to_when_the_next_one_does(make_gate: Make) -> None:
    """As in realtime: a command every 150 ms is a silence of more than two periods of 50."""
    slots = SlotGate(make_gate())
    told = [kinds(slot(slots, k, None if k % 3 else GO, charge_ns=145 * MS)) for k in range(6)]
    # the first comes at 145 ms; 5, 55 and 105 ms later the gate looks, late is 75 and stale 100
    assert told == [[], [], [], [], [], ['FALLBACK_ON']]
    slots = SlotGate(make_gate(late_periods=3.0, stale_periods=3.0))
    assert not any(kinds(slot(slots, k, None if k % 3 else GO, charge_ns=145 * MS))
                   for k in range(12))


def test_before_the_first_command_comes_there_is_nothing_to_be_late(make_gate: Make) -> None:
    slots = SlotGate(make_gate())
    assert not any(kinds(slot(slots, k, None if k else GO, charge_ns=250 * MS)) for k in range(7))
    assert [kinds(slot(slots, k, None)) for k in (7, 8)] == [
        ['DEGRADED_ON'], ['DEGRADED_OFF', 'FALLBACK_ON']]


def test_refused_proposals_run_into_the_stop_as_silence_does(make_gate: Make) -> None:
    slots = SlotGate(make_gate())
    told = [kinds(slot(slots, k, (math.nan, 1.0))) for k in range(12)]
    # the last slot within 500 ms is the 10th
    assert told == [['FALLBACK_ON'], *[[]] * 10, ['STOPPED_ON']]


def test_a_stamp_from_the_far_future_is_refused_and_moves_no_sequence(make_gate: Make) -> None:
    slots = SlotGate(make_gate())
    assert slot(slots, 0, charge_ns=500 * MS).passed is not None, 'as late as a stop'
    slots = SlotGate(make_gate())
    answer = slot(slots, 0, charge_ns=501 * MS)
    assert (answer.action, answer.stamp_ns) == (ZERO, 0)
    assert answer.decision.refused is not None
    assert answer.decision.refused.fault is Fault.FUTURE
    assert slot(slots, 1).passed is not None


def test_a_command_in_force_is_not_sent_again_where_it_would_drive_outwards(
    make_gate: Make,
) -> None:
    limit = StateLimit(feature='state.position', low=-2.0, high=2.0, field='a')
    slots = SlotGate(make_gate(state_limits=(limit,), stale_periods=9.0, late_periods=9.0))
    assert slot(slots, 0, observation=(1.9,)).action == GO
    assert slot(slots, 1, None, observation=(1.95,)).action == GO
    assert slot(slots, 2, None, observation=(2.0,)).action == (0.0, 1.0)
    assert slot(slots, 3, None, observation=(1.9,)).action == (0.0, 1.0), 'that is in force now'


def test_nor_is_one_that_begins_to_act_out_there(make_gate: Make) -> None:
    limit = StateLimit(feature='state.position', low=-2.0, high=2.0, field='a')
    slots = SlotGate(make_gate(state_limits=(limit,)))
    assert slot(slots, 0, charge_ns=70 * MS, observation=(1.9,)).passed is not None
    assert slot(slots, 1, None, observation=(2.0,)).action == ZERO
    assert slot(slots, 2, None, observation=(2.0,)).action == (0.0, 1.0)
