"""Who else publishes, who takes over, and a supervisor that only watches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

rclpy = pytest.importorskip('rclpy', reason='no ROS 2 here')

from wm_eval_ros.config.scenario import find_scenario, load_scenario  # noqa: E402
from wm_eval_ros.config.schema import to_plain  # noqa: E402
from wm_eval_ros.errors import ConfigError  # noqa: E402
from wm_eval_ros.nodes.ros import message_type, qos_profile  # noqa: E402
from wm_eval_ros.nodes.supervisor import SupervisorNode  # noqa: E402
from wm_eval_ros.records import EventKind  # noqa: E402
from wm_eval_ros.wire import codec, topics  # noqa: E402


def reasons(scene: Any, kind: EventKind) -> list[str]:
    return [event.label for event in scene.said() if event.kind is kind]


def keep_proposing(scene: Any, kind: EventKind) -> None:
    def told() -> bool:
        scene.propose(0.5, 0.5)
        return kind in scene.kinds()

    scene.graph.until(told)


@pytest.mark.parametrize('topic', ['proposed/joint_command', 'joint_command'])
def test_a_second_publisher_is_named_and_the_planner_gets_back_control_when_it_is_gone(
    make_scene: Any, topic: str,
) -> None:
    scene = make_scene()
    scene.start()
    stranger = rclpy.create_node('stranger')
    scene.graph.added.append(stranger)
    # one with its own idea of quality: DDS does not even connect it to the supervisor
    publisher = stranger.create_publisher(message_type(scene.kind), topic, 10)
    scene.graph.until(lambda: EventKind.FALLBACK_ON in scene.kinds())
    assert f'/stranger publishes on /{topic}' in reasons(scene, EventKind.FALLBACK_ON)[0]
    publisher.publish(scene.command(0.9, 0.9))
    stranger.destroy_publisher(publisher)
    keep_proposing(scene, EventKind.FALLBACK_OFF)


def test_a_twin_of_the_planner_is_told_by_its_liveliness(make_scene: Any) -> None:
    scene = make_scene()
    scene.start()
    scene.propose(0.5, 0.5)
    scene.graph.until(lambda: scene.out)
    twin = scene.graph.node.create_publisher(
        message_type(scene.kind), topics.proposed('joint_command'),
        qos_profile(topics.proposal(50_000_000, 300_000_000)))
    twin.publish(scene.command(0.1, 0.1))
    scene.graph.until(lambda: EventKind.FALLBACK_ON in scene.kinds())
    assert '2 live publishers' in reasons(scene, EventKind.FALLBACK_ON)[0]


def test_an_operator_takes_over_by_service_and_drives_with_the_joystick(make_scene: Any) -> None:
    scene = make_scene(joy_axes=[0, 1], joy_deadman=2)
    joystick = scene.graph.publisher('sensor_msgs/msg/Joy', topics.OPERATOR_JOY, topics.SENSOR)
    kind = message_type('std_srvs/srv/SetBool')
    client = scene.graph.node.create_client(kind, topics.TAKE_OVER)
    scene.graph.until(lambda: client.service_is_ready() and joystick.get_subscription_count())
    scene.start()
    taken = client.call_async(kind.Request(data=True))
    scene.graph.until(taken.done)
    assert taken.result().success
    scene.propose(0.9, 0.9)

    def steer(*axes: float, held: int = 1) -> None:
        message = message_type('sensor_msgs/msg/Joy')()
        message.axes, message.buttons = list(axes), [0, 0, held]
        joystick.publish(message)

    steer(0.5, 0.5, held=0)
    steer(0.25, -0.5)
    scene.graph.until(lambda: [0.25, -0.5] in [list(m.effort) for m in scene.out])
    steer(2.0, 0.0)
    scene.graph.until(lambda: EventKind.COMMAND_REFUSED in scene.kinds())
    given = client.call_async(kind.Request(data=False))
    scene.graph.until(given.done)
    scene.graph.until(lambda: EventKind.INTERVENTION_OFF in scene.kinds())
    keep_proposing(scene, EventKind.FALLBACK_OFF)
    sent = [list(m.effort) for m in scene.out]
    assert [0.9, 0.9] not in sent
    assert [0.5, 0.5] not in sent[:sent.index([0.25, -0.5])]
    assert not any(abs(e) > 1.0 for effort in sent for e in effort)


def test_a_stop_is_lifted_by_the_service_once_the_planner_is_back(make_scene: Any) -> None:
    scene = make_scene(stale_periods=2.0, late_periods=2.0, stop_ms=200.0)
    kind = message_type('std_srvs/srv/Trigger')
    client = scene.graph.node.create_client(kind, topics.CLEAR_STOP)
    scene.graph.until(client.service_is_ready)
    scene.start()
    scene.graph.until(lambda: EventKind.STOPPED_ON in scene.kinds())

    def ask() -> Any:
        answer = client.call_async(kind.Request())
        scene.graph.until(answer.done)
        return answer.result()

    refused = ask()
    assert (refused.success, 'no valid command' in refused.message) == (False, True)

    def cleared() -> bool:
        scene.propose(0.5, 0.5)
        return bool(ask().success)

    scene.graph.until(cleared)
    scene.graph.until(lambda: EventKind.STOPPED_OFF in scene.kinds())


def test_a_lost_calibration_degrades_and_says_so(make_scene: Any) -> None:
    scene = make_scene()
    scene.start()
    scene.say(EventKind.CALIBRATION_LOST, 'p = 0.001')
    scene.graph.until(lambda: EventKind.DEGRADED_ON in scene.kinds())
    assert reasons(scene, EventKind.DEGRADED_ON) == ['calibration lost: p = 0.001']
    scene.propose(0.5, 0.5)
    scene.graph.until(lambda: scene.out)


def test_a_second_controller_drives_while_the_planner_may_not(make_scene: Any) -> None:
    scene = make_scene(fallback='controller', controller_topic='backup_command')
    backup = scene.graph.publisher(scene.kind, 'backup_command', topics.COMMAND)
    scene.graph.until(backup.get_subscription_count)
    scene.start()
    scene.propose(float('nan'), 0.0)
    scene.graph.until(lambda: EventKind.FALLBACK_ON in scene.kinds())

    def driven() -> bool:
        backup.publish(scene.command(-0.25, 0.25))
        return [-0.25, 0.25] in [list(m.effort) for m in scene.out]

    scene.graph.until(driven)


def written(folder: Path, **supervisor: Any) -> str:
    raw: dict[str, Any] = to_plain(load_scenario(find_scenario('reacher')))
    raw['supervisor'] |= supervisor
    path = folder / 'made.yaml'
    path.write_text(yaml.safe_dump(raw))
    return str(path)


def test_the_brake_answers_measured_velocities(make_scene: Any, tmp_path: Path) -> None:
    terms = [{'field': f'effort[joint{k}]', 'feature': f'joint_states.velocity[joint{k}]',
              'gain': 0.25} for k in (0, 1)]
    scene = make_scene(scenario=written(tmp_path, fallback='brake', brake=terms))
    states = scene.graph.publisher(scene.kind, 'joint_states', topics.SENSOR_OFFER)
    scene.graph.until(states.get_subscription_count)
    scene.start()
    scene.propose(float('nan'), 0.0)

    def braked() -> bool:
        state = scene.command()
        state.position, state.velocity = [0.0, 0.0], [2.0, -1.0]
        states.publish(state)
        return [-0.5, 0.25] in [list(m.effort) for m in scene.out]

    scene.graph.until(braked)


@pytest.mark.parametrize('text', ['{', 'manifest', 'types'],
                         ids=['no-manifest', 'another-model', 'no-names'])
def test_a_model_the_reflex_cannot_use_means_the_fallback_not_the_end(
    make_scene: Any, tmp_path: Path, scenes: Any, text: str,
) -> None:
    term = {'field': 'effort[joint0]', 'feature': 'joint_states.velocity[joint0]', 'gain': 0.01,
            'bound': 0.05}
    scene = make_scene(scenario=written(tmp_path, reflex=[term]))
    infos = scene.graph.publisher(topics.TYPES[topics.RUN_INFO], topics.RUN_INFO, topics.LATCHED)
    scene.graph.until(infos.get_subscription_count)
    scene.start()
    message = message_type(topics.TYPES[topics.RUN_INFO])()
    info = scenes.info()
    if text == 'types':
        info = replace(info, model={'latent_names': 3})
    message.data = text if text == '{' else codec.run_info_to_json(info)
    infos.publish(message)
    scene.graph.until(lambda: EventKind.FALLBACK_ON in scene.kinds())
    wanted = {'manifest': 'does not foresee', 'types': 'are no list of names', '{': 'run info: '}
    assert wanted[text] in reasons(scene, EventKind.FALLBACK_ON)[0]
    scene.propose(0.5, 0.5)
    scene.graph.until(lambda: [0.0, 0.0] in [list(m.effort) for m in scene.out])


def test_a_message_that_is_not_foreseen_means_the_fallback_for_the_run_not_the_end(
    make_scene: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any) -> None:
        raise TypeError('not foreseen')

    scene = make_scene()
    scene.start()
    monkeypatch.setattr(scene.supervisor.gate, 'alarm', fail)
    scene.score(0.0, 1.0)
    scene.graph.until(lambda: EventKind.FALLBACK_ON in scene.kinds())
    assert reasons(scene, EventKind.FALLBACK_ON) == ["internal: TypeError('not foreseen')"]
    scene.propose(0.5, 0.5)
    scene.graph.until(lambda: [0.0, 0.0] in [list(m.effort) for m in scene.out])


@pytest.mark.parametrize('by', ['service', 'joystick'])
def test_an_operator_whose_word_fails_gets_the_fallback_and_an_answer(
    make_scene: Any, monkeypatch: pytest.MonkeyPatch, by: str,
) -> None:
    def fail(*_: Any) -> None:
        raise TypeError('not foreseen')

    scene = make_scene(joy_axes=[0, 1])
    scene.start()
    monkeypatch.setattr(scene.supervisor.gate, 'take_over' if by == 'service' else 'operate', fail)
    if by == 'service':
        kind = message_type('std_srvs/srv/SetBool')
        client = scene.graph.node.create_client(kind, topics.TAKE_OVER)
        scene.graph.until(client.service_is_ready)
        asked = client.call_async(kind.Request(data=True))
        scene.graph.until(asked.done)
        assert asked.result().message == "internal: TypeError('not foreseen')"
        assert not asked.result().success
    else:
        joystick = scene.graph.publisher('sensor_msgs/msg/Joy', topics.OPERATOR_JOY,
                                         topics.SENSOR)
        scene.graph.until(joystick.get_subscription_count)
        joystick.publish(message_type('sensor_msgs/msg/Joy')(axes=[0.5, 0.5], buttons=[1]))
    scene.graph.until(lambda: EventKind.FALLBACK_ON in scene.kinds())
    assert reasons(scene, EventKind.FALLBACK_ON) == ["internal: TypeError('not foreseen')"]


def test_a_shadow_decides_and_has_no_publisher_on_the_actuator_topic(make_scene: Any) -> None:
    scene = make_scene(shadow=True)
    scene.start()
    scene.propose(float('nan'), 0.0)
    scene.graph.until(lambda: EventKind.FALLBACK_ON in scene.kinds())
    scene.say(EventKind.TIMEOUT)
    scene.graph.until(lambda: EventKind.FALLBACK_OFF in scene.kinds())
    assert scene.graph.node.get_publishers_info_by_topic('/joint_command') == []
    assert scene.out == []


@pytest.mark.parametrize('asked', [{'shadow': True}, {
    'fallback': 'controller', 'controller_topic': 'backup'}], ids=['shadow', 'controller'])
def test_lockstep_has_one_driver_a_slot(make_graph: Any, tmp_path: Path,
                                        asked: dict[str, Any]) -> None:
    make_graph(scenario=written(tmp_path, **asked), clock='lockstep')
    with pytest.raises(ConfigError, match='not in lockstep'):
        SupervisorNode()
