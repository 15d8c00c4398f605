"""The outcome of an open-loop evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from wm_eval_ros.bag.findings import Finding, Severity
from wm_eval_ros.openloop.alarms import Alarm, Watch
from wm_eval_ros.openloop.clocks import Clock
from wm_eval_ros.openloop.lags import Lag
from wm_eval_ros.openloop.reasons import Reason
from wm_eval_ros.openloop.scores import Score, Scored
from wm_eval_ros.openloop.streams import Loss
from wm_eval_ros.records import MetricValue


@dataclass(frozen=True, slots=True)
class Masks:
    """How many samples of a feature, or messages of a topic, are odd, and in which way."""

    topic: str
    #: empty: all features of the topic alike
    feature: str
    samples: int
    #: samples by reason; STALE_REPEAT are counted and used, the others are masked
    counts: dict[Reason, int]
    #: header stamps that are zero: counted, since log time is used instead
    zero_stamps: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of time in which nothing is scored."""

    reason: Reason
    #: [ns]
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """The outcome."""

    robot: str
    #: begin and end of the recording of the map's topics [ns]
    start_ns: int
    end_ns: int
    #: the scored part begins, and the nominal part ends [ns]
    cut_ns: int
    nominal_end_ns: int
    scores: tuple[Score, ...]
    #: one a horizon and grid
    scored: tuple[Scored, ...]
    lags: tuple[Lag, ...]
    clocks: tuple[Clock, ...]
    masks: tuple[Masks, ...]
    #: where no window is whole, by reason
    stretches: tuple[Stretch, ...]
    watches: tuple[Watch, ...]
    losses: tuple[Loss, ...]
    findings: tuple[Finding, ...]
    #: every figure, under the names of docs/openloop.md
    values: tuple[MetricValue, ...]

    def __getitem__(self, name: str) -> MetricValue:
        """
        Return the figure of that name.

        :raises KeyError: there is none
        """
        for value in self.values:
            if value.name == name:
                return value
        raise KeyError(name)

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """Every alarm, by onset."""
        every = [alarm for watch in self.watches for alarm in watch.alarms]
        return tuple(sorted(every, key=lambda alarm: (alarm.onset_ns, alarm.stream)))

    @property
    def ranked_findings(self) -> tuple[Finding, ...]:
        """Every finding, the weightiest first."""
        weights = list(Severity)
        return tuple(sorted(self.findings, key=lambda found: -weights.index(found.severity)))

    def seconds(self, time_ns: int) -> float:
        """Return a time as seconds since the start of the recording."""
        return (time_ns - self.start_ns) / 1e9
