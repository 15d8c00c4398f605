"""
The floor: a bare rclpy ping-pong between two processes, with the loop's messages.

`pong` answers in a callback, `ping` measures; both spin a SingleThreadedExecutor. The ping goes
out like an observation (best effort, depth 1 at the reader), the pong like a command (reliable).
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
import random
import subprocess
import sys
import time
from typing import Any

from wm_eval_ros.cli.processes import node_environment, reserved_domain

#: pongs not back after this long are counted as lost [s]
LOST_S = 1.0
WARMUP = 20


def measure(rate_hz: float, count: int, *, fifo: bool = False) -> dict[str, Any]:
    """
    Run both processes in a DDS domain of their own.

    :param rate_hz: pings a second, 0: each as soon as the last pong is back
    :param fifo: with real-time priority
    :returns: ``round_trip_ms``, one a pong, without the warm-up; ``lost``
    """
    words = [sys.executable, str(Path(__file__)), 'fifo' if fifo else 'normal']
    with reserved_domain(None) as domain:
        environment = node_environment(domain)
        with subprocess.Popen([*words, 'pong'], env=environment) as pong:
            try:
                done = subprocess.run(
                    [*words, 'ping', str(rate_hz), str(count)], env=environment,
                    stdout=subprocess.PIPE, check=True, timeout=600)
            finally:
                pong.terminate()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class Side:
    """A node with one publisher and one subscription."""

    def __init__(self, name: str, out: str, back: str, out_qos: Any, back_qos: Any,
                 callback: Any) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from sensor_msgs.msg import JointState
        rclpy.init()
        self.node = rclpy.create_node(name)
        self.publisher = self.node.create_publisher(JointState, out, out_qos)
        self.subscription = self.node.create_subscription(JointState, back, callback, back_qos)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)


def message() -> Any:
    """Return a message of the size of Reacher's `joint_states`."""
    from array import array

    from sensor_msgs.msg import JointState
    msg = JointState()
    msg.name = ['joint0', 'joint1']
    msg.position = msg.velocity = array('d', [0.0, 0.0])
    msg.header.stamp.sec = random.randrange(2**31)
    return msg


def pong() -> None:
    """Answer until terminated."""
    from rclpy.executors import ExternalShutdownException
    from rclpy.qos import qos_profile_sensor_data
    side = Side('pong', 'pong', 'ping', 1, qos_profile_sensor_data,
                lambda msg: side.publisher.publish(msg))
    with contextlib.suppress(ExternalShutdownException):
        while True:
            side.executor.spin_once(timeout_sec=0.1)


def ping(rate_hz: float, count: int) -> dict[str, Any]:
    """Send, wait, note the round trip."""
    back: list[int] = []
    side = Side('ping', 'ping', 'pong', 100, 1,
                lambda msg: back.append(time.monotonic_ns()))
    while not back:  # until both directions have met
        side.publisher.publish(message())
        side.executor.spin_once(timeout_sec=0.05)
    period_ns = round(1e9 / rate_hz) if rate_hz else 0
    trips, lost, due_ns = [], 0, time.monotonic_ns()
    for _ in range(count + WARMUP):
        due_ns = max(due_ns + period_ns, time.monotonic_ns() if not period_ns else 0)
        while (left_s := (due_ns - time.monotonic_ns()) / 1e9) > 0:
            side.executor.spin_once(timeout_sec=left_s)
        back.clear()
        msg = message()
        sent_ns = time.monotonic_ns()
        side.publisher.publish(msg)
        while not back and time.monotonic_ns() - sent_ns < LOST_S * 1e9:
            side.executor.spin_once(timeout_sec=LOST_S)
        if back:
            trips.append((back[0] - sent_ns) / 1e6)
        else:
            lost += 1
    return {'round_trip_ms': trips[WARMUP:], 'lost': lost}


def may_fifo() -> bool:
    """Say whether this process may give itself real-time priority."""
    tried = 'import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))'
    return subprocess.run([sys.executable, '-c', tried], stderr=subprocess.DEVNULL,
                          check=False).returncode == 0


if __name__ == '__main__':
    if sys.argv[1] == 'fifo':
        # before rclpy starts threads: they inherit it
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    if sys.argv[2] == 'pong':
        pong()
    else:
        print(json.dumps(ping(float(sys.argv[3]), int(sys.argv[4]))))
