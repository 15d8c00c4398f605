"""Perturbations of the planner's computation, in the planner's process."""

from __future__ import annotations

from collections.abc import Callable
import time

from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.perturb.host import Host
from wm_eval_ros.perturb.injector import Injector
from wm_eval_ros.perturb.protocol import ABILITIES, ChangesPlanning, PlanningFault
from wm_eval_ros.records import ClockMode

_ELSEWHERE = 'the plant or the launcher carries it out'


class PlannerFaults:
    """
    Carries out the part of the schedule that concerns the planner, by the stamps of its slots.

    The plant computes the same schedule and tells its onsets and ends.
    """

    def __init__(
        self, scenario: Scenario, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        """
        Make the faults of a scenario; nothing is on.

        :param sleep: how time is spent in realtime; in the other clocks it is charged
        """
        lacks = {ability: _ELSEWHERE for ability in ABILITIES if ability is not ChangesPlanning}
        self._injector = Injector(scenario.perturbations, Host((), lacks))
        self._realtime = scenario.clock is ClockMode.REALTIME
        self._sleep = sleep
        self._fault: PlanningFault | None = None
        #: time that the decision of this slot takes longer [ns]
        self._slower_ns = 0

    def begin(self, seed: int) -> None:
        """Begin an episode of this seed."""
        self._injector.begin(seed)

    def slot(self, task_ns: int) -> None:
        """Begin a slot at this task time: what happens to its decision is settled."""
        self._injector.step(task_ns)
        self._fault, self._slower_ns = None, 0
        try:
            self._slower_ns = self._injector.disturb_plan(task_ns)
        except PlanningFault as fault:
            self._fault = fault

    @property
    def charge_ns(self) -> int:
        """Latency to charge in this slot beyond what the planner took [ns]; 0 in realtime."""
        return 0 if self._realtime else self._slower_ns

    def strike(self) -> None:
        """
        Spend the time that this decision takes longer.

        :raises PlanningFault: the planner fails in this slot
        """
        if self._fault is not None:
            raise self._fault
        if self._realtime and self._slower_ns:
            self._sleep(self._slower_ns * 1e-9)
