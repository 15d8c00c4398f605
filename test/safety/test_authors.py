"""Who may publish: strangers, twins, the dead who linger, and writers without a name."""

from __future__ import annotations

import pytest

from wm_eval_ros.safety.authors import Authors, Endpoint

S = 1_000_000_000
OURS = Endpoint(b'1', '/supervisor')
NAMELESS = Endpoint(b'2', None)


def authors(*, only_one: bool = True) -> Authors:
    return Authors('/cmd', '/supervisor', only_one=only_one)


@pytest.mark.parametrize(('others', 'want'), [
    pytest.param([], '', id='alone'),
    pytest.param([Endpoint(b'3', '/ns/x'), Endpoint(b'2', '/a')],
                 '/a, /ns/x publishes on /cmd beside /supervisor', id='strangers'),
    pytest.param([Endpoint(b'2', '/supervisor')],
                 '2 publishers named /supervisor on /cmd', id='a-twin'),
])
def test_strangers_and_twins_are_told(others: list[Endpoint], want: str) -> None:
    assert authors().trouble([OURS, *others], 0) == want


def test_where_liveliness_tells_twins_apart_they_are_none_of_this(
) -> None:
    assert authors(only_one=False).trouble([OURS, Endpoint(b'2', '/supervisor')], 0) == ''


@pytest.mark.parametrize(('only_one', 'patience_s'), [
    pytest.param(True, 5, id='on-the-actuators'), pytest.param(False, 25, id='on-proposals')])
def test_a_writer_that_never_says_its_name_is_foreign_after_a_while(
    only_one: bool, patience_s: int,
) -> None:
    found = authors(only_one=only_one)
    assert found.trouble([OURS], 0) == ''
    assert not found.waiting
    assert found.trouble([OURS, NAMELESS], S) == ''
    assert found.waiting
    assert found.trouble([OURS, NAMELESS], (1 + patience_s) * S) == ''
    assert found.trouble([OURS, NAMELESS], (1 + patience_s) * S + 1) == (
        'a writer without a node (1) publishes on /cmd beside /supervisor')
    assert found.trouble([OURS], 40 * S) == '', 'it is gone'


def test_what_may_be_the_rest_of_somebody_killed_has_as_long_as_it_lingers() -> None:
    once_named = authors()
    once_named.trouble([OURS], 0)
    once_named.trouble([OURS, Endpoint(b'2', '/supervisor')], S)
    before_us = authors()
    for found in (once_named, before_us):
        assert found.trouble([OURS, NAMELESS], 2 * S) == ''
        assert found.trouble([OURS, NAMELESS], 27 * S) == ''
        assert 'without a node' in found.trouble([OURS, NAMELESS], 27 * S + 1)
