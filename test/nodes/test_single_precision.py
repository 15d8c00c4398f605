"""Commands in scalar float32 fields, over DDS and through the gate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

rclpy = pytest.importorskip('rclpy', reason='no ROS 2 here')

from wm_eval_ros.config.scenario import find_scenario, load_scenario  # noqa: E402
from wm_eval_ros.config.schema import to_plain  # noqa: E402
from wm_eval_ros.nodes.ros import message_type, TYPES  # noqa: E402
from wm_eval_ros.nodes.supervisor import SupervisorNode  # noqa: E402
from wm_eval_ros.records import EpisodeEvent, EventKind  # noqa: E402
from wm_eval_ros.safety.overheard import Overheard  # noqa: E402
from wm_eval_ros.wire import codec, topics  # noqa: E402
from wm_eval_ros.wire.fields import CommandWriter  # noqa: E402

MS = 1_000_000
POINT = 'geometry_msgs/msg/Point32'


def test_a_saturated_float32_command_passes_the_gate_and_is_heard_as_the_planners_own(
    make_graph: Any, tmp_path: Path,
) -> None:
    raw = to_plain(load_scenario(find_scenario('reacher')))
    raw['interface']['command'] |= {'type': POINT, 'fields': ['x', 'y'],
                                    'low': [-0.34, -0.34], 'high': [0.34, 0.34]}
    path = tmp_path / 'single.yaml'
    path.write_text(yaml.safe_dump(raw))
    graph = make_graph(scenario=str(path), nodes=['supervisor'], authorised='probe',
                       stale_periods=1200.0, late_periods=1200.0, stop_ms=60000.0,
                       liveliness_ms=60000.0, age_ms=30000.0)
    writer = CommandWriter(load_scenario(path).interface.command, message_type)
    proposals = graph.publisher(POINT, 'proposed/joint_command',
                                topics.proposal(50 * MS, 300 * MS))
    events = graph.publisher(topics.TYPES[topics.EPISODE_EVENT], topics.EPISODE_EVENT,
                             topics.LATCHED)
    out = graph.listen(POINT, 'joint_command', topics.TELEMETRY)
    ready = graph.listen(topics.TYPES[topics.NODE_READY], topics.NODE_READY, topics.LATCHED)
    graph.add(SupervisorNode())
    graph.until(lambda: proposals.get_subscription_count() and events.get_subscription_count())
    events.publish(codec.event_to_msg(
        EpisodeEvent(0, 0, EventKind.START, '', 0.0, 'probe'), TYPES))
    graph.until(lambda: 'supervisor 0' in [m.data for m in ready])
    message = writer.write(message_type(POINT)(), np.array([0.34, -0.34]))
    own = tuple(writer.read(message).tolist())
    overheard = Overheard()
    overheard.proposed(own, 1)
    proposals.publish(message)
    graph.until(lambda: out)
    heard = tuple(writer.read(out[0]).tolist())
    overheard.heard(heard, 2)
    assert heard == own == (float(np.nextafter(np.float32(0.34), np.float32(0.0))),
                            -float(np.nextafter(np.float32(0.34), np.float32(0.0))))
    assert overheard.at(50 * MS) == own
    assert not overheard.foreign()
