"""Echo and supervisor in one process: the floor of what a composed device can reach."""

from __future__ import annotations

from functools import partial
import sys

from wm_eval_ros.nodes.device import DeviceNode, prepare
from wm_eval_ros.nodes.echo import EchoNode
from wm_eval_ros.nodes.process import run_node


def main() -> int:
    """Entry point of the process."""
    return run_node(partial(DeviceNode, EchoNode), before=prepare, composed=True)


if __name__ == '__main__':
    sys.exit(main())
