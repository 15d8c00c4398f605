"""
What the perturbation relay adds to the way of a robot's message, message by message.

    python bench/bench_relay.py --blocks 5

A probe publishes joint states at 100 Hz, or images of 0.9 MB at 30 Hz, and hears each twice: from
itself and through the relay, which is a process of its own as on a robot. Added is the arrival
through the relay less that of the same message without it, both in callbacks of the probe, on the
steady clock. Blocks with nothing on, with faint noise on, and of images follow each other in turn.
"""

from __future__ import annotations

import argparse
from array import array
import json
import os
from pathlib import Path
import sys
import tempfile
import time
from typing import Any

from _machine import machine, machine_line
from _spread import shown, spread
import yaml

from wm_eval_ros.cli.processes import end, node_environment, NodeProcess, reserved_domain
from wm_eval_ros.config.scenario import find_scenario, load_scenario
from wm_eval_ros.config.schema import to_plain

JOINTS, IMAGE = 'sensor_msgs/msg/JointState', 'sensor_msgs/msg/Image'
CAMERA = 'camera/image_raw'
#: a message not back after this long is counted as lost [s]
LOST_S = 0.5
#: kinds of blocks: topic, rate [Hz], whether noise is on
BLOCKS = {'nothing on': ('joint_states', 100.0, False), 'noise on': ('joint_states', 100.0, True),
          'images, nothing on': (CAMERA, 30.0, False)}


def scenario(folder: Path) -> Path:
    """Write a robot whose relay carries joint states and a camera."""
    raw: dict[str, Any] = to_plain(load_scenario(find_scenario('reacher')))
    raw['plant'] |= {'kind': 'hardware'}
    # never drawn: it names the camera
    raw['perturbations'] = [{'name': 'visual.noise', 'topics': [CAMERA], 'probability': 0.0}]
    path = folder / 'robot.yaml'
    path.write_text(yaml.safe_dump(raw))
    return path


class Probe:
    """Publishes, and hears everything twice."""

    def __init__(self) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        from wm_eval_ros.nodes.ros import message_type, qos_profile, TYPES
        from wm_eval_ros.records import EpisodeEvent, EventKind
        from wm_eval_ros.wire import codec, topics
        rclpy.init()
        self.node = rclpy.create_node('probe')
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.heard: dict[str, int] = {}
        self.publishers: dict[str, Any] = {}
        self.messages: dict[str, Any] = {}
        sensor = qos_profile(topics.SENSOR_OFFER)
        kinds = {'joint_states': JOINTS, CAMERA: IMAGE}
        for topic, kind in {**kinds, 'tip_pose': 'geometry_msgs/msg/PoseStamped'}.items():
            made = message_type(kind)
            self.publishers[topic] = self.node.create_publisher(made, topic, sensor)
            self.messages[topic] = made()
        for topic, kind in kinds.items():
            for name in (topic, topics.perturbed(topic)):
                self.node.create_subscription(message_type(kind), name, self._hear(name), sensor,
                                              raw=True)
        joints, image = self.messages['joint_states'], self.messages[CAMERA]
        joints.name, joints.position, joints.velocity = ['joint0', 'joint1'], [0.1, 0.2], [0., 0.]
        image.height, image.width, image.step, image.encoding = 480, 640, 1920, 'rgb8'
        image.data = array('B', bytes(480 * 1920))
        event = topics.TYPES[topics.EPISODE_EVENT]
        self.events = self.node.create_publisher(message_type(event), topics.EPISODE_EVENT,
                                                 qos_profile(topics.LATCHED))
        service = message_type('wm_eval_ros/srv/InjectPerturbation')
        self.inject = self.node.create_client(service, topics.INJECT_PERTURBATION)
        self.request = service.Request
        self.perturbed = topics.perturbed
        self.start = codec.event_to_msg(
            EpisodeEvent(time.time_ns(), 0, EventKind.START, '', 0.0, 'probe'), TYPES)

    def _hear(self, name: str) -> Any:
        def take(data: bytes) -> None:
            self.heard[name] = time.monotonic_ns()

        return take

    def begin(self) -> None:
        """Wait until the relay passes both topics on; begin an episode that never ends."""
        limit = time.monotonic() + 60.0
        self.events.publish(self.start)
        while not all(self.send(topic) is not None for topic in ('joint_states', CAMERA)):
            if time.monotonic() > limit:
                raise SystemExit('the relay does not pass anything on')

    def noise(self, on: bool) -> None:
        """Switch faint noise on or off."""
        asked = self.request(name='nuisance.sensor_noise', severity=1.0 if on else 0.0)
        answer = self.inject.call_async(asked)
        self.executor.spin_until_future_complete(answer, timeout_sec=5.0)
        if answer.result().outcome != 'applied':
            raise SystemExit(f'noise: {answer.result().message}')

    def send(self, topic: str) -> float | None:
        """Publish; return what the relay added [ms], None where it lost the message."""
        self.heard.clear()
        self.publishers[topic].publish(self.messages[topic])
        limit = time.monotonic() + LOST_S
        while len(self.heard) < 2 and time.monotonic() < limit:
            self.executor.spin_once(timeout_sec=0.05)
        if len(self.heard) < 2:
            return None
        return (self.heard[self.perturbed(topic)] - self.heard[topic]) / 1e6

    def block(self, topic: str, rate_hz: float, count: int) -> list[float | None]:
        """Publish at a rate."""
        found, due = [], time.monotonic()
        for _ in range(count):
            while (left := due - time.monotonic()) > 0:
                self.executor.spin_once(timeout_sec=left)
            found.append(self.send(topic))
            due = max(due + 1.0 / rate_hz, time.monotonic())
        return found


def measure(blocks: int, count: int) -> dict[str, Any]:
    """Run all kinds of blocks in turn."""
    samples: dict[str, list[float | None]] = {name: [] for name in BLOCKS}
    medians: dict[str, list[float]] = {name: [] for name in BLOCKS}
    with tempfile.TemporaryDirectory() as scratch, reserved_domain(None) as domain:
        environment = node_environment(domain)
        os.environ.update(environment)
        relay = NodeProcess(
            'perturb_relay', {'scenario': str(scenario(Path(scratch))),
                              'nodes': ['perturb_relay']}, Path(scratch) / 'log', environment)
        try:
            probe = Probe()
            probe.begin()
            for _ in range(blocks):
                for name, (topic, rate_hz, noisy) in BLOCKS.items():
                    if noisy:
                        probe.noise(True)
                    found = probe.block(topic, rate_hz, count)
                    if noisy:
                        probe.noise(False)
                    samples[name] += found
                    medians[name].append(spread([x for x in found if x is not None])['p50'])
        finally:
            end([relay])
    return {name: {'added_ms': spread([x for x in own if x is not None]),
                   'lost': sum(x is None for x in own), 'blocks_p50': medians[name]}
            for name, own in samples.items()}


def main() -> int:
    """Print what the relay adds."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0].strip())
    parser.add_argument('--blocks', type=int, default=5, help='blocks of each kind')
    parser.add_argument('--count', type=int, default=300, help='messages of a block')
    parser.add_argument('--quick', action='store_true', help='one short block of each kind')
    parser.add_argument('--json', action='store_true')
    args = parser.parse_args()
    facts = machine()
    found = measure(1 if args.quick else args.blocks, 30 if args.quick else args.count)
    if args.json:
        print(json.dumps({'machine': facts, 'end_load': os.getloadavg()[0], **found}))
        return 0
    print(machine_line(facts, os.getloadavg()[0]))
    for name, own in found.items():
        low, high = min(own['blocks_p50']), max(own['blocks_p50'])
        print(f'{name:20}{shown(own["added_ms"], "ms added")}, lost {own["lost"]}, blocks p50 '
              f'{low:.3f} to {high:.3f}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
