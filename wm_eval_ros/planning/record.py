"""The record of a slot: what was decided in it, and what became of that."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from wm_eval_ros.planning.decision import Decision, Inputs
from wm_eval_ros.planning.meter import peak_memory_bytes
from wm_eval_ros.planning.schedule import Slot
from wm_eval_ros.records import CycleRecord, CycleStatus, InputRef, NEVER_NS

#: why a slot passed
BUSY = 'busy with an earlier slot'


def cycle_record(
    slot: Slot,
    decision: Decision,
    *,
    stamp_ns: int,
    episode: int,
    start_ns: int,
    period_ns: int,
    deadline_ns: int,
    inputs: Inputs | None = None,
    with_rollout: bool = True,
) -> CycleRecord:
    """
    Make the record of a slot as far as the decision goes; the publication is added by `published`.

    :param stamp_ns: start of the slot [ns, ROS]
    :param start_ns: start of the slot [ns, steady], NEVER_NS where it was skipped
    :param deadline_ns: relative deadline D [ns]
    """
    plan = decision.plan
    rollout = plan.rollout if plan is not None and with_rollout else None
    return CycleRecord(
        stamp_ns=stamp_ns, slot=slot.number, episode=episode, status=decision.status,
        reason=decision.reason, inputs=() if inputs is None else _refs(inputs),
        due_ns=slot.due_ns, start_ns=start_ns, infer_start_ns=decision.infer_start_ns,
        infer_end_ns=decision.infer_end_ns, publish_ns=NEVER_NS, publish_system_ns=NEVER_NS,
        period_ns=period_ns, deadline_ns=deadline_ns, cpu_ns=decision.cpu_ns,
        peak_memory_bytes=peak_memory_bytes(), energy_uj=decision.energy_uj,
        horizon=0 if plan is None else int(plan.actions.shape[0]),
        samples=0 if plan is None else plan.samples,
        iterations=0 if plan is None else plan.iterations,
        nonfinite=0 if plan is None else plan.nonfinite,
        cost=float('nan') if plan is None else plan.cost,
        observation=() if inputs is None else _observation(inputs),
        goal=_goal(inputs),
        executed=() if inputs is None else inputs.executed,
        latent=decision.latent if with_rollout else None,
        rollout=None if rollout is None else rollout.numpy().astype(np.float32),
    )


def published(
    record: CycleRecord, topic: str, action: tuple[float, ...], *,
    stamp_ns: int, steady_ns: int, system_ns: int,
) -> CycleRecord:
    """Return the record of a slot whose command was sent: OK, or LATE past the deadline."""
    late = steady_ns > record.due_ns + record.deadline_ns
    return replace(record, status=CycleStatus.LATE if late else CycleStatus.OK, action=action,
                   command_topic=topic, command_stamp_ns=stamp_ns, publish_ns=steady_ns,
                   publish_system_ns=system_ns)


def skipped(
    slot: Slot, *, stamp_ns: int, episode: int, period_ns: int, deadline_ns: int,
    reason: str = BUSY,
) -> CycleRecord:
    """Return the record of a slot that passed while the planner was busy, or not there."""
    decision = Decision(CycleStatus.SKIPPED, reason)
    return cycle_record(slot, decision, stamp_ns=stamp_ns, episode=episode, start_ns=NEVER_NS,
                        period_ns=period_ns, deadline_ns=deadline_ns)


def charged(record: CycleRecord, now_ns: int, done_ns: int) -> CycleRecord:
    """
    Replace measured times by charged simulated ones; the CPU time stays measured.

    :param now_ns: start of the slot [ns, simulated]
    :param done_ns: when its decision is there [ns, simulated]
    """
    thought = record.infer_end_ns != NEVER_NS
    return replace(record, infer_start_ns=now_ns if thought else NEVER_NS,
                   infer_end_ns=done_ns if thought else NEVER_NS)


def _refs(inputs: Inputs) -> tuple[InputRef, ...]:
    # the goal is set, not sensed: its age says nothing about the loop
    return tuple(r.ref for r in inputs.observations if r is not None)


def _goal(inputs: Inputs | None) -> tuple[float, ...]:
    if inputs is None or inputs.goal is None:
        return ()
    return tuple(float(v) for v in inputs.goal.values)


def _observation(inputs: Inputs) -> tuple[float, ...]:
    if any(reading is None for reading in inputs.observations):
        return ()
    return tuple(float(v) for r in inputs.observations if r is not None and not r.image
                 for v in r.values)
