"""The detector's score as it was recorded."""

from __future__ import annotations

import numpy as np

from wm_eval_ros.metrics.base import Bools, distribution, Floats, missing, share, Values
from wm_eval_ros.metrics.rows import Rows
from wm_eval_ros.metrics.table import Run, TableMetric


def scores(rows: Rows) -> Floats:
    """Return the finite scores."""
    found = rows['surprise']
    return np.asarray(found[np.isfinite(found)])


def alarms(rows: Rows) -> Bools:
    """Say of each slot that has score and threshold whether the score lies above."""
    both = np.isfinite(rows['surprise']) & np.isfinite(rows['threshold'])
    return np.asarray(rows['surprise'][both] > rows['threshold'][both])


class Surprise(TableMetric):
    """Quantiles of the score and the share of slots above the threshold."""

    def values(self, run: Run) -> Values:
        """Return the figures; none where no detector ran."""
        found, above = scores(run.slots), alarms(run.slots)
        if len(found) == 0:
            return (missing('surprise', '1', 'no detector ran'),
                    missing('surprise_alarm_rate', '1', 'no detector ran'))
        return (*distribution('surprise', '1', found, ''),
                share('surprise_alarm_rate', int(np.sum(above)), len(above),
                      'no threshold was set'))
