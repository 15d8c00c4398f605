"""
Publishes what a robot with a fast bus and a camera does: for the recorder to keep up with.

    python _stream_source.py SCENARIO SECONDS STATE_HZ IMAGE_HZ

Waits until every topic of the run is subscribed to, publishes, waits until all of it was
acknowledged, prints the number of messages by topic as JSON.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import sys
import time
from typing import Any

import numpy as np
import rclpy
from rclpy.duration import Duration

from wm_eval_ros.config.scenario import find_scenario, load_scenario
from wm_eval_ros.nodes.ros import message_type, qos_profile
from wm_eval_ros.nodes.topic_list import run_topics
from wm_eval_ros.wire import topics

STATES, IMAGES, CYCLES = 'joint_states', topics.CAMERA_IMAGE, topics.PLANNER_CYCLE
#: a telemetry message a slot of 20 Hz
CYCLE_HZ = 20.0
#: as many values as make a message of 200 bytes
JOINTS = 7
WIDTH, HEIGHT = 640, 480
_LATCHED = (topics.RUN_INFO, topics.EPISODE_EVENT, 'goal')
_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1


def keep_memory() -> None:
    """Have images reuse their memory instead of mapping it anew each time."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL('libc.so.6')
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, 1 << 30)


def messages() -> dict[str, Any]:
    """Return a message of each of the streams."""
    state = message_type('sensor_msgs/msg/JointState')()
    state.name = [f'joint{k}' for k in range(JOINTS)]
    state.position = [0.1 * k for k in range(JOINTS)]
    image = message_type('sensor_msgs/msg/Image')()
    image.height, image.width, image.encoding, image.step = HEIGHT, WIDTH, 'rgb8', 3 * WIDTH
    image.data.frombytes(np.random.default_rng(0).integers(
        0, 256, HEIGHT * WIDTH * 3, dtype=np.uint8).tobytes())
    return {STATES: state, IMAGES: image,
            CYCLES: message_type(topics.TYPES[topics.PLANNER_CYCLE])()}


def main() -> int:
    """Publish."""
    name, seconds = sys.argv[1], float(sys.argv[2])
    rates = {STATES: float(sys.argv[3]), IMAGES: float(sys.argv[4]), CYCLES: CYCLE_HZ}
    keep_memory()
    rclpy.init()
    node = rclpy.create_node('source')
    publishers = {
        topic: node.create_publisher(message_type(kind), topic, qos_profile(
            topics.LATCHED if topic in _LATCHED else topics.TELEMETRY))
        for topic, kind in run_topics(load_scenario(find_scenario(name))).items()}
    while any(p.get_subscription_count() < 1 for p in publishers.values()):
        time.sleep(0.05)
    time.sleep(1.0)
    made = messages()
    streams = {topic: rate for topic, rate in rates.items() if rate > 0}
    begun = time.monotonic()
    due = dict.fromkeys(streams, begun)
    counts = dict.fromkeys(streams, 0)
    latest = 0.0
    while (now := time.monotonic()) - begun < seconds:
        for topic, rate in streams.items():
            if now >= due[topic]:
                latest = max(latest, now - due[topic])
                publishers[topic].publish(made[topic])
                counts[topic] += 1
                due[topic] += 1 / rate
        time.sleep(max(0.0, min(due.values()) - time.monotonic()))
    acked = [p.wait_for_all_acked(Duration(seconds=10)) for p in publishers.values()]
    print(json.dumps({'counts': counts, 'seconds': time.monotonic() - begun,
                      'latest_s': latest, 'acked': all(acked)}), flush=True)
    sys.stdin.readline()
    rclpy.shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
