"""What is kept of payload messages is exact, small, and blind to their order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
import numpy as np

from wm_eval_ros.metrics.ranges import RangeSet
from wm_eval_ros.metrics.samples import Stream, WINDOW_NS
from wm_eval_ros.records import NO_SEQUENCE, SampleRecord

NUMBERS = st.one_of(st.integers(0, 60), st.integers(0, 2**64 - 2),
                    st.integers(2**64 - 9, 2**64 - 2))


@given(numbers=st.lists(NUMBERS, max_size=80), gaps=st.lists(st.tuples(NUMBERS, NUMBERS)),
       cut=st.integers(0, 80))
def test_ranges_hold_what_a_set_holds(numbers: list[int], gaps: list[tuple[int, int]],
                                      cut: int) -> None:
    ranges = RangeSet()
    for number in numbers[:cut]:
        ranges.add(number)
    ranges.ranges()
    ranges.extend(np.array([*numbers[cut:], NO_SEQUENCE], np.uint64))
    ranges.add(NO_SEQUENCE)
    ends = [(min(g), max(g)) for g in gaps]
    want = sum(low <= n <= high for n in set(numbers) for low, high in ends)
    first, last = (np.array([e[k] for e in ends], np.uint64) for k in (0, 1))
    assert ranges.within(first, last) == want
    low, high = ranges.ranges()
    assert np.all(low <= high)
    assert np.all(low[1:] > high[:-1] + np.uint64(1))


def test_an_hour_without_a_loss_is_one_range() -> None:
    ranges = RangeSet()
    for start in range(0, 360_000, 7000):
        ranges.extend(np.arange(start, start + 7000, dtype=np.uint64)[::-1])
    first, last = ranges.ranges()
    assert (first.tolist(), last.tolist()) == ([0], [363_999])


@given(logs=st.lists(st.integers(-3 * WINDOW_NS, 9 * WINDOW_NS), min_size=1, max_size=60),
       order=st.randoms(use_true_random=False))
def test_the_first_arrival_of_each_window_is_kept(logs: list[int], order: object) -> None:
    pairs = [(log, log // 2 + number) for number, log in enumerate(logs)]
    want = sorted({min(p for p in pairs if p[0] // WINDOW_NS == w)
                   for w in {p[0] // WINDOW_NS for p in pairs}})
    one, many = Stream(), Stream()
    shuffled = list(pairs)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    for log, stamp in shuffled:
        one.add(SampleRecord('/a', stamp, log))
        if stamp % 7 == 0:
            one.arrivals()
    many.extend(np.array([p[1] for p in pairs]), np.array([p[0] for p in pairs]), None)
    for stream in (one, many):
        found = list(zip(*(x.tolist() for x in stream.arrivals()), strict=True))
        assert found == [*want, max(pairs)]
        assert stream.count == len(pairs)


def test_an_hour_at_100_hz_stays_small() -> None:
    stream = Stream()
    for start in range(0, 360_000, 16_384):
        at = np.arange(start, min(start + 16_384, 360_000))
        stream.extend(at * 10**7, at * 10**7, at.astype(np.uint64))
    logs, stamps = stream.arrivals()
    assert len(logs) == 361
    assert np.all(logs == stamps)
    assert len(stream.sequences.ranges()[0]) == 1
