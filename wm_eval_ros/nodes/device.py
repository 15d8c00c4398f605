"""Planner and supervisor in one process: one participant, a thread and an executor each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
import os
import sys
import threading

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from wm_eval_ros.errors import SecurityError
from wm_eval_ros.nodes.planner import choose_transport, PlannerNode
from wm_eval_ros.nodes.process import make_executor, run_node, Runnable, Stop, take_place
from wm_eval_ros.nodes.security import ENABLE, enabled
from wm_eval_ros.nodes.supervisor import SupervisorNode


class DeviceNode:
    """
    A supervisor in the main thread, and in a thread of its own a planner.

    The supervisor outlives the planner: whatever ends that, its last command is zero.
    """

    def __init__(self, make_planner: Callable[[], Runnable]) -> None:
        """Make both nodes; everything heavy waits for the planner's thread."""
        self._supervisor = SupervisorNode()
        self._planner = make_planner()
        self.scenario = self._supervisor.scenario
        self._processors = os.sched_getaffinity(0)
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    @property
    def node(self) -> Node:
        """The ROS node of the main thread: the supervisor's."""
        return self._supervisor.node

    def spin(self, executor: SingleThreadedExecutor, stop: Stop) -> None:
        """Gate commands until the planner has ended."""
        self._thread = threading.Thread(target=self._plan, args=(stop,), name='planner')
        self._thread.start()
        try:
            self._supervisor.spin(executor, _After(self._thread))
        finally:
            stop.request()

    def finish(self, executor: SingleThreadedExecutor) -> None:
        """Leave nothing in force; then say what ended the planner."""
        if self._thread is not None:
            self._thread.join()
        self._supervisor.finish(executor)
        self._planner.node.destroy_node()
        if self._error is not None:
            raise self._error

    def _plan(self, stop: Stop) -> None:
        executor = make_executor('planner')
        try:
            executor.add_node(self._planner.node)
            # the main thread has given the planner's processors away
            os.sched_setaffinity(0, self._processors)
            take_place('planner', self.scenario, ('0',))
            try:
                self._planner.spin(executor, stop)
            finally:
                self._planner.finish(executor)
        except BaseException as error:  # noqa: BLE001 it is raised again in the main thread
            self._error = error
        finally:
            executor.remove_node(self._planner.node)


class _After(Stop):
    """Set once a thread has ended."""

    def __init__(self, thread: threading.Thread) -> None:
        super().__init__()
        self._thread = thread

    def __bool__(self) -> bool:
        return not self._thread.is_alive()


def prepare() -> None:
    """
    Choose how the process talks to others.

    :raises SecurityError: ROS security is asked for: its enclaves hold a process, not a node
    """
    if enabled(os.environ):
        raise SecurityError(f'{ENABLE}=true: an enclave is a process, and the planner must not '
                            'have the rights of the supervisor; set composed: false')
    choose_transport()


def main() -> int:
    """Entry point of the process."""
    return run_node(partial(DeviceNode, PlannerNode), before=prepare, composed=True)


if __name__ == '__main__':
    sys.exit(main())
