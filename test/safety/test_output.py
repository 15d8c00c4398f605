"""
What the gate lets out, whatever comes in: over every fallback, in realtime and in lockstep.

Judged by the test's own books: what was observed, what is limited, what was sent before.
"""

from __future__ import annotations

from collections.abc import Callable
import math
import os
from typing import Any

from hypothesis import given, HealthCheck, settings
from hypothesis import strategies as st
import pytest

from wm_eval_ros.config.supervisor import BrakeTerm, StateLimit
from wm_eval_ros.records import CycleRecord, CycleStatus
from wm_eval_ros.safety.gate import CommandGate, Decision, Offer
from wm_eval_ros.safety.limits import Fault, Refusal
from wm_eval_ros.safety.lockstep import Answer, Proposal, SlotGate
from wm_eval_ros.safety.state import GateState

MS = 1_000_000
PERIOD_NS = 50 * MS
#: sequences of each test; WM_EVAL_SEQUENCES asks for more
SEQUENCES = int(os.environ.get('WM_EVAL_SEQUENCES', '300'))
LOW, HIGH = (-1.0, 0.5), (1.0, 2.0)
#: largest change of a field in a period
STEP = 0.4
STATE_LOW, STATE_HIGH = -2.0, 2.0
STALE_NS = 100 * MS
SETTINGS: dict[str, Any] = {
    'rate': (STEP / 0.05, STEP / 0.05), 'clear_ms': 100.0,
    # two features limit one field; the other has no zero
    'state_limits': (
        StateLimit(feature='state.position', low=STATE_LOW, high=STATE_HIGH, field='a'),
        StateLimit(feature='state.velocity', low=STATE_LOW, high=STATE_HIGH, field='a'))}
POLICIES: dict[str, dict[str, Any]] = {
    'zero': {}, 'hold': {},
    'brake': {'brake': (BrakeTerm(field='a', feature='state.velocity', gain=2.0),
                        BrakeTerm(field='b', feature='state.turn', gain=-3.0))},
    'controller': {'controller_topic': 'backup'}}

ODD = st.sampled_from([math.nan, math.inf, -math.inf, 1e308, 1.0, -1.0, 0.0, 0.5, 2.0, -2.0])
VALUES = st.one_of(st.floats(-0.4, 0.4), st.floats(-1.1, 2.1), ODD)
#: commands in reach of one another, so that some pass, and anything else
COMMANDS = st.one_of(
    st.tuples(st.floats(-0.19, 0.19), st.floats(0.5, 0.85)),
    st.tuples(st.floats(-1.0, 1.0), st.floats(0.5, 2.0)),
    st.lists(VALUES, max_size=3).map(tuple))
FEATURES = st.one_of(
    *[st.tuples(*[st.floats(-1.9, 1.9)] * 3)] * 2,
    st.lists(st.one_of(st.floats(-3.0, 3.0), ODD), max_size=3).map(tuple))


class Books:
    """Knows what was observed, and judges what comes out."""

    def __init__(self) -> None:
        self.known: list[tuple[float, int]] = [(math.nan, 0)] * 3

    def observe(self, features: tuple[float, ...], now_ns: int) -> None:
        for k, value in enumerate(features):
            self.known[k] = value, now_ns

    def check(self, action: tuple[float, ...], now_ns: int) -> None:
        """Never out of range, not finite, nor driving a limited state outwards."""
        assert len(action) == 2
        assert all(map(math.isfinite, action))
        assert all(low <= value <= high
                   for low, value, high in zip(LOW, action, HIGH, strict=True))
        for value, at_ns in self.known[:2]:
            if not math.isfinite(value) or now_ns - at_ns > STALE_NS:
                assert action[0] == 0.0
            assert not (value >= STATE_HIGH and action[0] > 0.0)
            assert not (value <= STATE_LOW and action[0] < 0.0)


VERBS = st.sampled_from(['offer'] * 6 + ['observe'] * 3 + [
    'tick', 'unreadable', 'alarm', 'calm', 'dead', 'alive', 'deadline', 'backup', 'operate',
    'take_over', 'release', 'clear', 'correct', 'arm', 'disarm'])
STEPS = st.lists(st.tuples(VERBS, COMMANDS, FEATURES, st.sampled_from([0, 5, 25, 50, 50, 50, 150]),
                           st.one_of(st.integers(-50, 50), st.integers(-120, 120))),
                 min_size=15, max_size=50)


class Realtime:
    """Plays steps on a gate as the node does in realtime, and checks all that is sent."""

    def __init__(self, gate: CommandGate, policy: str) -> None:
        self.gate, self.policy, self.books = gate, policy, Books()
        self.now_ns = 0
        #: when the gate's own command was last sent, or the second controller's
        self.substituted_ns = 0
        #: what came into force and when, the newest last
        self.sent = [(0, gate.zero)]

    def send(self, action: tuple[float, ...], *, judged: bool) -> None:
        self.books.check(action, self.now_ns)
        if judged:
            # in force now, and a period ago, less the quarter that arrivals jitter
            ago = self.now_ns - PERIOD_NS * 3 // 4
            before = [command for at_ns, command in self.sent if at_ns <= ago] or [
                self.sent[0][1]]
            for old in (self.sent[-1][1], before[-1]):
                assert all(abs(new - was) <= STEP * (1 + 1e-6)
                           for new, was in zip(action, old, strict=True))
        self.sent.append((self.now_ns, action))

    def step(self, verb: str, command: tuple[float, ...], features: tuple[float, ...],
             wait_ms: int, age_ms: int) -> None:
        gate = self.gate
        self.now_ns += wait_ms * MS
        now_ns = self.now_ns
        decision = Decision()
        if verb == 'observe':
            self.books.observe(features, now_ns)
            gate.observed.update(0, features, now_ns)
        elif verb == 'offer':
            decision = gate.offer(Offer(command, now_ns - age_ms * MS, age_ms * MS), now_ns)
            if decision.forward:
                assert abs(age_ms) <= 50
                self.send(command, judged=True)
        elif verb == 'backup':
            self._backup(Offer(command, now_ns - age_ms * MS, age_ms * MS))
        elif verb == 'operate':
            decision = gate.operate(command, now_ns)
            if decision.forward:
                self.send(command, judged=True)
        elif verb == 'correct':
            made = gate.correct((0.05, -0.05), now_ns)
            if made is not None:
                self.send(made, judged=True)
        elif verb == 'arm':
            if gate.state is not GateState.OPERATOR:
                # between episodes zero is in force
                self.sent = [(now_ns, gate.zero)]
            decision = gate.arm(now_ns)
        else:
            decision = self._more(verb)
        self._substitute(decision, looks=verb == 'tick')

    def _backup(self, offer: Offer) -> None:
        if self.policy != 'controller' or not self.gate.offer_fallback(offer, self.now_ns).forward:
            return
        assert offer.age_ns is not None
        assert abs(offer.age_ns) <= 50 * MS
        self.send(offer.action, judged=False)
        self.substituted_ns = self.now_ns

    def _substitute(self, decision: Decision, *, looks: bool) -> None:
        """Send what the gate commands where the node does: at a change, and once a period."""
        every_ns = 0 if self.gate.fallback.closed_loop else PERIOD_NS
        due = looks and self.now_ns - self.substituted_ns >= every_ns
        if (decision.changes or due) and self.gate.commands(self.now_ns):
            self.send(self.gate.substitute(self.now_ns), judged=False)
            self.substituted_ns = self.now_ns

    def _more(self, verb: str) -> Decision:
        gate, now_ns = self.gate, self.now_ns
        simple: dict[str, Callable[[], Decision]] = {
            'tick': lambda: gate.tick(now_ns), 'disarm': gate.disarm,
            'clear': lambda: gate.clear()[0],
            'unreadable': lambda: gate.refuse(Refusal(Fault.UNREADABLE, 'x'), now_ns),
            'alarm': lambda: gate.alarm(math.inf, 1.0, now_ns),
            'calm': lambda: gate.alarm(0.0, 1.0, now_ns),
            'dead': lambda: gate.liveliness(0, now_ns),
            'alive': lambda: gate.liveliness(1, now_ns),
            'deadline': lambda: gate.deadline_missed(now_ns),
            'take_over': lambda: gate.take_over(now_ns), 'release': lambda: gate.release(now_ns)}
        return simple[verb]()


@pytest.mark.slow
@pytest.mark.parametrize('policy', POLICIES)
def test_in_realtime_nothing_unsafe_is_ever_sent(make_gate: Any, policy: str) -> None:
    @given(steps=STEPS)
    @settings(max_examples=SEQUENCES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def play(steps: list[Any]) -> None:
        played = Realtime(make_gate(fallback=policy, **POLICIES[policy], **SETTINGS), policy)
        for step in steps:
            played.step(*step)

    play()


#: command or None where the slot is skipped, features, surprise, charge of the decision [ms]
SLOTS = st.lists(st.tuples(
    st.one_of(st.none(), COMMANDS, COMMANDS, COMMANDS), FEATURES,
    st.sampled_from([0.0] * 8 + [math.nan, math.inf]),
    st.sampled_from([0, 15, 15, 50, 70, 120, 700, 10**9, -60])), max_size=40)


def answered(slots: SlotGate, number: int, command: tuple[float, ...] | None,
             features: tuple[float, ...], surprise: float, charge_ms: int) -> Answer:
    now_ns = number * PERIOD_NS
    stamp_ns = None if command is None else now_ns + charge_ms * MS
    if command is not None and stamp_ns is not None:
        slots.propose(Proposal(stamp_ns, Offer(command, stamp_ns)))
    answer = slots.record(CycleRecord(
        now_ns, number, 0, CycleStatus.OK, now_ns, now_ns, now_ns, now_ns, now_ns, now_ns,
        PERIOD_NS, PERIOD_NS, surprise=surprise, surprise_threshold=1.0, observation=features,
        command_stamp_ns=stamp_ns))
    assert answer is not None
    return answer


@pytest.mark.slow
@pytest.mark.parametrize('policy', ['zero', 'hold', 'brake'])
def test_in_lockstep_every_slot_has_one_answer_and_none_is_unsafe(
    make_gate: Any, policy: str,
) -> None:
    @given(slots=SLOTS)
    @settings(max_examples=SEQUENCES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def play(slots: list[Any]) -> None:
        gate, books = make_gate(fallback=policy, **POLICIES[policy], **SETTINGS), Books()
        played = SlotGate(gate)
        for number, (command, features, surprise, charge_ms) in enumerate(slots, start=1):
            answer = answered(played, number, command, features, surprise, charge_ms)
            books.observe(features, answer.now_ns)
            books.check(answer.action, answer.now_ns)
            assert answer.stamp_ns - answer.now_ns <= 500 * MS
            if answer.passed is not None:
                assert answer.action == command

    play()
