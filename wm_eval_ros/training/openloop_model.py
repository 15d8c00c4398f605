"""A linear model of the next state from the last states and commands, by ridge regression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LinearModel:
    """Predicts the change of the state over one step; inputs are standardised."""

    #: mean and standard deviation of the inputs, shape (I,)
    mean: Floats
    scale: Floats
    #: shape (I, F)
    weights: Floats
    #: mean change, shape (F,)
    bias: Floats

    def step(self, states: Floats, commands: Floats) -> Floats:
        """
        Predict the next state.

        :param states: newest last, shape (N, K, F)
        :param commands: newest last, the one held over the step, shape (N, K, A)
        :returns: shape (N, F)
        """
        inputs = (_inputs(states, commands) - self.mean) / self.scale
        return np.asarray(states[:, -1] + inputs @ self.weights + self.bias)

    def rollout(self, states: Floats, commands: Floats, steps: int) -> Floats:
        """
        Predict open loop: its own predictions are fed back, commands are the recorded ones.

        :param states: newest last, shape (N, K, F)
        :param commands: K past ones and those of the steps ahead, shape (N, K - 1 + steps, A)
        :returns: state after each step, shape (N, steps, F)
        """
        history = states.shape[1]
        window, path = states, []
        for step in range(steps):
            following = self.step(window, commands[:, step:step + history])
            window = np.concatenate([window[:, 1:], following[:, None]], axis=1)
            path.append(following)
        return np.stack(path, axis=1)


def fit(states: Floats, commands: Floats, following: Floats, ridge: float) -> LinearModel:
    """
    Fit the model by ridge regression on standardised inputs (Hoerl and Kennard, 1970).

    :param states: newest last, shape (N, K, F)
    :param commands: newest last, shape (N, K, A)
    :param following: the state one step later, shape (N, F)
    :param ridge: penalty; an input that never changes gets no weight
    """
    inputs = _inputs(states, commands)
    target = following - states[:, -1]
    mean, spread = inputs.mean(axis=0), inputs.std(axis=0)
    scale = np.where(spread > 1e-12 * (1.0 + np.abs(mean)), spread, np.inf)
    known = (inputs - mean) / scale
    bias = target.mean(axis=0)
    size = known.shape[1]
    weights = np.linalg.lstsq(
        np.vstack([known, np.sqrt(ridge) * np.eye(size)]),
        np.vstack([target - bias, np.zeros((size, target.shape[1]))]), rcond=None)[0]
    return LinearModel(mean, scale, weights, bias)


def _inputs(states: Floats, commands: Floats) -> Floats:
    """Lay the window out as one row: changes of the state say more than its levels."""
    count = len(states)
    return np.concatenate([states[:, -1], np.diff(states, axis=1).reshape(count, -1),
                           commands.reshape(count, -1)], axis=1)
