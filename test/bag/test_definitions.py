from __future__ import annotations

from contextlib import closing
from pathlib import Path
import sqlite3
from struct import pack

from mcap.writer import Writer
import pytest

from wm_eval_ros.bag.definitions import bag_types, complete, definition, known_types, register
from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.errors import BagError

OURS = ('PlannerCycle', 'EpisodeEvent', 'InputRef', 'MetricArray', 'RecorderStatus', 'LinkEvent',
        'ClockExchange')


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


TYPE = 'lab_msgs/msg/Reading'
SEPARATOR = '=' * 80 + '\n'
MSG = f"""std_msgs/Header header
Cell[] cells
{SEPARATOR}MSG: lab_msgs/Cell
float64 volt
string name
"""
CELL_IDL = """module lab_msgs { module msg {
  module Cell_Constants { const long LIMIT = 3; };
  @verbatim (language="comment", text="one cell")
  struct Cell { double volt; string name; };
}; };
"""
READING_IDL = """#include "std_msgs/msg/Header.idl"
#include "lab_msgs/msg/Cell.idl"
module lab_msgs { module msg {
  struct Reading { std_msgs::msg::Header header; sequence<lab_msgs::msg::Cell> cells; };
}; };
"""
IDL = (f'{SEPARATOR}IDL: lab_msgs/msg/Reading\n{READING_IDL}\n'
       f'{SEPARATOR}IDL: lab_msgs/msg/Cell\n{CELL_IDL}')
#: stamp 7.5 s, an empty frame, one cell of 3.25 V named a
DATA = (b'\0\1\0\0' + pack('<iI', 7, 500_000_000) + pack('<I', 1) + bytes(4) + pack('<I', 1)
        + bytes(4) + pack('<d', 3.25) + pack('<I', 2) + b'a\0')


def write_mcap(path: Path, encoding: str, text: str, data: bytes = DATA) -> Path:
    with path.open('wb') as file:
        writer = Writer(file)
        writer.start('ros2')
        schema = writer.register_schema(TYPE, encoding, text.encode())
        channel = writer.register_channel('/t', 'cdr', schema)
        writer.add_message(channel, 10**18, data, 10**18)
        writer.finish()  # type: ignore[no-untyped-call]
    return path


def write_sqlite(path: Path, encoding: str, text: str) -> Path:
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(
            'CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT, '
            'serialization_format TEXT, offered_qos_profiles TEXT);'
            'CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, '
            'data BLOB);'
            'CREATE TABLE message_definitions(id INTEGER PRIMARY KEY, topic_type TEXT, '
            'encoding TEXT, encoded_message_definition TEXT, type_description_hash TEXT)')
        database.execute("INSERT INTO topics VALUES (1, '/t', ?, 'cdr', '')", (TYPE,))
        database.execute('INSERT INTO messages VALUES (1, 1, ?, ?)', (10**18, DATA))
        if encoding:
            database.execute('INSERT INTO message_definitions VALUES (1, ?, ?, ?, ?)',
                             (TYPE, encoding, text, ''))
    return path


@pytest.mark.parametrize('write', [write_mcap, write_sqlite])
@pytest.mark.parametrize(('encoding', 'text', 'definitions'), [
    pytest.param('ros2msg', MSG, {}, id='msg-embedded'),
    pytest.param('ros2idl', IDL, {}, id='idl-embedded'),
    pytest.param('', '', {TYPE: MSG}, id='msg-passed'),
    pytest.param('', '', {TYPE: IDL}, id='idl-passed'),
    pytest.param('', '', {TYPE: READING_IDL, 'lab_msgs/msg/Cell': CELL_IDL}, id='idl-in-parts'),
])
def test_a_type_of_one_s_own_is_decoded(
    tmp_path: Path, write: type, encoding: str, text: str, definitions: dict[str, str],
) -> None:
    with open_bag(write(tmp_path / 'x', encoding, text), definitions=definitions) as bag:
        (_, found), = bag.decoded(['/t'])
        assert (found.cells[0].volt, found.cells[0].name) == (3.25, 'a')
        record, = bag.records()
        assert record.stamp_ns == 7_500_000_000


def test_what_a_bag_embeds_comes_before_what_is_passed(tmp_path: Path) -> None:
    other = {TYPE: MSG.replace('float64 volt', 'float64 ampere')}
    with open_bag(write_mcap(tmp_path / 'x.mcap', 'ros2msg', MSG), definitions=other) as bag:
        (_, found), = bag.decoded(['/t'])
        assert found.cells[0].volt == 3.25
    with open_bag(write_mcap(tmp_path / 'y.mcap', 'ros2msg', 'nope[ x'), definitions=other) as bag:
        (_, found), = bag.decoded(['/t'])
        assert found.cells[0].ampere == 3.25


@pytest.mark.parametrize(('encoding', 'text', 'why'), [
    pytest.param('', '', f'no definition of {TYPE}', id='none'),
    pytest.param('ros2idl', 'module lab_msgs {', 'not understood', id='broken-idl'),
    pytest.param('ros2idl', CELL_IDL, 'defines lab_msgs/msg/Cell instead', id='of-another'),
    pytest.param('ros2idl', READING_IDL, 'no definition of lab_msgs/msg/Cell', id='in-parts'),
    pytest.param('ros2msg', 'Cell[] cells', 'no definition of lab_msgs/msg/Cell', id='no-part'),
    pytest.param('protobuf', 'x', "written in 'protobuf'", id='another-language'),
])
def test_a_type_that_cannot_be_decoded_is_named_with_the_reason(
    tmp_path: Path, encoding: str, text: str, why: str,
) -> None:
    with open_bag(write_mcap(tmp_path / 'x.mcap', encoding, text)) as bag:
        assert why in bag.unreadable['/t']
        assert sum(1 for _ in bag.messages()) == 1


def test_a_record_whose_definition_lacks_a_field_is_refused_in_one_line(tmp_path: Path) -> None:
    name = 'wm_eval_ros/msg/EpisodeEvent'
    text = definition(name).text.replace('string label', '')
    store = bag_types()
    register(store, name, text)
    kinds = store.types
    header = kinds['std_msgs/msg/Header'](kinds['builtin_interfaces/msg/Time'](7, 0), '')
    data = bytes(store.serialize_cdr(kinds[name](header, 0, 0, 1.0, 'plant'), name))
    with (tmp_path / 'x.mcap').open('wb') as file:
        writer = Writer(file)
        writer.start('ros2')
        schema = writer.register_schema(name, 'ros2msg', text.encode())
        channel = writer.register_channel('/episode_event', 'cdr', schema)
        writer.add_message(channel, 10**18, data, 10**18)
        writer.finish()  # type: ignore[no-untyped-call]
    with open_bag(tmp_path / 'x.mcap') as bag, pytest.raises(BagError) as caught:
        list(bag.records())
    assert "no attribute 'label'" in str(caught.value) and '\n' not in str(caught.value)


def test_an_empty_definition_is_that_of_a_message_without_fields(tmp_path: Path) -> None:
    with open_bag(write_mcap(tmp_path / 'x.mcap', 'ros2msg', '', b'\0\1\0\0\0')) as bag:
        assert not bag.unreadable
        assert len(list(bag.decoded(['/t']))) == 1


def test_an_empty_definition_of_a_message_with_fields_gives_no_empty_message(
    tmp_path: Path,
) -> None:
    path = write_mcap(tmp_path / 'x.mcap', 'ros2msg', '')
    with open_bag(path) as bag, pytest.raises(BagError, match='is no lab_msgs/msg/Reading'):
        list(bag.decoded(['/t']))


def test_names_in_a_definition_never_reach_generated_code() -> None:
    text = f"string data\n{SEPARATOR}MSG: a/B'\nimport os\nstring x\n"
    with pytest.raises(BagError):
        register(bag_types(), 'a/msg/C', text)
