"""Which episode runs, as its events tell: what the planner goes by, free of ROS."""

from __future__ import annotations

import threading

from wm_eval_ros.records import EpisodeEvent, EventKind, TERMINAL


class Episodes:
    """
    The running episode: told of by callbacks, entered by the thread that plans.

    Each is entered once, by whoever plans its first slot, and announced once.
    """

    def __init__(self) -> None:
        """Begin without an episode."""
        #: START of the running one
        self.current: EpisodeEvent | None = None
        #: set while one runs, or to let go who waits for it
        self.begun = threading.Event()
        self._entered: EpisodeEvent | None = None
        self._announced = -1

    def told(self, event: EpisodeEvent) -> bool:
        """Take in an event; say whether it was one of an episode's begin or end."""
        if event.kind is EventKind.START:
            self.current = event
            self.begun.set()
        elif event.kind in TERMINAL:
            self.current = None
            self.begun.clear()
        else:
            return False
        return True

    def enter(self) -> tuple[EpisodeEvent | None, bool]:
        """Return the running episode, and whether it is new: the first time it is asked for."""
        episode = self.current
        new = episode is not None and episode is not self._entered
        self._entered = episode
        return episode, new

    def to_announce(self, goal_stamp_ns: int | None, *, wants_goal: bool, old_goal: bool
                    ) -> int | None:
        """
        Return the number of the episode if its START and its goal are here, once.

        :param goal_stamp_ns: stamp of the newest goal [ns, ROS]; None: none came yet
        :param wants_goal: the interface has a goal
        :param old_goal: a goal of before the episode's START will do
        """
        episode = self.current
        if episode is None or episode.episode == self._announced:
            return None
        oldest_ns = 0 if old_goal else episode.stamp_ns
        if wants_goal and (goal_stamp_ns is None or goal_stamp_ns < oldest_ns):
            return None
        self._announced = episode.episode
        return episode.episode
