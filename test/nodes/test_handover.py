"""The real planner, frozen and killed mid-motion: the fallback commands in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

rclpy = pytest.importorskip('rclpy', reason='no ROS 2 here')

from wm_eval_ros.cli.processes import end, node_environment, NodeProcess  # noqa: E402
from wm_eval_ros.records import EventKind, TERMINAL  # noqa: E402
from wm_eval_ros.wire import codec, topics  # noqa: E402

NODES = ('supervisor', 'planner', 'plant')
#: from the last command on: a period to the next one, its deadline, 50 ms: docs/supervisor.md
WITHIN_NS = 150_000_000
#: freezes before the kill
FREEZES = 9


class Audience:
    """Hears what the plant hears."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.commands: list[tuple[int, tuple[float, ...]]] = []
        graph.ends.subscription('sensor_msgs/msg/JointState', 'joint_command', topics.TELEMETRY,
                                self._on_command)
        self.told = graph.listen(topics.TYPES[topics.EPISODE_EVENT], topics.EPISODE_EVENT,
                                 topics.LATCHED)

    def _on_command(self, message: Any) -> None:
        self.commands.append((codec.stamp_ns(message.header.stamp), tuple(message.effort)))

    def moving(self) -> bool:
        """Say whether the planner has driven for a while in the newest episode."""
        kinds = [codec.event_from_msg(m).kind for m in self.told]
        last = [effort for _, effort in self.commands[-4:]]
        return bool(kinds) and kinds[-1] is EventKind.START and len(last) == 4 and all(
            any(effort) for effort in last)

    def zero(self, since: int) -> bool:
        """Say whether a command of the fallback came that was sent since a moment [ns]."""
        return any(at > since and not any(effort) for at, effort in self.commands)

    def ended(self, since: int) -> tuple[int, EventKind] | None:
        """Return when [ns, system] and how the planner's commands ended since a moment."""
        events = map(codec.event_from_msg, self.told)
        return min(((e.stamp_ns, e.kind) for e in events if e.stamp_ns >= since and (
            e.kind is EventKind.FALLBACK_ON or e.kind in TERMINAL)), default=None)

    def strike(self, planner: Callable[[], None]) -> tuple[int, EventKind]:
        """
        Strike the planner mid-motion; return last command -> end of its commands [ns], and how.

        By when they were sent: when a test that shares its cores hears of it is another matter.
        """
        self.graph.until(self.moving, timeout_s=60.0)
        planner()
        last = max(at for at, effort in self.commands if any(effort))
        self.graph.until(lambda: self.ended(last), 60.0)
        self.graph.until(lambda: self.zero(last), 60.0)
        ended = self.ended(last)
        assert ended is not None
        at, kind = ended
        return at - max(sent for sent, effort in self.commands
                        if any(effort) and sent <= at), kind


@pytest.fixture
def processes(domain_id: int, tmp_path: Path) -> Iterator[dict[str, NodeProcess]]:
    environment = node_environment(domain_id)
    common = {'scenario': 'reacher', 'nodes': list(NODES), 'episodes': 1000}
    made = {name: NodeProcess(name, common | ({'autostart': True} if name == 'planner' else {}),
                              tmp_path / f'{name}.log', environment) for name in NODES}
    yield made
    end([made['plant'], made['supervisor']])
    made['planner'].kill()


@pytest.mark.slow
def test_the_fallback_is_out_in_time_whenever_the_planner_dies(
    make_graph: Any, processes: dict[str, NodeProcess], monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    audience = Audience(make_graph())
    planner = processes['planner']
    waits: list[int] = []
    while len(waits) < FREEZES:
        wait, kind = audience.strike(lambda: planner.suspend(True))
        planner.suspend(False)
        # an episode that ends in that very moment ends in a zero command without a fallback
        if kind is EventKind.FALLBACK_ON:
            waits.append(wait)
    waits.append(audience.strike(planner.kill)[0])
    assert max(waits) <= WITHIN_NS, [f'{w / 1e6:.1f} ms' for w in waits]
