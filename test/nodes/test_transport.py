"""Which variables keep a process's middleware from shared memory, and that they do."""

from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys

import pytest

from wm_eval_ros.config.scenario import config_folder
from wm_eval_ros.nodes.transport import LOOPBACK, without_shared_memory

FASTDDS = 'rmw_fastrtps_cpp'
LOCAL = {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
#: prints how many segments of Fast DDS's shared memory a process with a node has mapped
SEGMENTS = """
import rclpy
rclpy.init()
node = rclpy.create_node('mapped')
print(sum('/dev/shm/fast' in line for line in open('/proc/self/maps')))
"""


def test_beyond_this_host_the_transport_is_named() -> None:
    assert without_shared_memory({}, FASTDDS, Path('c')) == {'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4'}


def test_on_this_host_a_profile_names_it_since_the_range_would_bring_shared_memory_back() -> None:
    profile = str(Path('c') / LOOPBACK)
    assert without_shared_memory(LOCAL, FASTDDS, Path('c')) == {
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SYSTEM_DEFAULT',
        'FASTRTPS_DEFAULT_PROFILES_FILE': profile, 'FASTDDS_DEFAULT_PROFILES_FILE': profile}


@pytest.mark.parametrize('chosen', [
    {'FASTDDS_BUILTIN_TRANSPORTS': 'SHM'}, {'FASTRTPS_DEFAULT_PROFILES_FILE': 'mine.xml'},
    {'FASTDDS_DEFAULT_PROFILES_FILE': 'mine.xml'}, {'ROS_STATIC_PEERS': '10.0.0.7'},
    {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'OFF'}])
def test_what_somebody_has_chosen_stays(chosen: dict[str, str]) -> None:
    assert without_shared_memory(LOCAL | chosen, FASTDDS, Path('c')) == {}


def test_another_middleware_is_left_alone() -> None:
    assert without_shared_memory(LOCAL, 'rmw_cyclonedds_cpp', Path('c')) == {}


@pytest.mark.parametrize('reach', ['LOCALHOST', 'SUBNET'])
def test_no_segment_is_mapped(reach: str, domain_id: int) -> None:
    rclpy = pytest.importorskip('rclpy', reason='no ROS 2 here')
    if rclpy.get_rmw_implementation_identifier() != FASTDDS:
        pytest.skip('another middleware')
    plain = os.environ | {'ROS_DOMAIN_ID': str(domain_id), 'ROS_AUTOMATIC_DISCOVERY_RANGE': reach}

    def mapped(environ: dict[str, str]) -> int:
        return int(subprocess.run([sys.executable, '-c', SEGMENTS], env=environ, text=True,
                                  check=True, capture_output=True).stdout)

    assert mapped(plain) > 0
    assert mapped(plain | without_shared_memory(plain, FASTDDS, config_folder())) == 0
