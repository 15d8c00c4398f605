"""The shipped SROS 2 policies: what the nodes really open, and nothing more."""

from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path
import re
from typing import Any
from xml.etree import ElementTree

import pytest

from wm_eval_ros.cli.firmware import standing_in
from wm_eval_ros.cli.main import main
from wm_eval_ros.config.scenario import config_folder, find_scenario, load_scenario, Scenario
from wm_eval_ros.nodes.policy import OPERATOR, policy_xml, Rights, rights
from wm_eval_ros.nodes.topic_list import (
    ACTUATOR,
    ALL_NODES,
    COMMAND_RELAY,
    PLAYER,
    SENSOR_RELAY,
)

SHIPPED = sorted(p.stem for p in (config_folder() / 'scenarios').glob('*.yaml'))
RELAYS = (*ALL_NODES, SENSOR_RELAY, COMMAND_RELAY)


def scenario(name: str = 'reacher', **overrides: object) -> Scenario:
    return load_scenario(find_scenario(name), overrides)


@pytest.mark.parametrize('name', SHIPPED)
def test_every_scenario_ships_its_policy_and_it_is_the_one_of_its_topics(name: str) -> None:
    path = config_folder() / 'security' / f'{name}.policy.xml'
    assert path.read_text(encoding='utf-8') == policy_xml(scenario(name)), (
        f'wm-eval policy {name} --out config/security/{name}.policy.xml')


@pytest.mark.parametrize('name', SHIPPED)
def test_a_policy_is_of_the_schema_of_sros2(name: str) -> None:
    """The rules of its policy.xsd, version 0.2.0."""
    root = ElementTree.fromstring(policy_xml(scenario(name), RELAYS))
    assert (root.tag, root.attrib) == ('policy', {'version': '0.2.0'})
    assert [child.tag for child in root] == ['enclaves']
    paths = [enclave.attrib['path'] for enclave in root[0]]
    assert len(set(paths)) == len(paths) == len(RELAYS) + 1
    for enclave in root[0]:
        assert enclave.tag == 'enclave' and re.fullmatch(r'(/\w+)+', enclave.attrib['path'])
        assert [child.tag for child in enclave] == ['profiles']
        for profile in enclave[0]:
            assert profile.tag == 'profile' and set(profile.attrib) == {'ns', 'node'}
            for group in profile:
                [(access, word)] = group.attrib.items()
                allowed = {'topics': ('publish', 'subscribe'), 'services': ('reply', 'request')}
                assert access in allowed[group.tag] and word == 'ALLOW'
                assert len(group) > 0
                for entry in group:
                    assert entry.tag == group.tag.removesuffix('s') and not entry.attrib
                    assert re.fullmatch(r'(/[A-Za-z_]\w*)+', entry.text or '')


def publishers(found: dict[str, Rights], topic: str) -> set[str]:
    return {node for node, allowed in found.items() if topic in allowed.publish}


@pytest.mark.parametrize('name', SHIPPED)
@pytest.mark.parametrize('clock', ['realtime', 'lockstep', 'free'])
def test_only_the_supervisor_reaches_the_actuators_and_only_the_planner_proposes(
    name: str, clock: str,
) -> None:
    # a latency test is one of realtime alone
    more = {} if clock == 'realtime' else {'plant.link': False}
    run = scenario(name, clock=clock, **more)
    found, command = rights(run), run.interface.command.topic
    assert publishers(found, f'/{command}') == {'supervisor'}
    assert publishers(found, f'/proposed/{command}') == {'planner'}
    assert publishers(found, '/planner_cycle') == {'planner'}
    assert publishers(found, '/recorder_status') == {'recorder'}
    assert {n for n, r in found.items() if '/take_over' in r.request} == {OPERATOR}
    assert publishers(found, '/clock') == ({'plant'} if clock != 'realtime' else set())


def test_with_a_relay_only_the_relay_reaches_the_actuators() -> None:
    run = scenario(**{'plant.kind': 'hardware', 'clock': 'realtime'})
    found, command = rights(run, RELAYS), f'/{run.interface.command.topic}'
    assert publishers(found, command) == {COMMAND_RELAY}
    assert '/joint_states' in found[SENSOR_RELAY].subscribe
    assert '/joint_states' not in found['planner'].subscribe
    assert publishers(found, '/joint_states') == set(), "the robot's own"


def test_a_relay_may_pass_on_the_cameras_that_are_seen_or_perturbed() -> None:
    run = scenario(**{'plant.kind': 'hardware', 'interface.images': [{'topic': 'front'}],
                      'perturbations': [{'name': 'visual.blur', 'topics': ['back']}]})
    found = rights(run, RELAYS)
    assert {'/front', '/back'} <= set(found[SENSOR_RELAY].subscribe)
    assert {'/perturbed/front', '/perturbed/back'} <= set(found[SENSOR_RELAY].publish)
    assert '/perturbed/front' in found['planner'].subscribe
    assert not {'/front', '/back', '/perturbed/back'} & set(found['planner'].subscribe)


def test_in_shadow_mode_nobody_reaches_the_actuators() -> None:
    run = scenario(**{'supervisor.shadow': True, 'clock': 'realtime'})
    assert publishers(rights(run), f'/{run.interface.command.topic}') == set()


def test_an_actuator_obeys_the_supervisor_and_tells_when() -> None:
    run = scenario('hil')
    found, command = rights(run, (*ALL_NODES, ACTUATOR)), f'/{run.interface.command.topic}'
    assert publishers(found, command) == {'supervisor'}
    assert command in found[ACTUATOR].subscribe
    for topic in ('/link_event', '/clock_exchange'):
        assert publishers(found, topic) == {'plant', ACTUATOR}


def test_a_player_says_what_sensors_say_and_no_command() -> None:
    run = scenario(**{'plant.kind': 'hardware', 'clock': 'realtime'})
    found = rights(run, (*ALL_NODES, PLAYER))
    assert publishers(found, f'/{run.interface.command.topic}') == {'supervisor'}
    for stream in (*run.interface.seen, *run.interface.goals):
        assert publishers(found, f'/{stream.topic}') == {PLAYER}
    assert found[PLAYER].subscribe == ()


def opened(node: Any) -> Rights:
    """What a node of this process has really opened."""
    def names(listed: list[tuple[str, Any]]) -> tuple[str, ...]:
        return tuple(sorted(name for name, _ in listed))

    who = node.get_name(), node.get_namespace()
    return Rights(names(node.get_publisher_names_and_types_by_node(*who)),
                  names(node.get_subscriber_names_and_types_by_node(*who)),
                  names(node.get_service_names_and_types_by_node(*who)),
                  names(node.get_client_names_and_types_by_node(*who)))


def node_class(name: str) -> Any:
    from importlib import import_module
    module = import_module(f'wm_eval_ros.nodes.{name}')
    return next(v for v in vars(module).values() if isinstance(v, type)
                and v.__name__ == f'{name.title()}Node')


@pytest.mark.parametrize('clock', ['realtime', 'lockstep'])
@pytest.mark.parametrize('name', ALL_NODES)
def test_the_policy_is_what_the_live_node_opens(
    make_graph: Callable[..., Any], tmp_path: Path, name: str, clock: str,
) -> None:
    more = {'bag': str(tmp_path / 'bag')} if name == 'recorder' else {}
    graph = make_graph(scenario='reacher', clock=clock, **more)
    runnable = graph.add(node_class(name)())
    node = runnable.node
    if name == 'planner':
        node.trigger_configure()
    allowed = rights(scenario(clock=clock))[name]
    graph.until(lambda: len(opened(node).reply) >= len(allowed.reply))
    found = opened(node)
    if name == 'recorder':
        # it subscribes as publishers appear
        found = Rights(found.publish, tuple(sorted(runnable._wanted)), found.reply)
        runnable.finish(graph.executor)
    assert found == allowed


def test_the_verb_writes_the_shipped_file_and_names_what_it_does_not_know(
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / 'new' / 'policy.xml'
    assert main(['policy', 'reacher', '--out', str(out), '--json']) == 0
    assert out.read_text() == (config_folder() / 'security' / 'reacher.policy.xml').read_text()
    told = json.loads(capsys.readouterr().out)
    assert told['/wm_eval_ros/planner']['publish'] == list(rights(scenario())['planner'].publish)
    assert main(['policy', 'reacher', '--nodes', 'planer']) == 2
    assert "did you mean 'planner'" in capsys.readouterr().err


def test_the_policy_of_an_actuator_is_what_its_node_opens(make_graph: Callable[..., Any]) -> None:
    from wm_eval_ros.nodes.serial_actuator import SerialActuatorNode
    with standing_in() as port:
        graph = make_graph(scenario='hil', port=port)
        runnable = graph.add(SerialActuatorNode())
        allowed = rights(scenario('hil'), (*ALL_NODES, ACTUATOR))[ACTUATOR]
        graph.until(lambda: len(opened(runnable.node).reply) >= len(allowed.reply))
        assert opened(runnable.node) == allowed
        runnable.finish(graph.executor)
