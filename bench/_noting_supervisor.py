"""The supervisor, alone or in a composed device, which also notes when it looked at its clock."""

from __future__ import annotations

from importlib import import_module
import json
import os
from pathlib import Path
import sys
import time
from unittest import mock

from rclpy.executors import SingleThreadedExecutor

from wm_eval_ros.nodes import device, supervisor
from wm_eval_ros.nodes.supervisor import SupervisorNode

#: file the looks are written to, by environment variable
LOOKS = 'WM_EVAL_BENCH_LOOKS'


class NotingSupervisor(SupervisorNode):
    """Notes each look of the watchdog [ns, steady]."""

    def __init__(self) -> None:
        self.looks: list[int] = []
        super().__init__()

    def _look(self) -> None:
        self.looks.append(time.monotonic_ns())
        super()._look()

    def finish(self, executor: SingleThreadedExecutor) -> None:
        super().finish(executor)
        Path(os.environ[LOOKS]).write_text(json.dumps(self.looks), encoding='utf-8')


if __name__ == '__main__':
    with (mock.patch.object(device, 'SupervisorNode', NotingSupervisor),
          mock.patch.object(supervisor, 'SupervisorNode', NotingSupervisor)):
        sys.exit(import_module(f'wm_eval_ros.nodes.{sys.argv.pop(1)}').main())
