"""Adjusted p-values and compact letter displays."""

from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from wm_eval_ros.stats.multiple import holm, letters

P_VALUES = st.lists(st.floats(0, 1), max_size=12)


@pytest.mark.parametrize('count', [1, 2, 5, 12])
def test_holm_is_statsmodels(statsmodels: SimpleNamespace, count: int) -> None:
    p_values = np.random.default_rng(count).integers(0, 101, count) ** 2 / 1e4
    want = statsmodels.multitest.multipletests(p_values, method='holm')[1]
    assert holm(p_values) == pytest.approx(want, abs=1e-9)


def test_no_tests_leave_nothing_to_adjust() -> None:
    assert holm([]).tolist() == []


@given(P_VALUES)
def test_holm_neither_lowers_nor_reorders(p_values: list[float]) -> None:
    found = holm(p_values)
    assert np.all(found >= np.array(p_values))
    assert np.all(found <= 1)
    for i, j in combinations(range(len(p_values)), 2):
        if p_values[i] <= p_values[j]:
            assert found[i] <= found[j]


def test_values_that_are_no_probabilities_are_refused() -> None:
    with pytest.raises(ValueError, match='needs each in'):
        holm([0.1, 1.1])
    with pytest.raises(ValueError, match='not finite'):
        holm([float('nan')])


@pytest.mark.parametrize(('pairs', 'want'), [
    pytest.param([], ['a', 'a', 'a', 'a'], id='none-differs'),
    pytest.param([(0, 3)], ['a', 'ab', 'ab', 'b'], id='ends-differ'),
    pytest.param([(0, 2), (0, 3), (1, 3)], ['a', 'ab', 'bc', 'c'], id='chain'),
    pytest.param(list(combinations(range(4), 2)), ['a', 'b', 'c', 'd'], id='all-differ'),
    pytest.param([(0, 1), (2, 3)], ['ab', 'cd', 'ac', 'bd'], id='square'),
])
def test_letters_by_hand(pairs: list[tuple[int, int]], want: list[str]) -> None:
    matrix = np.zeros((4, 4), bool)
    for i, j in pairs:
        matrix[i, j] = matrix[j, i] = True
    assert list(letters('wxyz', matrix).values()) == want


@st.composite
def relations(draw: st.DrawFn) -> np.ndarray:
    count = draw(st.integers(0, 7))
    matrix = np.zeros((count, count), bool)
    for i, j in combinations(range(count), 2):
        matrix[i, j] = matrix[j, i] = draw(st.booleans())
    return matrix


@given(relations())
def test_two_share_a_letter_if_and_only_if_they_do_not_differ(differs: np.ndarray) -> None:
    names = [f'policy {i}' for i in range(len(differs))]
    found = letters(names, differs)
    assert list(found) == names
    assert all(found.values())
    for i, j in combinations(range(len(names)), 2):
        shared = set(found[names[i]]) & set(found[names[j]])
        assert bool(shared) != differs[i, j]


@given(relations())
def test_no_letter_can_be_left_out(differs: np.ndarray) -> None:
    names = [str(i) for i in range(len(differs))]
    found = letters(names, differs)
    for letter in {one for text in found.values() for one in text}:
        kept = [set(text) - {letter} for text in found.values()]
        alike = all(bool(kept[i] & kept[j]) != differs[i, j]
                    for i, j in combinations(range(len(names)), 2))
        assert not (alike and all(kept))


def test_letters_go_on_after_z() -> None:
    count = 54
    found = letters([str(i) for i in range(count)], ~np.eye(count, dtype=bool))
    assert [found[str(i)] for i in (0, 25, 26, 51, 52, 53)] == ['a', 'z', 'A', 'Z', 'a.', 'b.']


@pytest.mark.parametrize(('names', 'differs'), [
    pytest.param(['a', 'b'], [[0]], id='shape'),
    pytest.param(['a', 'a'], [[0, 1], [1, 0]], id='names'),
    pytest.param(['a', 'b'], [[0, 1], [0, 0]], id='not-symmetric'),
    pytest.param(['a', 'b'], [[1, 0], [0, 0]], id='diagonal'),
])
def test_a_matrix_that_is_no_relation_is_refused(names: list[str],
                                                 differs: list[list[int]]) -> None:
    with pytest.raises(ValueError, match='letters'):
        letters(names, differs)
