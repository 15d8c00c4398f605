"""The plant node, which also notes when each command reached its callback."""

from __future__ import annotations

import json
import os
from pathlib import Path
import sys
import time
from typing import Any

from rclpy.executors import SingleThreadedExecutor

from wm_eval_ros.nodes.plant import PlantNode
from wm_eval_ros.nodes.process import run_node
from wm_eval_ros.wire import codec


class NotingPlant(PlantNode):
    """Notes command stamp [ns, ROS] and arrival [ns, steady]."""

    def __init__(self) -> None:
        self.arrivals: list[tuple[int, int]] = []
        super().__init__()

    def _on_command(self, message: Any) -> None:
        steady_ns = time.monotonic_ns()
        self.arrivals.append((codec.stamp_ns(message.header.stamp), steady_ns))
        super()._on_command(message)

    def finish(self, executor: SingleThreadedExecutor) -> None:
        super().finish(executor)
        noted = {'policy': os.sched_getscheduler(0), 'arrivals': self.arrivals}
        Path(os.environ['WM_EVAL_BENCH_ARRIVALS']).write_text(json.dumps(noted), encoding='utf-8')


if __name__ == '__main__':
    sys.exit(run_node(NotingPlant))
