"""
Known kinematics and a learned residual: positions need not be learnt where velocities are seen.

What is the integral of what is read off the names of the features, see
:mod:`wm_eval_ros.models.kinematics`. The network foresees the change of the velocities and of
everything whose kinematics are not known, and of each integral a small rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from wm_eval_ros.errors import CheckpointError, ConfigError
from wm_eval_ros.models.architecture import Architecture
from wm_eval_ros.models.kinematics import Kinematics, kinematics_of, Planar
from wm_eval_ros.models.network import dense, NetworkModel, StepNetwork
from wm_eval_ros.models.protocol import Latent, WorldModelSpec


class PhysicsNetwork(StepNetwork):
    """
    Features, command before and command to the change of the features; no memory.

    An integral changes by the mean of its velocity before and after the step, which is exact
    under constant acceleration. An angle is turned: its cosine and sine stay on their circle.
    The network's last layer begins at 0, so that training begins with the kinematics alone.

    :param dt_s: time of one step [s]
    """

    def __init__(self, arch: Architecture, known: Kinematics, dt_s: float) -> None:
        super().__init__(arch)
        self._lines, self._circles, self._planar = known.lines, known.circles, known.planar
        # the ways and angles of a step in this order: lines, circles, forward, to the left
        moves = [*((line.velocity, 1.0) for line in known.lines),
                 *((circle.velocity, circle.rate) for circle in known.circles),
                 *((p.forward, 1.0) for p in known.planar),
                 *((p.side, 1.0) for p in known.planar if p.side is not None)]
        free = [i for i in range(arch.features) if i not in known.positions]
        self._index('_free', free)
        self._index('_velocity', [velocity for velocity, _ in moves])
        self._index('_positions', [line.position for line in known.lines])
        self._index('_cosines', [circle.cosine for circle in known.circles])
        self._index('_sines', [circle.sine for circle in known.circles])
        self.register_buffer('_dt', dt_s * torch.tensor([r for _, r in moves]), persistent=False)
        self.body = dense([arch.features + 2 * arch.actions, *[arch.hidden] * arch.layers,
                           len(free) + len(moves)], arch.activation)
        for parameter in self.body[-1].parameters():
            nn.init.zeros_(parameter)

    _free: torch.Tensor
    _velocity: torch.Tensor
    _positions: torch.Tensor
    _cosines: torch.Tensor
    _sines: torch.Tensor
    _dt: torch.Tensor

    def _index(self, name: str, of: Sequence[int]) -> None:
        self.register_buffer(name, torch.tensor(of, dtype=torch.long), persistent=False)

    def advance(self, z: Latent, action: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Foresee one step; see :meth:`StepNetwork.advance`."""
        learnt = self.body(torch.cat([z, action], -1))
        now = z[:, :self.features] * self.feature_scale + self.feature_mean
        count = len(self._free)
        change = torch.zeros_like(now).index_copy(
            1, self._free, learnt[:, :count] * self.delta_scale[self._free])
        # the mean velocity of a step is off by at most about half of what it changes in one
        rest = learnt[:, count:] * self.delta_scale[self._velocity] / 2
        along = ((now + change / 2)[:, self._velocity] + rest) * self._dt
        return (self._moved(now, change, along) - self.delta_mean) / self.delta_scale, z[:, :0]

    def _moved(self, now: torch.Tensor, change: torch.Tensor, along: torch.Tensor) -> torch.Tensor:
        """
        Return the change of all features, (B, F).

        :param now: features in physical units, (B, F)
        :param change: of those whose kinematics are not known, (B, F)
        :param along: way or angle of each move, (B, N)
        """
        lines, circles = len(self._lines), len(self._circles)
        turn = along[:, lines:lines + circles]
        # nothing is asked for no columns: OpenVINO's compiler divides by their number
        if lines:
            change = change.index_copy(1, self._positions, along[:, :lines])
        if circles:
            cosine, sine = now[:, self._cosines], now[:, self._sines]
            change = change.index_copy(
                1, self._cosines, cosine * turn.cos() - sine * turn.sin() - cosine)
            change = change.index_copy(
                1, self._sines, cosine * turn.sin() + sine * turn.cos() - sine)
        if not self._planar:
            return change
        count = len(self._planar)
        forward, side = along[:, lines + circles:][:, :count], along[:, lines + circles + count:]
        left = iter(side.unbind(1))
        for i, plane in enumerate(self._planar):
            turned = turn[:, circles - count + i]
            way = forward[:, i], None if plane.side is None else next(left)
            change = _driven(plane, now, change, turned, way)
        return change


def _driven(
    plane: Planar, now: torch.Tensor, change: torch.Tensor, half: torch.Tensor,
    way: tuple[torch.Tensor, torch.Tensor | None],
) -> torch.Tensor:
    """
    Add the way on an arc, which is what a constant velocity in the frame of the body gives.

    The chord of an arc is its length times sin(h) / h and points along the heading in its
    middle, where h is half of the angle that it turns.

    :param half: half of the angle turned, (B,)
    :param way: length forward and to the left, (B,) each
    """
    w, z = now[:, plane.heading.cosine], now[:, plane.heading.sine]
    # twice the half angle of the quaternion, plus half of the turn
    heading = 2.0 * torch.atan2(z, w) + half
    forward, left = way
    left = torch.zeros_like(forward) if left is None else left
    chord = _sine_over(half)
    x = chord * (forward * heading.cos() - left * heading.sin())
    y = chord * (forward * heading.sin() + left * heading.cos())
    at = torch.tensor([plane.x, plane.y], device=now.device)
    return change.index_copy(1, at, torch.stack([x, y], 1))


def _sine_over(angle: torch.Tensor) -> torch.Tensor:
    """
    Return sin(a) / a, 1 where a is 0, with gradients that are finite there.

    ``torch.sinc`` is the same but for rounding; OpenVINO does not know it.
    """
    straight = angle == 0.0
    turned = torch.where(straight, 1.0, angle)
    return torch.where(straight, 1.0, turned.sin() / turned)


class PhysicsModel(NetworkModel):
    """World model of the family ``physics``."""

    network = PhysicsNetwork
    architecture = Architecture

    @classmethod
    def network_for(
        cls, arch: Architecture, feature_names: Sequence[str], dt_s: float
    ) -> PhysicsNetwork:
        """
        Make the network of these features.

        :raises ConfigError: none of them is the integral of another
        """
        return PhysicsNetwork(arch, kinematics_of(feature_names), dt_s)

    @classmethod
    def tensor_shapes(cls, spec: WorldModelSpec, where: str = '') -> dict[str, tuple[int, ...]]:
        """
        Return name and shape of every tensor the spec calls for.

        :raises CheckpointError: the architecture does not fit itself, the spec's interface or
            the names of its features
        """
        try:
            return super().tensor_shapes(spec, where)
        except ConfigError as error:
            raise CheckpointError(f'{where}: {error}') from None
