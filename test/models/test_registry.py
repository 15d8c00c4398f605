"""The registry: versions that never change, one pointer, a history that only grows."""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path
import shutil
from typing import Any

from hypothesis import settings
from hypothesis.stateful import invariant, precondition, rule, RuleBasedStateMachine
import pytest

from wm_eval_ros.errors import CheckpointError, RecordingError
from wm_eval_ros.models.checkpoint import (
    find_checkpoint,
    load_checkpoint,
    save_checkpoint,
    SPEC,
    WEIGHTS,
)
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


@pytest.mark.parametrize('name', [
    'versions', 'versions/1', 'versions/1/spec.json', 'versions/1/notes', 'current.json',
    'history.jsonl',
])
def test_a_link_in_a_registry_is_neither_followed_nor_written_through(
    registry: Registry, name: str, tmp_path: Path,
) -> None:
    registry.promote(registry.add(copy, {}), {})
    inside, outside = registry.folder / name, tmp_path / 'elsewhere'
    if inside.exists():
        inside.rename(outside)
    inside.symlink_to(outside)
    before = sorted(tmp_path.rglob('*'))
    for act in (lambda: registry.add(copy, {}), lambda: registry.promote(1, {}),
                lambda: registry.rollback({}), lambda: registry.reject(1, {}),
                lambda: registry.use_starts(1, []) if '/' not in name else registry.versions(),
                lambda: find_checkpoint(str(registry.folder))):
        with pytest.raises(CheckpointError, match=f'{name}: a link; nothing of a registry'):
            act()
    assert sorted(tmp_path.rglob('*')) == before


def test_a_registry_may_itself_be_named_by_a_link(registry: Registry, tmp_path: Path) -> None:
    registry.promote(registry.add(copy, {}), {})
    (tmp_path / 'link').symlink_to(registry.folder)
    assert find_checkpoint(str(tmp_path / 'link')) == tmp_path / 'link' / 'versions' / '1'


@pytest.mark.parametrize('by', ['weights', 'spec'])
def test_a_version_that_was_changed_is_not_put_in_force_gone_back_to_or_loaded(
    registry: Registry, by: str,
) -> None:
    for version in (1, 2):
        registry.add(copy, {})
        registry.promote(version, {})
    if by == 'weights':
        # a checkpoint that is whole, and another
        shutil.rmtree(registry.folder / 'versions' / '1')
        model: Any = load_checkpoint(SHIPPED)
        save_checkpoint(registry.folder / 'versions' / '1', model.spec,
                        {name: 0.5 * value for name, value in model.tensors.items()})
    else:
        with (registry.folder / 'versions' / '1' / SPEC).open('a') as file:
            file.write('\n')
    load_checkpoint(registry.folder / 'versions' / '1')
    what = WEIGHTS if by == 'weights' else SPEC
    lines = len(registry.history())
    named = registry.folder / 'versions' / '1'
    for act in (lambda: registry.promote(1, {}), lambda: registry.rollback({}),
                lambda: registry.path(1), lambda: find_checkpoint(str(named)),
                lambda: find_checkpoint(str(named / SPEC))):
        with pytest.raises(CheckpointError, match=f'sha256 of {what} is .*, history.jsonl has '):
            act()
    assert (registry.current(), len(registry.history())) == (2, lines)
    (registry.folder / CURRENT).write_text('{"version": 1}')
    with pytest.raises(CheckpointError, match='changed or damaged'):
        find_checkpoint(str(registry.folder))


def test_a_history_that_has_the_hash_of_the_weights_alone_still_holds(registry: Registry) -> None:
    registry.add(copy, {})
    path = registry.folder / HISTORY
    entry = json.loads(path.read_text())
    del entry['spec_file_sha256']
    path.write_text(json.dumps(entry) + '\n')
    assert registry.path(1).name == '1'
    (registry.folder / 'versions' / '1' / WEIGHTS).write_bytes(b'')
    with pytest.raises(CheckpointError, match=f'sha256 of {WEIGHTS}'):
        registry.path(1)


def test_a_version_may_be_named_by_its_folder(
        registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.add(copy, {})
    folder = registry.folder / 'versions' / '1'
    assert find_checkpoint(str(folder)) == folder
    monkeypatch.chdir(folder.parent)
    assert find_checkpoint('1') == Path('1')


def test_a_version_that_was_not_added_is_not_put_in_force(registry: Registry) -> None:
    registry.add(copy, {})
    copy(registry.folder / 'versions' / '2')
    with pytest.raises(CheckpointError, match='does not say with which sha256 it was added'):
        registry.promote(2, {})


def test_the_number_of_a_version_that_was_taken_away_is_not_given_again(
    registry: Registry,
) -> None:
    for _ in range(2):
        registry.add(copy, {})
    shutil.rmtree(registry.folder / 'versions' / '2')
    assert registry.add(copy, {}) == 3


def test_a_folder_that_is_a_checkpoint_is_no_registry(registry: Registry) -> None:
    copy(registry.folder)
    before = sorted(registry.folder.rglob('*'))
    for act in (lambda: registry.add(copy, {}), registry.versions, registry.current):
        with pytest.raises(CheckpointError, match='is itself a checkpoint'):
            act()
    assert sorted(registry.folder.rglob('*')) == before


def test_a_model_of_another_interface_is_not_added(registry: Registry) -> None:
    registry.add(copy, {})
    with pytest.raises(CheckpointError, match="of model 'cartpole' differs in observations from "
                                              "that of version 1, 'reacher'"):
        registry.add(lambda to: shutil.copytree(find_checkpoint('cartpole'), to), {})
    assert registry.versions() == (1,)
    assert [p.name for p in (registry.folder / 'versions').iterdir()] == ['1']
    assert len(registry.history()) == 1


def test_topics_may_differ_between_versions(registry: Registry, tmp_path: Path) -> None:
    registry.add(copy, {})
    model: Any = load_checkpoint(SHIPPED)
    seen = model.spec.interface
    moved = replace(seen, command=replace(seen.command, topic='arm/command'))
    save_checkpoint(tmp_path / 'moved', replace(model.spec, interface=moved), model.tensors)
    assert registry.add(lambda to: shutil.copytree(tmp_path / 'moved', to), {}) == 2


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


