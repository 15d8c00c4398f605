"""The detector's score as it was recorded."""

from __future__ import annotations

import numpy as np

from wm_eval_ros.metrics.base import Bools, missing, Values
from wm_eval_ros.metrics.dependence import share_of_slots, slot_distribution
from wm_eval_ros.metrics.rows import Rows
from wm_eval_ros.metrics.table import Run, TableMetric


def scored(rows: Rows) -> Bools:
    """Say which slots have a score: NaN says that there is none, infinite is one."""
    return np.asarray(~np.isnan(rows['surprise']))


class Surprise(TableMetric):
    """Quantiles of the score and the share of slots above the threshold."""

    def values(self, run: Run) -> Values:
        """Return the figures; none where no detector ran."""
        rows, found = run.slots, scored(run.slots)
        if not np.any(found):
            return (missing('surprise', '1', 'no detector ran'),
                    missing('surprise_alarm_rate', '1', 'no detector ran'))
        held = rows[['slot', 'episode', 'surprise', 'threshold']][
            found & ~np.isnan(rows['threshold'])]
        return (*slot_distribution('surprise', '1', np.where(found, rows['surprise'], np.nan),
                                   rows, ''),
                share_of_slots('surprise_alarm_rate', held['surprise'] > held['threshold'],
                               held, 'no threshold was set'))
