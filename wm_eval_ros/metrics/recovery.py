"""Does the robot get back on its feet after a perturbation, how fast, and up to which severity."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
import math

import numpy as np

from wm_eval_ros.metrics.base import count_value, Floats, missing, NS_PER_S, share, Values
from wm_eval_ros.metrics.episodes import Episode
from wm_eval_ros.metrics.perturbations import Applied
from wm_eval_ros.metrics.rows import Rows
from wm_eval_ros.metrics.table import Run, TableMetric
from wm_eval_ros.metrics.task import of_a_robot
from wm_eval_ros.metrics.waiting import waiting
from wm_eval_ros.records import EpisodeEvent, EventKind, MetricValue

#: more distinct severities than this are put into bins of equal counts
MOST_SEVERITIES = 8
BINS = 5
_NONE = 'no perturbation was applied in an episode whose outcome is known'


@dataclass(frozen=True, slots=True)
class Recovery:
    """What became of one perturbed episode."""

    applied: tuple[Applied, ...]
    #: None where the record does not tell
    recovered: bool | None
    #: time from the first onset to recovery, or to where nothing more was seen [s]
    wait_s: float

    def severity(self, label: str) -> float:
        """Return the largest severity of a label's perturbations; NaN where none is a number."""
        known = [a.severity for a in self.applied if a.label == label]
        return max((s for s in known if math.isfinite(s)), default=math.nan)


def recoveries(run: Run) -> tuple[Recovery, ...]:
    """
    Judge every perturbed episode.

    It is recovered when, after the onset of its last perturbation, a RECOVERED event came or the
    task was solved, and it did not end in FAILURE. It is not recovered where it ended in FAILURE,
    or in TIMEOUT without a RECOVERED event. Aborted and open episodes without one tell nothing.
    Starts that were already solved are left out. On a robot, whose success nobody sees, a TIMEOUT
    tells something only where RECOVERED events show that somebody judged.
    """
    done, seen = run.applied, _last_slots(run.slots)
    judged = not of_a_robot(run) or any(e.kind == EventKind.RECOVERED for e in run.events)
    told = {EventKind.SUCCESS: True, **({EventKind.TIMEOUT: False} if judged else {})}
    events: dict[int, list[EpisodeEvent]] = defaultdict(list)
    for event in run.events:
        events[event.episode].append(event)
    return tuple(_judge(e, done[e.number], events[e.number], seen.get(e.number), told)
                 for e in run.episodes if e.number in done and not e.solved_at_start)


def _judge(episode: Episode, done: tuple[Applied, ...], events: Sequence[EpisodeEvent],
           slot_ns: int | None, told: Mapping[EventKind, bool]) -> Recovery:
    """
    Judge one episode.

    :param events: its own, in order of time, at least the onset
    :param slot_ns: start of its last slot [ns, ROS]; None where none was recorded
    :param told: ends that tell whether it recovered without a RECOVERED event
    """
    onset, last = done[0].begin_ns, max(a.begin_ns for a in done)
    end_ns = episode.end_ns
    if end_ns is None:
        end_ns = max(events[-1].stamp_ns, events[-1].stamp_ns if slot_ns is None else slot_ns)
    marks = (e.stamp_ns for e in events if e.kind == EventKind.RECOVERED)
    if episode.outcome == EventKind.FAILURE:
        return Recovery(done, False, math.inf)
    mark = next((m for m in marks if last <= m <= end_ns), None)
    if mark is not None:
        return Recovery(done, True, (mark - onset) / NS_PER_S)
    recovered = None if episode.outcome is None else told.get(episode.outcome)
    return Recovery(done, recovered, (end_ns - onset) / NS_PER_S)


def _last_slots(slots: Rows) -> dict[int, int]:
    """Return the start of the last slot of each episode [ns, ROS]."""
    ranks = np.lexsort((slots['stamp'], slots['episode']))
    episodes, stamps = slots['episode'][ranks], slots['stamp'][ranks]
    last = np.flatnonzero(np.diff(episodes, append=episodes[-1:] + 1))
    return dict(zip(episodes[last].tolist(), stamps[last].tolist(), strict=True))


def recovery_rate(name: str, found: Iterable[Recovery]) -> MetricValue:
    """Return recovered over perturbed episodes, those of unknown outcome left out."""
    known = [r for r in found if r.recovered is not None]
    return share(name, sum(r.recovered is True for r in known), len(known), _NONE)


def time_to_recover(name: str, found: Sequence[Recovery], limit_s: float) -> Values:
    """
    Return Kaplan-Meier median and restricted mean of the time to recover [s].

    An episode that failed never recovers, so it waits until the horizon.

    :param limit_s: horizon, the allowed task time; 0: the longest wait seen
    """
    seen = [r.wait_s for r in found if math.isfinite(r.wait_s)]
    horizon = limit_s if limit_s > 0 else max(seen, default=0.0)
    times = np.array([min(r.wait_s, horizon) for r in found], float)
    observed = np.array([r.recovered is True and r.wait_s <= horizon for r in found], bool)
    return waiting(name, 's', times, observed, horizon, _NONE)


def severity_bins(severities: Floats) -> list[tuple[str, float, float]]:
    """
    Return name and closed ends of the bins of a severity curve, disjoint on the sample.

    Up to MOST_SEVERITIES distinct values are bins of their own; more are cut into BINS of about
    equal counts.

    :param severities: finite, shape (N,)

    >>> [b[0] for b in severity_bins(np.array([1.0, 0.5, 1.0]))]
    ['0.5', '1']
    """
    distinct = np.unique(severities)
    if len(distinct) <= MOST_SEVERITIES:
        return [(_text(s), float(s), float(s)) for s in distinct]
    ordered = np.sort(severities)
    cuts = np.unique(ordered[np.arange(1, BINS) * len(ordered) // BINS])
    place = np.searchsorted(cuts, distinct, 'right')
    parts = [distinct[place == k] for k in np.unique(place)]
    return [(f'{_text(p[0])}..{_text(p[-1])}', float(p[0]), float(p[-1])) for p in parts]


def _text(number: float) -> str:
    """Return a number as no other number is written."""
    whole = float(number).is_integer() and abs(number) < 1e6
    return str(int(number)) if whole else repr(float(number))


def severity_curve(label: str, found: Sequence[Recovery]) -> Values:
    """Return the recovery rate of a label in each bin of its severity."""
    levels = np.array([r.severity(label) for r in found])
    values = []
    for name, low, high in severity_bins(levels[np.isfinite(levels)]):
        own = [r for r, s in zip(found, levels.tolist(), strict=True) if low <= s <= high]
        values.append(recovery_rate(f'recovery_rate[{label},severity={name}]', own))
    return tuple(values)


class PerturbationRecovery(TableMetric):
    """Recovery rate and time, over all perturbations, by label and by severity."""

    def values(self, run: Run) -> Values:
        """Return the figures; of labels only those that were applied."""
        found = recoveries(run)
        limit = run.info.time_limit_s if run.info is not None else 0.0
        labels = sorted({a.label for r in found for a in r.applied})
        values = [_perturbed(run, found), recovery_rate('recovery_rate', found),
                  *time_to_recover('time_to_recover', found, limit)]
        for label in labels:
            own = [r for r in found if any(a.label == label for a in r.applied)]
            values += [recovery_rate(f'recovery_rate[{label}]', own),
                       *severity_curve(label, own),
                       *time_to_recover(f'time_to_recover[{label}]', own, limit)]
        return tuple(values)


def _perturbed(run: Run, found: Sequence[Recovery]) -> MetricValue:
    if not run.episodes:
        return missing('perturbed_episodes', '1', 'no episode was started')
    return count_value('perturbed_episodes', len(found), len(run.episodes))
