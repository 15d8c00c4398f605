"""What the latent knows of the world: physical quantities read off it by a linear probe."""

from __future__ import annotations

import numpy as np

from wm_eval_ros.metrics.base import estimated, missing, Values
from wm_eval_ros.metrics.rows import row_of, Rows
from wm_eval_ros.metrics.table import Run, TableMetric
from wm_eval_ros.metrics.vectors import HUGE, MOST_LATENTS
from wm_eval_ros.records import MetricValue
from wm_eval_ros.stats.regression import linear_probes, Probe

_NO_STATE = ('no slot has a latent and an observation beside it, or the latent has more than '
             f'{MOST_LATENTS} entries')
#: permutations of the null
PERMUTATIONS = 100
_METHOD = 'bootstrap over held-out episodes'


def observed_states(run: Run) -> Rows:
    """Return the sampled slots of the run with a latent and an observation that are numbers."""
    rows = run.vectors.states.rows()
    if len(rows) == 0 or rows['observation'].shape[1] == 0:
        return rows[:0]
    known = np.all(np.isfinite(rows['latent']), axis=1)
    known &= np.all(np.abs(rows['observation']) < HUGE, axis=1)
    at = row_of(run.slots, rows['slot'])
    known[known] = run.driven.inside[at[known]] & (at[known] >= 0) if len(run.slots) else False
    return np.asarray(rows[known])


def quantities(run: Run, count: int) -> tuple[str, ...]:
    """Return the names of the observed quantities, or their numbers where none are declared."""
    names = run.info.observation_names if run.info is not None else ()
    known = len(names) == len(set(names)) == count
    return names if known else tuple(str(k) for k in range(count))


def probed(name: str, n: int, probe: Probe) -> Values:
    """Return the R^2 of a probe, and what chance reaches."""
    own, null = f'latent_probe[{name}]', f'latent_probe_null[{name}]'
    if probe.null is None or probe.p_value is None:
        return (missing(own, '1', probe.r2.why, n), missing(null, '1', probe.r2.why, n))
    return (estimated(own, '1', n, probe.r2, _METHOD),
            MetricValue(null, probe.null, '1', n,
                        why=f'95 % quantile of {PERMUTATIONS} permutations; '
                            f'p = {probe.p_value:.3g}'))


class Interpretability(TableMetric):
    """Held-out R^2 of a linear probe from the latent to each observed quantity."""

    def values(self, run: Run) -> Values:
        """Return the figures over a sample of the slots, and their median."""
        rows = observed_states(run)
        if len(rows) == 0:
            return (missing('latent_probe_median', '1', _NO_STATE),)
        values: list[MetricValue] = []
        probes = linear_probes(rows['latent'], rows['observation'], rows['episode'],
                               permutations=PERMUTATIONS)
        names = quantities(run, rows['observation'].shape[1])
        for name, probe in zip(names, probes, strict=True):
            values += probed(name, len(rows), probe)
        known = [v.value for v in values[::2] if v.value is not None]
        if not known:
            why = 'no observed quantity could be probed: ' + values[0].why
            return (*values, missing('latent_probe_median', '1', why))
        middle = MetricValue('latent_probe_median', float(np.median(known)), '1', len(known),
                             why='over the observed quantities of this robot, all of them')
        return (*values, middle)
