"""A linear model of the state some steps ahead, chosen by cross-validation within the fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.openloop.grid import Grid
from wm_eval_ros.openloop.recording import Floats
from wm_eval_ros.openloop.windows import Index, Windows, windows

#: folds of the cross-validation: whole stretches of time
FOLDS = 5
#: a model is fitted on at least this many windows
LEAST_WINDOWS = 20
#: windows a model is fitted on at most, evenly spread; also how many are predicted at once
MOST_WINDOWS = 20_000
#: commands ahead are averaged over at most this many stretches
_STRETCHES = 12


@dataclass(frozen=True, slots=True)
class Layout:
    """What the model sees: how far back, how far ahead, and whether commands are among it."""

    history: int
    steps: int
    commands: bool = True

    def inputs(self, grid: Grid, at: Index) -> Floats:
        """
        Lay the windows out as rows: changes of the state say more than its levels.

        :param at: last grid point of each past, shape (N,)
        :returns: shape (N, I)
        """
        states = grid.state[at[:, None] + np.arange(1 - self.history, 1)]
        parts = [states[:, -1], _rows(np.diff(states, axis=1))]
        if self.commands:
            sent = grid.command[at[:, None] + np.arange(1 - self.history, self.steps)]
            past, ahead = sent[:, :self.history - 1], sent[:, self.history - 1:]
            stretches = np.array_split(ahead, min(self.steps, _STRETCHES), axis=1)
            parts += [_rows(past), *(part.mean(axis=1) for part in stretches)]
        return np.concatenate(parts, axis=1)


def _rows(values: Floats) -> Floats:
    """Lay out all that belongs to a window in one row, also where there is no window."""
    return values.reshape(len(values), values.shape[1] * values.shape[2])


@dataclass(frozen=True, slots=True)
class LinearModel:
    """Predicts the change of the state over some steps; inputs are clipped and standardised."""

    layout: Layout
    ridge: float
    #: range of the inputs in the fit: beyond it a line is a guess, shape (I,)
    low: Floats
    high: Floats
    #: shape (I,)
    mean: Floats
    scale: Floats
    #: shape (I, F)
    weights: Floats
    #: mean change, shape (F,)
    bias: Floats

    def change(self, inputs: Floats) -> Floats:
        """
        Return how much the state changes over the steps ahead.

        :param inputs: rows of the layout, shape (N, I)
        :returns: shape (N, F)
        """
        known = (np.clip(inputs, self.low, self.high) - self.mean) / self.scale
        return np.asarray(known @ self.weights + self.bias)

    def predict(self, grid: Grid, at: Index) -> Floats:
        """Return the state `layout.steps` after each grid point, shape (N, F)."""
        return np.concatenate([grid.state[part] + self.change(self.layout.inputs(grid, part))
                               for part in _parts(at)])

    def outside(self, grid: Grid, at: Index) -> int:
        """Count the windows with an input beyond the range of the fit."""
        return sum(int(np.sum(((inputs < self.low) | (inputs > self.high)).any(axis=1)))
                   for inputs in (self.layout.inputs(grid, part) for part in _parts(at)))


def _parts(at: Index) -> list[Index]:
    """Split windows into as many as fit into memory beside each other; at least one part."""
    return np.array_split(at, max(1, -(-len(at) // MOST_WINDOWS)))


@dataclass(frozen=True, slots=True)
class Choice:
    """The model that cross-validation chose, and what it promised."""

    model: LinearModel
    #: RMSE over that of persistence of each feature, out of fold within the fit, shape (F,)
    validated: Floats
    #: windows predicted out of fold, shape (N,), and truth less prediction, shape (N, F)
    at: Index
    residuals: Floats


@dataclass(frozen=True, slots=True)
class _Problem:
    """Inputs and targets of one layout, on the windows before the cut."""

    layout: Layout
    fitted: Windows
    #: shape (N, I) and (N, F), row by row the windows
    inputs: Floats
    target: Floats

    def fit(self, rows: NDArray[np.bool_], ridges: Sequence[float]) -> Iterator[LinearModel]:
        """
        Fit by ridge regression on standardised inputs (Hoerl and Kennard, Technometrics 12, 1970).

        One decomposition serves all penalties; an input that never changes gets no weight.
        """
        inputs, target = self.inputs[rows], self.target[rows]
        mean, spread = inputs.mean(axis=0), inputs.std(axis=0)
        scale = np.where(spread > 1e-12 * (1.0 + np.abs(mean)), spread, np.inf)
        known, bias = (inputs - mean) / scale, target.mean(axis=0)
        values, basis = np.linalg.eigh(known.T @ known)
        turned = basis.T @ (known.T @ (target - bias))
        low, high = inputs.min(axis=0), inputs.max(axis=0)
        for ridge in ridges:
            weights = basis @ (turned / (np.maximum(values, 0.0) + ridge)[:, None])
            yield LinearModel(self.layout, ridge, low, high, mean, scale, weights, bias)

    def residuals(self, ridges: Sequence[float]) -> tuple[NDArray[np.bool_], Floats]:
        """
        Predict whole stretches of time by models of the rest; no sample is shared between them.

        :returns: windows predicted, shape (N,), and target less prediction, shape (R, M, F)
        """
        found = np.zeros(len(self.target), dtype=bool)
        parts = []
        for fold in np.array_split(np.arange(len(self.target)), FOLDS):
            rows = self.fitted.apart(fold)
            if np.count_nonzero(rows) >= LEAST_WINDOWS // 2:
                found[fold] = True
                parts.append(np.stack([self.target[fold] - model.change(self.inputs[fold])
                                       for model in self.fit(rows, ridges)]))
        return found, np.concatenate(parts, axis=1) if parts else np.zeros((len(ridges), 0, 0))


def choose(
    grid: Grid, cut: int, steps: int, histories: Sequence[int], ridges: Sequence[float], *,
    commands: bool = True,
) -> Choice | None:
    """
    Choose history and penalty by blocked cross-validation, then fit on all windows before the cut.

    The folds are whole stretches of time, and no window of a fit shares a sample with its fold.
    Of all candidates the one with the smallest mean log error ratio over the features is taken.

    :param cut: first grid point that no fit may see
    :param ridges: penalties > 0
    :returns: None where there are fewer than LEAST_WINDOWS windows
    """
    best: tuple[float, _Problem, float, tuple[Floats, NDArray[np.bool_], Floats]] | None = None
    for history in histories:
        problem = _problem(grid, cut, Layout(history, steps, commands))
        if len(problem.target) < LEAST_WINDOWS:
            continue
        rows, left = problem.residuals(ridges)
        for ridge, residuals in zip(ridges, left, strict=True):
            ratios = _ratios(problem.target[rows], residuals)
            loss = float(np.mean(np.log(ratios)))
            if best is None or loss < best[0]:
                best = loss, problem, ridge, (ratios, rows, residuals)
    if best is None:
        return None
    _, problem, ridge, (ratios, rows, residuals) = best
    every = np.ones(len(problem.target), dtype=bool)
    model = next(problem.fit(every, (ridge,)))
    return Choice(model, ratios, problem.fitted.at[rows], residuals)


def _problem(grid: Grid, cut: int, layout: Layout) -> _Problem:
    fitted = windows(grid, layout.history, layout.steps).between(0, cut).only_whole()
    fitted = fitted.thinned(MOST_WINDOWS)
    at = fitted.at
    return _Problem(layout, fitted, layout.inputs(grid, at),
                    grid.truth[at + layout.steps] - grid.state[at])


def _ratios(target: Floats, residuals: Floats) -> Floats:
    """Error over that of persistence of each feature; 1 where nothing ever changes."""
    still, model = np.sum(target**2, axis=0), np.sum(residuals**2, axis=0)
    known = (still > 0) & (model > 0)
    return np.sqrt(np.where(known, model, 1.0) / np.where(known, still, 1.0))
