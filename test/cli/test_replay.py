"""`wm-eval run --replay`: what is refused before anything starts, and what a run consists of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from wm_eval_ros.cli.graph import further_nodes
from wm_eval_ros.cli.main import main
from wm_eval_ros.cli.overrides import perturbation_of
from wm_eval_ros.config.replay import ReplaySettings
from wm_eval_ros.config.scenario import find_scenario, load_scenario, Scenario
from wm_eval_ros.nodes.topic_list import run_topics

REACHER = ['run', 'reacher', '--set', 'plant.kind=hardware']


@pytest.fixture
def replayed() -> Scenario:
    found = load_scenario(find_scenario('reacher'), {'plant.kind': 'hardware'})
    return replace(found, replay=ReplaySettings(bag='drive'))


@pytest.fixture
def other_bag(scenes: ModuleType, tmp_path: Path) -> str:
    """A bag without the topics of the scenario."""
    return str(scenes.write_bag(tmp_path / 'bag', [scenes.info(), scenes.event('START')]))


def refused(words: list[str], capsys: pytest.CaptureFixture[str], out: Path) -> str:
    assert main([*words, '--out', str(out)]) == 2
    assert not out.exists(), 'nothing was written'
    said = capsys.readouterr().err.strip()
    assert '\n' not in said
    return said


def test_a_bag_without_the_sensors_is_refused_with_what_it_holds(
    other_bag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    said = refused([*REACHER, '--replay', other_bag], capsys, tmp_path / 'out')
    assert 'no topic /joint_states in the bag, it holds /' in said


def test_a_bag_that_is_not_there_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    said = refused([*REACHER, '--replay', 'nowhere'], capsys, tmp_path / 'out')
    assert 'nowhere' in said


@pytest.mark.parametrize(('words', 'what'), [
    pytest.param(['run', 'reacher', '--replay', 'bag'],
                 'a bag stands for a robot; set plant.kind hardware', id='simulator'),
    pytest.param([*REACHER, '--replay', 'bag', '--until-decided', '--against', 'hold'],
                 '--replay: not with --until-decided', id='until-decided'),
    pytest.param([*REACHER, '--replay', 'bag', '--set', 'replay.rate=0'],
                 'replay.rate', id='rate'),
    pytest.param([*REACHER, '--replay', 'bag', '--clock', 'lockstep'],
                 'a robot does not wait', id='lockstep')])
def test_what_makes_no_sense_with_a_bag_is_refused(
    words: list[str], what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    assert what in refused(words, capsys, tmp_path / 'out')


def test_gates_that_ask_for_a_robot_refuse_its_bag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    gates = tmp_path / 'robot.yaml'
    gates.write_text('name: robot\ndescription: On the machine.\nplants: [hardware]\n'
                     'gates:\n  - {metric: deadline_miss_rate, at_most: 0.1}\n')
    words = [*REACHER, '--replay', 'drive', '--gates', str(gates)]
    assert 'replay (in a replay of drive), where the profile takes hardware' in refused(
        words, capsys, tmp_path / 'out')


def test_the_player_takes_part_where_a_bag_is_named_and_the_relay_where_it_is_perturbed(
    replayed: Scenario,
) -> None:
    assert further_nodes(replace(replayed, replay=ReplaySettings())) == ()
    assert further_nodes(replayed) == ('bag_player',)
    perturbed: Any = replace(replayed, perturbations=(perturbation_of('sensor.noise:0.5'),))
    assert further_nodes(perturbed) == ('perturb_relay', 'bag_player')


def test_in_shadow_nobody_publishes_commands_to_a_bag_and_the_recorder_waits_for_none(
    replayed: Scenario,
) -> None:
    assert 'joint_command' in run_topics(replayed)
    shadow = replace(replayed, supervisor=replace(replayed.supervisor, shadow=True))
    assert 'joint_command' not in run_topics(shadow)
    assert 'proposed/joint_command' in run_topics(shadow)
