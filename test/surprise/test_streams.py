"""What each stream is, by hand, and where it says nothing."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from wm_eval_ros.errors import ConfigError
from wm_eval_ros.surprise.reference import fit_reference
from wm_eval_ros.surprise.streams import StreamFold, STREAMS

LINE: list[dict[str, Any]] = [
    {'latent': [0, 0], 'rollout': [[1, 0], [2, 0], [3, 0]]},
    {'latent': [1, 2], 'rollout': [[2, 0], [3, 0], [4, 2]]},
    {'latent': [2, 0], 'rollout': [[3, 0], [4, 0], [5, 0]]}]


def fold(*names: str, **options: Any) -> StreamFold:
    return StreamFold(names, options.pop('h_steps', 2), **options)


def test_errors_and_inconsistency_are_those_worked_out_by_hand(scenes: ModuleType) -> None:
    own = fold('one_step', 'h_step', 'plan_inconsistency')
    rows = [own.update(scenes.cycle(k, **line)) for k, line in enumerate(LINE)]
    np.testing.assert_array_equal(rows[0], [np.nan] * 3)
    # (1, 2) for (1, 0); of the plans (2, 0) (3, 0) for (2, 0) (3, 0)
    np.testing.assert_array_equal(rows[1], [2.0, np.nan, 0.0])
    # (2, 0) for (2, 0) and, two slots before, for (2, 0); (3, 0) (4, 0) for (3, 0) (4, 2)
    np.testing.assert_array_equal(rows[2], [0.0, 0.0, 1.0])


def test_the_ensemble_variance_is_the_mean_square_of_the_spread(scenes: ModuleType) -> None:
    line = {**LINE[0], 'rollout_std': [[1, 1], [2, 0], [0, 0]]}
    assert fold('ensemble_variance').update(scenes.cycle(0, **line)).tolist() == [1.0]


@pytest.mark.parametrize(('first', 'second'), [
    pytest.param({}, {'slot': 2}, id='a-slot-was-lost'),
    pytest.param({}, {'episode': 1}, id='an-episode-begins'),
    pytest.param({'status': 'SKIPPED'}, {}, id='nothing-was-sent'),
    pytest.param({'status': 'INVALID_OUTPUT'}, {}, id='what-was-planned-was-not-sent'),
    pytest.param({'mode': 'FALLBACK'}, {}, id='somebody-else-drove-before'),
    pytest.param({}, {'mode': 'FALLBACK'}, id='somebody-else-took-over-meanwhile'),
    pytest.param({'mode': 'SHADOW'}, {'mode': 'SHADOW'}, id='in-the-shadow'),
    pytest.param({'latent': None}, {}, id='no-latent-was-recorded'),
])
def test_a_forecast_that_was_not_driven_has_no_score(
    scenes: ModuleType, first: dict[str, Any], second: dict[str, Any],
) -> None:
    own = fold('one_step', 'plan_inconsistency', 'kl')
    own.update(scenes.cycle(**{'slot': 0, **LINE[0], **first}))
    row = own.update(scenes.cycle(**{'slot': 1, **LINE[1], **second}), {'kl': 1.0})
    assert np.isnan(row).all()


@pytest.mark.parametrize('line', [
    pytest.param({'rollout': [[np.nan, 0]], 'rollout_std': [[np.nan, 1]]}, id='mean-and-spread'),
    pytest.param({'rollout': [[1, 0]], 'rollout_std': [[np.nan, 1]]}, id='spread'),
    pytest.param({'rollout': [[np.inf, 0]], 'rollout_std': [[1, 1]]}, id='mean'),
])
def test_a_forecast_or_its_spread_that_is_no_number_is_infinitely_surprising(
    scenes: ModuleType, line: dict[str, Any],
) -> None:
    own = fold('innovation')
    own.update(scenes.cycle(0, latent=[0, 0], **line))
    assert own.update(scenes.cycle(1, **LINE[1])).tolist() == [np.inf]


def test_a_respawned_planner_begins_anew(scenes: ModuleType) -> None:
    own = fold('one_step')
    for slot in (7, 8, 0):
        row = own.update(scenes.cycle(slot, **LINE[0]))
    assert np.isnan(row).all()


def test_a_forecast_that_is_no_number_is_as_surprising_as_can_be(scenes: ModuleType) -> None:
    own = fold('one_step')
    own.update(scenes.cycle(0, latent=[0, 0], rollout=[[float('nan'), 0]]))
    assert own.update(scenes.cycle(1, latent=[0, 0])).tolist() == [np.inf]


def test_distances_from_nominal_latents_are_small_among_them(scenes: ModuleType) -> None:
    rng = np.random.default_rng(3)
    latents = rng.normal(size=(400, 2)).astype(np.float32)
    errors = 0.1 * rng.normal(size=(400, 2))
    reference = fit_reference(latents, errors.astype(np.float32), errors)
    own = fold('mahalanobis', 'knn', 'residual', reference=reference)
    near = own.update(scenes.cycle(0, latent=[0, 0], rollout=[[0, 0]]))
    odd = own.update(scenes.cycle(1, latent=[1, 1], rollout=[[1, 1]]))
    far = own.update(scenes.cycle(2, latent=[5, 5], rollout=[[5, 5]]))
    assert near[:2].max() < 0.3 < odd[0] < 2.0
    # five standard deviations either way, per root of two dimensions
    assert far[0] == pytest.approx(5.0, rel=0.2)
    assert far[1] > 2.0
    # from (0, 0) to (1, 1) where nothing was foreseen to change: ten of its spreads
    assert odd[2] == pytest.approx(10.0, rel=0.2)


def test_the_bias_is_the_distance_of_the_weighted_mean_error(scenes: ModuleType) -> None:
    rng = np.random.default_rng(3)
    errors = rng.normal(size=(4000, 2))
    reference = fit_reference(errors.astype(np.float32), errors.astype(np.float32), errors)
    own = fold('bias', reference=reference)
    # without and with a spread of 1/2: errors of (1, 0), then of (1, 0) / 0.5, weighed 0.9 to 1
    lines = [{'latent': [k, 0], 'rollout': [[k, 0]]} for k in range(3)]
    lines[1]['rollout_std'] = [[0.5, 0.5]]
    found = [own.update(scenes.cycle(k, **line))[0] for k, line in enumerate(lines)]
    assert np.isnan(found[0])
    assert found[1] == pytest.approx(np.sqrt(1 / 2), rel=0.05)
    assert found[2] == pytest.approx((0.9 * 1 + 2) / 1.9 * np.sqrt(1 / 2), rel=0.05)
    assert np.isnan(own.update(scenes.cycle(9, **lines[0]))[0])


def test_a_score_the_model_gives_itself_is_read_back_from_the_record(scenes: ModuleType) -> None:
    live, again = fold('kl'), fold('kl')
    first, second = (scenes.cycle(k, **LINE[k]) for k in (0, 1))
    live.update(first, {})
    given = live.update(second, {'kl': 0.25})
    again.update(first)
    from dataclasses import replace
    assert again.update(replace(second, scores=tuple(given))).tolist() == [0.25]


def test_an_unknown_stream_is_named() -> None:
    with pytest.raises(ConfigError, match=r"no stream 'one_stp'; did you mean 'one_step'"):
        fold('one_stp')
    assert len(set(STREAMS)) == len(STREAMS)
