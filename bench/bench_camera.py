"""
A camera beside a planner: what publishing an image costs, and what becomes of every frame.

    python bench/bench_camera.py --rounds 300 --episodes 8

In turn, in one process, with a reader in another: a message of 640 x 480 pixels built and
published as the plant node does it, and the floor, which is the pixels copied and the message
serialized by rclpy. Goal: at most 1.2. Both again in a process that keeps freed memory. Then
planning from pixels in realtime at 20 Hz, the camera of 640 x 512 (a whole number of times the 64
that the model sees) at 30 Hz: frames that no decision used were superseded, and none was lost.
The model has learnt from square pictures, so that success is no figure of it.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
import subprocess
import sys
import tempfile
from typing import Any

from _machine import machine, machine_line
from _stream_source import keep_memory
from _turns import as_text, in_turn
import numpy as np

from wm_eval_ros.cli.graph import GraphRun
from wm_eval_ros.cli.processes import node_environment, reserved_domain
from wm_eval_ros.cli.reading import score_bag
from wm_eval_ros.config.scenario import find_scenario, load_scenario
from wm_eval_ros.records import ImageSample

GOAL = 1.2
WIDTH, HEIGHT = 640, 480
TOPIC = 'camera/image_raw'
FLOOR = 'copied and serialized'
#: figures of the run that tell what became of the frames, and how old they were
FIGURES = (f'samples_unused[/{TOPIC}]', f'samples_superseded[/{TOPIC}]', f'samples_lost[/{TOPIC}]',
           f'staleness[/{TOPIC}].p50', f'staleness[/{TOPIC}].p99', 'plan_latency.p50',
           'decision_latency.p99', 'deadline_miss_rate')


def read() -> int:
    """Take images until the input ends: the reader of the publisher that is timed."""
    import rclpy

    from wm_eval_ros.nodes.ros import message_type, qos_profile
    from wm_eval_ros.wire import topics
    rclpy.init()
    node = rclpy.create_node('reader')
    node.create_subscription(message_type(topics.TYPES[TOPIC]), TOPIC, lambda _: None,
                             qos_profile(topics.SENSOR), raw=True)
    while os.getppid() != 1:
        rclpy.spin_once(node, timeout_sec=0.1)
    return 0


def publishing(rounds: int, keep: bool) -> dict[str, Any]:
    """Time one process of the publisher."""
    with reserved_domain(None) as domain:
        environment = node_environment(domain)
        words = [sys.executable, __file__]
        with subprocess.Popen([*words, '--read'], env=environment) as reader:
            done = subprocess.run(
                [*words, '--publish', '--rounds', str(rounds), *(['--keep'] if keep else [])],
                env=environment, capture_output=True, text=True, check=False)
            reader.kill()
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def publish(rounds: int, keep: bool) -> int:
    """Time the calls in turn, and print their figures."""
    import rclpy
    from rclpy.serialization import serialize_message

    from wm_eval_ros.nodes.ros import message_type, qos_profile
    from wm_eval_ros.wire import topics
    from wm_eval_ros.wire.samples import fill
    if keep:
        keep_memory()
    rclpy.init()
    kind = message_type(topics.TYPES[TOPIC])
    publisher = rclpy.create_node('camera').create_publisher(
        kind, TOPIC, qos_profile(topics.SENSOR_OFFER))
    while not publisher.get_subscription_count():
        pass
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    sample = ImageSample(pixels)
    kept, copy = fill(kind(), sample, 1), memoryview(bytearray(pixels.nbytes))

    def floor() -> None:
        copy[:] = pixels.data.cast('B')
        serialize_message(kept)

    calls = {FLOOR: floor, 'built': lambda: fill(kind(), sample, 1),
             'published': lambda: publisher.publish(kept),
             'built and published': lambda: publisher.publish(fill(kind(), sample, 1))}
    print(json.dumps(in_turn(calls, FLOOR, rounds=rounds, warm_up=20, pause_s=0.005)))
    rclpy.shutdown()
    return 0


def whole_run(episodes: int, folder: Path) -> dict[str, Any]:
    """Run the task from pixels; return its figures."""
    scenario = load_scenario(find_scenario('two_room_pixels'), {
        'clock': 'realtime', 'episodes': episodes, 'plant.camera_hz': 30.0,
        'plant.camera_width': WIDTH, 'plant.camera_height': 512})
    run = GraphRun(folder)
    run.execute(scenario, lambda said: None)
    card = score_bag(run.bag)
    values = {v.name: v for v in (*card.values, *card.host)}
    return {name: {'value': values[name].value, 'n': values[name].n} for name in FIGURES}


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rounds', type=int, default=300, help='messages of each kind, in turn')
    parser.add_argument('--episodes', type=int, default=8, help='of the run from pixels')
    parser.add_argument('--quick', action='store_true', help='does it run?')
    parser.add_argument('--json', action='store_true')
    for name in ('--read', '--publish', '--keep'):
        parser.add_argument(name, action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.read:
        return read()
    if args.publish:
        return publish(args.rounds, args.keep)
    if args.quick:
        args.rounds, args.episodes = 20, 1
    facts = machine()
    plain, kept = (publishing(args.rounds, keep) for keep in (False, True))
    with tempfile.TemporaryDirectory() as scratch:
        run = whole_run(args.episodes, Path(scratch) / 'run')
    if args.json:
        print(json.dumps({'machine': facts, 'as in a run': plain, 'memory kept': kept,
                          'run': run, 'goal': GOAL}, indent=1))
        return 0
    print(machine_line(facts, os.getloadavg()[0]))
    for title, rows in (('as in a run', plain), ('memory kept', kept)):
        print(f'{title}: p50, p99 / p50, over the floor p50 [p10, p90], CPU (goal {GOAL:g})')
        for name, figures in rows.items():
            print(f'  {name:22s} {as_text(figures, 6)}')
    for name, figure in run.items():
        shown = 'too few' if figure['value'] is None else f'{figure["value"]:.4g}'
        print(f'  {name:36s} {shown}, n = {figure["n"]}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
