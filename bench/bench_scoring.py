"""
Reading speed of a bag: a scaled hour of 10 topics at 100 Hz, raw and as records.

    python bench/bench_scoring.py --seconds 360
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import resource
import sys
import tempfile
import time

import numpy as np

from wm_eval_ros.bag.definitions import known_types
from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.bag.writer import BagWriter

TOPICS, HZ, JOINTS = 10, 100, 6
TYPE = 'sensor_msgs/msg/JointState'
START_NS = 1_700_000_000_000_000_000


def message(types, stamp_ns: int) -> bytes:
    """Serialize one joint state."""
    kinds = types.types
    stamp = kinds['builtin_interfaces/msg/Time'](*divmod(stamp_ns, 10**9))
    numbers = np.zeros(JOINTS)
    return bytes(types.serialize_cdr(kinds[TYPE](
        kinds['std_msgs/msg/Header'](stamp, 'base'), [f'joint{i}' for i in range(JOINTS)],
        numbers, numbers, numbers), TYPE))


def write(folder: Path, seconds: int) -> int:
    """Write the bag and return its size in messages."""
    data = message(known_types(), START_NS)
    with BagWriter(folder) as writer:
        for topic in range(TOPICS):
            writer.add_topic(f'/robot/joints{topic}', TYPE)
        for step in range(seconds * HZ):
            for topic in range(TOPICS):
                log_ns = START_NS + step * (10**9 // HZ) + topic * 1000
                writer.write(f'/robot/joints{topic}', data, log_ns, log_ns - 500, step + 1)
    return seconds * HZ * TOPICS


def measure(folder: Path, seconds: int, repeats: int) -> dict[str, object]:
    """Time full passes over the bag."""
    result: dict[str, object] = {'bag_s': seconds, 'messages': seconds * HZ * TOPICS}
    for name in ('messages', 'records'):
        rates = []
        for _ in range(repeats):
            start = time.perf_counter()
            with open_bag(folder) as bag:
                count = sum(1 for _ in getattr(bag, name)())
            rates.append(count / (time.perf_counter() - start))
        result[f'{name}_per_s'] = [round(rate) for rate in rates]
        result[f'{name}_x_realtime'] = round(min(rates) / (TOPICS * HZ))
    result['peak_rss_mb'] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return result


def main() -> int:
    """Write the bag, read it, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seconds', type=int, default=360, help='length of the bag')
    parser.add_argument('--repeats', type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bag = Path(folder) / 'bag'
        write(bag, args.seconds)
        print(json.dumps(measure(bag, args.seconds, args.repeats), indent=2))
    return 0


if __name__ == '__main__':
    sys.exit(main())
