"""How long it takes from a shift of the world until a retrained model is as good again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wm_eval_ros.metrics.base import missing, NS_PER_S, Values
from wm_eval_ros.metrics.detector import surprise_trials
from wm_eval_ros.metrics.perturbations import NUISANCE
from wm_eval_ros.metrics.table import Run, TableMetric
from wm_eval_ros.metrics.task import decided
from wm_eval_ros.records import ClockMode, EventKind, MetricValue
from wm_eval_ros.stats.proportion import clopper_pearson

_NAMES = ('time_to_retrain', 'retrain_cpu_time')
_S_PER_H = 3600.0
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
    #: start of the first alarm after it; None: none was raised
    alarm_ns: int | None = None


def summary(run: Run) -> RunSummary | str:
    """Return what a run tells about retraining, or why it tells nothing."""
    if run.info is None or run.extent is None:
        return 'it holds no manifest, or nothing over time'
    if run.info.clock is not ClockMode.REALTIME:
        return f'its time is simulated ({run.info.clock}): alarms have no time on the wall clock'
    onset = min((a.begin_ns for done in run.applied.values() for a in done
                 if a.kind != NUISANCE), default=None)
    model, counted = run.info.model, decided(run.episodes)
    trained, cpu = model.get('trained_at_ns'), model.get('train_cpu_s')
    return RunSummary(
        run.extent[0], sum(e.outcome == EventKind.SUCCESS for e in counted), len(counted),
        str(model.get('sha256', '')), trained if isinstance(trained, int) else None,
        float(cpu) if isinstance(cpu, (int, float)) else None, onset,
        None if onset is None else first_alarm(run, onset))


def first_alarm(run: Run, onset_ns: int) -> int | None:
    """Return when the first alarm of the recorded detector began at or after an instant."""
    return min((int(stamp) for t in surprise_trials(run)
                for stamp in t.stamps[t.raised & (t.stamps >= onset_ns)]), default=None)


def time_to_retrain(runs: Iterable[RunSummary]) -> Values:
    """
    Return wall and CPU time from the first alarm after a shift to a model that is good again [h].

    The old interval is Clopper and Pearson's of the success before the shift, over all runs of
    the model that met it. The first later model counts whose own success, over all its runs after
    the alarm, is not below that interval. The CPU time is that of every model trained from the
    alarm up to that one.

    :param runs: of one task on one robot, in any order
    """
    ordered = sorted(runs, key=lambda r: (r.begin_ns, r.model))
    shifted = next((r for r in ordered if r.shift_ns is not None), None)
    if shifted is None or shifted.shift_ns is None:
        return _none('no run holds a shift (PERTURB_ON that is no nuisance)')
    if shifted.alarm_ns is None:
        return _none('no alarm was raised after the shift')
    before = [r for r in ordered if r.model == shifted.model and r.begin_ns < shifted.begin_ns]
    tried = sum(r.episodes for r in before)
    if tried == 0:
        return _none('no run of the same model before the shift: its success is not known')
    floor = clopper_pearson(sum(r.successes for r in before), tried).low
    return _first_good(_later_models(ordered, shifted), shifted.alarm_ns, floor, len(ordered))


def _later_models(ordered: Sequence[RunSummary], shifted: RunSummary) -> list[list[RunSummary]]:
    """Return the runs of each model trained after the alarm, by when its training ended."""
    models: dict[tuple[int, str], list[RunSummary]] = {}
    for run in ordered:
        if run.trained_ns is not None and shifted.alarm_ns is not None \
                and run.trained_ns > shifted.alarm_ns and run.model != shifted.model:
            models.setdefault((run.trained_ns, run.model), []).append(run)
    return [models[key] for key in sorted(models)]


def _first_good(models: list[list[RunSummary]], alarm_ns: int, floor: float, n: int) -> Values:
    if not models:
        return _none('no run of a model trained after the alarm')
    for count, own in enumerate(models, 1):
        tried = sum(r.episodes for r in own)
        trained_ns = own[0].trained_ns
        if trained_ns is None or tried == 0 or sum(r.successes for r in own) / tried < floor:
            continue
        wall = (trained_ns - alarm_ns) / NS_PER_S / _S_PER_H
        return (MetricValue(_NAMES[0], wall, 'h', n, why=_WHY_ONE),
                _cpu([tried_model[0] for tried_model in models[:count]], n))
    return _none(f'none of {len(models)} retrained models reaches the old interval, from '
                 f'{floor:.3g} on')


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
