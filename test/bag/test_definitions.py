from __future__ import annotations

import pytest

from wm_eval_ros.bag.definitions import bag_types, complete, definition, known_types, register
from wm_eval_ros.errors import BagError

OURS = ('PlannerCycle', 'EpisodeEvent', 'InputRef', 'MetricArray')


@pytest.mark.parametrize('name', OURS)
def test_an_embedded_definition_decodes_what_the_known_one_encodes(name: str) -> None:
    found = definition(f'wm_eval_ros/msg/{name}')
    store = bag_types()
    register(store, f'wm_eval_ros/msg/{name}', found.text)
    complete(store, f'wm_eval_ros/msg/{name}')
    assert store.hash_rihs01(f'wm_eval_ros/msg/{name}') == found.type_hash


@pytest.mark.parametrize('name', [
    '', 'x', 'a/b/c', 'a/msg/B C', "a/msg/B'\nimport os", 'a/msg/../B', 'a/msg/B/c', '../msg/B',
])
def test_a_name_that_is_none_never_reaches_generated_code(name: str) -> None:
    with pytest.raises(BagError, match='no message type'):
        register(bag_types(), name, 'string data')


@pytest.mark.parametrize('text', ['string', 'string data\n---\nint32 x', 'nope[ x', '\x00'])
def test_a_definition_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BagError):
        register(bag_types(), 'a/msg/B', text)
        complete(bag_types(), 'a/msg/B')


def test_an_unknown_type_has_no_definition() -> None:
    found = definition('nobody_msgs/msg/Nothing')
    assert (found.text, found.type_hash, found.encoding) == ('', '', '')
    assert 'nobody_msgs/msg/Nothing' not in known_types().fielddefs
