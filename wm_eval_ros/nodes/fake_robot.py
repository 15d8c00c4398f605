"""A robot to rehearse with: sensors and a driver with delays, which waits for nobody."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from wm_eval_ros.config.schema import setting
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.nodes.parameters import Parameters, run_scenario, RunSettings
from wm_eval_ros.nodes.process import run_node, Stop
from wm_eval_ros.nodes.ros import finite_command, message_type, qos_profile
from wm_eval_ros.plants.load import make_plant
from wm_eval_ros.records import ClockMode
from wm_eval_ros.wire import topics
from wm_eval_ros.wire.fields import CommandWriter
from wm_eval_ros.wire.samples import fill

MS = 1_000_000
#: longest sleep between two looks at what is due [s]
POLL_S = 0.001


@dataclass(frozen=True, kw_only=True)
class RobotSettings:
    """What makes it a robot and not a simulator."""

    sensor_delay_ms: float = setting(
        4.0, doc='from the instant a sample is taken, and stamped, until it is sent', unit='ms',
        low=0.0, high=1000.0)
    command_delay_ms: float = setting(
        8.0, doc='from the arrival of a command until it acts', unit='ms', low=0.0, high=1000.0)
    jitter_ms: float = setting(
        1.0, doc='mean of what either takes longer now and then, exponential', unit='ms', low=0.0,
        high=1000.0)
    driver_timeout_ms: float = setting(
        200.0, doc='without a command for this long the driver stops by itself', unit='ms',
        low=1.0, high=10000.0)
    restart_s: float = setting(
        0.0, doc='every so often it is put to another start, with another goal; 0: never',
        unit='s', low=0.0)


class Delayed:
    """What comes out in the order in which it went in, each not before its time."""

    def __init__(self, delay_ms: float, jitter_ms: float, rng: np.random.Generator) -> None:
        """Draw from this generator."""
        self._delay_ms, self._jitter_ms, self._rng = delay_ms, jitter_ms, rng
        self._waiting: deque[tuple[int, Any]] = deque()

    def add(self, now_ns: int, item: Any) -> None:
        """Let something in at a time [ns]."""
        late = self._rng.exponential(self._jitter_ms) if self._jitter_ms else 0.0
        due_ns = now_ns + round((self._delay_ms + late) * MS)
        if self._waiting:
            due_ns = max(due_ns, self._waiting[-1][0])
        self._waiting.append((due_ns, item))

    def due(self, now_ns: int) -> list[Any]:
        """Take out all whose time has come."""
        found = []
        while self._waiting and self._waiting[0][0] <= now_ns:
            found.append(self._waiting.popleft()[1])
        return found

    def clear(self) -> None:
        """Forget what is on its way."""
        self._waiting.clear()


class FakeRobotNode:
    """
    Moves a simulated robot at wall speed behind the topics of a scenario's interface.

    It knows nothing of episodes, slots or planners: it publishes its state at
    ``plant.observation_hz`` with the stamps of when it was taken, and obeys the command topic.

    :raises ConfigError: the scenario's plant is not simulated here
    """

    def __init__(self) -> None:
        """Read the parameters, make the robot and its topics."""
        self.node = Node('fake_robot', automatically_declare_parameters_from_overrides=True)
        parameters = Parameters(self.node)
        self.scenario = run_scenario(parameters.declare(RunSettings))
        robot = self._robot = parameters.declare(RobotSettings)
        parameters.close()
        if self.scenario.plant.kind not in ('mujoco', 'hardware'):
            raise ConfigError(f'plant.kind: {self.scenario.plant.kind}; the fake robot is a task '
                              'of the simulator, name a scenario of one')
        simulated = replace(self.scenario, clock=ClockMode.REALTIME,
                            plant=replace(self.scenario.plant, kind='mujoco', link=False))
        self.plant = make_plant(simulated)
        self._seed = self.scenario.seed
        rng = np.random.default_rng(self._seed)
        self._samples = Delayed(robot.sensor_delay_ms, robot.jitter_ms, rng)
        self._commands = Delayed(robot.command_delay_ms, robot.jitter_ms, rng)
        interface = self.scenario.interface
        self._streams = {s.topic: (message_type(s.type), self.node.create_publisher(
            message_type(s.type), s.topic, qos_profile(topics.SENSOR_OFFER)))
            for s in (*interface.observations, *interface.unseen)}
        self._goal = None if interface.goal is None else (
            message_type(interface.goal.type), self.node.create_publisher(
                message_type(interface.goal.type), interface.goal.topic,
                qos_profile(topics.LATCHED)))
        self._reader = CommandWriter(interface.command, message_type)
        self._zero = np.array(interface.command.zero)
        self.node.create_subscription(message_type(interface.command.type),
                                      interface.command.topic, self._on_command,
                                      qos_profile(topics.COMMAND))
        self._tick_ns = round(1e9 / self.scenario.plant.observation_hz)
        #: the command that acts, in its own units, shape (A,)
        self.acting: NDArray[np.float64] = self._zero
        self._heard_ns = self._begun_ns = self._due_ns = 0

    def spin(self, executor: SingleThreadedExecutor, stop: Stop) -> None:
        """Move until told to stop."""
        self._put(time.monotonic_ns())
        while not stop:
            executor.spin_once(timeout_sec=POLL_S)
            self.step(time.monotonic_ns())

    def finish(self, executor: SingleThreadedExecutor) -> None:
        """Nothing is buffered here."""

    def step(self, now_ns: int) -> None:
        """Do all that is due at a time [ns, steady]."""
        if self._robot.restart_s and now_ns - self._begun_ns >= self._robot.restart_s * 1e9:
            self._seed += 1
            self._put(now_ns)
        for action in self._commands.due(now_ns):
            self._act(action)
        if now_ns - self._heard_ns > self._robot.driver_timeout_ms * MS and not np.array_equal(
                self.acting, self._zero):
            self._commands.clear()
            self._act(self._zero)
        steps = (now_ns - self._begun_ns - self.plant.time_ns) // self.plant.step_ns
        if steps > 0:
            self.plant.advance(steps * self.plant.step_ns)
        if now_ns >= self._due_ns:
            self._due_ns = max(self._due_ns + self._tick_ns, now_ns)
            self._samples.add(now_ns, (time.time_ns(), dict(self.plant.observe())))
        for stamp_ns, samples in self._samples.due(now_ns):
            for topic, (kind, publisher) in self._streams.items():
                publisher.publish(fill(kind(), samples[topic], stamp_ns))

    def _put(self, now_ns: int) -> None:
        """Put the robot to the start of the seed, and publish the goal."""
        self.plant.reset(self._seed)
        self._begun_ns = self._due_ns = now_ns
        self._act(self._zero)
        self._commands.clear()
        goal = self.plant.goal()
        if self._goal is not None and goal is not None:
            kind, publisher = self._goal
            publisher.publish(fill(kind(), goal, time.time_ns()))

    def _act(self, action: NDArray[np.float64]) -> None:
        self.acting = action
        self.plant.apply(action)

    def _on_command(self, message: Any) -> None:
        action = finite_command(self.node, self._reader, message)
        if action is not None:
            self._heard_ns = time.monotonic_ns()
            self._commands.add(self._heard_ns, action)


def main() -> int:
    """Entry point of the process."""
    return run_node(FakeRobotNode)


if __name__ == '__main__':
    sys.exit(main())
