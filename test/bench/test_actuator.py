"""The comparison of the actuator's bench, by hand; nothing here is timed."""

from __future__ import annotations

from typing import Any

import pytest

from wm_eval_ros.wire.serial_frames import Answer, Applied, line_ns

MS = 1_000_000
BAUD = 115200


def test_a_time_is_held_against_the_log_of_its_own_command(load: Any) -> None:
    bench = load('bench_actuator')
    line, asked = line_ns(25, BAUD), line_ns(29, BAUD)
    # the clock shows 5 s more; either way takes 0.1 ms beyond its bits
    answers = [(Answer(k * 100 * MS, (k * 100 * MS + asked + MS // 10 + 5000 * MS) // 1000,
                       (k * 100 * MS + asked + MS // 10 + 5000 * MS) // 1000),
                k * 100 * MS + 2 * asked + MS // 5) for k in range(5)]
    at = [50 * MS, 150 * MS]
    acted = [(Applied(k, k, 0, (t + 5000 * MS) // 1000), t) for k, t in enumerate(at)]
    sent = [t - line - 2 * MS for t in at]
    found = bench.compared(BAUD, 5.0, 0.0, sent, [*answers, *acted], dict(enumerate(at)))
    assert (found.commands, found.inside, found.exchanges, found.hold) == (2, 2, 5, True)
    assert found.off_max == pytest.approx(0.0, abs=0.003)
    # in the middle between two questions
    assert found.half_p50 == pytest.approx(0.1 + 0.001 + 0.05, abs=0.005)
    assert found.beyond_line_p50 == pytest.approx(2.0)
    # 1 ms off: outside
    wrong = bench.compared(BAUD, 5.0, 0.0, sent, [*answers, *acted], {0: at[0] + MS, 1: at[1]})
    assert wrong.inside == 1
