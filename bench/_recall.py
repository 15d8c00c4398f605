"""
A world that asks for a memory: which way is right is shown in the first slot, and used T later.

A point on a line is locked at 0. The cue, -1 or 1, stands in the state during slot 0 alone. From
slot T on the point moves as it is told, for `FREE` slots; then a payoff shows: its position times
the cue. Nothing that is seen after slot 0 and before the payoff tells which way the cue was, and
the point cannot be moved to remember it. An episode is won when the payoff is positive: the point
is on the right side. Whoever does not remember which one that is wins half of the episodes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.config.interface import CommandStream, Interface, Stream
from wm_eval_ros.config.scenario import ObjectiveTerm, PlannerSettings
from wm_eval_ros.records import ImageSample, JointSample, Sample

PERIOD_NS = 50_000_000
STEP_NS = 5_000_000
#: slots in which the point can be moved
FREE = 3
#: slots that follow the payoff, in which nothing changes any more: imagining may reach into them
AFTER = 2
#: way of the point in a slot under the largest command
SPEED = 0.5
JOINTS = 'sensor_msgs/msg/JointState'
NAMES = ('cue', 'gate', 'point', 'payoff')
INTERFACE = Interface(
    observations=(Stream(topic='joint_states', type=JOINTS,
                         fields=tuple(f'position[{name}]' for name in NAMES)),),
    command=CommandStream(topic='command', type=JOINTS, fields=('velocity[point]',), low=(-1.0,),
                          high=(1.0,)))
PLANNER = PlannerSettings(
    horizon=FREE, samples=64, iterations=3, elites=8, objective=(
        ObjectiveTerm(features=('joint_states.position[payoff]',), target=('1',),
                      shape='square'),))


class RecallPlant:
    """
    The world, as a plant.

    :param wait: slots T from the cue to when it is needed, >= 2: no plan of `FREE` steps made in
        slot 0 reaches the payoff. At 2 its warm start still reaches the slot where it is needed
    """

    step_ns = STEP_NS
    hold_s = 0.0

    def __init__(self, wait: int) -> None:
        if wait < 2:
            raise ValueError(f'a wait of {wait} slots; at least 2')
        self._wait = wait
        self.reset(0)

    @property
    def slots(self) -> int:
        """Slots of an episode."""
        return self._wait + FREE + AFTER

    @property
    def limit_ns(self) -> int:
        """Task time after which an episode must be over [ns]."""
        return (self.slots + 1) * PERIOD_NS

    def reset(self, seed: int) -> None:
        """Draw the cue."""
        self._cue = float(np.random.default_rng([seed, 11]).choice([-1.0, 1.0]))
        self.time_ns, self._point, self._command = 0, 0.0, 0.0

    def apply(self, action: NDArray[np.float64]) -> None:
        """Hold a speed, in [-1, 1]."""
        self._command = float(np.clip(action[0], -1.0, 1.0))

    def advance(self, duration_ns: int) -> None:
        """Let whole steps pass; the point moves from slot T on, until the payoff."""
        for _ in range(duration_ns // STEP_NS):
            if self._wait <= self.time_ns / PERIOD_NS < self._wait + FREE:
                self._point += SPEED * self._command * STEP_NS / PERIOD_NS
                self._point = min(max(self._point, -1.0), 1.0)
            self.time_ns += STEP_NS

    @property
    def _payoff(self) -> float:
        shown = self.time_ns >= (self._wait + FREE) * PERIOD_NS
        return self._cue * self._point if shown else 0.0

    def observe(self) -> Mapping[str, Sample]:
        """Return cue, gate (0 until slot T - 1, 1 from the payoff on), point and payoff."""
        slot = self.time_ns / PERIOD_NS
        cue = self._cue if slot < 1 else 0.0
        gate = min(max((slot - self._wait + 1) / (FREE + 1), 0.0), 1.0)
        return {'joint_states': JointSample(
            NAMES, np.array([cue, gate, self._point, self._payoff]), np.zeros(len(NAMES)))}

    def goal(self) -> Sample | None:
        """Return None: the goal is fixed."""
        return None

    def _over(self) -> bool:
        return self.time_ns >= self.slots * PERIOD_NS

    def solved(self) -> bool:
        """Say whether the episode is over and won."""
        return self._over() and self._payoff > 0

    def failed(self) -> str:
        """Name the failure once the episode is over."""
        return f'payoff {self._payoff:.2f}' if self._over() and self._payoff <= 0 else ''

    def render(self, width: int, height: int) -> ImageSample:
        """Return a grey image: there is nothing to see."""
        return ImageSample(np.full((height, width, 3), 127, dtype=np.uint8))

    def state(self) -> NDArray[np.float64]:
        """Return everything, the cue too."""
        return np.array([self._cue, self.time_ns * 1e-9, self._point, self._command])
