"""
A planner without a plan: proposes one command at 20 Hz until it is killed.

It imports, then waits for a line on standard input, so that the next one is at hand at once.
"""

from __future__ import annotations

import sys
import time

import rclpy

from wm_eval_ros.nodes.ros import message_type, qos_profile
from wm_eval_ros.wire import codec, topics

PERIOD_NS = 50_000_000
LEASE_NS = 300_000_000
#: the command of motion, which no fallback sends
EFFORT = (0.25, -0.25)


def main() -> int:
    """Propose on the steady clock's grid."""
    kind = message_type('sensor_msgs/msg/JointState')
    print('ready', flush=True)
    sys.stdin.readline()
    rclpy.init()
    node = rclpy.create_node('planner')
    proposals = node.create_publisher(kind, topics.proposed('joint_command'),
                                      qos_profile(topics.proposal(PERIOD_NS, LEASE_NS)))
    due_ns = time.monotonic_ns()
    while True:
        message = kind()
        message.name, message.effort = ['joint0', 'joint1'], list(EFFORT)
        codec.set_stamp(message.header.stamp, time.time_ns())
        proposals.publish(message)
        due_ns += PERIOD_NS
        time.sleep(max(0.0, (due_ns - time.monotonic_ns()) / 1e9))


if __name__ == '__main__':
    sys.exit(main())
