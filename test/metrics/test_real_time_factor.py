"""The run of simulated time against the wall."""

from __future__ import annotations

from types import ModuleType

import pytest

from wm_eval_ros.records import SampleRecord
from wm_eval_ros.scoring.scorer import score

S = 10**9


def test_the_interval_is_of_the_factor_that_is_reported(scenes: ModuleType) -> None:
    used = [{'topic': '/joints', 'age_ms': 5.0}]
    # 40 s at full pace, then 8 s at a tenth of it, which no full window holds
    arrived = [(log, log if log <= 40 else 40 + (log - 40) / 10) for log in range(49)]
    card = score([scenes.cycle(0, inputs=used), *(
        SampleRecord('/joints', int(stamp * S), int(log * S)) for log, stamp in arrived)])
    found = card['real_time_factor']
    assert found.value == pytest.approx(40.8 / 48)
    assert found.value is not None and found.interval is not None
    # 5 pieces of 9.6 s on average, residuals 4 times 10 - 8.5 = 1.5, and 0.8 - 6.8 = -6
    sd = ((4 * 1.5**2 + 6.0**2) / 4)**0.5 / 9.6
    assert found.interval.high - found.value == pytest.approx(2.776445 * sd / 5**0.5)
    assert found.interval.low < found.value < found.interval.high
