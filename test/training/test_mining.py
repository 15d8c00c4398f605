"""Mining: which slots count, in what order they are taken, and what reaches the disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import json
import math
from pathlib import Path
import shutil
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from wm_eval_ros.cli.main import main
from wm_eval_ros.errors import BagError
from wm_eval_ros.metrics.episodes import Episode
from wm_eval_ros.records import CycleRecord, CycleStatus, EpisodeEvent, EventKind, RunInfo
from wm_eval_ros.training.dataset import load_dataset
from wm_eval_ros.training.hard_cases import Candidate, candidates, Piece, Reason
from wm_eval_ros.training.mined import read_mined, write_mined
from wm_eval_ros.training.mining import mine
from wm_eval_ros.training.selection import MineSettings, select
from wm_eval_ros.training.trajectory import Trajectory

PERIOD_MS = 50
T0 = 1_700_000_000_000_000_000


def event(kind: EventKind, ms: float, label: str = '', episode: int = 0,
          value: float = 0.0) -> EpisodeEvent:
    return EpisodeEvent(T0 + round(ms * 1e6), episode, kind, label, value)


@pytest.fixture
def make_piece(make_cycle: Callable[..., CycleRecord]) -> Callable[..., Piece]:
    """Return what makes an episode of slots, each given by the fields of its record."""

    def make(slots: list[dict[str, Any]], events: tuple[EpisodeEvent, ...] = (),
             outcome: EventKind = EventKind.SUCCESS, action: float = 0.0) -> Piece:
        cycles = tuple(make_cycle(k, PERIOD_MS * k, **fields) for k, fields in enumerate(slots))
        n = len(slots)
        stamps = np.array([c.stamp_ns for c in cycles], np.int64)
        episode = Episode(0, T0, T0 + n * 50_000_000, outcome, 7, False, n * 0.05)
        return Piece(Trajectory(np.zeros((n, 2)), np.full((n, 1), action), np.zeros(1), 0, stamps),
                     cycles, episode, events)

    return make


def told(found: list[Candidate], reason: Reason) -> dict[int, float]:
    return {c.row: pytest.approx(c.score) for c in found if c.reason is reason}


def test_surprise_is_the_joint_score_and_no_score_is_no_candidate(
        make_piece: Callable[..., Piece]) -> None:
    piece = make_piece([{'surprise': 0.5}, {}, {'surprise': 9.0}])
    assert told(candidates([piece], 0.9), Reason.SURPRISE) == {0: 0.5, 2: 9.0}


def test_the_prediction_error_counts_only_where_the_planner_drove(
        make_piece: Callable[..., Piece]) -> None:
    ahead = np.zeros((1, 2), np.float32)
    slots = [{'latent': np.full(2, k, np.float32), 'rollout': ahead} for k in range(4)]
    free = candidates([make_piece(slots)], 0.9)
    # latent k against an imagined 0: k * k
    assert told(free, Reason.PREDICTION_ERROR) == {1: 1.0, 2: 4.0, 3: 9.0}
    taken = (event(EventKind.FALLBACK_ON, 60), event(EventKind.FALLBACK_OFF, 100))
    # slot 1 was driven by the fallback: what slot 0 imagined was driven, what slot 1 did was not
    assert told(candidates([make_piece(slots, taken)], 0.9), Reason.PREDICTION_ERROR) == {
        1: 1.0, 3: 9.0}


def test_a_hand_over_counts_from_its_first_slot(make_piece: Callable[..., Piece]) -> None:
    events = (event(EventKind.STOPPED_ON, 100), event(EventKind.STOPPED_OFF, 200))
    found = candidates([make_piece([{}] * 6, events)], 0.9)
    assert told(found, Reason.HAND_OVER) == {2: 1.0, 3: 0.5}


def test_near_misses_are_near_the_deadline_or_the_limit(make_piece: Callable[..., Piece]) -> None:
    slots = [{'due_ns': 0, 'publish_ns': 44_000_000}, {'due_ns': 0, 'publish_ns': 46_000_000},
             {'due_ns': 0, 'publish_ns': -1}]
    found = candidates([make_piece(slots, action=-0.95)], 0.9)
    assert told(found, Reason.DEADLINE) == {1: 0.92}
    assert told(found, Reason.LIMIT) == {0: 0.95, 1: 0.95, 2: 0.95}


@pytest.mark.parametrize(('outcome', 'want'), [
    pytest.param(EventKind.TIMEOUT, {0: 0.0, 1: 0.25, 2: 0.5, 3: 0.75}, id='not-done-in-time'),
    pytest.param(EventKind.FAILURE, {0: 0.0, 1: 0.25, 2: 0.5, 3: 0.75}, id='failed'),
    pytest.param(EventKind.ABORT, {}, id='an-abort-tells-nothing'),
    pytest.param(EventKind.SUCCESS, {}, id='solved'),
])
def test_a_failed_episode_counts_towards_its_end(
        make_piece: Callable[..., Piece], outcome: EventKind, want: dict[int, float]) -> None:
    found = candidates([make_piece([{}] * 4, outcome=outcome)], 0.9)
    assert told(found, Reason.FAILURE) == want


def test_a_refused_command_counts_in_its_own_slot(make_piece: Callable[..., Piece]) -> None:
    found = candidates([make_piece([{}] * 3, (event(EventKind.COMMAND_REFUSED, 70),))], 0.9)
    assert told(found, Reason.REFUSED) == {1: 1.0}


def test_reasons_take_turns_and_overlapping_windows_are_one() -> None:
    found = [Candidate(0, 10, Reason.SURPRISE, 5.0), Candidate(0, 12, Reason.SURPRISE, 4.0),
             Candidate(0, 13, Reason.FAILURE, 0.9), Candidate(0, 40, Reason.SURPRISE, 1.0)]
    settings = MineSettings(before=2, after=2, share=1.0, windows=1)
    (window,) = select([50], found, settings)
    # 10 gives 8..12, then the turn of the failure: 13 gives 11..15, joined; 40 would be a second
    assert (window.begin, window.end) == (8, 16)
    assert window.reasons == {Reason.SURPRISE: 5.0, Reason.FAILURE: 0.9}


def test_a_window_at_the_end_is_moved_inward() -> None:
    settings = MineSettings(before=3, after=3, share=1.0)
    (window,) = select([20], [Candidate(0, 19, Reason.FAILURE, 1.0)], settings)
    assert (window.begin, window.end) == (13, 20)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.data())
def test_windows_never_overlap_and_keep_the_caps(lengths: list[int], data: st.DataObject) -> None:
    slots = [(p, r) for p, n in enumerate(lengths) for r in range(n)]
    found = [Candidate(p, r, data.draw(st.sampled_from(Reason)), data.draw(st.floats(0, 9)))
             for p, r in data.draw(st.lists(st.sampled_from(slots), max_size=20))]
    before, after, most = (data.draw(st.integers(low, 5)) for low in (0, 0, 1))
    settings = MineSettings(before=before, after=after, windows=most,
                            share=data.draw(st.floats(0.01, 1.0)))
    windows = select(lengths, found, settings)
    rows = [(w.piece, r) for w in windows for r in range(w.begin, w.end)]
    assert len(rows) == len(set(rows)) <= settings.share * sum(lengths)
    assert len(windows) <= settings.windows
    assert all(0 <= w.begin < w.end <= lengths[w.piece] and w.reasons for w in windows)
    assert select(lengths, found[::-1], settings) == windows


# bags -------------------------------------------------------------------------------------------

@pytest.fixture
def shifted(write_bag: Callable[..., Path], run_info: RunInfo,
            make_cycle: Callable[..., CycleRecord]) -> Path:
    """Ten slots that failed; the fallback commanded from the sixth on."""
    cycles = [make_cycle(k, PERIOD_MS * k, action=(1.0,), command_stamp_ns=T0 + k * 50_000_000,
                         surprise=9.0 if k == 5 else 0.1, surprise_threshold=4.0)
              for k in range(10)]
    states = [(PERIOD_MS * k - 1.0, float(k), 0.0) for k in range(10)]
    commands = [(PERIOD_MS * k + 15.0, 1.0 if k < 5 else 0.0) for k in range(10)]
    events = [event(EventKind.START, 0, value=3.0), event(EventKind.FALLBACK_ON, 250, 'surprise'),
              event(EventKind.TIMEOUT, 500, value=0.5)]
    return write_bag('shifted', run_info, states, commands, cycles, events)


def test_what_a_fallback_executed_is_the_command_of_its_slots(shifted: Path) -> None:
    found = mine([shifted], MineSettings(before=1, after=1, share=0.3, reasons=('surprise',)))
    (window,) = found.data.trajectories
    assert window.features[:, 0].tolist() == [4.0, 5.0, 6.0]
    # half of the range of 2 N; the planner proposed 1.0 in every slot
    assert window.actions[:, 0].tolist() == [0.5, 0.0, 0.0]
    assert window.before.tolist() == [0.5]
    (entry,) = found.manifest['windows']
    assert (entry['first_slot'], entry['last_slot'], entry['seed']) == (4, 6, 3)
    assert entry['reasons'] == {'surprise': 9.0}
    assert found.manifest['bags'][0]['run_id'] == 'r'


def test_a_bag_is_not_mined_twice_nor_a_copy_of_it(
        shifted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / 'link').symlink_to(shifted)
    shutil.copytree(shifted, tmp_path / 'copy')
    for again in ('shifted', 'link', 'copy'):
        second = tmp_path / again
        assert main(['mine', str(shifted), str(second), '--out', str(tmp_path / 'out')]) == 2
        error = capsys.readouterr().err
        assert f'{second}: is given twice' in error
        assert error.count('\n') == 1
        assert not (tmp_path / 'out').exists()


def test_a_folder_that_cannot_be_written_is_refused_before_a_bag_is_read(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / 'file').write_text('')
    assert main(['mine', str(tmp_path / 'none'), '--out', str(tmp_path / 'file' / 'x')]) == 2
    assert 'file/x: cannot be written' in capsys.readouterr().err


def test_equal_bags_are_mined_to_equal_bytes(shifted: Path, tmp_path: Path) -> None:
    hashes = []
    for name in ('a', 'b'):
        found = mine([shifted], MineSettings(before=2, after=2))
        hashes.append(write_mined(tmp_path / name, found.data, found.manifest))
    assert hashes[0] == hashes[1]
    assert (tmp_path / 'a' / 'windows.safetensors').read_bytes() == (
        tmp_path / 'b' / 'windows.safetensors').read_bytes()


def test_a_mined_set_is_read_back_as_it_was(shifted: Path, tmp_path: Path) -> None:
    found = mine([shifted], MineSettings(before=2, after=2))
    write_mined(tmp_path / 'hard', found.data, found.manifest)
    back = load_dataset([tmp_path / 'hard'])
    for a, b in zip(found.data.trajectories, back.trajectories, strict=True):
        assert np.array_equal(a.features, b.features)
        assert np.array_equal(a.actions, b.actions)
        assert a.episode == b.episode
    assert back.interface == found.data.interface


@pytest.mark.parametrize(('damage', 'words'), [
    pytest.param('flip', 'changed or damaged', id='a-flipped-bit'),
    pytest.param('schema', 'layout 99', id='a-newer-layout'),
    pytest.param('names', 'do not fit', id='features-of-another-number'),
])
def test_a_damaged_mined_set_is_refused(
        shifted: Path, tmp_path: Path, damage: str, words: str) -> None:
    found = mine([shifted], MineSettings(before=2, after=2))
    folder = tmp_path / 'hard'
    write_mined(folder, found.data, found.manifest)
    manifest = json.loads((folder / 'manifest.json').read_text())
    if damage == 'flip':
        data = bytearray((folder / 'windows.safetensors').read_bytes())
        data[-1] ^= 1
        (folder / 'windows.safetensors').write_bytes(bytes(data))
    elif damage == 'schema':
        manifest['schema'] = 99
    else:
        manifest['feature_names'] = ['one']
    (folder / 'manifest.json').write_text(json.dumps(manifest))
    with pytest.raises(BagError, match=words):
        read_mined(folder)


def test_a_bag_without_events_is_refused_in_one_line(
        write_bag: Callable[..., Path], run_info: RunInfo,
        make_cycle: Callable[..., CycleRecord], tmp_path: Path,
        capsys: pytest.CaptureFixture[str]) -> None:
    bag = write_bag('bare', run_info, [(-1.0, 0.0, 0.0), (49.0, 0.0, 0.0)], [(15.0, 0.0)],
                    [make_cycle(0, 0), make_cycle(1, 50)])
    assert main(['mine', str(bag), '--out', str(tmp_path / 'out')]) == 2
    said = capsys.readouterr().err
    assert 'no wm_eval_ros/msg/EpisodeEvent' in said
    assert said.count('\n') == 1
    assert not (tmp_path / 'out').exists()


def test_bags_of_two_scenarios_are_refused(
        shifted: Path, write_bag: Callable[..., Path], run_info: RunInfo,
        make_cycle: Callable[..., CycleRecord]) -> None:
    cycles = [make_cycle(k, 20 * k, period_ns=20_000_000) for k in range(3)]
    states = [(20.0 * k - 1, 0.0, 0.0) for k in range(3)]
    other = write_bag('other', replace(run_info, period_ns=20_000_000), states, [], cycles,
                      [event(EventKind.START, 0)])
    with pytest.raises(BagError, match='another interface or period'):
        mine([shifted, other], MineSettings())


def test_nothing_hard_is_said_so(
        write_bag: Callable[..., Path], run_info: RunInfo,
        make_cycle: Callable[..., CycleRecord]) -> None:
    cycles = [make_cycle(k, 50 * k, status=CycleStatus.OK) for k in range(4)]
    bag = write_bag('calm', run_info, [(50.0 * k - 1, 0.0, 0.0) for k in range(4)], [], cycles,
                    [event(EventKind.START, 0), event(EventKind.SUCCESS, 200, value=0.2)])
    with pytest.raises(BagError, match='no hard case in 4 slots'):
        mine([bag], MineSettings())


def test_the_verb_writes_what_it_tells(
        shifted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / 'hard'
    assert main(['mine', str(shifted), '--out', str(out), '--share', '1', '--json']) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report['windows'], report['mined'], report['slots']) == (1, 10, 10)
    assert set(report['reasons']) == {'surprise', 'hand_over', 'failure'}
    assert math.isfinite(sum(report['reasons'].values()))
    assert main(['mine', str(shifted), '--out', str(out)]) == 2
