"""
Overhead of the loop, slot by slot, from a bag.

Sense to command is the time from the stamp of an observation to the command in the plant. Of it,
two spans are no overhead: the wait of a sample that has arrived for its slot (that is schedule),
and the plan. What is left is the sum of

* sense:  stamp of the observation -> callback in the planner; of the inputs used, the slowest
* decide: start of the slot -> command published, less the plan (`infer_end - infer_start`)
* act:    command published by the planner -> through the supervisor -> the plant

Durations are taken on one clock each, and only then added.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.records import CycleRecord, CycleStatus, NEVER_NS

PARTS = ('sense', 'decide', 'act')


@dataclass
class Overheads:
    """One entry a slot [ms]."""

    sense: list[float] = field(default_factory=list)
    decide: list[float] = field(default_factory=list)
    act: list[float] = field(default_factory=list)
    total: list[float] = field(default_factory=list)
    #: the plan itself, for comparison
    plan: list[float] = field(default_factory=list)
    #: total up to the arrival of the command at the recorder's middleware: the bag alone
    bag: list[float] = field(default_factory=list)
    #: slots whose command was published and never seen in the plant
    unseen: int = 0


def sense_ns(cycle: CycleRecord) -> int:
    """Return stamp -> callback of the slowest input: its age at the start less its wait [ns]."""
    return max((cycle.stamp_ns - i.stamp_ns) - (cycle.start_ns - i.steady_ns)
               for i in cycle.inputs)


def overheads(cycles: Iterable[CycleRecord], arrivals: Mapping[int, int],
              logged: Mapping[int, int]) -> Overheads:
    """
    Split every slot that published a command.

    :param arrivals: command stamp [ns, ROS] -> arrival in the plant's callback [ns, steady]
    :param logged: command stamp [ns, ROS] -> arrival at the recorder [ns, system]
    """
    found = Overheads()
    for cycle in cycles:
        if cycle.status is CycleStatus.WARMUP or not cycle.inputs or (
                cycle.publish_ns == NEVER_NS or cycle.command_stamp_ns is None):
            continue
        arrived = arrivals.get(cycle.command_stamp_ns)
        if arrived is None:
            found.unseen += 1
            continue
        plan = cycle.infer_end_ns - cycle.infer_start_ns
        sense, act = sense_ns(cycle), arrived - cycle.publish_ns
        decide = cycle.publish_ns - cycle.start_ns - plan
        for name, value in zip((*PARTS, 'total', 'plan'),
                               (sense, decide, act, sense + decide + act, plan),
                               strict=True):
            getattr(found, name).append(value / 1e6)
        if cycle.command_stamp_ns in logged:
            heard = logged[cycle.command_stamp_ns] - cycle.publish_system_ns
            found.bag.append((sense + decide + heard) / 1e6)
    return found


def bag_overheads(bag_path: Path, arrivals: Mapping[int, int], command_topic: str) -> Overheads:
    """Split the slots of a bag."""
    cycles: list[CycleRecord] = []
    logged: dict[int, int] = {}
    with open_bag(bag_path) as bag:
        for record in bag.records():
            if isinstance(record, CycleRecord):
                cycles.append(record)
            elif getattr(record, 'topic', '') == command_topic:
                logged.setdefault(record.stamp_ns, record.log_ns)
    return overheads(cycles, arrivals, logged)
