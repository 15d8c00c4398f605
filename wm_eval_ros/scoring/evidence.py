"""What a comparison reads of a system: its episodes, raw, so that every figure is taken anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from wm_eval_ros.errors import BagError
from wm_eval_ros.metrics.base import Floats, Ints
from wm_eval_ros.metrics.effort import cpu_time
from wm_eval_ros.metrics.latency import plan_latency, sense_to_act
from wm_eval_ros.metrics.prediction import executed, finite
from wm_eval_ros.metrics.table import Run
from wm_eval_ros.metrics.task import is_robot, NO_PREDICATE, waiting_times
from wm_eval_ros.records import MetricValue
from wm_eval_ros.scoring.scorecard import EpisodeResult, Scorecard, split_manifest

#: families whose samples are kept by episode
SAMPLED = {'plan_latency': plan_latency, 'sense_to_act': sense_to_act, 'cpu_time': cpu_time}
#: fields in which the runs of one system may differ
_OF_ONE_RUN = ('seed', 'episodes')
#: where the software differs between runs that is told, and does not part them
_OF_SOFTWARE = ('git_commit', 'package_version')


@dataclass(frozen=True)
class EpisodeEvidence:
    """One episode, raw."""

    result: EpisodeResult
    #: time until success or until nothing more was seen [s]; 0 where that is not known
    waited_s: float = 0.0
    #: family -> its samples [ms]
    samples: Mapping[str, Floats] = field(default_factory=dict)
    #: summed one-step error of the model and of persistence, and their number; None of none
    errors: tuple[float, float, int] | None = None
    #: what success is is known: on a robot it is not
    known: bool = True

    @property
    def succeeded(self) -> bool:
        """Say whether the task was done."""
        return self.result.outcome == 'success'

    @property
    def unaided(self) -> bool:
        """Say whether the task was done with nobody but the planner driving."""
        return self.succeeded and self.result.aided is False

    @property
    def counts(self) -> bool:
        """Say whether its outcome tells of the system: a start already solved does not."""
        return self.known and not self.result.solved_at_start

    @property
    def decided(self) -> bool:
        """Say whether it counts in the success rate."""
        return self.counts and self.result.decided


@dataclass(frozen=True)
class Evidence:
    """All that is known of one system, from one run or several."""

    #: what was run, equal over all its runs, without seed and number of episodes
    manifest: dict[str, Any]
    run_ids: tuple[str, ...]
    #: processors it was recorded on
    hosts: tuple[str, ...]
    #: by seed, then by run and number
    episodes: tuple[EpisodeEvidence, ...]
    #: figures of the whole run, where only a scorecard is there: its samples are not
    figures: Mapping[str, MetricValue] | None = None
    #: what to know of the record before believing it
    notes: tuple[str, ...] = ()

    @property
    def unknown_success(self) -> str:
        """Return why success is not known here; empty where it is."""
        return NO_PREDICATE if _robot(self.manifest) else ''

    @property
    def horizon_s(self) -> float:
        """Return the time limit, or else the longest time seen [s]."""
        limit = float(self.manifest.get('time_limit_s') or 0.0)
        return limit if limit > 0 else max((e.waited_s for e in self.episodes), default=0.0)


def of_run(run: Run, results: Sequence[EpisodeResult]) -> Evidence:
    """
    Return the evidence of a scored bag.

    :param results: the episodes of its scorecard
    """
    times, _, _ = waiting_times(run)
    counted = [e.number for e in run.episodes if not e.solved_at_start]
    waited = dict(zip(counted, times.tolist(), strict=True))
    errors = _errors(run)
    own = _rows(run.slots['episode'])
    nothing = np.zeros(0, np.int64)
    episodes = tuple(EpisodeEvidence(
        r, waited.get(r.episode, 0.0),
        {name: take(run.slots[own.get(r.episode, nothing)]) for name, take in SAMPLED.items()},
        errors.get(r.episode)) for r in results)
    return _made(*split_manifest(run.info), episodes, None)


def of_card(card: Scorecard) -> Evidence:
    """Return the evidence of a scorecard: outcomes, times and misses, but no samples."""
    horizon = float(card.manifest.get('time_limit_s') or 0.0)
    episodes = tuple(EpisodeEvidence(r, _waited(r, horizon)) for r in card.episodes)
    figures = {value.name: value for value in (*card.values, *card.host)}
    return _made(card.manifest, card.provenance, episodes, figures)


def merge(parts: Sequence[Evidence], where: str) -> Evidence:
    """
    Join the runs of one system.

    :param where: how to name the system in an error
    :raises BagError: the runs differ in more than seed and number of episodes, one is given
        twice, or they are scorecards, whose figures cannot be joined
    """
    if len(parts) == 1:
        return parts[0]
    found = [differences(parts[0].manifest, part.manifest) for part in parts[1:]]
    for keys in found:
        if differing := [key for key in keys if key not in _OF_SOFTWARE]:
            raise BagError(f'{where}: its runs differ in {", ".join(differing[:3])}; they are not '
                           'one system: compare them as two')
    if any(part.figures is not None for part in parts):
        raise BagError(f'{where}: figures of several scorecards cannot be joined; give the bags')
    ids = [name for part in parts for name in part.run_ids]
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        raise BagError(f'{where}: run {twice[0]} is given twice; its episodes would count double')
    keyed = [(_order(e, p.run_ids), e) for p in parts for e in p.episodes]
    episodes = tuple(e for _, e in sorted(keyed, key=lambda pair: pair[0]))
    hosts = tuple(sorted({host for part in parts for host in part.hosts}))
    notes = {note for part in parts for note in part.notes}
    notes |= {f'its runs differ in {key}' for keys in found for key in keys}
    return replace(parts[0], run_ids=tuple(sorted(ids)), hosts=hosts, episodes=episodes,
                   notes=tuple(sorted(notes)))


def repeated_seeds(side: Evidence) -> list[int]:
    """
    Return the seeds that stand more than once on a side, sorted.

    Equal seeds are equal starts, in lockstep with one outcome: no further evidence.
    """
    counts = Counter(e.result.seed for e in side.episodes)
    return sorted(seed for seed, count in counts.items() if seed is not None and count > 1)


def differences(first: Any, second: Any, at: str = '') -> list[str]:
    """Return the dotted keys in which two plain values differ, sorted."""
    if isinstance(first, dict) and isinstance(second, dict):
        keys = sorted({*first, *second})
        return [found for key in keys for found in differences(
            first.get(key), second.get(key), f'{at}.{key}' if at else key)]
    return [] if first == second else [at]


def _made(manifest: Mapping[str, Any], provenance: Mapping[str, Any],
          episodes: Iterable[EpisodeEvidence],
          figures: Mapping[str, MetricValue] | None) -> Evidence:
    known = {key: entry for key, entry in manifest.items() if key not in _OF_ONE_RUN}
    if isinstance(known.get('settings'), dict):
        known['settings'] = {key: entry for key, entry in known['settings'].items()
                             if key not in _OF_ONE_RUN}
    ids = tuple(str(provenance[key]) for key in ('run_id',) if provenance.get(key))
    host = (provenance.get('host') or {}).get('cpu')
    told = (replace(e, known=False) for e in episodes) if _robot(known) else episodes
    ordered = sorted(told, key=lambda e: _order(e, ids))
    return Evidence(known, ids, (str(host),) if host else (), tuple(ordered), figures)


def _robot(manifest: Mapping[str, Any]) -> bool:
    return is_robot(manifest.get('settings') or {})


def _order(episode: EpisodeEvidence, run_ids: tuple[str, ...]) -> tuple[bool, int, str, int]:
    seed = episode.result.seed
    return (seed is None, seed or 0, ' '.join(run_ids), episode.result.episode)


def _errors(run: Run) -> dict[int, tuple[float, float, int]]:
    """Sum the one-step errors of each episode; none of a model that foresaw what is no number."""
    found, _ = executed(run, 1)
    if not np.all(finite(found)):
        return {}
    return {number: (float(np.sum(found.model[at])), float(np.sum(found.persistence[at])), len(at))
            for number, at in _rows(run.driven.episodes(found.slots)).items()}


def _rows(owners: Ints) -> dict[int, Ints]:
    """Return the rows of each episode in their order, from one sort of all."""
    numbers, first = np.unique(np.sort(owners), return_index=True)
    parts = np.split(np.argsort(owners, kind='stable'), first[1:])
    return dict(zip(numbers.tolist(), parts, strict=False))


def _waited(result: EpisodeResult, horizon: float) -> float:
    """Return the waiting time, as :func:`wm_eval_ros.metrics.task.waiting_times` has it."""
    if result.decided and result.outcome != 'success' and horizon > 0:
        return horizon
    return result.time_s or 0.0
