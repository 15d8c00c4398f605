"""What a decision is charged in `lockstep`: measured, declared, or from a recorded trace."""

from __future__ import annotations

from collections.abc import Iterator
import itertools
import math
from pathlib import Path

from wm_eval_ros.config.scenario import PlannerSettings
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.records import ClockMode


class LatencyCharge:
    """Latency charged per decision, so that thinking is never free."""

    def __init__(self, settings: PlannerSettings, clock: ClockMode) -> None:
        """
        Choose the source of the charge.

        :raises ConfigError: the trace cannot be read or holds no usable numbers
        """
        self._trace: Iterator[int] | None = None
        #: whether two runs of one seed are charged alike
        self.repeatable = True
        if clock is ClockMode.FREE:
            self._trace = itertools.repeat(0)
        elif settings.latency_trace:
            self._trace = itertools.cycle(read_trace(Path(settings.latency_trace)))
        elif settings.latency_ms >= 0:
            self._trace = itertools.repeat(round(settings.latency_ms * 1e6))
        else:
            self.repeatable = False

    def charge_ns(self, measured_ns: int) -> int:
        """Return the charge of the next decision [ns]."""
        return measured_ns if self._trace is None else next(self._trace)


def read_trace(path: Path) -> list[int]:
    """
    Read latencies [ms], one a line, as nanoseconds; lines with ``#`` are comments.

    :raises ConfigError: naming the line
    """
    try:
        lines = path.read_text(encoding='utf-8').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f'latency trace {path}: cannot be read ({error})') from None
    trace = [_latency_ns(line, f'latency trace {path}, line {number}')
             for number, line in enumerate(lines, 1) if line.partition('#')[0].strip()]
    if not trace:
        raise ConfigError(f'latency trace {path}: holds no numbers; write one [ms] a line')
    return trace


def _latency_ns(line: str, where: str) -> int:
    text = line.partition('#')[0].strip()
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value < math.inf:
        raise ConfigError(f'{where}: {text!r} is no latency; write milliseconds, 0 or more')
    return round(value * 1e6)
