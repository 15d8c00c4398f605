"""Rolling checks of one topic: figures worked out by hand, whatever the batches they come in."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

from wm_eval_ros.bag.columns import Columns, from_payloads, ROW
from wm_eval_ros.bag.findings import duration, Finding, Severity
from wm_eval_ros.bag.histogram import LogHistogram
from wm_eval_ros.bag.steps import Steps
from wm_eval_ros.bag.watch import Stamps, TopicWatch
from wm_eval_ros.records import NO_SEQUENCE

MS, S = 10**6, 10**9
START = 1_700_000_000 * S


def columns(log_ns: list[int], sequences: list[int] | None = None,
            payloads: list[bytes] | None = None) -> Columns:
    rows = np.zeros(len(log_ns), ROW)
    rows['log_ns'] = log_ns
    rows['sequence'] = NO_SEQUENCE if sequences is None else sequences
    return from_payloads(rows, payloads or [bytes([n % 251]) for n in range(len(log_ns))])


def look(log_ns: list[int], stamps: list[int] | None = None, cuts: tuple[int, ...] = (),
         **more: list) -> dict[str, Finding]:
    watch = TopicWatch('/t')
    stamps_ns = None if stamps is None else np.array(stamps, np.int64)
    whole = columns(log_ns, **more)
    for first, last in pairwise((0, *cuts, len(log_ns))):
        if last > first:
            watch.add(whole[first:last], None if stamps_ns is None else stamps_ns[first:last])
    found = watch.findings(log_ns[0])
    return {finding.kind: finding for finding in found}


def every(step_ms: float, count: int, start: int = START) -> list[int]:
    return [start + round(n * step_ms * MS) for n in range(count)]


def test_a_gap_is_longer_than_the_rate_explains_and_named_with_time_and_size() -> None:
    times = every(10, 200)
    times += every(10, 100, times[-1] + 300 * MS)
    gap = look(times)['gap']
    assert gap.value == 300
    assert gap.at_ns == START + 1990 * MS
    assert gap.severity is Severity.WARNING  # 290 of 3280 ms are 8.8 %
    assert '1 gaps, 8.8% of its time, the longest 300 ms from 2.0 s into the bag' in gap.what


def test_a_gap_of_a_small_share_is_only_told() -> None:
    times = every(10, 2000)
    assert look(times + every(10, 100, times[-1] + 300 * MS))['gap'].severity is Severity.INFO


@pytest.mark.parametrize('times', [
    pytest.param(every(1000, 30), id='a-slow-topic'),
    pytest.param([START], id='one-message'),
    pytest.param([START] * 5, id='all-at-once'),
    pytest.param([START + n * MS for n in (0, 1, 2, 3, 500, 501, 502, 900, 901, 2000)],
                 id='no-rate-at-all'),
])
def test_no_gap_is_seen_where_there_is_none(times: list[int]) -> None:
    assert look(times) == {}


def test_a_rate_that_changes_is_named_with_both_rates() -> None:
    times = every(10, 1000)
    found = look(times + every(12.5, 800, times[-1] + 12_500_000))['rate']
    assert found.severity is Severity.WARNING
    assert found.value == pytest.approx(0.25, abs=0.03)


def test_a_rate_that_changes_by_less_than_a_tenth_is_constant() -> None:
    times = every(10, 1000)
    assert look(times + every(10.7, 800, times[-1] + 10_700_000)) == {}


def test_zero_stamps_and_stamps_that_fall_are_counted() -> None:
    times = every(10, 6)
    stamps = [t - MS for t in times]
    stamps[2] = 0
    stamps[4] = stamps[3] - 7 * MS
    found = look(times, stamps)
    assert found['stamp'].value == 1
    assert found['order'].value == 1
    assert 'by up to 7.0 ms' in found['order'].what


def test_zero_is_a_time_like_any_other_in_simulated_time() -> None:
    watch = TopicWatch('/t')
    watch.add(columns(every(10, 3)), np.array([0, 10 * MS, 20 * MS]))
    assert not list(watch.findings(START, simulated=True))


@pytest.mark.parametrize(('numbers', 'want'), [
    ([7], None), ([1, 2, 3], None), ([1, 4], 2), ([9, 1, 2], None), ([1, 1, 3], 1),
    ([1, 3, NO_SEQUENCE, 5], 2), ([NO_SEQUENCE, NO_SEQUENCE], None),
])
def test_numbers_that_are_missing_are_counted(numbers: list[int], want: int | None) -> None:
    found = look(every(10, len(numbers)), sequences=numbers).get('lost')
    assert (found.value if found else None) == want


def test_what_numbers_of_publishers_by_turns_seem_to_miss_is_not_told_for_certain() -> None:
    for numbers, falls in (([1, 2, 5, 1, 2], None), ([4, 1, 5, 2, 6], 2)):
        found = look(every(10, len(numbers)), sequences=numbers)['lost']
        assert ('; or fewer' in found.what) == (falls is not None)
        assert falls is None or f'fall {falls} times' in found.what


def test_equal_messages_are_counted_to_the_bit() -> None:
    found = look(every(10, 5), payloads=[b'a', b'a', b'b', b'a', b'a'])
    assert found['repeats'].value == 2


def test_equal_payloads_with_other_stamps_cannot_be_told_to_be_equal() -> None:
    times = every(10, 3)
    found = look(times, [1, 1, 2], payloads=[b'a', b'a', b'a'])
    assert found['repeats'].value == 1  # the stamp is in the payload: only those may be equal


@settings(max_examples=40)
@given(st.data())
def test_what_is_found_does_not_depend_on_the_batches(data: st.DataObject) -> None:
    steps = data.draw(st.lists(st.integers(0, 3 * S), min_size=1, max_size=80))
    times = (START + np.cumsum(steps)).tolist()
    stamps = [t + data.draw(st.integers(-S, S)) for t in times]
    numbers = [data.draw(st.integers(1, 9)) for _ in times]
    payloads = [bytes([data.draw(st.integers(0, 1))]) for _ in times]
    cuts = tuple(sorted(data.draw(st.sets(st.integers(1, len(times)), max_size=5))))
    assert look(times, stamps, cuts, sequences=numbers, payloads=payloads) == look(
        times, stamps, sequences=numbers, payloads=payloads)


@given(st.lists(st.integers(1, 2**62), min_size=1, max_size=200), st.floats(0, 1))
def test_a_quantile_is_off_by_no_more_than_the_width_of_a_bin(
    values: list[int], share: float,
) -> None:
    found = LogHistogram()
    found.add(np.array(values))
    exact = np.sort(values)[max(0, int(np.ceil(share * len(values))) - 1)]
    assert found.quantile(share) == pytest.approx(exact, rel=2 ** (1 / 64) - 1 + 1e-9)


def test_values_of_one_size_have_an_exact_median() -> None:
    found = LogHistogram()
    assert found.quantile(0.5) is None
    found.add(np.full(7, 10_000_001))
    assert found.quantile(0.5) == 10_000_001
    assert found.above(10_000_000) == (7, 70_000_007)


def stamped(offset_of: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return steps found in a 10 Hz topic whose stamps are so far ahead from so many s on."""
    steps = Steps(100 * MS)
    for n in range(200):
        at = START + n * 100 * MS
        offset = [o for since, o in offset_of if n * 100 * MS >= since][-1]
        steps.add(np.array([at]), np.array([offset]))
    return [(step.at_ns - START, step.size_ns) for step in steps.found]


def test_a_clock_that_is_set_is_found_with_time_and_size() -> None:
    assert stamped([(0, 0), (10 * S, 250 * MS)]) == [(10 * S, 250 * MS)]
    assert stamped([(0, 0), (10 * S, -2 * S), (15 * S, 0)]) == [
        (10 * S, -2 * S), (15 * S, 2 * S)]


@pytest.mark.parametrize('offsets', [
    pytest.param([(0, 0), (10 * S, 90 * MS)], id='too-small'),
    pytest.param([(0, 0), (10 * S, -3 * S), (12 * S, 0)], id='two-seconds-of-delay'),
    pytest.param([(0, 0), (19 * S, 5 * S)], id='too-late-to-be-sure'),
    pytest.param([(n * S // 10, n * 20 * MS) for n in range(200)], id='slow-simulated-time'),
])
def test_what_is_no_step_is_none(offsets: list[tuple[int, int]]) -> None:
    assert stamped(offsets) == []


def test_delays_do_not_hide_a_step_and_are_none() -> None:
    rng = np.random.default_rng(1)
    steps = Steps(100 * MS)
    times = np.array(every(10, 3000))
    late = rng.exponential(60 * MS, 3000).astype(np.int64)
    steps.add(times, np.where(times < START + 15 * S, 0, -400 * MS) - late)
    assert [round(s.size_ns / MS, -2) for s in steps.found] == [-400]


@pytest.mark.parametrize(('span', 'want'), [
    (250_000, '0.2 ms'), (-775e6, '775 ms'), (32.6e9, '32.6 s'), (5.7e15, '66.0 days'),
])
def test_a_span_is_told_in_a_unit_that_suits_it(span: float, want: str) -> None:
    assert duration(span) == want


WHATEVER = st.integers(-2**63, 2**63 - 1)


@given(st.lists(st.tuples(WHATEVER, WHATEVER, st.integers(0, 2**64 - 1)), min_size=1))
def test_no_time_and_no_number_is_too_odd(messages: list[tuple[int, int, int]]) -> None:
    messages.sort()
    with np.errstate(all='raise', over='ignore'):
        look([m[0] for m in messages], [m[1] for m in messages],
             sequences=[m[2] for m in messages])


@pytest.mark.parametrize(('stamp', 'log', 'sign'), [
    (-2 * 10**18, 2**63 - 1, -1), (2 * 10**18, -2**63, 1), (0x7fff_ffff * 10**9, -2**63 + 1, 1)])
def test_times_too_far_apart_for_64_bits_keep_their_side(stamp: int, log: int, sign: int) -> None:
    stamps = Stamps()
    stamps.add(np.array([stamp, 5], np.int64), np.array([log, log], np.int64))
    found = stamps.offset_ns
    assert found is not None
    assert sign * found == pytest.approx(2**62, rel=0.05)
