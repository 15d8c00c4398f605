"""How a world's time runs: at wall speed, or waiting for the command of every slot."""

from __future__ import annotations

from collections.abc import Collection, MutableSequence
import time
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.config.scenario import PlantSettings, Scenario
from wm_eval_ros.errors import ConfigError, RunError
from wm_eval_ros.nodes.process import SPIN_S, Stop
from wm_eval_ros.plants.protocol import Plant
from wm_eval_ros.records import EventKind

#: simulated time is published at most this often [ns]: 200 Hz
CLOCK_PERIOD_NS = 5_000_000

#: stamp [ns, ROS] and command, shape (A,)
Command = tuple[int, NDArray[np.float64]]


class WorldPort(Protocol):
    """What a world needs of the node around it."""

    plant: Plant
    scenario: Scenario
    settings: PlantSettings
    stop: Stop
    #: task time between two observations, and between two looks of the judge [ns]
    tick_ns: int
    #: commands that have come and were not taken yet
    commands: MutableSequence[Command]

    @property
    def patience_s(self) -> float:
        """How long an answer of another node is waited for [s]."""
        ...

    def handle(self, timeout_s: float) -> None:
        """Handle at most one callback, waiting at most so long."""
        ...

    def ros_ns(self) -> int:
        """Return the time on the clock of the stamps [ns]."""
        ...

    def reset(self, stamp_ns: int) -> None:
        """Begin the next episode at a stamp; return when planner and supervisor are in it."""
        ...

    def finish_episode(self, stamp_ns: int, kind: EventKind, reason: str) -> None:
        """Publish the terminal event; every perturbation ends with the episode."""
        ...

    def perturb(self) -> None:
        """Begin and end the perturbations that are due at the plant's task time."""
        ...

    def act(self, action: NDArray[np.float64]) -> None:
        """Let a command reach the actuators, as perturbations leave it."""
        ...

    def publish_state(self, stamp_ns: int, only: Collection[str] | None = None) -> None:
        """Publish every observation stream, or only these topics, with one stamp."""
        ...

    def between(self) -> Collection[str]:
        """Return the topics that are sampled once more before the next tick."""
        ...

    def publish_camera(self, stamp_ns: int) -> None:
        """Render and publish one image."""
        ...

    def publish_clock(self, stamp_ns: int) -> None:
        """Publish simulated time."""
        ...

    def verdict(self) -> tuple[EventKind, str] | None:
        """Return how the episode ended, None while it goes on."""
        ...


class RealtimeWorld:
    """The world at wall speed: stamps are system time, as on a robot."""

    def __init__(self, port: WorldPort) -> None:
        """Make a world that has not begun."""
        self._port = port
        self._plant = port.plant
        #: an episode has begun and not ended
        self.open = False
        camera_hz = port.settings.camera_hz
        self._camera_ns = round(1e9 / camera_hz) if camera_hz else 0

    def episode(self) -> None:
        """Run one episode."""
        port = self._port
        port.reset(port.ros_ns())
        self.open = True
        port.commands.clear()
        self._t0_ns = time.monotonic_ns()
        due_ns = 0
        camera_due_ns = 0
        while not self._port.stop:
            self._sleep_until(due_ns)
            self._advance(due_ns)
            port.perturb()
            port.publish_state(port.ros_ns())
            if self._camera_ns and due_ns >= camera_due_ns:
                port.publish_camera(port.ros_ns())
                camera_due_ns = max(camera_due_ns + self._camera_ns, due_ns)
            verdict = port.verdict()
            if verdict is not None:
                self.end(*verdict)
                return
            if more := port.between():
                self._sleep_until(due_ns + port.tick_ns // 2)
                self._advance(due_ns + port.tick_ns // 2)
                port.publish_state(port.ros_ns(), more)
            due_ns = max(due_ns + port.tick_ns,
                         self._elapsed_ns() // port.tick_ns * port.tick_ns)

    def end(self, kind: EventKind, reason: str) -> None:
        """Publish the terminal event."""
        self.open = False
        self._port.finish_episode(self._port.ros_ns(), kind, reason)

    def _elapsed_ns(self) -> int:
        return time.monotonic_ns() - self._t0_ns

    def _sleep_until(self, due_ns: int) -> None:
        """Handle callbacks until the world is due; a command takes effect when it arrives."""
        while not self._port.stop:
            remaining_s = (due_ns - self._elapsed_ns()) / 1e9
            # a world that is behind must still hear its commands
            self._port.handle(max(0.0, remaining_s))
            if self._port.commands:
                self._advance(min(self._elapsed_ns(), due_ns))
                self._port.act(self._port.commands[-1][1])
                self._port.commands.clear()
            if remaining_s <= 0.0:
                return

    def _advance(self, until_ns: int) -> None:
        step_ns = self._plant.step_ns
        until_ns = min(until_ns, round(self._port.settings.time_limit_s * 1e9))
        steps = (until_ns - self._plant.time_ns) // step_ns
        if steps > 0:
            self._plant.advance(steps * step_ns)


class LockstepWorld:
    """The world waits for each slot's command, then advances; commands act from their stamp on."""

    def __init__(self, port: WorldPort) -> None:
        """Make a world that has not begun."""
        self._port = port
        self._plant = port.plant
        #: an episode has begun and not ended
        self.open = False
        self._origin_ns = 0
        step_ns = self._plant.step_ns
        self._period_ns = round(port.scenario.planner.period_ms * 1e6)
        if self._period_ns % step_ns:
            raise ConfigError(f'planner.period_ms: {port.scenario.planner.period_ms:g}; in '
                              f'{port.scenario.clock} it must be a multiple of the simulation '
                              f'step, {step_ns / 1e6:g} ms')
        self._clock_ns = -CLOCK_PERIOD_NS

    def episode(self) -> None:
        """Run one episode."""
        port = self._port
        # the reset takes one step of simulated time, so that no two states share a stamp
        self._origin_ns = self._now_ns() + self._plant.step_ns
        port.reset(self._origin_ns)
        self.open = True
        pending: list[Command] = []
        port.commands.clear()
        while not self._port.stop:
            self._publish()
            pending += self._await_command()
            verdict = self._advance(pending)
            if verdict is not None:
                self.end(*verdict)
                return

    def end(self, kind: EventKind, reason: str) -> None:
        """Publish the terminal event."""
        self.open = False
        self._port.finish_episode(self._now_ns(), kind, reason)

    def _now_ns(self) -> int:
        return self._origin_ns + self._plant.time_ns

    def _publish(self) -> None:
        now_ns = self._now_ns()
        self._port.perturb()
        self._port.publish_state(now_ns)
        if self._port.settings.camera_hz > 0:
            self._port.publish_camera(now_ns)
        if now_ns - self._clock_ns >= CLOCK_PERIOD_NS:
            self._port.publish_clock(now_ns)
            self._clock_ns = now_ns

    def _await_command(self) -> list[Command]:
        port = self._port
        end = time.monotonic() + port.patience_s
        while not port.commands and not self._port.stop:
            if time.monotonic() > end:
                raise RunError(f'no command for the state at {self._now_ns() / 1e9:.3f} s within '
                               f'{port.patience_s:g} s: planner or supervisor is gone')
            port.handle(SPIN_S)
        taken = list(port.commands)
        port.commands.clear()
        return taken

    def _advance(self, pending: list[Command]) -> tuple[EventKind, str] | None:
        """Advance one slot by ticks and command stamps; stop where the episode ends."""
        end_ns = self._plant.time_ns + self._period_ns
        tick_ns = self._port.tick_ns
        while self._plant.time_ns < end_ns and not self._port.stop:
            self._port.perturb()
            self._apply_due(pending)
            tick_end_ns = min(end_ns, (self._plant.time_ns // tick_ns + 1) * tick_ns)
            self._advance_to(tick_end_ns, pending)
            verdict = self._port.verdict()
            if verdict is not None:
                return verdict
        return None

    def _advance_to(self, end_ns: int, pending: list[Command]) -> None:
        step_ns = self._plant.step_ns
        while self._plant.time_ns < end_ns:
            next_ns = min([end_ns, *(self._task_ns(stamp) for stamp, _ in pending
                                     if self._task_ns(stamp) > self._plant.time_ns)])
            steps = max(1, -((self._plant.time_ns - next_ns) // step_ns))
            self._plant.advance(steps * step_ns)
            self._apply_due(pending)

    def _task_ns(self, stamp_ns: int) -> int:
        return stamp_ns - self._origin_ns

    def _apply_due(self, pending: list[Command]) -> None:
        due = [entry for entry in pending if self._task_ns(entry[0]) <= self._plant.time_ns]
        for entry in due:
            pending.remove(entry)
        if due:
            self._port.act(max(due, key=lambda entry: entry[0])[1])
