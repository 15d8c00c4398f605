"""What the bench of two clocks counts."""

from __future__ import annotations

from typing import Any

import pytest


def test_runs_that_told_nothing_are_shown_and_are_no_evidence(load: Any) -> None:
    bench = load('bench_two_clocks')
    held = bench.Found(100.0, 2.0, 4.0, offset=99.0, uncertainty=3.0, held=4.0, true=4.5,
                       value=3.5, low=0.5, high=6.5)
    missed = bench.Found(100.0, 2.0, 4.0, offset=104.0, uncertainty=3.0, held=4.0, true=4.5,
                         value=8.5, low=5.5, high=11.5)
    untold = bench.Found(100.0, 2.0, 4.0, why='the run did not come to its end:\nplanner.log: no')
    found = bench.summary([held, missed, untold])
    assert (found['runs'], found['told'], found['inside']) == (3, 2, 1)
    assert (found['clocks'], found['clocks_inside']) == (2, 1)
    assert found['error_p50_ms'] == pytest.approx(2.5)
    assert found['error_max_ms'] == pytest.approx(4.0)
    assert found['uncertainty_p50_ms'] == pytest.approx(3.0)
    lines = bench.table([held, missed, untold])
    assert [line.rstrip().rpartition(' ')[2] for line in lines[1:3]] == ['yes', 'NO']
    assert lines[3].endswith('the run did not come to its end:')
    assert '1 of 2 runs' in bench.verdict(found)[0]
    assert bench.verdict(bench.summary([untold])) == ['no run has told a one-way time']
