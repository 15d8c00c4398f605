"""Times until something happens, where some episodes ended too early to see it."""

from __future__ import annotations

from wm_eval_ros.metrics.base import Bools, estimated, Floats, missing, Values
from wm_eval_ros.stats.survival import kaplan_meier, median, restricted_mean

#: figures of a waiting time, and the methods of their intervals
ENDS = {'median': 'Kaplan-Meier, Brookmeyer-Crowley', 'restricted_mean': 'Kaplan-Meier, Greenwood'}


def no_waiting(name: str, unit: str, why: str) -> Values:
    """Return the figures of a waiting time without a value."""
    return tuple(missing(f'{name}.{end}', unit, why) for end in ENDS)


def waiting(name: str, unit: str, times: Floats, observed: Bools, horizon: float,
            why: str) -> Values:
    """
    Return the Kaplan-Meier median of a waiting time, and its mean up to a horizon.

    :param times: time of the event or of censoring, shape (N,)
    :param observed: whether the event was seen, shape (N,)
    :param why: reason that stands where there is nothing to wait for
    """
    if len(times) == 0 or horizon <= 0:
        return no_waiting(name, unit, why)
    curve = kaplan_meier(times, observed)
    found = (median(curve), restricted_mean(curve, horizon))
    return tuple(estimated(f'{name}.{end}', unit, len(times), value, method)
                 for (end, method), value in zip(ENDS.items(), found, strict=True))
