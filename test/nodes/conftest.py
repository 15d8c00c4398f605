"""Nodes in this process, over real DDS, in a domain of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import gc
import json
import time
from typing import Any

import pytest

rclpy = pytest.importorskip('rclpy', reason='no ROS 2 here')


class Graph:
    """A context, an executor and a node of the test's own beside the node under test."""

    def __init__(self) -> None:
        from rclpy.executors import SingleThreadedExecutor
        self.executor = SingleThreadedExecutor()
        self.node = rclpy.create_node('probe')
        self.added: list[Any] = []
        self.executor.add_node(self.node)
        from wm_eval_ros.config.scenario import find_scenario, load_scenario
        from wm_eval_ros.nodes.ros import Endpoints
        self.ends = Endpoints(self.node, load_scenario(find_scenario('reacher')), ())

    def add(self, runnable: Any) -> Any:
        self.executor.add_node(runnable.node)
        self.added.append(runnable.node)
        return runnable

    def close(self) -> None:
        # a node that lives on goes on taking part in its domain, and in the next test of it
        self.executor.shutdown()
        for node in (self.node, *self.added):
            node.destroy_node()

    def publisher(self, type_name: str, topic: str, qos: Any) -> Any:
        return self.ends.publisher(type_name, topic, qos)

    def listen(self, type_name: str, topic: str, qos: Any) -> list[Any]:
        heard: list[Any] = []
        self.ends.subscription(type_name, topic, qos, heard.append)
        return heard

    def until(self, done: Callable[[], object], timeout_s: float = 15.0) -> None:
        end = time.monotonic() + timeout_s
        while not done():
            assert time.monotonic() < end, 'it never happened'
            self.executor.spin_once(timeout_sec=0.02)


@pytest.fixture
def make_graph(domain_id: int) -> Iterator[Callable[..., Graph]]:
    """Make a graph whose nodes get these parameters, as from a command line."""
    from rclpy.signals import SignalHandlerOptions
    made: list[Graph] = []

    def make(**parameters: object) -> Graph:
        words = ['--ros-args']
        for key, value in parameters.items():
            words += ['-p', f'{key}:={json.dumps(value)}']
        rclpy.init(args=words, signal_handler_options=SignalHandlerOptions.NO)
        made.append(Graph())
        return made[-1]

    yield make
    for graph in made:
        graph.close()
    made.clear()
    rclpy.try_shutdown()
    gc.collect()
