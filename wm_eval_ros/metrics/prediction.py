"""Does the model foresee what happens, and better than saying that nothing changes."""

from __future__ import annotations

import numpy as np

from wm_eval_ros.metrics.base import Bools, count_value, Floats, Ints, mean_value, missing, Values
from wm_eval_ros.metrics.pairing import Pairing, Pairs
from wm_eval_ros.metrics.table import happened, Rows, Run, RunTable, TableMetric
from wm_eval_ros.records import CycleRecord, MetricValue, Record
from wm_eval_ros.stats.mean import cluster_ratio

_METHOD = 'bootstrap over episodes'
_NO_PAIR = 'no imagined latent met an encoded one of its episode'


def inside_episode(run: Run) -> Bools:
    """Say which slots started between START and end of their own episode."""
    rows = run.slots
    inside = np.zeros(len(rows), bool)
    for episode in run.episodes:
        own = rows['episode'] == episode.number
        if episode.start_ns is not None:
            own &= rows['stamp'] >= episode.start_ns
        if episode.end_ns is not None:
            own &= rows['stamp'] <= episode.end_ns
        inside |= own
    return inside if run.episodes else np.ones(len(rows), bool)


def executed(run: Run, pairs: Pairs) -> Pairs:
    """Keep pairs whose slots all have a record and sent a command up to the one foreseen."""
    rows, inside = run.slots, inside_episode(run)
    first, last = _index(rows, pairs['slot']), _index(rows, pairs['slot'] + pairs['steps'])
    there = (first >= 0) & (last >= 0)
    sent = np.concatenate([[0], np.cumsum(happened(rows['publish']))])
    unbroken = (last - first == pairs['steps']) & (sent[last] - sent[first] == pairs['steps'])
    if len(rows):
        there &= inside[first] & inside[last]
    return np.asarray(pairs[there & unbroken])


def _index(rows: Rows, slots: Ints) -> Ints:
    """Return the row of each slot, -1 where it has none."""
    at = np.searchsorted(rows['slot'], slots)
    known = at < len(rows)
    known[known] = rows['slot'][at[known]] == slots[known]
    return np.where(known, at, -1)


def finite(pairs: Pairs) -> Pairs:
    """Keep pairs whose two errors are numbers; the others are counted, never averaged."""
    return np.asarray(pairs[np.isfinite(pairs['model']) & np.isfinite(pairs['persistence'])])


def _sums(pairs: Pairs) -> tuple[Floats, Floats, Floats]:
    """Sum of model error, of persistence error, and number of pairs of each episode."""
    _, at = np.unique(pairs['episode'], return_inverse=True)
    model, persistence = pairs['model'], pairs['persistence']
    weights = np.stack([model, persistence, np.ones(len(pairs))])
    sums = np.stack([np.bincount(at, w).astype(float) for w in weights])
    return sums[0], sums[1], sums[2]


def errors(steps: int, pairs: Pairs) -> Values:
    """
    Mean error of the model and of persistence over the same pairs, and their ratio.

    :param pairs: of that number of steps, finite
    """
    names = [f'{kind}[h={steps}]' for kind in
             ('prediction_error', 'persistence_error', 'prediction_ratio')]
    n = len(pairs)
    if n == 0:
        return tuple(missing(name, '1', _NO_PAIR) for name in names)
    model, persistence, sizes = _sums(pairs)
    return (mean_value(names[0], '1', n, cluster_ratio(model, sizes), _METHOD),
            mean_value(names[1], '1', n, cluster_ratio(persistence, sizes), _METHOD),
            _ratio(names[2], n, model, persistence))


def _ratio(name: str, n: int, model: Floats, persistence: Floats) -> MetricValue:
    if np.sum(persistence) <= 0:
        return missing(name, '1', 'the world stood still: persistence makes no error', n)
    return mean_value(name, '1', n, cluster_ratio(model, persistence), _METHOD)


def useful_horizon(ratios: dict[int, MetricValue]) -> MetricValue:
    """
    Return the largest number of steps at which the model beats persistence for certain.

    :param ratios: error ratio by number of steps; certain: its interval lies below 1
    """
    name = 'useful_prediction_horizon'
    sure = {h: r.interval.high < 1 for h, r in ratios.items() if r.interval is not None}
    if not sure:
        return missing(name, 'steps', 'no error ratio has an interval')
    best = max((h for h, better in sure.items() if better), default=0)
    why = 'read off the intervals of the ratios' if best else 'beats persistence at no horizon'
    return MetricValue(name, float(best), 'steps', len(sure), why=why)


class Prediction(TableMetric):
    """One-step and h-step error of executed plans, beside persistence."""

    def __init__(self, table: RunTable | None = None) -> None:
        super().__init__(table)
        self._pairing = Pairing()

    def update(self, record: Record) -> None:
        """Take one record in; cycles are paired as they come."""
        super().update(record)
        if isinstance(record, CycleRecord) and record.latent is not None:
            self._pairing.update(record)

    def values(self, run: Run) -> Values:
        """Return the error at every step that was imagined, and how far it is useful."""
        pairs = executed(run, self._pairing.pairs())
        good = finite(pairs)
        horizons = sorted({1, *np.unique(pairs['steps']).tolist()})
        curve = {h: errors(h, good[good['steps'] == h]) for h in horizons}
        bad = count_value('prediction_nonfinite', len(pairs) - len(good), len(pairs)) \
            if len(pairs) else missing('prediction_nonfinite', '1', _NO_PAIR)
        return (*(v for values in curve.values() for v in values),
                useful_horizon({h: values[2] for h, values in curve.items()}), bad)
