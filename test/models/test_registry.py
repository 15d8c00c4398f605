"""The registry: versions that never change, one pointer, a history that only grows."""

from __future__ import annotations

import json
from pathlib import Path
import shutil
from typing import Any

from hypothesis import settings
from hypothesis.stateful import invariant, precondition, rule, RuleBasedStateMachine
import pytest

from wm_eval_ros.errors import CheckpointError, RecordingError
from wm_eval_ros.models.checkpoint import find_checkpoint, load_checkpoint
from wm_eval_ros.models.registry import CURRENT, HISTORY, Registry

SHIPPED = find_checkpoint('reacher')


def copy(folder: Path) -> Any:
    return shutil.copytree(SHIPPED, folder)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / 'reacher')


def test_versions_count_up_and_none_is_in_force_before_one_is_promoted(registry: Registry) -> None:
    assert [registry.add(copy, {}) for _ in range(2)] == [1, 2]
    assert registry.current() is None
    registry.promote(2, {'why': 'first'})
    assert registry.current() == 2


def test_a_registry_stands_for_its_version_in_force(registry: Registry) -> None:
    registry.add(copy, {})
    with pytest.raises(CheckpointError, match='no version of this registry is in force'):
        find_checkpoint(str(registry.folder))
    registry.promote(1, {})
    assert find_checkpoint(str(registry.folder)) == registry.path(1)
    assert load_checkpoint(find_checkpoint(str(registry.folder))).spec.name == 'reacher'


def test_rollback_goes_back_by_one_promotion_at_a_time(registry: Registry) -> None:
    for version in (1, 2, 3):
        registry.add(copy, {})
        registry.promote(version, {})
    assert [registry.rollback({}) for _ in range(2)] == [2, 1]
    with pytest.raises(CheckpointError, match='nothing to roll back to'):
        registry.rollback({})
    assert [entry['what'] for entry in registry.history()][-2:] == ['rolled_back', 'rolled_back']
    registry.promote(3, {})
    assert registry.rollback({}) == 1


def test_a_rejected_version_leaves_the_pointer(registry: Registry) -> None:
    for _ in range(2):
        registry.add(copy, {})
    registry.promote(1, {})
    registry.reject(2, {'why': 'worse'})
    assert registry.current() == 1
    last = registry.history()[-1]
    assert (last['what'], last['version'], last['current']) == ('rejected', 2, 1)


def test_a_version_that_could_not_be_written_is_not_there(registry: Registry) -> None:
    def half(folder: Path) -> None:
        folder.mkdir(parents=True)
        raise OSError(28, 'No space left on device')

    with pytest.raises(RecordingError, match='No space left'):
        registry.add(half, {})
    assert registry.versions() == ()
    assert list((registry.folder / 'versions').iterdir()) == []


def test_a_promotion_that_ended_before_the_pointer_moved_is_none(registry: Registry) -> None:
    for version in (1, 2):
        registry.add(copy, {})
        registry.promote(version, {})
    (registry.folder / CURRENT).write_text('{"version": 1}')
    with pytest.raises(CheckpointError, match='nothing to roll back to'):
        registry.rollback({})


def test_a_cut_off_last_line_is_left_out_of_the_history(registry: Registry) -> None:
    registry.add(copy, {})
    with (registry.folder / HISTORY).open('a') as file:
        file.write('{"what": "promo')
    assert [entry['what'] for entry in registry.history()] == ['added']
    registry.promote(1, {})
    assert [entry['what'] for entry in registry.history()] == ['added', 'promoted']


def test_a_rollback_that_ended_before_the_pointer_moved_can_be_done_again(
    registry: Registry,
) -> None:
    for version in (1, 2):
        registry.add(copy, {})
        registry.promote(version, {})
    assert registry.rollback({}) == 1
    (registry.folder / CURRENT).write_text('{"version": 2}')
    assert registry.rollback({}) == 1
    assert registry.current() == 1


def test_a_rollback_done_again_loses_no_version_that_was_in_force(registry: Registry) -> None:
    for _ in range(3):
        registry.add(copy, {})
    registry.promote(1, {})
    registry.promote(2, {})
    registry.rollback({})
    (registry.folder / CURRENT).write_text('{"version": 2}')
    registry.rollback({})
    registry.promote(3, {})
    assert registry.rollback({}) == 1


def test_rollback_never_reaches_a_version_that_was_not_in_force(registry: Registry) -> None:
    for _ in range(3):
        registry.add(copy, {})
    registry.promote(1, {})
    registry.promote(2, {})
    # ended before the pointer moved
    (registry.folder / CURRENT).write_text('{"version": 1}')
    registry.promote(3, {})
    assert registry.rollback({}) == 1


@pytest.mark.parametrize('text', ['', '[]', '{"version": "1"}', '{"version": 9}', 'x' * 99999])
def test_a_damaged_pointer_is_refused_in_one_line(registry: Registry, text: str) -> None:
    registry.add(copy, {})
    (registry.folder / CURRENT).write_text(text)
    with pytest.raises(CheckpointError) as caught:
        find_checkpoint(str(registry.folder))
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('text', ['', '[]', '{"version": 9}'])
def test_a_promotion_mends_a_damaged_pointer_and_loses_no_version(
    registry: Registry, text: str,
) -> None:
    for _ in range(3):
        registry.add(copy, {})
    registry.promote(1, {})
    registry.promote(2, {})
    (registry.folder / CURRENT).write_text(text)
    with pytest.raises(CheckpointError, match='promote one anew'):
        registry.rollback({})
    registry.promote(3, {})
    assert registry.current() == 3
    assert registry.history()[-1]['before'] is None
    assert [registry.rollback({}) for _ in range(2)] == [2, 1]


def test_the_version_whose_pointer_was_damaged_is_promoted_anew_and_taken_back(
    registry: Registry,
) -> None:
    for version in (1, 2):
        registry.add(copy, {})
        registry.promote(version, {})
    (registry.folder / CURRENT).write_text('')
    registry.promote(2, {})
    assert registry.rollback({}) == 1


def test_to_promote_what_is_in_force_leaves_what_a_rollback_goes_to(registry: Registry) -> None:
    for version in (1, 2):
        registry.add(copy, {})
        registry.promote(version, {})
    registry.promote(2, {'why': 'tried once more'})
    assert registry.history()[-1]['why'] == 'tried once more'
    assert registry.rollback({}) == 1
    assert registry.current() == 1


def test_a_rollback_that_once_led_to_the_same_version_is_none(registry: Registry) -> None:
    for version in (1, 2):
        registry.add(copy, {})
        registry.promote(version, {})
    with (registry.folder / HISTORY).open('a') as file:
        # as it was written when a version promoted twice was counted twice
        for what in ('promoted', 'rolled_back'):
            file.write(json.dumps({'what': what, 'version': 2, 'before': 2}) + '\n')
    assert registry.rollback({}) == 1


class Promotions(RuleBasedStateMachine):
    """Promotions and rollbacks in any order against a stack."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile
        self._scratch = tempfile.TemporaryDirectory()
        self.registry = Registry(Path(self._scratch.name) / 'r')
        self.stack: list[int] = []
        self.lines = 0

    def teardown(self) -> None:
        self._scratch.cleanup()

    @rule()
    def add_and_promote(self) -> None:
        self.stack.append(self.registry.add(copy, {}))
        self.registry.promote(self.stack[-1], {})

    @precondition(lambda self: self.stack)
    @rule()
    def promote_the_first_again(self) -> None:
        self.registry.promote(1, {})
        if self.stack[-1] != 1:
            self.stack.append(1)

    @precondition(lambda self: self.stack)
    @rule()
    def damage_the_pointer_and_promote_the_first(self) -> None:
        (self.registry.folder / CURRENT).write_text('')
        self.promote_the_first_again()

    @precondition(lambda self: len(self.stack) > 1)
    @rule()
    def roll_back(self) -> None:
        self.stack.pop()
        assert self.registry.rollback({}) == self.stack[-1]

    @invariant()
    def the_pointer_is_the_top_and_the_history_grows(self) -> None:
        assert self.registry.current() == (self.stack[-1] if self.stack else None)
        path = self.registry.folder / HISTORY
        lines = path.read_text().splitlines() if path.exists() else []
        assert len(lines) >= self.lines
        self.lines = len(lines)
        assert all(json.loads(line)['time_ns'] > 0 for line in lines)


TestPromotions = Promotions.TestCase
TestPromotions.settings = settings(max_examples=15, stateful_step_count=10, deadline=None)


