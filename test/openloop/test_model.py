"""The model: chosen and fitted on the first part alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from wm_eval_ros.openloop.grid import Grid
from wm_eval_ros.openloop.model import choose, Layout, LEAST_WINDOWS
from wm_eval_ros.openloop.reasons import Reason
from wm_eval_ros.openloop.windows import windows

HISTORIES, RIDGES = (1, 3, 5), (1e-6, 1.0, 100.0)


def test_a_linear_robot_is_learned_exactly(driven: Callable[..., Grid]) -> None:
    grid = driven()
    found = choose(grid, 400, 1, HISTORIES, RIDGES)
    assert found is not None and found.validated[0] < 0.05
    at = windows(grid, 5, 1).between(400, 600).whole
    assert np.allclose(found.model.predict(grid, at), grid.truth[at + 1], atol=0.01)


def test_with_a_lag_of_three_a_longer_history_is_chosen(driven: Callable[..., Grid]) -> None:
    found = choose(driven(noise=0.001), 400, 1, HISTORIES, RIDGES)
    assert found is not None and found.model.layout.history == 5


def test_nothing_after_the_cut_changes_the_model(driven: Callable[..., Grid]) -> None:
    grid = driven()
    wild = np.random.default_rng(0).normal(size=grid.state.shape) * 1e3
    spoilt = replace(grid, **{name: np.concatenate([getattr(grid, name)[:400], wild[400:]])
                              for name in ('state', 'truth', 'command')})
    for steps in (1, 10):
        one, other = (choose(g, 400, steps, HISTORIES, RIDGES) for g in (grid, spoilt))
        assert one is not None and other is not None
        assert (one.model.layout, one.model.ridge) == (other.model.layout, other.model.ridge)
        assert np.array_equal(one.model.weights, other.model.weights)
        assert one.at.max() + steps < 400


def test_residuals_are_those_of_models_that_have_not_seen_the_fold(
    grid: Callable[..., Grid],
) -> None:
    # white noise: in sample a ridge of nearly zero would fit part of it, out of fold never
    rng = np.random.default_rng(1)
    white = grid(rng.normal(size=200), rng.normal(size=200))
    found = choose(white, 199, 1, (8,), (1e-9,))
    assert found is not None
    left = found.residuals[:, 0]
    inputs = found.model.layout.inputs(white, found.at)
    own = white.truth[found.at + 1] - white.state[found.at] - found.model.change(inputs)
    assert np.mean(left**2) > 1.05 * np.mean(own[:, 0]**2)


def test_beyond_what_the_fit_has_seen_the_line_does_not_go_on(
    driven: Callable[..., Grid],
) -> None:
    grid = driven()
    command = grid.command.copy()
    command[500] = 1e6
    leaping = replace(grid, command=command)
    found = choose(leaping, 400, 1, (3,), (1.0,))
    assert found is not None
    at = windows(leaping, 3, 1).between(400, 600).whole
    assert np.max(np.abs(found.model.predict(leaping, at))) < 3.0
    # the leap is part of the windows at 500, 501 and 502
    assert found.model.outside(leaping, at) >= 3


def test_an_input_that_never_changes_gets_no_weight(grid: Callable[..., Grid]) -> None:
    state = np.sin(np.arange(300) / 7)
    found = choose(grid(state, np.full(300, 5.0)), 250, 1, (3,), (1e-6,))
    assert found is not None
    layout = found.model.layout
    commands = slice(layout.history, None)
    assert not found.model.weights[commands].any()


def test_without_commands_the_model_is_blind_to_them(driven: Callable[..., Grid]) -> None:
    grid = driven()
    changed = replace(grid, command=-grid.command)
    one, other = (choose(g, 400, 5, HISTORIES, RIDGES, commands=False) for g in (grid, changed))
    assert one is not None and other is not None
    assert np.array_equal(one.model.weights, other.model.weights)
    seeing = choose(grid, 400, 5, HISTORIES, RIDGES)
    assert seeing is not None and seeing.validated[0] < 0.5 * one.validated[0]


def test_too_few_windows_give_no_model(driven: Callable[..., Grid]) -> None:
    assert choose(driven(), LEAST_WINDOWS, 1, (1,), (1.0,)) is None
    codes = np.full(600, int(Reason.SENTINEL), np.uint8)
    assert choose(replace(driven(), command_codes=codes), 400, 1, (1,), (1.0,)) is None


def test_a_long_bag_is_fitted_on_windows_evenly_spread_and_predicted_in_parts(
    driven: Callable[..., Grid], monkeypatch: pytest.MonkeyPatch,
) -> None:
    grid = driven()
    at = windows(grid, 5, 1).between(400, 600).whole
    whole = choose(grid, 400, 1, HISTORIES, RIDGES)
    assert whole is not None
    monkeypatch.setattr('wm_eval_ros.openloop.model.MOST_WINDOWS', 50)
    assert np.allclose(whole.model.predict(grid, at), np.concatenate(
        [whole.model.predict(grid, at[:90]), whole.model.predict(grid, at[90:])]), atol=1e-12)
    thin = choose(grid, 400, 1, HISTORIES, RIDGES)
    assert thin is not None and len(thin.at) == 50
    assert set(np.diff(thin.at)) <= {7, 8, 9} and thin.validated[0] < 0.2


def test_nothing_is_predicted_for_no_window(driven: Callable[..., Grid]) -> None:
    found = choose(driven(), 400, 1, HISTORIES, RIDGES)
    assert found is not None
    assert found.model.predict(driven(), np.zeros(0, np.int64)).shape == (0, 1)
    assert found.model.outside(driven(), np.zeros(0, np.int64)) == 0


@pytest.mark.parametrize(('steps', 'width'), [(1, 2), (10, 11), (60, 13)])
def test_commands_far_ahead_are_averaged_over_twelve_stretches(
    driven: Callable[..., Grid], steps: int, width: int,
) -> None:
    # one state, one command: the state, and at most twelve stretches of the command
    assert Layout(1, steps).inputs(driven(), np.array([100])).shape == (1, width)


def test_inputs_are_the_level_the_changes_and_the_commands(grid: Callable[..., Grid]) -> None:
    found = Layout(3, 2).inputs(grid(np.arange(10.0)**2, 10.0 * np.arange(10)), np.array([4]))
    # level 16; changes 9 - 4 and 16 - 9; commands of steps 2 and 3 past, 4 and 5 ahead
    assert found.tolist() == [[16.0, 5.0, 7.0, 20.0, 30.0, 40.0, 50.0]]
