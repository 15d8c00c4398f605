"""What counts as a perturbation, when it was on, and how severities are binned."""

from __future__ import annotations

from types import ModuleType

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from wm_eval_ros.metrics.episodes import episodes
from wm_eval_ros.metrics.perturbations import Applied, applied, windows
from wm_eval_ros.metrics.recovery import severity_bins


@pytest.mark.parametrize(('label', 'kind'), [
    ('physical.push', 'physical'), ('visual.dark.corner', 'visual'), ('slip', 'other'),
    ('.push', 'other'), ('', 'other')])
def test_the_kind_is_what_stands_before_the_first_dot(label: str, kind: str) -> None:
    assert Applied(0, label, 1.0, 0, 1).kind == kind


def test_a_spell_ends_with_its_own_off_with_its_episode_or_with_the_record(
        scenes: ModuleType) -> None:
    events = sorted([
        scenes.event('START'), scenes.event('PERTURB_ON', at_ms=10, label='a', value=1),
        scenes.event('PERTURB_ON', at_ms=20, label='b', value=2),
        scenes.event('PERTURB_OFF', at_ms=30, label='a'),
        scenes.event('PERTURB_ON', at_ms=40, label='b', value=7),
        scenes.event('SUCCESS', at_ms=50),
        scenes.event('START', 1, 60), scenes.event('PERTURB_ON', 1, 70, 'c', 3)],
        key=lambda e: e.stamp_ns)
    end = scenes.ROS + 99 * scenes.MS
    found = applied(events, episodes(events), end)
    spans = {a.label: (*((t - scenes.ROS) // scenes.MS for t in (a.begin_ns, a.end_ns)),
                       a.severity) for done in found.values() for a in done}
    assert spans == {'a': (10, 30, 1), 'b': (20, 50, 2), 'c': (70, 99, 3)}


def test_windows_that_touch_are_one() -> None:
    done = [Applied(0, 'a', 1, 30, 40), Applied(0, 'b', 1, 0, 10), Applied(0, 'c', 1, 5, 30),
            Applied(0, 'd', 1, 50, 60)]
    assert windows(done) == [(0, 40), (50, 60)]


@given(severities=st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=60))
def test_each_severity_lies_in_exactly_one_bin(severities: list[float]) -> None:
    bins = severity_bins(np.array(severities))
    assert len({name for name, _, _ in bins}) == len(bins) <= 8
    for severity in severities:
        assert sum(low <= severity <= high for _, low, high in bins) == 1


def test_many_severities_make_five_bins_of_about_equal_counts() -> None:
    levels = np.arange(100) / 10
    bins = severity_bins(levels)
    assert [name for name, _, _ in bins] == ['0..1.9', '2..3.9', '4..5.9', '6..7.9', '8..9.9']
    assert severity_bins(np.zeros(0)) == []
