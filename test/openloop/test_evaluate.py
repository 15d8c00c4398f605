"""A whole evaluation of bags made by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import re

import numpy as np
import pytest

from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.config.interface import Stream
from wm_eval_ros.config.robot_map import Agreement, load_map, RobotMap
from wm_eval_ros.errors import BagError, FieldPathError
from wm_eval_ros.metrics.definitions import family
from wm_eval_ros.openloop.evaluate import evaluate
from wm_eval_ros.openloop.figures import DEFINITIONS
from wm_eval_ros.records import Verdict

STEP_NS = 50_000_000
START_NS = 10**18
DOCS = Path(__file__).resolve().parents[2] / 'docs' / 'openloop.md'

Write = Callable[..., Path]
Map = Callable[..., RobotMap]


def times(count: int) -> np.ndarray:
    return START_NS + STEP_NS * np.arange(count, dtype=np.int64)


def following(count: int) -> tuple[np.ndarray, np.ndarray]:
    """A state that follows its command, and the command."""
    rng = np.random.default_rng(0)
    command = np.repeat(rng.uniform(-1, 1, count // 10 + 1), 10)[:count]
    state = np.zeros(count)
    for t in range(1, count):
        state[t] = 0.8 * state[t - 1] + 0.2 * command[t - 1]
    return state + 0.01 * rng.normal(size=count), command


def test_a_staircase_is_scored_at_the_rate_of_its_steps(
    tmp_path: Path, write_points: Write, robot: Map,
) -> None:
    rng = np.random.default_rng(6)
    walk = np.repeat(np.cumsum(rng.normal(size=120)), 20)
    folder = write_points(tmp_path / 'bag', {'/x': (times(2400), walk),
                                             '/u': (times(2400), rng.normal(size=2400))})
    with open_bag(folder) as bag:
        found = evaluate(bag, robot())
    stale = next(f for f in found.findings if f.kind == 'stale')
    assert '120 values, not 2400' in stale.what
    assert {s.horizon_s for s in found.scores} == {1.0}
    assert Verdict.PASS not in {s.verdict for s in found.scores}


def test_an_estimate_is_held_against_its_reference(
    tmp_path: Path, write_points: Write, robot: Map,
) -> None:
    state, command = following(2000)
    estimate = state + 3.0
    estimate[1700:] += 5.0
    folder = write_points(tmp_path / 'bag', {
        '/x': (times(2000), state), '/u': (times(2000), command),
        '/estimate': (times(2000) + 1_000_000, estimate)})
    point = 'geometry_msgs/msg/Point'
    pair = Agreement(name='position',
                     estimate=Stream(topic='/estimate', type=point, fields=('x',)),
                     reference=Stream(topic='/x', type=point, fields=('x',)))
    with open_bag(folder) as bag:
        found = evaluate(bag, robot(agreement=(pair,)))
    assert found['disagreement_offset[position]'].value == pytest.approx(3.0, abs=0.01)
    watch = next(w for w in found.watches if w.stream.name == 'disagreement[position]')
    assert watch.threshold.guarantee.value == 'tolerance'
    alarm = max(watch.alarms, key=lambda a: a.ratio)
    assert found.seconds(alarm.onset_ns) == pytest.approx(85.0, abs=0.1)
    assert found.seconds(alarm.end_ns) == pytest.approx(99.95, abs=0.1)
    assert {w.stream.name for w in found.watches} == {
        'prediction[/x]', 'prediction[/estimate]', 'disagreement[position]', 'silence[/x]',
        'silence[/u]', 'silence[/estimate]'}


def test_an_agreement_without_its_topics_is_named_and_left_out(
    tmp_path: Path, write_points: Write, robot: Map,
) -> None:
    state, command = following(600)
    folder = write_points(tmp_path / 'bag', {'/x': (times(600), state),
                                             '/u': (times(600), command)})
    point = 'geometry_msgs/msg/Point'
    pair = Agreement(name='position', estimate=Stream(topic='/no', type=point, fields=('x',)),
                     reference=Stream(topic='/x', type=point, fields=('x',)))
    with open_bag(folder) as bag:
        found = evaluate(bag, robot(agreement=(pair,)))
    note = next(f for f in found.findings if f.kind == 'agreement')
    assert note.topic == '/no' and 'position' in note.what
    assert not any('disagreement' in w.stream.name for w in found.watches)


def test_a_loss_while_the_model_is_fitted_ends_the_nominal_part(
    tmp_path: Path, write_points: Write, robot: Map,
) -> None:
    state, command = following(2400)
    kept = np.r_[0:800, 1000:2400]
    folder = write_points(tmp_path / 'bag', {'/x': (times(2400)[kept], state[kept]),
                                             '/u': (times(2400), command)})
    with open_bag(folder) as bag:
        found = evaluate(bag, robot())
    assert found.seconds(found.nominal_end_ns) == pytest.approx(799 * 0.05)
    assert found.cut_ns > found.losses[0].end_ns
    alarms = [a for a in found.alarms if a.stream == 'silence[/x]']
    assert [a.loss for a in alarms] == [1]
    assert found['detection_delay[silence[/x],loss=1]'].value == pytest.approx(0.05, abs=0.001)
    assert {s.verdict for s in found.scores} == {Verdict.PASS}


@pytest.mark.parametrize(('points', 'what'), [
    ({'/x': (times(600), np.ones(600)), '/u': (times(600), np.ones(600))}, 'never changes'),
    ({'/x': (times(30), np.arange(30.0)), '/u': (times(30), np.ones(30))}, '10 are the least'),
    ({'/x': (times(600), np.full(600, np.nan)), '/u': (times(600), np.ones(600))}, 'to fit on'),
    ({'/x': (times(1), np.ones(1)), '/u': (times(600), np.ones(600))}, '/x: 1 messages'),
    ({'/x': (times(600) + 10**12, np.arange(600.0)), '/u': (times(600), np.ones(600))},
     'do not overlap'),
    ({'/u': (times(600), np.ones(600))}, '/x'),
], ids=['rest', 'short', 'nan', 'one-message', 'apart', 'no-topic'])
def test_nothing_to_score_is_one_line(
    tmp_path: Path, write_points: Write, robot: Map,
    points: dict[str, tuple[np.ndarray, np.ndarray]], what: str,
) -> None:
    with open_bag(write_points(tmp_path / 'bag', points)) as bag, pytest.raises(
            BagError, match=re.escape(what)) as error:
        evaluate(bag, robot())
    assert '\n' not in str(error.value)


def test_a_field_that_is_not_there_is_named(
    tmp_path: Path, write_points: Write, robot: Map,
) -> None:
    state, command = following(100)
    folder = write_points(tmp_path / 'bag', {'/x': (times(100), state),
                                             '/u': (times(100), command)})
    settings = robot()
    wrong = Stream(topic='/x', type='geometry_msgs/msg/Point', fields=('speed',))
    interface = type(settings.interface)(observations=(wrong,), command=settings.interface.command)
    with open_bag(folder) as bag, pytest.raises(FieldPathError, match="no field 'speed'"):
        evaluate(bag, RobotMap(name='t', interface=interface))


def test_a_map_of_another_robot_is_refused(shared_data: Path) -> None:
    with open_bag(shared_data / 'dev_tb3_rasl') as bag, pytest.raises(
            BagError, match='no topic /joint_command'):
        evaluate(bag, load_map('unitree_go2'))


def test_every_figure_is_defined_in_code_and_in_the_docs(
    tmp_path: Path, write_points: Write, robot: Map,
) -> None:
    state, command = following(600)
    kept = np.r_[0:400, 450:600]
    folder = write_points(tmp_path / 'bag', {'/x': (times(600)[kept], state[kept]),
                                             '/u': (times(600), command)})
    with open_bag(folder) as bag:
        names = {family(value.name) for value in evaluate(bag, robot()).values}
    assert names <= set(DEFINITIONS)
    text = DOCS.read_text(encoding='utf-8')
    assert not [name for name in DEFINITIONS if f'| `{name}' not in text]
