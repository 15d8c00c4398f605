"""The scorer: the only place where figures are made, live and from a bag."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from wm_eval_ros.metrics.action_following import ActionFollowing
from wm_eval_ros.metrics.actuation import Actuation
from wm_eval_ros.metrics.aided import aided, Unaided
from wm_eval_ros.metrics.base import Ints, Metric
from wm_eval_ros.metrics.calibration import Calibration
from wm_eval_ros.metrics.command_gate import CommandGate
from wm_eval_ros.metrics.cost import Cost
from wm_eval_ros.metrics.detector import Detector
from wm_eval_ros.metrics.effort import Effort, HostEffort
from wm_eval_ros.metrics.episodes import Episode
from wm_eval_ros.metrics.handover import Handover
from wm_eval_ros.metrics.inputs import Arrivals, Inputs
from wm_eval_ros.metrics.interpretability import Interpretability
from wm_eval_ros.metrics.latency import Latency
from wm_eval_ros.metrics.link import LinkFigures
from wm_eval_ros.metrics.prediction import Prediction
from wm_eval_ros.metrics.ranges import Sequences
from wm_eval_ros.metrics.recovery import PerturbationRecovery
from wm_eval_ros.metrics.retrain import Retrain
from wm_eval_ros.metrics.schedule import met, Schedule
from wm_eval_ros.metrics.surprise import Surprise
from wm_eval_ros.metrics.table import Run, RunTable, TableMetric
from wm_eval_ros.metrics.task import steps, Task
from wm_eval_ros.records import MetricValue, Record, SampleRecord
from wm_eval_ros.scoring.scorecard import EpisodeResult, Scorecard, split_manifest
from wm_eval_ros.scoring.unknown import without_gaps

#: the families every run is scored by, in the order of their figures
FAMILIES: tuple[type[TableMetric], ...] = (
    Task, Unaided, PerturbationRecovery, Handover, CommandGate, Retrain, Latency, Schedule,
    LinkFigures, Actuation, Inputs, Prediction, Calibration, ActionFollowing, Interpretability,
    Surprise, Detector, Effort, Arrivals, HostEffort, Cost)


class Scorer:
    """
    Fold of a whole run.

    The result depends on the records and not on the order in which they come, so that a monitor
    that listens and a reader of the bag get equal figures, bit for bit.

    :param metrics: further metrics, computed after the built-in families
    """

    def __init__(self, metrics: Sequence[Metric] | None = None) -> None:
        self._table = RunTable()
        self._added = tuple(metrics or ())
        self._metrics: tuple[Metric, ...] = (
            *(family(self._table) for family in FAMILIES), *self._added)
        self._samples = self._table.samples

    def update(self, record: Record) -> None:
        """
        Take one record in.

        :raises BagError: a manifest of a newer schema than this version reads
        """
        if isinstance(record, SampleRecord) and not self._added:
            self._samples.stream(record.topic).add(record)
            return
        self._table.update(record)
        for metric in self._added:
            metric.update(record)

    def update_samples(self, topic: str, stamps: Ints | None, logs: Ints,
                       sequences: Sequences | None = None) -> None:
        """
        Take many messages of one topic in, with the result of taking them one by one.

        :param stamps: header stamps [ns, ROS], shape (N,); None for a type without a header
        :param logs: arrivals [ns, system], shape (N,)
        :param sequences: publication sequence numbers, shape (N,); None where unknown
        """
        if self._added:
            for record in _unpacked(topic, stamps, logs, sequences):
                self.update(record)
            return
        self._samples.stream(topic).extend(stamps, logs, sequences)

    def run(self) -> Run:
        """Return the run as a table, for plots; its figures are in the scorecard."""
        return self._table.run()

    def compute(self) -> Scorecard:
        """Return the scorecard over all records so far."""
        run = self._table.run()
        manifest, provenance = split_manifest(run.info)
        return Scorecard(
            manifest, provenance, self._values(identity=True), self._values(identity=False),
            _results(run), _counts(self._table))

    def _values(self, *, identity: bool) -> tuple[MetricValue, ...]:
        return tuple(value for metric in self._metrics
                     if getattr(metric, 'identity', True) == identity
                     for value in without_gaps(metric, metric.compute(), self._table.dropped))


def score(records: Iterable[Record], metrics: Sequence[Metric] | None = None) -> Scorecard:
    """Fold a whole run at once, by the very code the monitor runs live."""
    scorer = Scorer(metrics)
    for record in records:
        scorer.update(record)
    return scorer.compute()


def _unpacked(topic: str, stamps: Ints | None, logs: Ints,
              sequences: Sequences | None) -> Iterable[SampleRecord]:
    for at, log in enumerate(logs.tolist()):
        record = SampleRecord(topic, None if stamps is None else int(stamps[at]), log)
        yield record if sequences is None else SampleRecord(
            topic, record.stamp_ns, log, int(sequences[at]))


def _results(run: Run) -> tuple[EpisodeResult, ...]:
    recorded, missed = Counter(run.tails), Counter(run.tails)
    unmet = ~met(run.slots) + run.gaps
    for counts, each in ((recorded, 1 + run.gaps), (missed, unmet)):
        numbers, at = np.unique(run.slots['episode'], return_inverse=True)
        sums = np.zeros(len(numbers), np.int64)
        np.add.at(sums, at, each)
        counts.update(dict(zip(numbers.tolist(), sums.tolist(), strict=True)))
    helped = aided(run)
    return tuple(_result(run, e, (recorded[e.number], missed[e.number]),
                         None if helped is None else e.number in helped)
                 for e in run.episodes)


def _result(run: Run, episode: Episode, counts: tuple[int, int],
            helped: bool | None) -> EpisodeResult:
    known = episode.time_s is not None and run.period_ns is not None
    return EpisodeResult(
        episode.number, 'open' if episode.outcome is None else episode.outcome.name.lower(),
        episode.seed, episode.solved_at_start,
        steps(episode.time_s or 0.0, run.period_ns or 1) if known else None, episode.time_s,
        *counts, episode.label, helped)


def _counts(table: RunTable) -> dict[str, int]:
    run = table.run()
    counts = {'cycles': len(run.schedule) + len(run.warmup) + run.duplicates,
              'cycles_malformed': table.malformed, 'events': len(run.events),
              'manifests': run.manifests}
    streams = sorted(run.samples.items())
    lost = sorted((+table.dropped).items())
    return {**counts, **{f'samples[{topic}]': stream.count for topic, stream in streams},
            **{f'dropped[{topic}]': count for topic, count in lost}}
