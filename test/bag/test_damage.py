"""Damaged bags: a clear refusal, or every message; never fewer without a word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import random

import pytest

from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.errors import BagError

COUNT = 400


@pytest.fixture
def whole(make_joint_bag: Callable[..., Path]) -> tuple[Path, bytes, list[tuple[int, bytes]]]:
    """Return a file to damage, its bytes, and what it holds."""
    path = make_joint_bag(COUNT) / 'joints_0.mcap'
    with open_bag(path) as bag:
        messages = [(m.log_ns, m.data) for m in bag.messages()]
    return path, path.read_bytes(), messages


def read(path: Path, *, salvage: bool) -> tuple[list[tuple[int, bytes]], tuple[str, ...]]:
    with open_bag(path, salvage=salvage) as bag:
        messages = [(m.log_ns, m.data) for m in bag.messages()]
        for message in bag.records():
            assert message
        return messages, bag.notes


def test_a_file_cut_anywhere_is_refused_and_salvaged_to_a_prefix(
    whole: tuple[Path, bytes, list[tuple[int, bytes]]],
) -> None:
    path, data, messages = whole
    lengths = {*range(40), *range(40, len(data), 997), *range(len(data) - 300, len(data))}
    for length in sorted(lengths):
        path.write_bytes(data[:length])
        with pytest.raises(BagError) as caught:
            read(path, salvage=False)
        assert str(path) in str(caught.value) and '\n' not in str(caught.value)
        try:
            found, notes = read(path, salvage=True)
        except BagError as error:
            assert 'empty' in str(error) or 'no MCAP' in str(error) or 'no bag' in str(error)
        else:
            assert notes
            assert found == messages[:len(found)]


def flips(data: bytes, number: int) -> list[tuple[int, int]]:
    pick = random.Random(7)
    return [(pick.randrange(len(data)), 1 << pick.randrange(8)) for _ in range(number)]


def test_a_flipped_bit_is_noticed_or_changes_nothing(
    whole: tuple[Path, bytes, list[tuple[int, bytes]]],
) -> None:
    path, data, messages = whole
    for place, bit in flips(data, 600):
        damaged = bytearray(data)
        damaged[place] ^= bit
        path.write_bytes(damaged)
        try:
            found, _ = read(path, salvage=False)
        except BagError as error:
            assert '\n' not in str(error)
        else:
            assert found == messages, f'byte {place}, bit {bit}'


def test_salvage_of_a_flipped_bit_gives_true_messages_and_says_what_is_missing(
    whole: tuple[Path, bytes, list[tuple[int, bytes]]],
) -> None:
    path, data, messages = whole
    true = set(messages)
    for place, bit in flips(data, 200):
        damaged = bytearray(data)
        damaged[place] ^= bit
        path.write_bytes(damaged)
        try:
            found, notes = read(path, salvage=True)
        except BagError:
            continue
        assert set(found) <= true
        assert notes or found == messages, f'byte {place}, bit {bit}'


def test_zeroed_and_random_stretches_are_noticed(
    whole: tuple[Path, bytes, list[tuple[int, bytes]]],
) -> None:
    path, data, messages = whole
    pick = random.Random(8)
    for number in range(100):
        start = pick.randrange(len(data))
        size = min(pick.choice([16, 512, 8192]), len(data) - start)
        filler = bytes(size) if number % 2 else pick.randbytes(size)
        path.write_bytes(data[:start] + filler + data[start + size:])
        try:
            found, _ = read(path, salvage=False)
        except BagError as error:
            assert '\n' not in str(error)
        else:
            assert found == messages


def test_a_damaged_sqlite_file_is_refused_in_one_line(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / 'dev_format_zoo/rosbag2_py__sqlite3__wbag/wbag_0.db3'
    data = source.read_bytes()
    path = tmp_path / 'x.db3'
    for length in (0, 1, 15, 16, 99, 100, 4095, 4096, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(BagError) as caught:
            read(path, salvage=False)
        assert '\n' not in str(caught.value)
