"""How long it takes from a shift of the world until a retrained model is as good again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from wm_eval_ros.metrics.base import missing, NS_PER_S, Values
from wm_eval_ros.metrics.detector import surprise_trials
from wm_eval_ros.metrics.episodes import Episode
from wm_eval_ros.metrics.perturbations import NUISANCE
from wm_eval_ros.metrics.table import Run, TableMetric
from wm_eval_ros.metrics.task import decided
from wm_eval_ros.records import ClockMode, EventKind, MetricValue
from wm_eval_ros.stats.paired import agresti_caffo

_NAMES = ('time_to_retrain', 'retrain_cpu_time')
_S_PER_H = 3600.0
#: decided episodes below which a success rate is no ground for this figure
LEAST = 10
#: loss of success against that before the shift that still counts as back
BACK_MARGIN = 0.15
_WHY_ONE = 'one shift: a single observation'


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What one run tells about retraining; all times on the wall clock [ns]."""

    begin_ns: int
    #: episodes that reached the goal, of those decided
    successes: int
    episodes: int
    #: hash of the model's weights; empty: no model
    model: str
    #: when the training of the model ended; None: not recorded
    trained_ns: int | None = None
    #: CPU time of that training [s]; None: not recorded
    train_cpu_s: float | None = None
    #: onset of the first perturbation that is no nuisance; None: nothing shifted
    shift_ns: int | None = None
    #: its label
    shift: str = ''
    #: start of the first alarm after it; None: none was raised
    alarm_ns: int | None = None
    #: label of a perturbation that is no nuisance -> successes, and decided episodes, under it
    under: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Before:
    """The success before the shift, and what it takes to have it back."""

    successes: int
    episodes: int
    margin: float
    confidence: float

    def regained(self, successes: int, episodes: int) -> bool:
        """Say whether a loss of the margin is ruled out."""
        return agresti_caffo(successes, episodes, self.successes, self.episodes,
                             self.confidence).low >= -self.margin


def summary(run: Run) -> RunSummary | str:
    """Return what a run tells about retraining, or why it tells nothing."""
    if run.info is None or run.extent is None:
        return 'it holds no manifest, or nothing over time'
    if run.info.clock is not ClockMode.REALTIME:
        return f'its time is simulated ({run.info.clock}): alarms have no time on the wall clock'
    onset, label = min(((a.begin_ns, a.label) for done in run.applied.values() for a in done
                        if a.kind != NUISANCE), default=(None, ''))
    model, counted = run.info.model, decided(run.episodes)
    trained, cpu = model.get('trained_at_ns'), model.get('train_cpu_s')
    return RunSummary(
        run.extent[0], sum(e.outcome == EventKind.SUCCESS for e in counted), len(counted),
        str(model.get('sha256', '')), trained if isinstance(trained, int) else None,
        float(cpu) if isinstance(cpu, (int, float)) else None, onset, label,
        None if onset is None else first_alarm(run, onset), _under(run, counted))


def _under(run: Run, counted: Sequence[Episode]) -> dict[str, tuple[int, int]]:
    """Count successes and decided episodes under each perturbation that is no nuisance."""
    found: dict[str, tuple[int, int]] = {}
    for episode in counted:
        for label in {a.label for a in run.applied.get(episode.number, ()) if a.kind != NUISANCE}:
            good, tried = found.get(label, (0, 0))
            found[label] = (good + (episode.outcome == EventKind.SUCCESS), tried + 1)
    return dict(sorted(found.items()))


def first_alarm(run: Run, onset_ns: int) -> int | None:
    """Return when the first alarm of the recorded detector began at or after an instant."""
    return min((int(stamp) for t in surprise_trials(run)
                for stamp in t.stamps[t.raised & (t.stamps >= onset_ns)]), default=None)


def time_to_retrain(runs: Iterable[RunSummary], margin: float = BACK_MARGIN,
                    confidence: float = 0.95) -> Values:
    """
    Return wall and CPU time from the first alarm after a shift to a model that is good again [h].

    The first later model counts whose success under the same shift is shown to be what it was
    before it, over all runs of the model that met the shift: the whole interval of the difference
    (Agresti and Caffo, the runs need not share starts) lies above minus the margin. A model that
    never met the shift has shown nothing. Either success takes LEAST decided episodes. The CPU
    time is that of every model trained from the alarm up to that one.

    :param runs: of one task on one robot, in any order
    :param margin: loss of success that still counts as back, >= 0
    :param confidence: of the interval
    """
    ordered = sorted(runs, key=lambda r: (r.begin_ns, r.model))
    shifted = next((r for r in ordered if r.shift_ns is not None), None)
    if shifted is None or shifted.shift_ns is None:
        return _none('no run holds a shift (PERTURB_ON that is no nuisance)')
    if shifted.alarm_ns is None:
        return _none('no alarm was raised after the shift')
    before = [r for r in ordered if r.model == shifted.model and r.begin_ns < shifted.begin_ns]
    tried = sum(r.episodes for r in before)
    if tried < LEAST:
        return _none(f'success before the shift takes {LEAST} decided episodes of the same model, '
                     f'there are {tried}')
    old = _Before(sum(r.successes for r in before), tried, margin, confidence)
    return _first_good(_later_models(ordered, shifted), shifted, old, len(ordered))


def _later_models(ordered: Sequence[RunSummary], shifted: RunSummary) -> list[list[RunSummary]]:
    """Return the runs of each model trained after the alarm, by when its training ended."""
    models: dict[tuple[int, str], list[RunSummary]] = {}
    for run in ordered:
        if run.trained_ns is not None and shifted.alarm_ns is not None \
                and run.trained_ns > shifted.alarm_ns and run.model != shifted.model:
            models.setdefault((run.trained_ns, run.model), []).append(run)
    return [models[key] for key in sorted(models)]


def _first_good(models: list[list[RunSummary]], shifted: RunSummary,
                before: _Before, n: int) -> Values:
    tried = [[r.under.get(shifted.shift, (0, 0)) for r in own] for own in models]
    enough = [sum(part[1] for part in own) >= LEAST for own in tried]
    if not any(enough):
        return _none(f'no model trained after the alarm has {LEAST} decided episodes under '
                     f'{shifted.shift}')
    for count, own in enumerate(tried, 1):
        trained_ns = models[count - 1][0].trained_ns
        if trained_ns is None or shifted.alarm_ns is None or not enough[count - 1]:
            continue
        if before.regained(sum(part[0] for part in own), sum(part[1] for part in own)):
            wall = (trained_ns - shifted.alarm_ns) / NS_PER_S / _S_PER_H
            return (MetricValue(_NAMES[0], wall, 'h', n, why=_WHY_ONE),
                    _cpu([model[0] for model in models[:count]], n))
    return _none(f'none of {sum(enough)} retrained models is shown to be back under '
                 f'{shifted.shift}: a loss of {before.margin:g} against the {before.successes} of '
                 f'{before.episodes} before it is not ruled out')


def _cpu(models: Sequence[RunSummary], n: int) -> MetricValue:
    known = [m.train_cpu_s for m in models if m.train_cpu_s is not None]
    if len(known) < len(models):
        return missing(_NAMES[1], 'h', 'a training did not record its CPU time', n)
    return MetricValue(_NAMES[1], sum(known) / _S_PER_H, 'h', n, why=_WHY_ONE)


def _none(why: str) -> Values:
    return tuple(missing(name, 'h', why) for name in _NAMES)


class Retrain(TableMetric):
    """The board's figure of retraining, as far as a single run can tell: that it cannot."""

    def values(self, run: Run) -> Values:
        """Return both figures without a value, and what else it would take."""
        return _none('takes several runs: before the shift, with the shift and an alarm, and of a '
                     'model trained after it')
