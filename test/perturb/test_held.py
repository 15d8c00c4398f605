"""What is held back leaves when it is due, in order, and never beyond its bound."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wm_eval_ros.perturb.held import Held


def test_what_is_due_leaves_by_time_and_then_by_arrival() -> None:
    held: Held[str] = Held(100)
    for due_ns, item in ((30, 'c'), (10, 'a'), (10, 'b'), (40, 'd')):
        held.put(due_ns, 1, item)
    assert held.next_ns == 10
    assert list(held.due(30)) == ['a', 'b', 'c']
    assert (held.next_ns, list(held.due(39))) == (40, [])


def test_what_goes_beyond_the_bound_is_counted_and_room_comes_back() -> None:
    held: Held[str] = Held(10)
    held.put(1, 6, 'a')
    held.put(2, 6, 'b')
    assert held.refused == 1
    assert list(held.due(5)) == ['a']
    held.put(6, 10, 'c')
    held.clear()
    held.put(7, 10, 'd')
    assert (held.refused, list(held.due(9))) == (1, ['d'])


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9)), max_size=40),
       st.lists(st.integers(0, 60), max_size=10))
def test_nothing_leaves_early_twice_or_out_of_order(
    items: list[tuple[int, int]], looks: list[int],
) -> None:
    held: Held[int] = Held(60)
    for number, (due_ns, size) in enumerate(items):
        held.put(due_ns, size, number)
    left: list[tuple[int, int]] = []
    for now_ns in [*sorted(looks), 100]:
        out = [(items[n][0], n) for n in held.due(now_ns)]
        assert all(due_ns <= now_ns for due_ns, _ in out)
        left += out
    assert left == sorted(left)
    assert len(left) + held.refused == len(items)
