"""Samples in five numbers, and ratios of two series measured in turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

#: samples below which no 99 % quantile is shown
P99_NEEDS = 299


def spread(samples: Sequence[float]) -> dict[str, Any]:
    """
    Summarise samples; quantiles by nearest rank, never interpolated.

    >>> spread([3.0, 1.0, 2.0])['p50']
    2.0
    >>> spread([])['p50'] is None
    True
    """
    n = len(samples)
    ranks = {'p10': 10, 'p50': 50, 'p90': 90, 'p99': 99}
    found = {name: float(np.percentile(samples, q, method='higher')) if n else None
             for name, q in ranks.items()}
    return {'n': n, **found, 'max': float(np.max(samples)) if n else None}


def ratio(above: Sequence[Sequence[float]], below: Sequence[Sequence[float]]) -> dict[str, Any]:
    """
    Ratio of two series that were measured in turn: each pair of blocks saw the same machine.

    :param above: samples by block
    :param below: samples by block, as many blocks; the floor
    :returns: ratio of the pooled p50 and p99; smallest and largest ratio of the blocks' p50

    >>> ratio([[2.0], [6.0]], [[1.0], [2.0]])['blocks']
    [2.0, 3.0]
    """
    blocks = [float(np.median(a) / np.median(b))
              for a, b in zip(above, below, strict=True) if len(a) and len(b)]
    if not blocks:
        return {'p50': None, 'p99': None, 'blocks': [], 'low': None, 'high': None}
    top, floor = (spread([x for block in series for x in block]) for series in (above, below))
    return {'p50': top['p50'] / floor['p50'], 'p99': top['p99'] / floor['p99'],
            'blocks': blocks, 'low': min(blocks), 'high': max(blocks)}


def shown(found: dict[str, Any], unit: str = '') -> str:
    """Return a summary as text."""
    if not found['n']:
        return 'n = 0: nothing measured'
    # below 299 samples the 99 % quantile has no upper limit: only the largest is said
    top = f'p99 {found["p99"]:.3f}' if found['n'] >= P99_NEEDS else f'max {found["max"]:.3f}'
    return (f'{found["p50"]:8.3f} [{found["p10"]:.3f}, {found["p90"]:.3f}] {unit}, '
            f'{top}, n = {found["n"]}')
