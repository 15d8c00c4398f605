"""Which variables keep a middleware from shared memory, or quicken it, and that they do."""

from __future__ import annotations

import os
from pathlib import Path
import re
import subprocess
import sys

import pytest

from wm_eval_ros.config.scenario import config_folder
from wm_eval_ros.errors import EXIT_BAD_INPUT
from wm_eval_ros.nodes.transport import beyond_this_host, LOOPBACK, NETWORK, without_shared_memory

FASTDDS = 'rmw_fastrtps_cpp'
LOCAL = {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
#: rcl ignores the range then
LOCAL_ONLY = {'ROS_LOCALHOST_ONLY': '1', 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET'}
#: prints how many segments of Fast DDS's shared memory a process with a node has mapped
SEGMENTS = """
import rclpy
rclpy.init()
node = rclpy.create_node('mapped')
print(sum('/dev/shm/fast' in line for line in open('/proc/self/maps')))
"""
#: a planner of an installation that lacks its settings
UNINSTALLED = """
import sys
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.nodes import planner
def missing():
    raise ConfigError('not installed')
planner.config_folder = missing
sys.exit(planner.main())
"""


def test_beyond_this_host_the_transport_is_named() -> None:
    assert without_shared_memory({}, FASTDDS, Path('c')) == {'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4'}


@pytest.mark.parametrize('local', [LOCAL, LOCAL_ONLY], ids=['range', 'deprecated'])
def test_on_this_host_a_profile_names_it_since_the_range_would_bring_shared_memory_back(
    local: dict[str, str],
) -> None:
    profile = str(config_folder() / LOOPBACK)
    assert without_shared_memory(local, FASTDDS, config_folder()) == {
        'ROS_LOCALHOST_ONLY': '0', 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SYSTEM_DEFAULT',
        'FASTRTPS_DEFAULT_PROFILES_FILE': profile, 'FASTDDS_DEFAULT_PROFILES_FILE': profile}


def test_a_planner_on_this_host_has_room_for_a_whole_image() -> None:
    # with the 208 KiB that a socket has by itself three of four images of a camera were lost
    text = (config_folder() / LOOPBACK).read_text()
    found = re.search(r'<receiveBufferSize>(\d+)</receiveBufferSize>', text)
    assert found is not None and int(found[1]) >= 2 * 640 * 480 * 3


def test_without_the_profile_the_planner_stays_on_this_host_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    assert without_shared_memory(LOCAL, FASTDDS, tmp_path) == {}
    assert capsys.readouterr().err.splitlines() == [
        f'{tmp_path / LOOPBACK}: is missing, so the planner shares memory with the other '
        'processes; reinstall wm_eval_ros']


def test_a_planner_without_its_settings_ends_with_one_line() -> None:
    pytest.importorskip('rclpy', reason='no ROS 2 here')
    done = subprocess.run([sys.executable, '-c', UNINSTALLED], text=True, capture_output=True,
                          check=False)
    assert done.stderr == 'ConfigError: not installed\n'
    assert done.returncode == EXIT_BAD_INPUT


@pytest.mark.parametrize('chosen', [
    {'FASTDDS_BUILTIN_TRANSPORTS': 'SHM'}, {'FASTRTPS_DEFAULT_PROFILES_FILE': 'mine.xml'},
    {'FASTDDS_DEFAULT_PROFILES_FILE': 'mine.xml'}, {'ROS_STATIC_PEERS': '10.0.0.7'},
    {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'OFF'}])
def test_what_somebody_has_chosen_stays(chosen: dict[str, str]) -> None:
    assert without_shared_memory(LOCAL | chosen, FASTDDS, Path('c')) == {}


def test_another_middleware_is_left_alone() -> None:
    assert without_shared_memory(LOCAL, 'rmw_cyclonedds_cpp', Path('c')) == {}


@pytest.mark.parametrize('reach', [{}, {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET'},
                                   {'ROS_STATIC_PEERS': '10.0.0.7'},
                                   {'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4'}])
def test_beyond_this_host_what_was_lost_is_asked_for_soon(reach: dict[str, str]) -> None:
    profile = str(config_folder() / NETWORK)
    assert Path(profile).is_file()
    assert beyond_this_host(reach, FASTDDS, config_folder()) == {
        'FASTRTPS_DEFAULT_PROFILES_FILE': profile, 'FASTDDS_DEFAULT_PROFILES_FILE': profile}


@pytest.mark.parametrize('kept', [
    LOCAL, LOCAL_ONLY, {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'OFF'},
    {'FASTRTPS_DEFAULT_PROFILES_FILE': 'mine.xml'}, {'FASTDDS_DEFAULT_PROFILES_FILE': 'mine.xml'}])
def test_on_this_host_and_with_a_profile_of_ones_own_repairs_stay_as_they_are(
    kept: dict[str, str],
) -> None:
    assert beyond_this_host(kept, FASTDDS, config_folder()) == {}
    assert beyond_this_host({}, 'rmw_cyclonedds_cpp', config_folder()) == {}


def test_without_its_profile_a_node_says_how_late_repairs_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    assert beyond_this_host({}, FASTDDS, tmp_path) == {}
    assert capsys.readouterr().err.splitlines() == [
        f'{tmp_path / NETWORK}: is missing, so what is lost on the network comes up to 3 s late; '
        'reinstall wm_eval_ros']


@pytest.mark.parametrize('reach', [
    LOCAL, LOCAL_ONLY, {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET'}],
    ids=['range', 'deprecated', 'beyond'])
def test_no_segment_is_mapped(reach: dict[str, str], domain_id: int) -> None:
    rclpy = pytest.importorskip('rclpy', reason='no ROS 2 here')
    if rclpy.get_rmw_implementation_identifier() != FASTDDS:
        pytest.skip('another middleware')
    plain = os.environ | {'ROS_DOMAIN_ID': str(domain_id), **reach}

    def mapped(environ: dict[str, str]) -> int:
        return int(subprocess.run([sys.executable, '-c', SEGMENTS], env=environ, text=True,
                                  check=True, capture_output=True).stdout)

    assert mapped(plain) > 0
    assert mapped(plain | without_shared_memory(plain, FASTDDS, config_folder())) == 0
