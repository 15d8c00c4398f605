"""Settings of the bag player: a bag as the sensor side of a rehearsal."""

from __future__ import annotations

from dataclasses import dataclass

from wm_eval_ros.config.schema import setting


@dataclass(frozen=True, kw_only=True)
class ReplaySettings:
    """A bag whose messages stand for the sensors of a robot."""

    bag: str = setting('', doc='rosbag2 folder, or its .mcap or .db3 file; empty: none, the '
                       'robot is there itself')
    start_s: float = setting(0.0, doc='begin so far behind the first message that is played',
                             unit='s', low=0.0)
    rate: float = setting(1.0, doc="speed of the replay, of the bag's own", low=0.01, high=100.0)
    loop: bool = setting(False, doc='begin anew when the bag has ended')
    pace: str = setting(
        'log', doc='when a message is due: at its log time, or at its header stamp less the '
                   'offset of its clock', choices=('log', 'stamps'))
    keep_stamps: bool = setting(
        False, doc='leave the header stamps as they were recorded; false: they are moved to now')
