"""Ten thousand fuzzed commands through the supervisor's own gate: none that is unsafe passes."""

from __future__ import annotations

from collections import Counter
import math
from pathlib import Path
import time
from typing import Any

import numpy as np
import pytest
import yaml

rclpy = pytest.importorskip('rclpy', reason='no ROS 2 here')

from wm_eval_ros.config.scenario import find_scenario, load_scenario  # noqa: E402
from wm_eval_ros.config.schema import to_plain  # noqa: E402
from wm_eval_ros.nodes.ros import message_type  # noqa: E402
from wm_eval_ros.records import EventKind  # noqa: E402
from wm_eval_ros.safety.monitors import Level  # noqa: E402
from wm_eval_ros.safety.state import GateState, PASSING  # noqa: E402
from wm_eval_ros.wire import codec  # noqa: E402

COUNT = 10_000
MS = 1_000_000
#: largest change a period: 0.3 of each field
RATE = 0.3 / 0.05
KINDS = ('good', 'good', 'good', 'nan', 'inf', 'short', 'long', 'names', 'range', 'rate', 'late',
         'again', 'foreign', 'outward')
JOINT = 'joint_states.velocity[joint0]'


def scenario(folder: Path) -> str:
    raw: dict[str, Any] = to_plain(load_scenario(find_scenario('reacher')))
    raw['supervisor'] |= {
        'rate': [RATE, RATE], 'clear_ms': 0.0, 'returns': COUNT,
        'stale_periods': 1000.0, 'late_periods': 1000.0,
        'stop_ms': 60000.0, 'authorised': 'probe', 'liveliness_ms': 60000.0,
        'state_limits': [{'feature': JOINT, 'low': -3.0, 'high': 3.0, 'field': 'effort[joint0]'}]}
    path = folder / 'limits.yaml'
    path.write_text(yaml.safe_dump(raw))
    return str(path)


class Fuzz:
    """Makes commands of every kind of fault, and knows by its own books which are unsafe."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.velocity = 0.0
        self.sent = np.zeros(2)
        self.stamp_ns = 0

    def message(self, kind: str) -> Any:
        rng = self.rng
        effort = np.clip(self.sent + rng.uniform(-0.29, 0.29, 2), -1.0, 1.0)
        if kind == 'rate':
            effort[0] = -np.sign(self.sent[0] or 1.0) * rng.uniform(0.31, 1.0)
        if kind == 'range':
            effort[rng.integers(2)] = rng.choice([-1, 1]) * rng.uniform(1.0001, 1e6)
        if kind in ('nan', 'inf'):
            effort[rng.integers(2)] = math.nan if kind == 'nan' else rng.choice([-1, 1]) * math.inf
        if kind == 'outward':
            effort[0] = abs(effort[0]) + 1e-6
        made = message_type('sensor_msgs/msg/JointState')()
        made.name = ['joint0', 'elbow'] if kind == 'names' else ['joint0', 'joint1']
        made.effort = effort.tolist()[:1] if kind == 'short' else effort.tolist()
        if kind == 'long':
            made.name, made.effort = [*made.name, 'joint2'], [*made.effort, 1.0]
        now_ns = time.time_ns()
        stamp_ns = {'late': now_ns - rng.integers(60, 10_000) * MS, 'again': self.stamp_ns}.get(
            kind, now_ns)
        codec.set_stamp(made.header.stamp, int(stamp_ns))
        return made

    def unsafe(self, kind: str, message: Any) -> str:
        """Say why this command may not pass; worked out without the gate."""
        effort = np.array(message.effort)
        if list(message.name[:2]) != ['joint0', 'joint1'] or len(effort) < 2:
            return 'shape'
        if not np.isfinite(effort[:2]).all() or (np.abs(effort[:2]) > 1.0).any():
            return 'range'
        if (np.abs(effort[:2] - self.sent) > 0.3 + 1e-9).any():
            return 'rate'
        if codec.stamp_ns(message.header.stamp) <= self.stamp_ns:
            return 'sequence'
        if kind in ('late', 'foreign'):
            return kind
        return 'outward' if self.velocity >= 3.0 and effort[0] > 0 else ''


def test_no_unsafe_command_passes_and_every_refusal_is_in_the_events(
    make_graph: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    from wm_eval_ros.nodes.supervisor import SupervisorNode
    make_graph(scenario=scenario(tmp_path), nodes=['supervisor'])
    node = SupervisorNode()
    out: list[Any] = []
    events: list[tuple[EventKind, float]] = []
    monkeypatch.setattr(node, '_publish_command', out.append)
    monkeypatch.setattr(node, '_publish',
                        lambda kind, label, value, stamp_ns: events.append((kind, value)))
    note, refusals = node._note, []

    def noted(decision: Any, stamp_ns: int) -> None:
        refusals.extend([decision.refused] * (decision.refused is not None))
        note(decision, stamp_ns)

    monkeypatch.setattr(node, '_note', noted)
    node.node.get_logger().set_level(rclpy.logging.LoggingSeverity.FATAL)
    node.gate.arm(time.monotonic_ns())
    fuzz = Fuzz(np.random.default_rng(7))
    counts: Counter[str] = Counter()
    for _ in range(COUNT):
        kind = str(fuzz.rng.choice(KINDS))
        fuzz.velocity = 4.0 if kind == 'outward' else float(fuzz.rng.uniform(-2, 2))
        now_ns = time.monotonic_ns()
        names = node.gate.observed.names
        node.gate.observed.update(names.index(JOINT), [fuzz.velocity], now_ns)
        node.gate.watch('publishers', Level.FALLBACK if kind == 'foreign' else Level.CLEAR,
                        'a foreign one', now_ns)
        message = fuzz.message(kind)
        wrong = fuzz.unsafe(kind, message)
        out.clear()
        node._on_proposal(message)
        passed = message.header in [m.header for m in out]
        assert not (passed and wrong), f'{kind}: {wrong}'
        counts['passed' if passed else 'held'] += 1
        for sent in out:
            assert list(sent.name) == ['joint0', 'joint1'], 'what was not judged is not sent'
            assert len(sent.effort) == 2
            assert np.isfinite(sent.effort).all()
            assert (np.abs(np.array(sent.effort)) <= 1.0).all()
            fuzz.sent = np.array(sent.effort)
        if passed:
            fuzz.stamp_ns = codec.stamp_ns(message.header.stamp)
        assert node.gate.state in {*PASSING, GateState.FALLBACK}
    node._tell_refusals(time.time_ns(), rest=True)
    told = [value for kind, value in events if kind is EventKind.COMMAND_REFUSED]
    assert sum(told) == len(refusals) > COUNT / 3
    assert len(told) < len(refusals) / 10, 'few events tell of all'
    assert counts['passed'] > COUNT / 10, 'it does pass what is good'
