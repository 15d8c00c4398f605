"""One decision: from the newest inputs to a command. Free of ROS."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
import math
import time

import numpy as np
from numpy.typing import NDArray
import torch

from wm_eval_ros.config.interface import Interface
from wm_eval_ros.models.in_force import command_at_rest
from wm_eval_ros.models.protocol import KnowsDivergence, KnowsSpread, Latent, WorldModel
from wm_eval_ros.planning.meter import EnergyMeter
from wm_eval_ros.planning.protocol import Plan, Planner
from wm_eval_ros.planning.scaling import to_command, to_unit
from wm_eval_ros.records import CycleStatus, InputRef, NEVER_NS

#: slots in a row without an observation that a memory is rolled through; after more it begins anew
MOST_UNSEEN = 32


@dataclass(frozen=True, slots=True)
class Reading:
    """The newest sample of one stream."""

    ref: InputRef
    #: features in physical units, shape (F,); of an image its pixels
    values: NDArray[np.float64] | NDArray[np.float32]
    #: an image: too large to be kept in the record of a slot
    image: bool = False


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a decision may look at."""

    #: newest reading of each stream that is seen, in the interface's order; None: none yet
    observations: tuple[Reading | None, ...]
    #: None where the interface has no goal stream or none came yet
    goal: Reading | None
    #: command in force up to now, in its own units, shape (A,); empty: none in this episode yet
    executed: tuple[float, ...] = ()
    #: None where the interface has no image of the goal or none came yet
    goal_image: Reading | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided: the command and everything for its record but the times."""

    status: CycleStatus
    reason: str = ''
    #: command in its own units, shape (A,); None: nothing to send
    action: tuple[float, ...] | None = None
    plan: Plan | None = None
    #: commands already sent that act before this one does, in [-1, 1], shape (L, A)
    in_flight: torch.Tensor | None = None
    latent: NDArray[np.float32] | None = None
    infer_start_ns: int = NEVER_NS
    infer_end_ns: int = NEVER_NS
    cpu_ns: int = 0
    energy_uj: int = NEVER_NS


class Decider:
    """Holds model, planner and what is carried from slot to slot."""

    def __init__(
        self,
        interface: Interface,
        model: WorldModel | None,
        planner: Planner,
        stale_ns: int,
        clock: Callable[[], int] = time.monotonic_ns,
        delay_steps: int = 0,
        by_arrival: bool = False,
    ) -> None:
        """
        Make a decider.

        :param stale_ns: oldest allowed age of an input [ns]
        :param clock: steady time; simulated callers pass their own
        :param delay_steps: whole slots from that of a decision to the first its command acts in
        :param by_arrival: an input is as old as its arrival, not as its stamp: the clock that
            stamped it is another host's
        """
        self._interface = interface
        self._model = model
        self._planner = planner
        self._stale_ns = stale_ns
        self._clock = clock
        self._energy = EnergyMeter()
        self._delay, self._by_arrival = delay_steps, by_arrival
        self._rest = command_at_rest(interface.command)
        self._forget()

    def _forget(self) -> None:
        #: newest latent, and the slot it is of
        self._latent: torch.Tensor | None = None
        self._seen_slot = 0
        #: slot of the newest plan, and of the newest that chose among finite candidates
        self._plan_slot: int | None = None
        self._chosen_slot: int | None = None
        #: commands sent and their slots, newest last: those that act in the next slots
        self._sent: deque[tuple[int, torch.Tensor]] = deque(maxlen=self._delay + 1)
        self._led: tuple[torch.Tensor, torch.Tensor] | None = None

    def begin_episode(self, seed: int) -> None:
        """Forget everything carried; the planner is seeded with the episode's seed."""
        self._forget()
        self._planner.reset(seed)

    def decide(
        self, slot: int, inputs: Inputs, now_ros_ns: int, episode_start_ns: int, deadline_ns: int
    ) -> Decision:
        """
        Decide one slot; a planner that raises is a record, not a crash.

        :param now_ros_ns: time on the clock of the stamps [ns]
        :param episode_start_ns: stamp of the episode's START; older samples do not count [ns, ROS]
        :param deadline_ns: when planning must end [ns, steady]
        """
        refusal = self._refuse(inputs, now_ros_ns, episode_start_ns)
        if refusal is not None:
            return refusal
        cpu, energy = time.process_time_ns(), self._energy.read_uj()
        begun = self._clock()
        try:
            decision = self._plan(slot, inputs, deadline_ns)
        except Exception as error:  # noqa: BLE001 whatever a plug-in raises is recorded
            decision = Decision(CycleStatus.EXCEPTION,
                                ' '.join(f'{type(error).__name__}: {error}'.split())[:200])
        return replace(decision, infer_start_ns=begun, infer_end_ns=self._clock(),
                       cpu_ns=time.process_time_ns() - cpu,
                       energy_uj=self._energy.since_uj(energy))

    @torch.inference_mode()
    def spread(self, decision: Decision) -> NDArray[np.float32] | None:
        """
        Return the predicted standard deviation of the chosen rollout.

        Asked after the command was sent, since no command waits for it.

        :returns: (H, D); None where nothing was imagined or the model knows no spread
        """
        plan, model = decision.plan, self._model
        if plan is None or plan.rollout is None or decision.latent is None:
            return None
        if model is None or not isinstance(model, KnowsSpread):
            return None
        latent = torch.from_numpy(decision.latent)[None]
        actions = (plan.actions if decision.in_flight is None else
                   torch.cat([decision.in_flight, plan.actions]))
        found = model.spread(latent, actions[None])[0].numpy().astype(np.float32)
        return found if found.shape == tuple(plan.rollout.shape) else None

    @torch.inference_mode()
    def divergence(self, decision: Decision) -> float | None:
        """
        Return KL(posterior || prior) of the step that led to this slot; asked after the command.

        :returns: None where the slot before sent no command, none is known to have been in force,
            or the model does not know it
        """
        model, led = self._model, self._led
        if decision.latent is None or led is None:
            return None
        if model is None or not isinstance(model, KnowsDivergence):
            return None
        latent = torch.from_numpy(decision.latent)[None]
        return float(model.divergence(led[0], led[1][None], latent)[0])

    def sent(self, slot: int, action: tuple[float, ...]) -> None:
        """
        Remember the command of a slot that was sent; what was executed is an input.

        :param action: in its own units, shape (A,)
        """
        self._sent.append((slot, self._in_unit(action)))

    def _refuse(self, inputs: Inputs, now_ns: int, start_ns: int) -> Decision | None:
        pairs = zip(self._interface.seen, inputs.observations, strict=True)
        for stream, reading in pairs:
            refusal = _unusable(stream.topic, reading, start_ns)
            if refusal is not None or reading is None:
                return refusal
            arrived = self._by_arrival and reading.ref.steady_ns != NEVER_NS
            age_ns = (self._clock() - reading.ref.steady_ns if arrived else
                      now_ns - reading.ref.stamp_ns)
            if age_ns > self._stale_ns:
                return Decision(CycleStatus.STALE_INPUT,
                                f'{stream.topic} is {age_ns / 1e6:.0f} ms old')
        goals = ((self._interface.goal, inputs.goal),
                 (self._interface.goal_image, inputs.goal_image))
        for wanted, reading in goals:
            # a goal is set, not sensed: it may be older than the episode
            refusal = None if wanted is None else _unusable(wanted.topic, reading, 0)
            if refusal is not None:
                return refusal
        return None

    @torch.inference_mode()
    def _plan(self, slot: int, inputs: Inputs, deadline_ns: int) -> Decision:
        executed = self._in_unit(inputs.executed) if inputs.executed else None
        self._led = None
        if (self._latent is not None and executed is not None and self._sent
                and self._sent[-1][0] == slot - 1):
            self._led = (self._latent, executed)
        latent = self._encode(slot, inputs, executed)
        in_flight = self._in_flight(slot, executed) if self._delay else None
        goal = np.concatenate([np.zeros(0), *(r.values for r in (inputs.goal, inputs.goal_image)
                                              if r is not None)])
        elapsed = 1 if self._plan_slot is None else slot - self._plan_slot
        plan = self._planner.plan(latent, torch.tensor(goal, dtype=torch.float32), deadline_ns,
                                  elapsed_steps=elapsed, in_flight=in_flight)
        self._plan_slot = slot
        kept = None if self._model is None else latent.numpy().astype(np.float32)
        decided = Decision(CycleStatus.OK, plan=self._from_now(plan, latent, in_flight),
                           in_flight=in_flight, latent=kept)
        command = to_command(plan.actions[0], self._interface.command)
        wrong = self._wrong(slot, plan, command)
        if wrong:
            return replace(decided, status=CycleStatus.INVALID_OUTPUT, reason=wrong)
        return replace(decided, action=tuple(float(a) for a in command))

    def _wrong(self, slot: int, plan: Plan, command: NDArray[np.float64]) -> str:
        """Return why the command of a plan is not to be sent; empty: it is."""
        if command.shape != (len(self._interface.command.fields),):
            return f'command of shape {tuple(command.shape)}'
        if not np.isfinite(command).all():
            return 'command is not finite'
        if not plan.nonfinite or math.isfinite(plan.cost):
            self._chosen_slot = slot
        elif self._chosen_slot is None or slot - self._chosen_slot >= len(plan.actions):
            return 'no candidate was finite, and nothing of an earlier plan is left'
        return ''

    def _in_unit(self, action: tuple[float, ...]) -> torch.Tensor:
        return torch.tensor(to_unit(action, self._interface.command), dtype=torch.float32)

    def _in_flight(self, slot: int, executed: torch.Tensor | None) -> torch.Tensor:
        """Return the commands that act in this slot and the next ones, before its own, (L, A)."""
        flying = []
        for acting in range(slot, slot + self._delay):
            known = [action for sent, action in self._sent if sent + self._delay <= acting]
            flying.append(known[-1] if known else self._rest if executed is None else executed)
        return torch.stack(flying)

    def _from_now(self, plan: Plan, latent: torch.Tensor, in_flight: torch.Tensor | None) -> Plan:
        """Put the latents on the way to the plan's begin in front of its rollout."""
        if in_flight is None or plan.rollout is None or self._model is None:
            return plan
        until = self._model.predict(latent[None], in_flight[None])[0]
        return replace(plan, rollout=torch.cat([until, plan.rollout]))

    def _encode(self, slot: int, inputs: Inputs, executed: torch.Tensor | None) -> torch.Tensor:
        values = np.concatenate([r.values for r in inputs.observations if r is not None])
        obs = torch.tensor(values, dtype=torch.float32)[None]
        if self._model is None:
            return obs[0]
        first = self._latent is None
        prev_action = None if executed is None else executed[None]
        before = self._until(self._model, slot, executed)
        latent = self._model.encode(obs, before, prev_action, torch.tensor([first]))
        self._latent, self._seen_slot = latent, slot
        return latent[0]

    def _until(self, model: WorldModel, slot: int, executed: torch.Tensor | None) -> Latent | None:
        """
        Return the latent of the slot before, (1, D).

        Slots that passed unseen are imagined under the command in force, so that a memory counts
        them; None: there were too many of them, or none was seen before.
        """
        unseen = slot - self._seen_slot - 1
        if self._latent is None or unseen <= 0:
            return self._latent
        if unseen > MOST_UNSEEN:
            return None
        held = self._rest if executed is None else executed
        latent = model.predict(self._latent, held.expand(1, unseen, -1))[:, -1]
        return latent if bool(torch.isfinite(latent).all()) else None


def _unusable(topic: str, reading: Reading | None, oldest_ns: int) -> Decision | None:
    if reading is None or reading.ref.stamp_ns < oldest_ns:
        return Decision(CycleStatus.NO_INPUT, f'no sample of {topic} in this episode')
    if not np.isfinite(reading.values).all():
        return Decision(CycleStatus.NO_INPUT, f'{topic} holds a value that is not finite')
    return None
