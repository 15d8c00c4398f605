"""The slots of `realtime`: due on a grid of the steady clock, also after a restart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
import threading
import time

from wm_eval_ros.planning.episodes import Episodes
from wm_eval_ros.planning.record import BUSY
from wm_eval_ros.planning.schedule import Schedule
from wm_eval_ros.planning.slot_mark import Mark, SlotMark
from wm_eval_ros.planning.slots import SlotWork
from wm_eval_ros.records import CycleRecord, CycleStatus, EpisodeEvent

#: in this time the events come that were latched before a planner was started again [s]
SETTLE_S = 0.1
#: pause between two looks of the planning thread at what it waits for [s]
POLL_S = 0.005
#: why slots passed between two processes of one run
NOT_RUNNING = 'the planner was not running'


class RealtimeSlots:
    """
    Keeps the schedule in a thread of its own; the grid is anchored anew at every episode.

    What a simulator needs to reset is no slot. A planner that was started again goes on with the
    numbers and the grid of its predecessor.

    :param active: set as long as slots are to be taken
    :param enter: returns the running episode; the first time it forgets what was carried over
    :param ros_ns: the time on the clock of the stamps [ns]
    :param mark: where the last slot is kept, for a planner that is started again; None: nowhere
    :param rejoined: is told where a predecessor died, if the episode it died in goes on
    :param warmups: records of the warm-up calls, published once somebody listens
    """

    def __init__(
        self, work: SlotWork, episodes: Episodes, active: threading.Event, *,
        enter: Callable[[], EpisodeEvent | None], ros_ns: Callable[[], int],
        mark: SlotMark | None = None, rejoined: Callable[[Mark], None] = lambda mark: None,
        warmups: Sequence[CycleRecord] = (),
    ) -> None:
        self._work, self._episodes, self._enter = work, episodes, enter
        self._ros_ns, self._mark, self._rejoined = ros_ns, mark, rejoined
        #: where a predecessor in this run died
        self.left = None if mark is None else mark.read()
        first = 0 if self.left is None else self.left.slot.number + 1
        self._schedule = Schedule(work.period_ns, first)
        self._why_missed = BUSY
        #: every other end of a connection has met the planner's
        self.met = False
        self._warmups, self._active = list(warmups), active

    def keep(self) -> None:
        """Decide every slot on time."""
        anchored: EpisodeEvent | None = None
        while self._active.is_set():
            episode = self._episodes.current
            if episode is None:
                self._episodes.begun.wait()
                continue
            if episode is not anchored:
                if self.left is not None and self._is_past(episode):
                    continue
                anchored = episode
                self._anchor(episode)
            wait_s = (self._schedule.next_due_ns() - time.monotonic_ns()) / 1e9
            if wait_s > 0:
                time.sleep(wait_s)
            if self._episodes.current is anchored:
                self.slot()

    def _is_past(self, episode: EpisodeEvent) -> bool:
        """
        Say whether an episode is over that a planner started again hears of.

        It is told of all episodes of the run so far, in one burst: the last one counts. What it
        says before the listeners have met it would be lost.
        """
        while self._active.is_set() and not self.met:
            time.sleep(POLL_S)
        time.sleep(SETTLE_S)
        return self._episodes.current is not episode

    def _anchor(self, episode: EpisodeEvent) -> None:
        """Make the next slot due at the episode's first samples, or a period from now without."""
        while self._warmups:
            # not earlier: now the recorder listens
            self._work.hands.record(self._warmups.pop(0))
        left, self.left = self.left, None
        if left is not None and left.episode == episode.episode:
            # the grid of the predecessor: what passed since then was missed
            self._schedule.anchor(left.slot.due_ns + self._work.period_ns)
            self._why_missed = NOT_RUNNING
            self._rejoined(left)
            return
        latest_ns = time.monotonic_ns() + self._work.period_ns
        while self._active.is_set() and time.monotonic_ns() < latest_ns:
            readings = self._work.hands.look().observations
            if all(r is not None and r.ref.stamp_ns >= episode.stamp_ns for r in readings):
                break
            time.sleep(0.0005)
        self._schedule.anchor(time.monotonic_ns())

    def slot(self) -> None:
        """Take the slot that is due, and record those that passed."""
        episode = self._enter()
        if episode is None:
            return
        work = self._work
        missed, slot = self._schedule.take(time.monotonic_ns())
        if self._mark is not None:
            self._mark.taken(slot, episode.episode)
        for passed in missed:
            work.passed(passed, episode, self._ros_ns(), self._why_missed)
        self._why_missed = BUSY
        start_ns, stamp_ns = time.monotonic_ns(), self._ros_ns()
        work.hands.strike(stamp_ns - episode.stamp_ns)
        decision, record = work.decide(slot, episode, stamp_ns=stamp_ns, start_ns=start_ns,
                                       until_ns=slot.due_ns + work.budget_ns)
        if decision.action is not None:
            self._hold(start_ns + work.least_ns, episode)
        # a plan that outlasts its episode is not sent: nobody watches it any more
        if decision.action is not None and self._goes_on(episode):
            command_ns = self._ros_ns()
            work.hands.send(decision.action, command_ns)
            record = work.sent(record, decision.action, stamp_ns=command_ns,
                               steady_ns=time.monotonic_ns(), system_ns=time.time_ns())
        elif decision.action is not None:
            record = replace(record, status=CycleStatus.SKIPPED,
                             reason='the episode ended before the plan')
        work.finish(record, decision)
        if self._mark is not None:
            self._mark.recorded((*missed, slot)[0].number, episode.episode)

    def _hold(self, until_ns: int, episode: EpisodeEvent) -> None:
        """Keep a command back until then, as long as its episode goes on."""
        while (left_ns := until_ns - time.monotonic_ns()) > 0 and self._goes_on(episode):
            time.sleep(min(left_ns / 1e9, POLL_S))

    def _goes_on(self, episode: EpisodeEvent) -> bool:
        return self._active.is_set() and self._episodes.current is episode
