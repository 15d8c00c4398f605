"""Robot maps: the shipped ones, finding one, and refusing what does not fit."""

from __future__ import annotations

from pathlib import Path
import re

import pytest

from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.config.robot_map import find_map, load_map, RobotMap, shipped_maps
from wm_eval_ros.config.schema import build
from wm_eval_ros.config.yaml_file import load_settings
from wm_eval_ros.errors import ConfigError

DOCS = Path(__file__).resolve().parents[2] / 'docs' / 'openloop.md'
BAGS = {'turtlebot3': 'dev_tb3_rasl', 'unitree_go2': 'dev_go2_test4/bag',
        'ackermann': 'dev_gps_nav_1', 'crazyflie': 'dev_crazyflie_roll2bag'}
STREAM = {'topic': '/x', 'type': 'a/msg/B', 'fields': ['x', 'y']}
PLAIN = {'name': 'mine', 'interface': {
    'observations': [STREAM], 'command': {**STREAM, 'low': [0.0, 0.0], 'high': [1.0, 1.0]}}}


def test_every_shipped_map_loads_and_is_named_after_its_file() -> None:
    assert [load_map(str(p)).name for p in shipped_maps()] == [p.stem for p in shipped_maps()]
    assert set(BAGS) <= {p.stem for p in shipped_maps()}


def test_every_shipped_map_is_named_with_the_type_of_its_command_where_a_robot_is_set_up() -> None:
    page = (DOCS.parent / 'hardware.md').read_text(encoding='utf-8')
    for path in shipped_maps():
        kind = load_map(str(path)).interface.command.type.rpartition('/')[2]
        assert re.search(rf'^\| `{path.stem}` \| `{kind}`', page, re.MULTILINE), path.stem


@pytest.mark.parametrize('name', BAGS)
def test_the_map_of_a_recording_is_found_by_its_topics(shared_data: Path, name: str) -> None:
    definitions = load_map(name).definitions
    with open_bag(shared_data / BAGS[name], definitions=definitions) as bag:
        assert find_map(bag.topics).name == name


def test_an_unknown_map_is_answered_with_the_near_miss() -> None:
    with pytest.raises(ConfigError, match="did you mean 'turtlebot3'"):
        load_map('turtlebot')


def test_the_bag_of_an_unknown_robot_is_answered_in_one_line_with_what_to_write() -> None:
    topics = {'/tf': 'tf2_msgs/msg/TFMessage', '/cmd_vel': 'geometry_msgs/msg/TwistStamped',
              '/arm': 'sensor_msgs/msg/JointState'}
    with pytest.raises(ConfigError) as error:
        find_map(topics)
    text = str(error.value)
    assert '\n' not in text and 'turtlebot3 lacks /odom' in text
    for word in ('--map FILE.yaml', 'name', 'interface.observations', 'interface.command',
                 'topic', 'type', 'fields', 'low', 'high', 'docs/openloop.md'):
        assert word in text
    # what may carry state or command stands first, transforms and logs last
    assert text.index('/arm (sensor_msgs/msg/JointState)') < text.index('/tf (')


def test_a_bag_with_many_topics_is_answered_with_some_of_them() -> None:
    with pytest.raises(ConfigError, match='and 12 more'):
        find_map({f'/t{i:02}': 'std_msgs/msg/String' for i in range(20)})


def test_the_map_of_the_docs_is_one_that_loads(tmp_path: Path) -> None:
    text = DOCS.read_text(encoding='utf-8')
    blocks = re.findall(r'^```yaml\n(.*?)^```', text, re.MULTILINE | re.DOTALL)
    assert blocks
    for number, block in enumerate(blocks):
        path = tmp_path / f'{number}.yaml'
        path.write_text(block, encoding='utf-8')
        found = load_settings(RobotMap, path)
        assert found.interface.observations and found.interface.command.fields


@pytest.mark.parametrize(('changes', 'what'), [
    ({'horizons_s': [0.01]}, 'shorter than the period'),
    ({'history': []}, 'history: needs at least one'),
    ({'ridge': [0.0]}, 'outside'),
    ({'clock': 'header'}, 'none of the choices'),
    ({'lag_on': 'acceleration'}, 'none of the choices'),
    ({'agreement': [{'name': 'p', 'estimate': STREAM, 'reference': {**STREAM, 'fields': ['x']}}]},
     '2 fields of the estimate against 1'),
    ({'agreement': [{'name': 'p', 'estimate': STREAM, 'reference': STREAM, 'rotation': True}]},
     'four of a quaternion'),
    ({'agreement': [{'name': 'p', 'estimate': {**STREAM, 'fields': ['a:angle']},
                     'reference': {**STREAM, 'fields': ['a']}}]}, 'leave :angle out'),
    ({'agreement': [{'name': 'p', 'estimate': STREAM, 'reference': STREAM}] * 2}, 'not distinct'),
    ({'block_s': 1.0}, "unknown key 'block_s'"),
])
def test_a_map_that_does_not_fit_is_refused_with_the_reason(
    changes: dict[str, object], what: str,
) -> None:
    with pytest.raises(ConfigError, match=re.escape(what)):
        build(RobotMap, {**PLAIN, **changes}, 'mine.yaml')


@pytest.mark.parametrize('name', ['ros2_control_trajectory', 'ros2_control_forward', 'diff_drive',
                                  'diff_drive_unstamped', 'turtlebot3', 'unitree_go2',
                                  'crazyflie'])
def test_a_command_of_a_map_is_written_as_the_controller_reads_it(name: str) -> None:
    pytest.importorskip('rclpy')
    import numpy as np

    from wm_eval_ros.nodes.ros import message_type
    from wm_eval_ros.wire.fields import CommandWriter
    command = load_map(name).interface.command
    writer = CommandWriter(command, message_type)
    wanted = np.array(command.low) / 2
    message = writer.write(message_type(command.type)(), wanted)
    assert writer.read(message).tolist() == pytest.approx(wanted.tolist())
    if name == 'ros2_control_trajectory':
        assert message.joint_names == ['shoulder_pan_joint', 'shoulder_lift_joint']
        assert len(message.points) == 1
