"""Every figure: what it says, with n, unit and limit, and what it leaves out."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from hypothesis import given, strategies
import numpy as np
import pytest

from wm_eval_ros.metrics.table import Run
from wm_eval_ros.records import Interval, MetricValue
from wm_eval_ros.report.plots import (
    detector,
    episodes,
    latency,
    prediction,
    recovery,
    states,
    surprise,
    sweeps,
)
from wm_eval_ros.report.plots.base import Absent, Drawn, ecdf, envelope, MAX_POINTS, Plot, rounded
from wm_eval_ros.report.trace import TraceCollector
from wm_eval_ros.scoring.scorecard import EpisodeResult, Scorecard
from wm_eval_ros.scoring.scorer import Scorer
from wm_eval_ros.scoring.sweep import assemble, Point


def scored(records: Sequence[Any]) -> tuple[Scorecard, Run, TraceCollector]:
    scorer, trace = Scorer(), TraceCollector()
    for record in records:
        scorer.update(record)
        trace.update(record)
    return scorer.compute(), scorer.run(), trace


def card(*values: MetricValue, **more: Any) -> Scorecard:
    return Scorecard({}, {}, values, (), **more)


def drawn(plot: Drawn) -> Plot:
    assert isinstance(plot, Plot), plot
    return plot


def named(plot: Plot, name: str) -> dict[str, Any]:
    return next(trace for trace in plot.data if str(trace.get('name', '')).startswith(name))


def why(plot: Drawn) -> str:
    assert isinstance(plot, Absent), plot
    return plot.why


def test_an_ecdf_of_many_keeps_its_tail() -> None:
    x, y = ecdf(np.arange(100_000.0))
    assert len(x) <= MAX_POINTS
    assert x[-100:].tolist() == list(range(99_900, 100_000))
    assert y[-1] == 1.0


@given(strategies.lists(strategies.floats(allow_nan=True, width=32), min_size=1, max_size=300),
       strategies.integers(2, 60))
def test_a_thinned_line_reaches_as_far_as_the_whole_one(values: list[float], most: int) -> None:
    line = np.array(values)
    at = envelope(line, most)
    assert len(at) <= max(most, 1)
    assert np.all(np.diff(at) > 0)
    known = line[np.isfinite(line)]
    if len(known):
        assert np.nanmax(np.where(np.isfinite(line[at]), line[at], -np.inf)) == known.max()
        assert np.nanmin(np.where(np.isfinite(line[at]), line[at], np.inf)) == known.min()


def test_what_is_no_number_is_a_gap() -> None:
    assert rounded(np.array([1.23456789, np.nan, np.inf])) == [1.23457, None, None]


def test_latency_has_its_deadline_its_unit_and_its_n(scenes: ModuleType) -> None:
    cycles = [scenes.cycle(k, took_ms=ms) for k, ms in enumerate((10, 20, 30, 60))]
    plot = drawn(latency.distribution(scored([scenes.info(), *cycles])[1]))
    assert plot.title == 'Plan latency, n = 4 calls in 4 due slots'
    assert plot.layout['xaxis']['title']['text'] == 'latency [ms]'
    assert plot.layout['shapes'][0]['x0'] == 50
    assert plot.layout['annotations'][0]['text'] == 'deadline 50 ms'
    calls = named(plot, 'planner call')
    assert calls['x'] == [10, 20, 30, 60]
    assert calls['y'] == [0.25, 0.5, 0.75, 1.0]


def test_every_slot_stands_under_its_status_and_misses_are_crossed(scenes: ModuleType) -> None:
    run = scored([scenes.cycle(0), scenes.cycle(1, 'SKIPPED'), scenes.cycle(2, took_ms=60),
                  scenes.cycle(4)])[1]
    plot = drawn(latency.timeline(run))
    # slot 3 left no record: due, missed, and nowhere to draw
    assert plot.title == 'Slots, n = 5 due, 3 missed'
    assert named(plot, 'SKIPPED')['customdata'] == [1]
    assert named(plot, 'missed (2)')['customdata'] == [1, 2]


def test_a_long_run_is_thinned_to_its_extremes_and_says_so(
        scenes: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, 'MAX_MARKS', 10)
    records = [scenes.cycle(k, took_ms=10 + (k == 37)) for k in range(60)]
    plot = drawn(latency.timeline(scored(records)[1]))
    assert 11 in named(plot, 'OK')['y']
    assert len(named(plot, 'OK')['x']) <= 10
    # one value a stretch of twelve slots, two where the longest call lies
    assert 'every 12 in a row, 6 of 60 points' in plot.lead


def test_nothing_recorded_draws_nothing_and_says_why() -> None:
    empty, run, trace = scored([])
    assert why(latency.distribution(run)) == 'no planner call came back'
    assert why(latency.timeline(run)) == 'no slot was recorded'
    assert why(episodes.strip(empty)) == 'no episode was started'
    assert why(prediction.horizon(empty)).startswith('no imagined latent')
    assert why(prediction.calibration(empty, run)).startswith('the model predicts no spread')
    assert why(surprise.timeline(run)) == 'no detector ran'
    assert why(detector.roc(run, empty)['']).startswith('no detector ran')
    assert why(recovery.severity(empty)) == 'no perturbation was applied'
    assert why(states.states(empty, trace)[0]['']) == 'no latent was recorded'
    assert isinstance(episodes.survival(run, empty), Absent)


def test_episodes_are_drawn_by_outcome_under_the_time_limit() -> None:
    found = card(episodes=(
        EpisodeResult(0, 'success', 100, False, 20, 1.0, 20, 0),
        EpisodeResult(1, 'timeout', 101, False, 60, 3.0, 60, 4, 'too late'),
        EpisodeResult(2, 'success', 102, True, 1, 0.0, 1, 0)))
    plot = drawn(episodes.strip(Scorecard({'time_limit_s': 3.0}, {}, (), (), found.episodes)))
    assert plot.title == 'Episodes, n = 3, 1 of them solved at the start'
    assert [trace['name'] for trace in plot.data] == ['success (2)', 'timeout (1)']
    assert plot.layout['shapes'][0]['y0'] == 3.0
    assert plot.data[1]['customdata'][0][:3] == [101, 60, 4]
    patterns = [trace['marker']['pattern']['shape'] for trace in plot.data]
    assert len(set(patterns)) == 2, 'told apart without colours too'


def test_survival_falls_by_a_share_at_each_success(scenes: ModuleType) -> None:
    ends = [('SUCCESS', 1.0), ('SUCCESS', 2.0), ('TIMEOUT', 3.0), ('ABORT', 1.5)]
    records: list[Any] = [scenes.info()]
    for e, (kind, seconds) in enumerate(ends):
        records += [scenes.event('START', e, 5000 * e, '', e),
                    scenes.event(kind, e, 5000 * e + 1000 * seconds, '', seconds),
                    scenes.cycle(100 * e, episode=e, stamp_ms=5000 * e)]
    found, run, _ = scored(records)
    plot = drawn(episodes.survival(run, found))
    assert plot.title == 'Steps to success, n = 4 episodes, 2 solved'
    curve = next(t for t in plot.data if t.get('name') == 'not yet solved')
    # at risk: 4 before the first, 2 before the second, since the abort left after 30 steps
    assert curve['x'] == [0, 20, 40, 60]
    assert curve['y'] == [1.0, 0.75, 0.375, 0.375]
    assert named(plot, 'last seen')['x'] == [30]
    assert plot.layout['annotations'][0]['text'] == 'time limit 60 steps'


def test_baselines_stand_with_their_intervals_below_this_run() -> None:
    def run_of(planner: str, value: float) -> Scorecard:
        rate = MetricValue('success_rate', value, '1', 10, Interval(value - 0.1, value + 0.1))
        return Scorecard({'planner': planner}, {}, (rate,), ())
    mine, other = run_of('cem', 0.8), run_of('random', 0.2)
    plot = drawn(episodes.baselines(mine, [other]))
    assert [t['y'][0] for t in plot.data] == ['random (n = 10)', 'cem (n = 10)']
    assert plot.data[1]['error_x']['array'] == pytest.approx([0.1])
    assert why(episodes.baselines(mine, [])) == 'no baseline was given'


def test_error_by_horizon_has_band_persistence_and_the_useful_horizon() -> None:
    def value(name: str, at: float, n: int = 9) -> MetricValue:
        return MetricValue(name, at, '1', n, Interval(at / 2, 2 * at))
    plot = drawn(prediction.horizon(card(
        value('prediction_error[h=1]', 1, 40), value('persistence_error[h=1]', 4, 40),
        value('prediction_error[h=2]', 3), value('persistence_error[h=2]', 2),
        MetricValue('useful_prediction_horizon', 1, 'steps', 2))))
    assert 'n = 40 pairs' in plot.title
    assert named(plot, 'model')['y'] == [1, 3] and named(plot, 'persistence')['y'] == [4, 2]
    assert plot.data[0]['y'] == [2, 6, 1.5, 0.5], 'a band goes up one side and down the other'
    assert plot.layout['shapes'][0]['x0'] == 1


def noisy(scenes: ModuleType, std: float, episodes_: int = 5, slots: int = 40) -> list[Any]:
    """One-step errors of standard deviation 1, beside a predicted one."""
    rng = np.random.default_rng(3)
    records: list[Any] = [scenes.info()]
    for e in range(episodes_):
        base = 50.0 * slots * e
        records += [scenes.event('START', e, base - 1), scenes.event('SUCCESS', e, base + 1999, '',
                                                                     2.0)]
        z = rng.normal(size=(slots + 1, 1))
        records += [scenes.cycle(
            e * slots + k, episode=e, latent=z[k], rollout=np.zeros((1, 1)),
            rollout_std=np.full((1, 1), std, np.float32)) for k in range(slots)]
    return records


@pytest.mark.parametrize(('std', 'side'), [
    pytest.param(0.5, -1, id='too-sure-lies-below'), pytest.param(1.0, 0, id='right'),
    pytest.param(2.0, 1, id='not-sure-enough-lies-above')])
def test_calibration_shows_which_way_the_spread_errs(
        scenes: ModuleType, std: float, side: int) -> None:
    found, run, _ = scored(noisy(scenes, std))
    plot = drawn(prediction.calibration(found, run))
    curve = named(plot, '1 ahead, ECE')
    half = curve['y'][curve['x'].index(0.5)]
    # |N(0, 1)| below 0.674 std: .264, .5 and .823
    assert half == pytest.approx({-1: 0.264, 0: 0.5, 1: 0.823}[side], abs=0.07)
    assert 'n = 195' in plot.title


def watched(scenes: ModuleType) -> list[Any]:
    """Two episodes; the second is pushed in slots 25 to 29, where the score is larger."""
    records: list[Any] = [scenes.info()]
    for e in range(2):
        base = 1000.0 * e
        records += [scenes.event('START', e, base - 1), scenes.event(
            'SUCCESS', e, base + 999, '', 1.0)]
        records += [scenes.cycle(20 * e + k, episode=e, surprise_threshold=5.0, surprise=(
            10.0 if e and 5 <= k < 10 else 1.0 + 0.1 * k)) for k in range(20)]
    return [*records, scenes.event('PERTURB_ON', 1, 1250, 'physical.push', 2.0),
            scenes.event('PERTURB_OFF', 1, 1450, 'physical.push', 2.0),
            scenes.event('FALLBACK_ON', 1, 1300), scenes.event('FALLBACK_OFF', 1, 1400)]


def test_surprise_is_drawn_over_what_was_done_to_the_robot(scenes: ModuleType) -> None:
    plot = drawn(surprise.timeline(scored(watched(scenes))[1]))
    assert plot.title == 'Surprise, n = 40 slots, 5 above the threshold'
    assert plot.lead.startswith('Shaded: 1 perturbation, 1 fallback.')
    areas = [(s['x0'], s['x1']) for s in plot.layout['shapes'] if s['type'] == 'rect']
    assert np.ravel(areas) == pytest.approx([1.25, 1.45, 1.3, 1.4])
    assert named(plot, 'threshold')['y'] == [5.0, 5.0]
    assert len(named(plot, 'above')['x']) == 5
    # the two episodes are two lines: nothing was scored between them
    assert None in named(plot, 'surprise')['y']


def test_a_detector_without_a_fault_goes_through_the_upper_left(scenes: ModuleType) -> None:
    found, run, _ = scored(watched(scenes))
    plot = drawn(detector.roc(run, found)[detector.ALL])
    # nominal: all of the first episode, and the second before the push
    assert plot.title == 'Detection by slot, n = 5 perturbed and 25 nominal slots'
    curve = named(plot, 'surprise')
    assert (0.0, 1.0) in zip(curve['x'], curve['y'], strict=True)
    assert (named(plot, 'threshold of the run')['x'], named(plot, 'threshold of the run')['y']) \
        == ([0.0], [1.0])


def test_no_perturbation_is_nothing_to_detect(scenes: ModuleType) -> None:
    found, run, _ = scored([r for r in watched(scenes) if getattr(r, 'label', '') == ''])
    assert why(detector.roc(run, found)['']) == 'no perturbation was recorded: nothing to detect'


def test_recovery_is_drawn_over_severity() -> None:
    rates = [MetricValue(f'recovery_rate[push,severity={s}]', r, '1', 8, Interval(r / 2, 1.0))
             for s, r in (('0.5', 1.0), ('2', 0.25))]
    plot = drawn(recovery.severity(card(*rates)))
    assert plot.data[0]['x'] == [0.5, 2.0] and plot.data[0]['y'] == [1.0, 0.25]
    assert plot.title == 'Recovery over severity, n = 16 perturbed episodes'
    assert 'more than one severity' in why(recovery.severity(card(rates[0])))


def test_states_are_in_the_units_of_the_interface(scenes: ModuleType) -> None:
    cycles = [scenes.cycle(k, latent=[k, 2 * k], rollout=[[k + 1, 0], [k + 2, 0]],
                           rollout_std=np.full((2, 2), 0.5, np.float32)) for k in range(3)]
    events = [scenes.event('START'), scenes.event('SUCCESS', 0, 400, '', 0.4)]
    found, _, trace = scored([scenes.info(), *events, *cycles])
    plots, rollouts = states.states(found, trace)
    plot = drawn(plots['episode 0 · success'])
    assert 'in the units of the interface' in plot.title and 'n = 3 slots' in plot.title
    # mean 0.5 and scale 1.2 of the scene's manifest
    assert plot.data[0]['y'] == pytest.approx([0.5, 1.7, 2.9])
    assert [a['text'] for a in plot.layout['annotations']] == ['elbow [rad]', 'tip x [m]']
    own = rollouts['episode 0 · success']
    imagined = np.frombuffer(b64decode(own['imagined']), '<f4').reshape(3, 2, 2)
    assert imagined[0, :, 0] == pytest.approx([1.7, 2.9])
    std = np.frombuffer(b64decode(own['spread']), '<f4').reshape(3, 2, 2)
    assert std[0, 0] == pytest.approx([0.6, 0.1])
    assert own['period'] == 0.05 and own['seconds'] == pytest.approx([0, 0.05, 0.1])


def test_without_a_scaling_latents_are_said_to_be_normalised(scenes: ModuleType) -> None:
    cycles = [scenes.cycle(k, latent=[k] * 20) for k in range(2)]
    found, _, trace = scored([scenes.info(), *cycles])
    plot = drawn(next(iter(states.states(found, trace)[0].values())))
    assert 'normalised latents, first 8 of 20 entries' in plot.title
    assert 'No rollout was recorded.' in plot.lead


@pytest.mark.parametrize(('good', 'bad', 'want'), [
    pytest.param(20, 0, (8, 0), id='all-succeeded'), pytest.param(0, 20, (0, 8), id='none-did'),
    pytest.param(20, 20, (4, 4), id='half-and-half'), pytest.param(20, 1, (7, 1), id='one-failed'),
    pytest.param(2, 20, (2, 6), id='few-succeeded'), pytest.param(1, 1, (1, 1), id='two')])
def test_as_many_failures_are_shown_as_successes(
        good: int, bad: int, want: tuple[int, int]) -> None:
    found = card(episodes=tuple(
        EpisodeResult(n, 'success' if n < good else 'timeout', n, False, 1, 1.0, 1, 0)
        for n in range(good + bad)))
    picked = states.chosen(found, range(good + bad))
    assert (sum(n < good for n in picked), sum(n >= good for n in picked)) == want
    assert picked == sorted(picked)


def test_success_is_drawn_over_what_was_varied() -> None:
    points = [Point(v, float(v), dict.fromkeys(range(10), v < 50), ()) for v in (0, 20, 80)]
    plot = drawn(sweeps.success(assemble('planner.latency_ms', 'reacher', 'lockstep', points)))
    assert plot.title == 'Success over injected latency [ms], n = 10 episodes a point'
    assert plot.data[0]['x'] == [0, 20, 80] and plot.data[0]['y'] == [1, 1, 0]
    assert plot.layout['shapes'][0]['x0'] == 80, 'the first value below the bound'
    none = assemble('planner.horizon', 'reacher', 'lockstep', [Point(4, 4.0, {}, ())])
    assert why(sweeps.success(none)) == 'no episode was decided at any point'


def test_values_without_a_place_are_names_on_the_axis() -> None:
    points = [Point(v, None, {0: True, 1: False}, ()) for v in ('cem', 'random')]
    plot = drawn(sweeps.success(assemble('planner.planner', 'reacher', 'lockstep', points)))
    assert plot.data[0]['x'] == ['cem', 'random'] and plot.data[0]['mode'] == 'markers'
    assert plot.layout['xaxis']['type'] == 'category'
