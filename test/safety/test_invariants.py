"""Whatever happens: nothing unsafe gets out, events are balanced, a stop stays, T_clear holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
import math
from typing import Any

from hypothesis import given, HealthCheck, settings
from hypothesis import strategies as st

from wm_eval_ros.safety.gate import CommandGate, Decision, Offer
from wm_eval_ros.safety.monitors import Level
from wm_eval_ros.safety.state import GateState, PASSING

MS = 1_000_000
CLEAR_MS = 200
RATE = 40.0  # 2.0 a period of 50 ms: across the whole range of the first field

VALUES = st.one_of(st.floats(-1.2, 2.2), st.sampled_from([math.nan, math.inf, -math.inf, 1.0]))
COMMANDS = st.one_of(st.just((0.5, 1.0)), st.just((-0.5, 1.5)),
                     st.lists(VALUES, min_size=0, max_size=3).map(tuple))
VERBS = ('offer', 'offer', 'offer', 'tick', 'tick', 'arm', 'disarm', 'take_over', 'release',
         'operate', 'clear', 'alarm', 'calm', 'deadline', 'dead', 'alive', 'twins', 'intruder',
         'no_intruder', 'calibration')
#: the only ways out of a stop
OUT_OF_STOP = {'arm', 'disarm', 'clear', 'take_over'}
STEPS = st.lists(st.tuples(st.sampled_from(VERBS), COMMANDS, st.integers(0, 300)), max_size=60)


class Play:
    """Plays steps on a gate and keeps its own books."""

    def __init__(self, gate: CommandGate) -> None:
        self.gate = gate
        self.now_ms = 0
        self.open: Counter[str] = Counter()
        #: last time at which something spoke for the fallback, by these books
        self.bad_ms = -math.inf
        self.intruder = False

    def step(self, verb: str, command: tuple[float, ...], wait_ms: int) -> None:
        self.now_ms += wait_ms
        before = self.gate.state
        decision = self._do(verb, command)
        self._count(decision)
        after = self.gate.state
        if before is GateState.STOPPED and after is not before:
            assert verb in OUT_OF_STOP
        if decision.forward:
            self._safe(command)
        if before in (GateState.FALLBACK, GateState.STOPPED) and after in PASSING and (
                verb not in ('arm', 'clear')):
            assert verb == 'offer', 'handed back with a good command at hand'
            assert self.now_ms - self.bad_ms >= CLEAR_MS
            assert not self.intruder
        if self.gate.commands(self.now_ms * MS):
            self._safe(self.gate.substitute(self.now_ms * MS))

    def _do(self, verb: str, command: tuple[float, ...]) -> Decision:
        gate, now_ns = self.gate, self.now_ms * MS
        if verb == 'offer':
            decision = gate.offer(Offer(command), now_ns)
            if decision.refused is not None:
                self.bad_ms = self.now_ms
            if decision.forward:
                assert gate.state in PASSING
                assert not self.intruder
            return decision
        if verb == 'operate':
            decision = gate.operate(command, now_ns)
            assert not decision.forward or gate.state is GateState.OPERATOR
            return decision
        if verb in ('alarm', 'calm'):
            return gate.alarm(2.0 if verb == 'alarm' else 0.0, 1.0, now_ns)
        if verb in ('dead', 'alive', 'twins'):
            return gate.liveliness({'dead': 0, 'alive': 1, 'twins': 2}[verb], now_ns)
        if verb in ('intruder', 'no_intruder'):
            self.intruder = verb == 'intruder'
            level = Level.FALLBACK if self.intruder else Level.CLEAR
            return gate.watch('publishers', level, 'intruder', now_ns)
        if verb == 'calibration':
            return gate.watch('calibration', Level.DEGRADED, 'lost', now_ns)
        if verb == 'clear':
            return gate.clear()[0]
        simple: dict[str, Callable[[], Decision]] = {
            'tick': lambda: gate.tick(now_ns), 'arm': lambda: gate.arm(now_ns),
            'disarm': gate.disarm, 'take_over': lambda: gate.take_over(now_ns),
            'release': lambda: gate.release(now_ns),
            'deadline': lambda: gate.deadline_missed(now_ns)}
        return simple[verb]()

    def _count(self, decision: Decision) -> None:
        for change in decision.changes:
            name, _, side = change.kind.name.rpartition('_')
            self.open[name] += 1 if side == 'ON' else -1
            assert 0 <= self.open[name] <= 1, 'events of a kind alternate'
            assert change.reason
            if change.kind.name == 'FALLBACK_ON':
                self.bad_ms = self.now_ms
        wanted = {GateState.DEGRADED: {'DEGRADED'}, GateState.FALLBACK: {'FALLBACK'},
                  GateState.STOPPED: {'FALLBACK', 'STOPPED'},
                  GateState.OPERATOR: {'INTERVENTION'}}.get(self.gate.state, set())
        assert {name for name, count in self.open.items() if count} == wanted

    def _safe(self, command: tuple[float, ...]) -> None:
        assert len(command) == 2
        assert -1.0 <= command[0] <= 1.0
        assert 0.5 <= command[1] <= 2.0


@given(steps=STEPS, fallback=st.sampled_from(['zero', 'hold']), latch=st.booleans())
@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_it_holds(make_gate: Any, steps: list[Any], fallback: str,
                                   latch: bool) -> None:
    play = Play(make_gate(fallback=fallback, latch_stop=latch, clear_ms=float(CLEAR_MS),
                          rate=(RATE, RATE)))
    for step in steps:
        play.step(*step)


@given(steps=STEPS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_without_an_episode_and_an_operator_nothing_ever_passes(
    make_gate: Any, steps: list[Any],
) -> None:
    gate = make_gate()
    gate.disarm()
    play = Play(gate)
    for verb, command, wait_ms in steps:
        if verb in ('arm', 'take_over'):
            continue
        play.step(verb, command, wait_ms)
        assert gate.state is GateState.IDLE
