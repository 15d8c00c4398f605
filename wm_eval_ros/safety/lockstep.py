"""The gate in lockstep: exactly one command a slot, decided by the planner's record of it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from wm_eval_ros.records import CycleRecord
from wm_eval_ros.safety.gate import CommandGate, Decision, Offer
from wm_eval_ros.safety.in_force import InForce
from wm_eval_ros.safety.limits import Fault, Refusal


@dataclass(frozen=True, slots=True)
class Proposal:
    """One proposal of the planner as it came."""

    #: its stamp, by which the record of its slot names it [ns, ROS]
    stamp_ns: int
    #: what it commands, or why it cannot be read
    read: Offer | Refusal
    #: the message, handed back where it passes
    message: object = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The one command of a slot."""

    #: shape (A,)
    action: tuple[float, ...]
    #: from when on it acts [ns, ROS]
    stamp_ns: int
    #: start of the slot [ns, ROS]
    now_ns: int
    decision: Decision
    #: the proposal that passes unchanged; None: the gate's own command, or the one in force again
    passed: Proposal | None = None


class SlotGate:
    """Answers a slot once its record and the proposal that the record names are here."""

    def __init__(self, gate: CommandGate) -> None:
        """Wait for nothing yet."""
        self._gate = gate
        self.begin()

    def begin(self) -> None:
        """Begin an episode: what was left of the one before answers nothing any more."""
        self._in_force = InForce(self._gate.zero)
        self._waiting: dict[int, Proposal] = {}
        self._cycle: CycleRecord | None = None
        #: when valid commands come that were judged already [ns, ROS]
        self._on_their_way: deque[int] = deque()
        self._came_ns: int | None = None

    def propose(self, proposal: Proposal) -> Answer | None:
        """Take in a proposal; return the answer of its slot where the record was here first."""
        self._waiting[proposal.stamp_ns] = proposal
        return self._answer()

    def record(self, cycle: CycleRecord) -> Answer | None:
        """Take in the record of a slot; return its answer; None: its proposal is to come."""
        self._cycle = cycle
        return self._answer()

    def _answer(self) -> Answer | None:
        cycle, proposal = self._cycle, None
        if cycle is None:
            return None
        if cycle.command_stamp_ns is not None:
            proposal = self._waiting.pop(cycle.command_stamp_ns, None)
            if proposal is None:
                return None
        self._cycle = None
        now_ns = cycle.stamp_ns
        self._gate.observed.update(0, cycle.observation, now_ns)
        alarm = self._gate.alarm(cycle.surprise, cycle.surprise_threshold, now_ns)
        self._arrive(now_ns)
        decision = self._judge(proposal, now_ns)
        told = replace(decision, changes=alarm.changes + decision.changes)
        if proposal is not None and isinstance(proposal.read, Offer) and decision.forward:
            self._in_force.send(proposal.read.action, proposal.stamp_ns, now_ns)
            return Answer(proposal.read.action, proposal.stamp_ns, now_ns, told, proposal)
        if self._gate.commands(now_ns):
            self._in_force.send(self._gate.substitute(now_ns), now_ns, now_ns)
        return Answer(self._again(now_ns), now_ns, now_ns, told)

    def _again(self, now_ns: int) -> tuple[float, ...]:
        """Return the command in force, less what must not go on by what is observed now."""
        action = self._in_force.at(now_ns)
        kept = self._gate.keep(action, now_ns)
        if kept != action:
            self._in_force.replace(kept)
        return kept

    def _arrive(self, now_ns: int) -> None:
        """Tell the gate what has come by now: its silence begins when a command comes."""
        while self._on_their_way and self._on_their_way[0] <= now_ns:
            self._came_ns = self._on_their_way.popleft()
        self._gate.came(self._came_ns)

    def _judge(self, proposal: Proposal | None, now_ns: int) -> Decision:
        if proposal is None:
            return self._gate.tick(now_ns)
        read = self._future(proposal, now_ns) or proposal.read
        decision = (self._gate.refuse(read, now_ns) if isinstance(read, Refusal)
                    else self._gate.offer(read, now_ns))
        if decision.refused is None:
            self._on_their_way.append(proposal.stamp_ns)
            return decision
        # nobody else looks at the time
        late = self._gate.tick(now_ns)
        return replace(decision, changes=decision.changes + late.changes)

    def _future(self, proposal: Proposal, now_ns: int) -> Refusal | None:
        """Refuse what would act only when its absence had long been answered by a stop."""
        ahead_ns = proposal.stamp_ns - now_ns
        if ahead_ns <= self._gate.stop_ns:
            return None
        return Refusal(Fault.FUTURE, f'command is stamped {ahead_ns / 1e6:.0f} ms after its slot, '
                                     f'{self._gate.stop_ns / 1e6:g} ms are allowed')
