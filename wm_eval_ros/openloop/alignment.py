"""What raw header stamps would do to the lags."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from wm_eval_ros.bag.findings import Finding
from wm_eval_ros.errors import BagError
from wm_eval_ros.openloop import notes
from wm_eval_ros.openloop.lags import find_lags, Lag
from wm_eval_ros.openloop.material import grids_of, Material
from wm_eval_ros.openloop.tracks import Track

#: offsets closer than this do not matter to a lag [s]
_SAME_S = 0.01


def misaligned(material: Material, lags: Sequence[Lag]) -> Iterator[Finding]:
    """
    Estimate the lags anew on raw header stamps, and name those that would read otherwise.

    :param lags: what they are on the clock in use
    """
    offsets = {topic: clock.offset.value or 0.0 for topic, clock in material.clocks.items()}
    command = material.command[0].topic
    topics = {track.name: track.topic for track in material.state}
    apart = {topic: offsets[topic] - offsets[command] for topic in topics.values()}
    if all(abs(moved) <= _SAME_S for moved in apart.values()):
        return
    raw = _raw_lags(material, offsets)
    for topic, moved in apart.items():
        read = {lag.feature: raw.get(lag.feature) for lag in lags
                if topics[lag.feature] == topic and lag.lag.value is not None}
        if read and abs(moved) > _SAME_S:
            yield notes.of_clock(material.clocks[topic], moved, read)


def _raw_lags(material: Material, offsets: dict[str, float]) -> dict[str, float | None]:
    """Return the lag of each feature on raw header stamps [s]; none where they do not overlap."""
    def moved(track: Track) -> Track:
        shift_ns = round(offsets[track.topic] * 1e9)
        return replace(track, times_ns=track.times_ns + shift_ns)
    shifted = replace(material, state=tuple(map(moved, material.state)),
                      command=tuple(map(moved, material.command)))
    try:
        grids = grids_of(shifted)
    except BagError:
        return {}
    return {lag.feature: lag.lag.value for grid in grids
            for lag in find_lags(grid, material.robot)}
