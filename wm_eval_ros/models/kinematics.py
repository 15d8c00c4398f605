"""Which features are integrals of which, by their names: what a model need not learn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
import re

from wm_eval_ros.errors import ConfigError

_JOINT = re.compile(r'(?P<topic>.*)\.position\[(?P<joint>[^\]]*)\](?P<turn>:cos|:sin)?')
_AXIS = re.compile(r'.*\.position\.(?P<axis>[xyz])')
_ODOMETRY = re.compile(r'(?P<topic>.*)\.pose\.pose\.position\.x')


@dataclass(frozen=True, slots=True)
class Line:
    """A number that changes by time times velocity."""

    position: int
    velocity: int


@dataclass(frozen=True, slots=True)
class Circle:
    """Cosine and sine of an angle that changes by time times velocity times rate."""

    cosine: int
    sine: int
    velocity: int
    #: 1; 0.5 where the two are those of half the angle, w and z of a planar quaternion
    rate: float = 1.0


@dataclass(frozen=True, slots=True)
class Planar:
    """A position in the plane whose velocity is given in the frame of the body."""

    x: int
    y: int
    forward: int
    #: velocity to the left; None: there is none
    side: int | None
    #: the heading, of rate 0.5
    heading: Circle


@dataclass(frozen=True, slots=True)
class Kinematics:
    """What is known; indices are those of the features."""

    lines: tuple[Line, ...]
    circles: tuple[Circle, ...]
    planar: tuple[Planar, ...]

    @property
    def positions(self) -> frozenset[int]:
        """Return the features whose change is known."""
        return frozenset([*(i.position for i in self.lines),
                          *(i for c in self.circles for i in (c.cosine, c.sine)),
                          *(i for p in self.planar for i in (p.x, p.y))])


def kinematics_of(names: Sequence[str]) -> Kinematics:
    """
    Find what is the integral of what.

    * ``topic.position[j]`` and, as ``:cos`` with ``:sin``, the angle of it: of
      ``topic.velocity[j]``
    * ``position.x`` (y, z) of a pose, where it is the only one and no joint has the name: of
      ``velocity[x]``, a slide joint named after its axis
    * the position of an odometry and its heading: of ``twist.twist.linear`` in the frame of the
      body, and of ``twist.twist.angular.z``, where z and w of the orientation are features and x
      and y are not, so that it is known to move in the plane

    :raises ConfigError: nothing is
    """
    at = {name: i for i, name in enumerate(names)}
    planar = tuple(_planar(names, at))
    circles = (*_circles(names, at), *(p.heading for p in planar))
    found = Kinematics((*_lines(names, at), *_axes(names, at)), circles, planar)
    if not found.positions:
        raise ConfigError(
            'family physics: no feature is the integral of another by its name, such as '
            f'topic.position[j] of topic.velocity[j]; they are {", ".join(names[:4])}'
            f'{", ..." if len(names) > 4 else ""}: add the other of a pair to the interface, or '
            'train another family')
    return found


def _lines(names: Sequence[str], at: dict[str, int]) -> Iterator[Line]:
    for i, name in enumerate(names):
        found = _JOINT.fullmatch(name)
        if found and not found['turn'] and (velocity := _velocity(found, at)) is not None:
            yield Line(i, velocity)


def _circles(names: Sequence[str], at: dict[str, int]) -> Iterator[Circle]:
    for i, name in enumerate(names):
        found = _JOINT.fullmatch(name)
        sine = at.get(f'{name.removesuffix(":cos")}:sin')
        if found and found['turn'] == ':cos' and sine is not None:
            velocity = _velocity(found, at)
            if velocity is not None:
                yield Circle(i, sine, velocity)


def _velocity(joint: re.Match[str], at: dict[str, int]) -> int | None:
    return at.get(f'{joint["topic"]}.velocity[{joint["joint"]}]')


def _axes(names: Sequence[str], at: dict[str, int]) -> Iterator[Line]:
    for axis in 'xyz':
        positions = [i for i, n in enumerate(names)
                     if (found := _AXIS.fullmatch(n)) and found['axis'] == axis]
        velocities = [i for n, i in at.items() if n.endswith(f'.velocity[{axis}]')]
        joint = any(f'.position[{axis}]' in n for n in names)
        if len(positions) == len(velocities) == 1 and not joint:
            yield Line(positions[0], velocities[0])


def _planar(names: Sequence[str], at: dict[str, int]) -> Iterator[Planar]:
    for name in names:
        found = _ODOMETRY.fullmatch(name)
        if found is None:
            continue
        pose, twist = f'{found["topic"]}.pose.pose', f'{found["topic"]}.twist.twist'
        wanted = [at.get(n) for n in (f'{pose}.position.y', f'{twist}.linear.x',
                                      f'{pose}.orientation.w', f'{pose}.orientation.z',
                                      f'{twist}.angular.z')]
        flat = not {f'{pose}.orientation.x', f'{pose}.orientation.y'} & set(at)
        y, forward, w, z, turning = wanted
        if flat and not (y is None or forward is None or w is None or z is None
                         or turning is None):
            yield Planar(at[name], y, forward, at.get(f'{twist}.linear.y'),
                         Circle(w, z, turning, 0.5))
