"""
A process that records made-up messages until it is killed or its disk is full.

    python fed_recording.py FOLDER SYNC_MS

Prints a line when it begins, one with the durable counts by topic at each acknowledgement, and on
failure one with how long after the last accepted write it was seen, before it ends with code 74.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
import sys
import time

from wm_eval_ros.bag.limits import Limits
from wm_eval_ros.bag.recording import Recording
from wm_eval_ros.errors import RecordingError
from wm_eval_ros.wire.topics import SENSOR_OFFER, TELEMETRY

#: topic -> size of its messages [bytes]
SIZES = {'/planner_cycle': 2000, '/joint_states': 200, '/image': 90_000}


def payload(topic: str, number: int) -> bytes:
    """Return the message of that number: no two are alike."""
    return b'\0\1\0\0' + hashlib.shake_128(f'{topic} {number}'.encode()).digest(SIZES[topic])


def main() -> int:
    """Record until the end."""
    limits = Limits(free_bytes=0, free_share=0.0, sync_ns=int(float(sys.argv[2]) * 1e6))
    recording = Recording(Path(sys.argv[1]), limits, '/recorder_status')
    for topic in SIZES:
        recording.add_topic(topic, 'std_msgs/msg/Empty',
                            TELEMETRY if 'cycle' in topic else SENSOR_OFFER)
    print('begun', flush=True)
    number, seen = 0, time.monotonic()
    while not recording.failure:
        for topic, every in (('/joint_states', 1), ('/planner_cycle', 10), ('/image', 20)):
            if number % every == 0:
                at = number // every
                recording.put(topic, payload(topic, at), 1 + number, 1 + number, at + 1)
        number += 1
        for status, _ in recording.statuses():
            print(json.dumps(dict(zip(status.topics, status.durable, strict=True))), flush=True)
        seen = time.monotonic()
        time.sleep(0.001)
    print(json.dumps({'surfaced_s': time.monotonic() - seen}), flush=True)
    try:
        recording.close()
    except RecordingError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == '__main__':
    sys.exit(main())
