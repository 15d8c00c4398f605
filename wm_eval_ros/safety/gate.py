"""The command gate: judges every proposed command, and says who commands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from wm_eval_ros.config.interface import CommandStream
from wm_eval_ros.config.supervisor import SupervisorSettings
from wm_eval_ros.safety.fallback import Controller, make_fallback
from wm_eval_ros.safety.limits import CommandLimits, Fault, Refusal
from wm_eval_ros.safety.monitors import AlarmCount, Level, Monitors
from wm_eval_ros.safety.observed import Observed
from wm_eval_ros.safety.state import Changes, GateState, PASSING, StateMachine
from wm_eval_ros.safety.watchdogs import Watchdogs

#: faults of the transport: the command is dropped and the one before stays in force
_TOLERATED = frozenset({Fault.LATE, Fault.FUTURE, Fault.SEQUENCE})
#: monitors that tell of one episode
_OF_EPISODE = ('command', 'fault', 'surprise', 'deadline', 'liveliness', 'operator')


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate says about one command or one instant."""

    #: the offered command passes unchanged
    forward: bool = False
    #: spells that begin or end
    changes: Changes = ()
    #: why the offered command was refused
    refused: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """One command somebody wants to pass."""

    #: shape (A,), in the command's units
    action: tuple[float, ...]
    #: stamp [ns, ROS]; None: the type has none
    stamp_ns: int | None = None
    #: age at its arrival by its stamp [ns, ROS]; None: not known
    age_ns: int | None = None


class CommandGate:
    """
    Passes commands that are whole, inside the limits, fresh and in order, while all is well.

    Time is passed in: steady time in ``realtime``, simulated time otherwise.
    """

    def __init__(self, command: CommandStream, settings: SupervisorSettings, *, period_ns: int,
                 deadline_ns: int, features: Sequence[str], latch_stop: bool = False) -> None:
        """
        Make a gate.

        :param period_ns: period of the planner's schedule [ns]
        :param deadline_ns: the planner's deadline [ns]
        :param features: names of the observed features in the interface's order
        :param latch_stop: a new episode does not lift a stop
        :raises ConfigError: the settings do not fit the interface
        """
        self.stale_ns = round(settings.stale_periods * period_ns)
        self._late_ns = round(settings.late_periods * period_ns)
        #: no valid command for longer than this: stopped [ns]
        self.stop_ns = round(settings.stop_ms * 1e6)
        self._age_ns = round(settings.age_ms * 1e6) or deadline_ns
        self.observed = Observed(features, self.stale_ns)
        self._limits = CommandLimits(command, settings, period_ns, self.observed)
        self.fallback = make_fallback(command, settings, self.observed, self.stale_ns)
        self._monitors = Monitors()
        self._machine = StateMachine(self._monitors, clear_ns=round(settings.clear_ms * 1e6),
                                     returns=settings.returns, latch_stop=latch_stop)
        self._alarms = AlarmCount(settings.alarms, settings.alarm_slots)
        self._watchdogs = Watchdogs(self.stale_ns)
        #: zero, clipped into the limits, shape (A,)
        self.zero = command.zero
        # an operator may take over before the first episode
        self._limits.begin(self.zero, 0)
        self._last = self.zero
        self._fresh_ns = self._operated_ns = 0
        self._stamp_ns: int | None = None
        #: a valid command came in this episode
        self._heard = False
        #: why the last command since the last valid one was refused; empty: none was
        self._unfit = ''

    @property
    def state(self) -> GateState:
        """Who commands."""
        return self._machine.state

    # episodes -----------------------------------------------------------------------------------

    def arm(self, now_ns: int) -> Decision:
        """Begin an episode: watch from now on."""
        self._monitors.forget(_OF_EPISODE)
        self._alarms.begin()
        if self.state is not GateState.OPERATOR:
            # an operator drives on over the start: what he sent is in force
            self._limits.begin(self.zero, now_ns)
        self._watchdogs.begin(now_ns)
        self._last, self._fresh_ns, self._stamp_ns = self.zero, now_ns, None
        self._heard, self._unfit = False, ''
        return Decision(changes=self._machine.arm() + self._machine.escalate())

    def disarm(self) -> Decision:
        """End an episode: nothing passes until the next begins."""
        return Decision(changes=self._machine.disarm())

    # commands -----------------------------------------------------------------------------------

    def offer(self, offer: Offer, now_ns: int) -> Decision:
        """Judge one proposal of the planner."""
        if self.state is GateState.IDLE:
            return Decision()
        refused = (self._aged(offer) or self._in_order(offer)
                   or self._limits.static(offer.action, now_ns))
        if refused is None and self.state is not GateState.OPERATOR:
            # out of reach is refused in a fallback, too: a planner that stays there is stopped
            refused = self._limits.dynamic(offer.action, now_ns)
        if refused is not None:
            return self.refuse(refused, now_ns)
        self._hear(offer, now_ns)
        changes = self._told(self._machine.relax(now_ns))
        if self.state not in PASSING:
            return Decision(changes=changes)
        self._last = offer.action
        self._limits.sent(offer.action, now_ns)
        return Decision(forward=True, changes=changes)

    def refuse(self, refusal: Refusal, now_ns: int) -> Decision:
        """Take a command for a fault: one that cannot be read, or is not valid."""
        if self.state is GateState.IDLE:
            return Decision()
        self._unfit = f'; the last was refused: {refusal.reason}'
        level = Level.DEGRADED if refusal.fault in _TOLERATED else Level.FALLBACK
        changes = self._unseen('fault', level, refusal.reason, now_ns)
        self._monitors.set('fault', Level.CLEAR, '', now_ns)
        return Decision(changes=changes, refused=refusal)

    def offer_fallback(self, offer: Offer, now_ns: int) -> Decision:
        """Judge a command of the second controller; it passes while the fallback commands."""
        refused = self._aged(offer) or self._limits.static(offer.action, now_ns)
        if refused is not None:
            return Decision(refused=refused)
        assert isinstance(self.fallback, Controller)
        self.fallback.offer(offer.action, now_ns)
        forward = self.state is GateState.FALLBACK
        if forward:
            # the planner, back, must be within reach of it
            self._limits.sent(offer.action, now_ns)
        return Decision(forward=forward)

    def operate(self, action: tuple[float, ...], now_ns: int) -> Decision:
        """Judge a command of the operator; it passes while he has taken over."""
        if self.state is not GateState.OPERATOR:
            return Decision()
        refused = self._limits.static(action, now_ns) or self._limits.dynamic(action, now_ns)
        if refused is not None:
            return Decision(refused=refused)
        self._operated_ns = now_ns
        self._limits.sent(action, now_ns)
        return Decision(forward=True)

    def correct(self, added: Sequence[float], now_ns: int) -> tuple[float, ...] | None:
        """
        Return the planner's command in force, corrected, to be sent now, shape (A,).

        :param added: what to add, shape (A,)
        :returns: None where the planner does not command, or it would break a limit
        """
        action = tuple(last + more for last, more in zip(self._last, added, strict=True))
        if self.state not in PASSING or self._limits.static(action, now_ns) is not None or (
                self._limits.dynamic(action, now_ns) is not None):
            return None
        self._limits.sent(action, now_ns)
        return action

    def commands(self, now_ns: int) -> bool:
        """Say whether the gate itself commands: a fallback, a stop, an operator who is silent."""
        if self.state is GateState.OPERATOR:
            return now_ns - self._operated_ns > self.stale_ns
        return self.state in (GateState.FALLBACK, GateState.STOPPED)

    def substitute(self, now_ns: int) -> tuple[float, ...]:
        """Return the gate's own command, to be sent now, shape (A,)."""
        asked = self.state is not GateState.STOPPED or self.fallback.closed_loop
        action = self._limits.substitute(
            self.fallback.command(self._last, now_ns) if asked else self.zero, now_ns)
        self._limits.sent(action, now_ns)
        return action

    def keep(self, action: tuple[float, ...], now_ns: int) -> tuple[float, ...]:
        """Return the command in force as far as it may be sent again now, shape (A,)."""
        kept = self._limits.substitute(action, now_ns)
        if kept != action:
            self._limits.sent(kept, now_ns)
        return kept

    # monitors -----------------------------------------------------------------------------------

    def tick(self, now_ns: int) -> Decision:
        """Look at the time: degrade, fall back or stop by the age of the last valid command."""
        age_ns = now_ns - self._fresh_ns
        # until the first slot there is nothing to be late: zero is in force
        patience_ns = self._late_ns if self._heard else self.stop_ns
        if self.state is GateState.IDLE or age_ns <= patience_ns:
            return Decision()
        text = f'no valid command for {age_ns / 1e6:.0f} ms{self._unfit}'
        level = Level.DEGRADED
        if age_ns > self.stale_ns:
            level = Level.FALLBACK
            self._watchdogs.bark('command age', now_ns)
        self._monitors.set('command', level, text, now_ns)
        if age_ns > self.stop_ns:
            return Decision(changes=self._machine.stop(f'{text} ({self._watchdogs.told()})'))
        return Decision(changes=self._machine.escalate())

    def alarm(self, surprise: float, threshold: float, now_ns: int) -> Decision:
        """Take in the score of a slot of the planner."""
        if self.state is GateState.IDLE:
            return Decision()
        level, reason = self._alarms.add(surprise, threshold)
        return Decision(changes=self._unseen('surprise', level, reason, now_ns))

    def deadline_missed(self, now_ns: int) -> Decision:
        """Take in a DDS deadline event of the proposals."""
        if self.state is GateState.IDLE or not (
                self._heard and self._watchdogs.is_deadline(now_ns)):
            return Decision()
        silent_ns = self._watchdogs.bark('DDS deadline', now_ns)
        return self.watch('deadline', Level.FALLBACK,
                          f'no command for {silent_ns / 1e6:.0f} ms (DDS deadline)', now_ns)

    def liveliness(self, alive: int, now_ns: int) -> Decision:
        """Take in how many publishers of proposals are alive, by DDS."""
        if self.state is not GateState.IDLE and not alive:
            silent_ns = self._watchdogs.bark('DDS liveliness', now_ns)
            return self.watch('liveliness', Level.FALLBACK, 'the planner is not alive '
                              f'({silent_ns / 1e6:.0f} ms, DDS liveliness)', now_ns)
        changes = self.watch('liveliness', Level.CLEAR, '', now_ns).changes
        level = Level.FALLBACK if alive > 1 else Level.CLEAR
        found = self.watch('proposers', level, f'{alive} live publishers propose commands', now_ns)
        return Decision(changes=changes + found.changes)

    def watch(self, name: str, level: Level, reason: str, now_ns: int) -> Decision:
        """Say how a monitor is."""
        self._monitors.set(name, level, reason, now_ns)
        return Decision(changes=self._machine.escalate())

    # by order -----------------------------------------------------------------------------------

    def take_over(self, now_ns: int) -> Decision:
        """Give control to the operator: until he commands, the fallback does."""
        self._operated_ns = now_ns - self.stale_ns - 1
        return Decision(changes=self._machine.take_over())

    def release(self, now_ns: int) -> Decision:
        """Take control back: the planner gets it after T_clear."""
        self._last = self.zero
        changes = self._machine.release()
        for level, reason in ((Level.FALLBACK, 'the operator let go'), (Level.CLEAR, '')):
            changes += self.watch('operator', level, reason, now_ns).changes
        return Decision(changes=changes)

    def clear(self) -> tuple[Decision, str]:
        """Lift a stop or a fallback by order; return why not, empty: done."""
        changes, why = self._machine.clear()
        return Decision(changes=changes), why

    # how ----------------------------------------------------------------------------------------

    def _aged(self, offer: Offer) -> Refusal | None:
        if offer.age_ns is not None and offer.age_ns > self._age_ns:
            return Refusal(Fault.LATE, f'command is {offer.age_ns / 1e6:.0f} ms old, '
                                       f'{self._age_ns / 1e6:g} ms are allowed')
        if offer.age_ns is not None and offer.age_ns < -self._age_ns:
            return Refusal(Fault.FUTURE, f'command is stamped {-offer.age_ns / 1e6:.0f} ms in the '
                                         f"future: its sender's clock differs")
        return None

    def _in_order(self, offer: Offer) -> Refusal | None:
        if offer.stamp_ns is None or self._stamp_ns is None or offer.stamp_ns > self._stamp_ns:
            return None
        return Refusal(Fault.SEQUENCE, 'command is not stamped after the one before, but '
                       f'{(self._stamp_ns - offer.stamp_ns) / 1e6:.3f} ms earlier')

    def _hear(self, offer: Offer, now_ns: int) -> None:
        self._fresh_ns, self._stamp_ns = now_ns, offer.stamp_ns
        self._heard, self._unfit = True, ''
        self._watchdogs.heard(now_ns)
        for name in ('command', 'deadline', 'liveliness'):
            self._monitors.set(name, Level.CLEAR, '', now_ns)

    def came(self, at_ns: int | None) -> None:
        """
        Say when the last valid command came, where they are judged before they come.

        :param at_ns: [ns]; None: the first of the episode is still on its way
        """
        self._heard = at_ns is not None
        if at_ns is not None:
            self._fresh_ns = at_ns

    def _unseen(self, name: str, level: Level, reason: str, now_ns: int) -> Changes:
        """Watch what cannot be seen while the fallback drives: its hand-overs back off."""
        changes = self.watch(name, level, reason, now_ns).changes
        if level is Level.FALLBACK and changes:
            self._machine.back_off()
        return changes

    def _told(self, changes: Changes) -> Changes:
        """Add to the reason of a return which watchdogs had barked."""
        told = self._watchdogs.report() if changes else ''
        return tuple(replace(c, reason=f'{c.reason} ({told})') if told else c for c in changes)
