"""Many comparisons at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
import string

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wm_eval_ros.stats.samples import finite, Floats


def holm(p_values: ArrayLike) -> Floats:
    """
    P-values adjusted so that rejecting those <= alpha errs anywhere with probability <= alpha.

    Holm, Scand. J. Statist. 6 (1979); holds under any dependence between the tests.

    :param p_values: in [0, 1], shape (K,); K = 0 gives none back
    :returns: in the order of the input, shape (K,)
    :raises ValueError: a value outside [0, 1]

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    found = finite(p_values, 'p-values')
    if np.any((found < 0) | (found > 1)):
        raise ValueError('p-values: needs each in [0, 1]')
    order = np.argsort(found, kind='stable')
    factors = np.arange(len(found), 0, -1)
    stepped = np.minimum(1.0, np.maximum.accumulate(factors * found[order]))
    adjusted = np.empty_like(found)
    adjusted[order] = stepped
    return adjusted


Column = frozenset[int]


def _absorb(columns: list[Column]) -> list[Column]:
    """Drop columns that stand within another one."""
    distinct = list(dict.fromkeys(columns))
    return [one for one in distinct if not any(one < other for other in distinct)]


def _insert(count: int, differs: NDArray[np.bool_]) -> list[Column]:
    """Split every column that joins a pair that differs."""
    columns = [frozenset(range(count))]
    for i, j in combinations(range(count), 2):
        if differs[i, j]:
            split = [part for one in columns
                     for part in ((one - {i}, one - {j}) if {i, j} <= one else (one,))]
            columns = _absorb(split)
    return columns


def _sweep(columns: list[Column]) -> list[Column]:
    """Drop columns all of whose pairs are joined by another one too."""
    kept = list(columns)
    for one in columns:
        rest = [other for other in kept if other is not one]
        pairs = list(combinations(sorted(one), 2)) or [(i, i) for i in one]
        if all(any({i, j} <= other for other in rest) for i, j in pairs):
            kept = rest
    return kept


def _letter(index: int) -> str:
    """Return a, b, ... z, A, ... Z, then the same with a dot after them, and so on."""
    turn, at = divmod(index, len(string.ascii_letters))
    return string.ascii_letters[at] + '.' * turn


def letters(names: Sequence[str], differs: ArrayLike) -> dict[str, str]:
    """
    Compact letter display: two names share a letter if and only if they do not differ.

    Insert and absorb, then sweep (Piepho, J. Comput. Graph. Statist. 13, 2004). Letters are
    handed out by the first name that bears them, so that order the names from best to worst.

    :param names: distinct, K of them
    :param differs: whether each pair was found to differ, symmetric, shape (K, K)
    :returns: the letters of each name, in the order of the names
    :raises ValueError: a matrix of another shape, not symmetric, or with a true diagonal

    >>> letters(['p', 'q', 'r'], [[0, 0, 1], [0, 0, 0], [1, 0, 0]])
    {'p': 'a', 'q': 'ab', 'r': 'b'}
    """
    matrix = np.asarray(differs, dtype=bool)
    count = len(names)
    if matrix.shape != (count, count) or len(set(names)) < count:
        raise ValueError(f'letters of {count} names: matrix {matrix.shape}, needs distinct names '
                         f'and ({count}, {count})')
    if np.any(matrix != matrix.T) or np.any(np.diag(matrix)):
        raise ValueError('letters: needs a symmetric matrix with a false diagonal')
    columns = sorted(_sweep(_insert(count, matrix)), key=sorted) if count else []
    return {name: ''.join(_letter(at) for at, column in enumerate(columns) if i in column)
            for i, name in enumerate(names)}
