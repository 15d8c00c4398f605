"""What a decision costs beside time: memory of the process, energy of the host."""

from __future__ import annotations

from pathlib import Path
import resource
import sys

from wm_eval_ros.records import NEVER_NS

#: where Linux shows the energy counters of Intel and AMD packages (RAPL)
POWERCAP = Path('/sys/class/powercap')
#: ru_maxrss counts kibibytes on Linux and bytes on macOS
_RSS_UNIT = 1 if sys.platform == 'darwin' else 1024


def peak_memory_bytes() -> int:
    """Return the largest resident memory of this process so far [bytes]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT


class EnergyMeter:
    """
    Energy counters of the host's processor packages (RAPL).

    They count all that runs on the packages, not this process alone. Where the host has none, or
    does not let this user read them, every reading is NEVER_NS.
    """

    def __init__(self, folder: Path = POWERCAP) -> None:
        """Find the counters of whole packages, `intel-rapl:N`; their parts are inside them."""
        self._counters = [counter for zone in sorted(folder.glob('*-rapl:*'))
                          if zone.name.count(':') == 1
                          and _number(counter := zone / 'energy_uj') != NEVER_NS]
        self._range = sum(max(0, _number(counter.parent / 'max_energy_range_uj'))
                          for counter in self._counters)

    def read_uj(self) -> int:
        """Return the sum of the counters [uJ], NEVER_NS where there is none."""
        values = [_number(counter) for counter in self._counters]
        return sum(values) if values and NEVER_NS not in values else NEVER_NS

    def since_uj(self, before: int) -> int:
        """
        Return what the counters advanced since a reading [uJ].

        A counter that wrapped around once, as each does after some hours, is made up for only
        where there is a single one; otherwise the reading is NEVER_NS.
        """
        now = self.read_uj()
        if NEVER_NS in (now, before):
            return NEVER_NS
        if now >= before:
            return now - before
        return now - before + self._range if len(self._counters) == 1 else NEVER_NS


def _number(path: Path) -> int:
    try:
        return int(path.read_text(encoding='ascii'))
    except (OSError, ValueError):
        return NEVER_NS
