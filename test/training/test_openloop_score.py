from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.config.interface import CommandStream, Interface, Stream
from wm_eval_ros.config.robot_map import find_map, load_map, RobotMap, shipped_maps
from wm_eval_ros.errors import BagError, ConfigError
from wm_eval_ros.training.openloop import (
    Comparison,
    estimate_lags,
    evaluate,
    OpenLoop,
    score_grid,
    windows,
)
from wm_eval_ros.training.openloop_data import fresh_interval_ns, Grid, outliers

STEP_NS = 50_000_000


def robot(**changes: Any) -> RobotMap:
    state = Stream(topic='/x', type='a/msg/B', fields=('x',))
    command = CommandStream(topic='/u', type='a/msg/B', fields=('u',), low=(-1.0,), high=(1.0,))
    return RobotMap(name='test', interface=Interface(observations=(state,), command=command),
                    **changes)


def grid(state: np.ndarray, command: np.ndarray) -> Grid:
    return Grid(0, STEP_NS, ('x',), state[:, None], np.ones((len(state), 1), bool), ('u',),
                command[:, None], np.ones(len(state), bool))


def driven(count: int = 600, delay: int = 3) -> Grid:
    """A speed that follows its command after a delay."""
    rng = np.random.default_rng(1)
    command = np.repeat(rng.uniform(-1, 1, count // 10), 10)
    state = np.zeros(count)
    for t in range(1, count):
        state[t] = 0.8 * state[t - 1] + 0.2 * command[max(0, t - delay)]
    return grid(state, command)


def test_a_robot_that_follows_its_commands_is_better_than_persistence() -> None:
    scores = score_grid(driven(), robot())
    assert [s.horizon_s for s in scores] == [0.05, 0.5]
    for score in scores:
        assert score.verdict is Comparison.BETTER
        assert score.ratio.value is not None and score.ratio.value < 0.2


def test_a_random_walk_is_no_win() -> None:
    rng = np.random.default_rng(2)
    walk = grid(np.cumsum(rng.normal(size=600)), rng.normal(size=600))
    assert Comparison.BETTER not in {s.verdict for s in score_grid(walk, robot())}


def test_a_feature_that_never_changes_has_no_ratio() -> None:
    for score in score_grid(grid(np.ones(600), np.ones(600)), robot()):
        assert score.ratio.value is None and 'never changes' in score.ratio.why
        assert score.verdict is Comparison.UNDECIDED


def test_too_little_to_fit_is_said_and_not_guessed() -> None:
    short = grid(np.arange(12.0), np.zeros(12))
    assert all('weights' in s.ratio.why for s in score_grid(short, robot()))


def test_few_blocks_give_no_interval_and_no_verdict() -> None:
    score = score_grid(driven(150), robot(block_s=1.0))[0]
    assert score.ratio.value is not None
    assert score.ratio.interval is None and score.verdict is Comparison.UNDECIDED


@pytest.mark.parametrize('delay', [1, 4, 9])
def test_the_lag_is_found(delay: int) -> None:
    rng = np.random.default_rng(3)
    command = rng.normal(size=500)
    late = grid(np.roll(command, delay), command)
    lag, = estimate_lags(late, robot())
    assert lag.lag.value == pytest.approx(delay * 0.05)


def test_no_correlation_is_no_lag() -> None:
    rng = np.random.default_rng(4)
    lag, = estimate_lags(grid(rng.normal(size=900), rng.normal(size=900)), robot())
    assert lag.lag.value is None and 'no command correlates' in lag.lag.why


def test_no_window_reaches_over_a_masked_sample() -> None:
    base = driven(100)
    good = base.state_good.copy()
    good[50] = False
    found = windows(replace(base, state_good=good), history=3, steps=2)
    for t in found:
        assert not t - 2 <= 50 <= t + 2
    assert 47 in found and 53 in found and 48 not in found and 52 not in found


def test_a_command_is_needed_until_the_last_step_begins() -> None:
    base = driven(100)
    good = base.command_good.copy()
    good[50] = False
    found = windows(replace(base, command_good=good), history=3, steps=2)
    assert 48 in found and 49 not in found and 52 not in found and 53 in found


def test_one_wild_sample_is_an_outlier_and_a_step_is_none() -> None:
    rng = np.random.default_rng(5)
    values = np.sin(np.arange(500) / 20) + 0.01 * rng.normal(size=500)
    values[250:] += 3.0
    values[100] = -143.6
    assert np.flatnonzero(outliers(values, 20.0)).tolist() == [100]


@pytest.mark.parametrize('values', [np.zeros(100), np.zeros(3), np.arange(100.0)],
                         ids=['constant', 'short', 'ramp'])
def test_quiet_signals_have_no_outliers(values: np.ndarray) -> None:
    assert not outliers(values, 20.0).any()


def test_repeats_are_seen_and_rest_is_not_taken_for_them() -> None:
    times = np.arange(400, dtype=np.int64) * STEP_NS
    held = np.repeat(np.arange(20.0), 20)
    assert fresh_interval_ns(times, held) == 20 * STEP_NS
    resting = np.concatenate([np.zeros(300), np.arange(100.0)])
    assert fresh_interval_ns(times, resting) == STEP_NS


def test_a_staircase_is_scored_at_the_rate_of_its_steps(
    tmp_path: Path, staircase: Callable[[Path], Path],
) -> None:
    with open_bag(staircase(tmp_path / 'bag')) as bag:
        found = evaluate(bag, replace(
            robot(), interface=Interface(
                observations=(Stream(topic='/x', type='geometry_msgs/msg/Point', fields=('x',)),),
                command=CommandStream(topic='/u', type='geometry_msgs/msg/Point', fields=('x',),
                                      low=(-1.0,), high=(1.0,)))))
    assert 'stale' in {f.kind for f in found.findings}
    assert {s.horizon_s for s in found.scores} == {1.0}
    assert Comparison.BETTER not in {s.verdict for s in found.scores}


@pytest.fixture
def staircase() -> Callable[[Path], Path]:
    """Return what writes a random walk that moves once a second in messages at 20 Hz."""
    from wm_eval_ros.bag.definitions import known_types
    from wm_eval_ros.bag.writer import BagWriter

    def make(folder: Path) -> Path:
        store = known_types()
        rng = np.random.default_rng(6)
        walk = np.repeat(np.cumsum(rng.normal(size=120)), 20)
        with BagWriter(folder) as writer:
            for topic in ('/x', '/u'):
                writer.add_topic(topic, 'geometry_msgs/msg/Point')
            for i, value in enumerate(walk):
                for topic, number in (('/x', value), ('/u', rng.normal())):
                    msg = store.types['geometry_msgs/msg/Point'](float(number), 0.0, 0.0)
                    writer.write(topic, bytes(store.serialize_cdr(msg, 'geometry_msgs/msg/Point')),
                                 10**18 + i * STEP_NS)
        return folder

    return make


def test_every_shipped_map_loads_and_is_named_after_its_file() -> None:
    assert [load_map(str(p)).name for p in shipped_maps()] == [p.stem for p in shipped_maps()]
    assert {'turtlebot3', 'unitree_go2', 'crazyflie', 'ackermann'} <= {
        p.stem for p in shipped_maps()}


def test_an_unknown_map_is_answered_with_the_near_miss() -> None:
    with pytest.raises(ConfigError, match="did you mean 'turtlebot3'"):
        load_map('turtlebot')


def test_a_bag_no_map_fits_is_told_what_each_lacks() -> None:
    with pytest.raises(ConfigError, match='turtlebot3 lacks /odom'):
        find_map({'/cmd_vel': 'geometry_msgs/msg/TwistStamped'})


BAGS = {'turtlebot3': 'dev_tb3_rasl', 'unitree_go2': 'dev_go2_test4/bag',
        'ackermann': 'dev_gps_nav_1', 'crazyflie': 'dev_crazyflie_roll2bag'}


@lru_cache
def outcome(data: Path, name: str) -> OpenLoop:
    found = load_map(name)
    with open_bag(data / BAGS[name], definitions=found.definitions) as bag:
        assert find_map(bag.topics).name == name
        return evaluate(bag, found)


def ratios(found: OpenLoop, horizon_s: float) -> list[float]:
    return [s.ratio.value for s in found.scores
            if s.horizon_s == horizon_s and s.ratio.value is not None]


def test_the_turtlebot_is_predicted_as_the_reference_says(shared_data: Path) -> None:
    found = outcome(shared_data, 'turtlebot3')
    assert ratios(found, 0.05) == pytest.approx([0.69, 0.81], abs=0.08)
    assert ratios(found, 0.5) == pytest.approx([0.61, 0.44], abs=0.1)
    assert [lag.lag.value for lag in found.lags] == pytest.approx([0.20, 0.15], abs=0.051)
    assert {s.verdict for s in found.scores} == {Comparison.BETTER}
    spike = next(f for f in found.findings if f.kind == 'outlier')
    assert spike.value == pytest.approx(-143.61, abs=0.01) and '31.74 s' in spike.what


def test_the_outlier_kept_would_spoil_the_turn_rate(shared_data: Path) -> None:
    found = replace(load_map('turtlebot3'), outlier_mads=1e12)
    with open_bag(shared_data / BAGS['turtlebot3']) as bag:
        spoilt = evaluate(bag, found)
    assert ratios(spoilt, 0.05)[1] != pytest.approx(ratios(
        outcome(shared_data, 'turtlebot3'), 0.05)[1], abs=0.05)


def test_the_go2_is_predicted_as_the_reference_says(shared_data: Path) -> None:
    found = outcome(shared_data, 'unitree_go2')
    assert all(0.7 < r <= 1.05 for r in ratios(found, 0.01))
    assert sum(r < 0.66 for r in ratios(found, 0.1)) == 11
    sentinel = next(f for f in found.findings if f.kind == 'sentinel')
    assert sentinel.value == 2330 and '7145' in sentinel.what


def test_the_gps_vehicle_is_no_win(shared_data: Path) -> None:
    found = outcome(shared_data, 'ackermann')
    assert Comparison.BETTER not in {s.verdict for s in found.scores}
    assert {'stale', 'definition'} <= {f.kind for f in found.findings}


def test_the_crazyflie_is_scored_and_not_oversold(shared_data: Path) -> None:
    found = outcome(shared_data, 'crazyflie')
    assert len(found.scores) == 6


def test_a_map_of_another_robot_is_refused(shared_data: Path) -> None:
    with open_bag(shared_data / BAGS['turtlebot3']) as bag, pytest.raises(
            BagError, match='no topic /joint_command'):
        evaluate(bag, load_map('unitree_go2'))
