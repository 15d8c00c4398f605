"""A bare ping against the echo node alone: no plant, gate, monitor or recorder beside it."""

from __future__ import annotations

import json
from pathlib import Path
import subprocess
import sys
import time
from typing import Any

from _pingpong import message, WARMUP

from wm_eval_ros.cli.processes import node_environment, reserved_domain
from wm_eval_ros.config.scenario import find_scenario, load_scenario
from wm_eval_ros.wire import codec, topics

LOST_S = 1.0


def measure(rate_hz: float, count: int) -> dict[str, Any]:
    """Run the echo and a ping in a DDS domain of their own; ``round_trip_ms`` and ``lost``."""
    echo = [sys.executable, '-m', 'wm_eval_ros.nodes.echo', '--ros-args', '-p', 'scenario:="hil"',
            '-p', 'nodes:=["planner"]']
    with reserved_domain(None) as domain:
        environment = node_environment(domain)
        with subprocess.Popen(echo, env=environment, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as running:
            try:
                done = subprocess.run(
                    [sys.executable, str(Path(__file__)), str(rate_hz), str(count)],
                    env=environment, stdout=subprocess.PIPE, check=True, timeout=600)
            finally:
                running.terminate()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def ping(rate_hz: float, count: int) -> dict[str, Any]:
    """Send samples within an episode, each with a stamp of its own; note the round trips."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    from wm_eval_ros.nodes.ros import message_type, qos_profile, TYPES
    from wm_eval_ros.records import EpisodeEvent, EventKind
    rclpy.init()
    node = rclpy.create_node('ping')
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    command = load_scenario(find_scenario('hil')).interface.command
    kind = message_type(command.type)
    back: list[tuple[int, int]] = []
    node.create_subscription(
        kind, topics.proposed(command.topic),
        lambda m: back.append((codec.stamp_ns(m.header.stamp), time.monotonic_ns())),
        qos_profile(topics.ROBOT_SENSOR))
    out = node.create_publisher(kind, 'joint_states', qos_profile(topics.SENSOR_OFFER))
    events = node.create_publisher(message_type(topics.TYPES[topics.EPISODE_EVENT]),
                                   topics.EPISODE_EVENT, qos_profile(topics.LATCHED))
    events.publish(codec.event_to_msg(
        EpisodeEvent(time.time_ns(), 0, EventKind.START, '', 0.0, 'ping'), TYPES))

    def send(stamp_ns: int) -> None:
        sample = message()
        codec.set_stamp(sample.header.stamp, stamp_ns)
        out.publish(sample)

    number = 1
    while not back:  # until the echo is in the episode
        send(number)
        number += 1
        executor.spin_once(timeout_sec=0.05)
    period_ns, trips, lost, due_ns = round(1e9 / rate_hz), [], 0, time.monotonic_ns()
    for _ in range(count + WARMUP):
        due_ns += period_ns
        while (left_s := (due_ns - time.monotonic_ns()) / 1e9) > 0:
            executor.spin_once(timeout_sec=left_s)
        number += 1
        back.clear()
        sent_ns = time.monotonic_ns()
        send(number)
        while not any(stamp == number for stamp, _ in back) and (
                time.monotonic_ns() - sent_ns < LOST_S * 1e9):
            executor.spin_once(timeout_sec=LOST_S)
        found = [at for stamp, at in back if stamp == number]
        if found:
            trips.append((found[0] - sent_ns) / 1e6)
        else:
            lost += 1
    executor.shutdown()
    rclpy.shutdown()
    return {'round_trip_ms': trips[WARMUP:], 'lost': lost}


if __name__ == '__main__':
    print(json.dumps(ping(float(sys.argv[1]), int(sys.argv[2]))))
