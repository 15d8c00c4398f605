"""The detectors by hand, and whether detectors keep their promises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import re
from typing import Any

import numpy as np
import pytest

from wm_eval_ros import plugins
from wm_eval_ros.surprise.band import Band, fit_band, TINY
from wm_eval_ros.surprise.conformance import check_detector
from wm_eval_ros.surprise.detectors import BandDetector, CusumDetector, GROUP
from wm_eval_ros.surprise.joint import fit_scale, Scale
from wm_eval_ros.surprise.monitor import make_detectors

NAN = float('nan')


@pytest.mark.parametrize('name', ['band', 'cusum'])
def test_the_shipped_detectors_conform(name: str) -> None:
    assert name in plugins.names(GROUP)
    assert check_detector(plugins.load(GROUP, name)) == []
    assert len(make_detectors([name])) == 1


def test_the_detector_of_the_plug_in_page_conforms_as_it_stands() -> None:
    page = Path(__file__).resolve().parents[2] / 'docs' / 'plugins.md'
    example, checker = re.findall(r'```python\n(.*?)```', page.read_text(encoding='utf-8'),
                                  re.S)[2:]
    names: dict[str, Any] = {}
    exec(example, names)
    exec(checker, names)


def broken(update: Callable[[Any, np.ndarray[Any, Any]], Any]) -> type:
    return type('Broken', (), {'reset': lambda self: None, 'update': update})


@pytest.mark.parametrize(('update', 'what'), [
    pytest.param(lambda self, z: float(np.nansum(z)), 'shapes', id='a-number-and-no-array'),
    pytest.param(lambda self, z: z[~np.isnan(z)], 'shapes', id='a-shape-that-changes'),
    pytest.param(lambda self, z: np.full(1, NAN), 'never has a score', id='it-says-nothing'),
    pytest.param(lambda self, z: -np.abs(z), 'infinite', id='it-falls-where-it-should-rise'),
    pytest.param(lambda self, z: np.add(z, 1.0, out=z), 'writes into', id='it-writes'),
    pytest.param(lambda self, z: np.full(1, self.__dict__.setdefault('n', []).append(0)
                                         or float(len(self.n))), 'after reset',
                 id='it-remembers-the-episode-before'),
])
def test_a_broken_detector_is_told_what_it_breaks(update: Any, what: str) -> None:
    assert any(what in sentence for sentence in check_detector(broken(update)))


def test_the_sum_grows_by_what_is_above_the_slack_and_never_below_zero() -> None:
    cusum = CusumDetector()
    # 1 - 0.5; + 2.5 - 0.5; no score; clipped to -4; clipped to 4
    rows = [float(cusum.update(np.array([z]))[0]) for z in (1.0, 2.5, NAN, -9.0, 9.0)]
    np.testing.assert_array_equal(rows, [0.5, 2.5, NAN, 0.0, 3.5])
    cusum.reset()
    assert cusum.update(np.array([1.0])).tolist() == [0.5]


def test_the_band_is_mean_and_spread_of_the_logarithm_nearby() -> None:
    episodes = [np.full((6, 1), value) for value in np.exp([0.0, 2.0, 0.0, 2.0, 1.0])]
    band = fit_band(episodes)
    assert band.centre.shape == (6, 1)
    np.testing.assert_allclose(band.centre, 1.0, atol=1e-6)
    # four of five lie 1 away from the mean
    np.testing.assert_allclose(band.spread, np.sqrt(0.8), rtol=1e-6)
    np.testing.assert_allclose(band.standard(99, np.array([np.exp(1.0 + np.sqrt(0.8))])), 1.0,
                               rtol=1e-6)


def test_beyond_what_enough_episodes_reach_the_last_row_is_held() -> None:
    episodes = [np.ones((n, 1)) for n in (9, 8, 7, 6, 5, 4)]
    assert len(fit_band(episodes).centre) == 5
    assert len(fit_band(episodes[:3]).centre) == 7


def test_a_stream_that_begins_late_has_its_first_row_before() -> None:
    episodes = [np.concatenate([np.full((4, 1), NAN), np.full((4, 1), 3.0)])] * 5
    np.testing.assert_allclose(fit_band(episodes).centre, np.log(3.0 + TINY))


def test_a_score_without_a_number_has_none_and_an_infinite_one_is_beyond_all() -> None:
    band = Band(np.zeros((1, 2)), np.ones((1, 2)))
    np.testing.assert_array_equal(band.standard(0, np.array([NAN, np.inf])), [NAN, np.inf])
    scale = Scale(np.zeros(2), np.ones(2))
    assert np.isnan(scale.joint(np.array([NAN, NAN])))
    assert scale.joint(np.array([NAN, np.e**2])) == pytest.approx(2.0)


def test_a_scale_is_how_unusual_a_component_is_as_the_largest() -> None:
    # logarithms 0 ... 20: the median is 10, nine in ten lie below 18
    maxima = np.exp(np.arange(21.0))[:, None]
    scale = fit_scale(np.minimum(maxima, 1e5))
    assert scale.centre[0] == pytest.approx(10.0)
    assert scale.spread[0] == pytest.approx((np.log(1e5) - 10.0) / 1.2816)
    assert fit_scale(np.full((9, 1), -np.inf)).spread[0] > 0
    assert isinstance(BandDetector().update(np.zeros(1)), np.ndarray)
