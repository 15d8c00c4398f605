"""Calibrations: what they take, what they promise, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from wm_eval_ros.errors import CalibrationError
from wm_eval_ros.records import CycleRecord, CycleStatus, Mode, Record
from wm_eval_ros.surprise.calibration import (
    Calibration,
    MAX_BYTES,
    read_calibration,
    write_calibration,
)
from wm_eval_ros.surprise.fit import calibrate, episodes_needed, split, Wish
from wm_eval_ros.surprise.material import gather, Material
from wm_eval_ros.surprise.monitor import SurpriseFold

Maker = Callable[..., list[Record]]


def material_of(*runs: list[Record]) -> Material:
    return gather([(f'bag{i}', lambda run=run: run) for i, run in enumerate(runs)])


@pytest.fixture(scope='module')
def calibration(nominal_run: Maker) -> Calibration:
    return calibrate(material_of(nominal_run(100)), Wish(), created_ns=5)


def largest(calibration: Calibration, records: list[Record]) -> np.ndarray[Any, Any]:
    """Return the largest surprise of each episode."""
    fold, found = SurpriseFold((), 2, calibration), {}
    for record in records:
        if isinstance(record, CycleRecord):
            score = fold.update(record).surprise
            found[record.episode] = np.fmax(found.get(record.episode, np.nan), score)
    return np.array(list(found.values()))


def test_the_parts_share_no_episode_and_the_ranks_count_the_last(calibration: Calibration,
                                                                 ) -> None:
    assert (calibration.referred, calibration.shaped, calibration.n) == (15, 15, 70)
    assert calibration.rank == 70
    assert calibration.threshold == calibration.maxima[-1]
    assert calibration.sources[0].episodes == 100


def test_too_few_episodes_are_refused_with_the_number_needed(nominal_run: Maker) -> None:
    assert episodes_needed(Wish()) == 79
    assert split(79, Wish()) == (10, 10)
    assert episodes_needed(Wish(alpha=0.01)) == 319
    assert episodes_needed(Wish(rule='marginal')) == 39
    with pytest.raises(CalibrationError, match=r'78 nominal episodes; .* takes 79: 59 to rank '
                                               r'.* record 1 more'):
        calibrate(material_of(nominal_run(78)), Wish(), created_ns=0)


def test_nominal_episodes_stay_quiet_and_a_shift_is_seen(calibration: Calibration,
                                                         nominal_run: Maker) -> None:
    calm = largest(calibration, nominal_run(100, seed=1))
    upset = largest(calibration, nominal_run(40, seed=2, shift=0.5))
    # at most 11 of 100, as for any calibrated detector at alpha .05
    assert np.sum(calm > calibration.threshold) <= 11
    assert np.mean(upset > calibration.threshold) == 1.0


def test_a_slow_drift_is_seen_by_the_sums_alone(nominal_run: Maker) -> None:
    runs = material_of(nominal_run(120, slots=28))
    slow = nominal_run(60, seed=3, slots=28, shift=0.1, shift_from=2)
    seen = {}
    for name in ('band', 'cusum'):
        found = calibrate(runs, Wish(streams=('one_step',), detectors=(name,)), created_ns=0)
        seen[name] = np.mean(largest(found, slow) > found.threshold)
    assert seen['cusum'] > 2 * seen['band']


def test_the_ranked_maxima_are_those_the_fold_gives_bit_for_bit(nominal_run: Maker) -> None:
    run = nominal_run(79)
    found = calibrate(material_of(run), Wish(streams=('one_step', 'bias')), created_ns=0)
    every = largest(found, run)
    assert set(found.maxima) <= set(every.tolist())


def test_a_file_gives_the_same_calibration_and_the_same_bytes(calibration: Calibration,
                                                              tmp_path: Path) -> None:
    path = tmp_path / 'c.json'
    sha256 = write_calibration(path, calibration)
    assert read_calibration(path, sha256) == (calibration, sha256)
    assert write_calibration(tmp_path / 'd.json', read_calibration(path)[0]) == sha256
    with pytest.raises(CalibrationError, match='pinned is'):
        read_calibration(path, '0' * 64)


@pytest.mark.parametrize(('change', 'what'), [
    pytest.param({'threshold': 0.0}, 'threshold', id='threshold-of-another-rank'),
    pytest.param({'threshold': 1e300, 'maxima': [1e300] * 70}, 'threshold',
                 id='a-threshold-that-no-score-exceeds'),
    pytest.param({'n': 71}, 'maxima', id='n-is-not-the-number-of-maxima'),
    pytest.param({'usual_spread': [0.0] * 18}, 'usual_spread', id='a-spread-of-zero'),
    pytest.param({'centre': [[0.0]]}, 'centre', id='a-band-of-other-streams'),
    pytest.param({'alpha': 0.9}, 'alpha', id='alpha-out-of-range'),
    pytest.param({'rule': 'guess'}, 'rule', id='a-rule-nobody-knows'),
    pytest.param({'schema': 3}, 'layout 3, this version reads 2', id='a-newer-layout'),
    pytest.param({'schema': 1}, 'layout 1, .* write it anew with `wm-eval calibrate`',
                 id='the-earlier-layout-that-knew-fewer-settings'),
    pytest.param({'extra': 1}, 'unknown key', id='an-unknown-key'),
])
def test_a_damaged_file_is_refused_in_one_line(calibration: Calibration, tmp_path: Path,
                                               change: dict[str, Any], what: str) -> None:
    path = tmp_path / 'c.json'
    path.write_text(json.dumps({**json.loads(calibration.to_json()), **change}))
    with pytest.raises(CalibrationError, match=what) as refused:
        read_calibration(path)
    assert str(path) in str(refused.value)
    assert '\n' not in str(refused.value)


@pytest.mark.parametrize('text', ['', '{', '[]', '{"alpha": NaN}', '{"a": 1, "a": 2}'])
def test_what_is_no_calibration_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / 'c.json'
    path.write_text(text)
    with pytest.raises(CalibrationError):
        read_calibration(path)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / 'c.json'
    with path.open('wb') as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(CalibrationError, match='larger than'):
        read_calibration(path)


def test_perturbed_runs_and_mixtures_are_refused(nominal_run: Maker, scenes: ModuleType) -> None:
    run = nominal_run(3)
    with pytest.raises(CalibrationError, match='bag0: perturbations were applied'):
        material_of([*run, scenes.event('PERTURB_ON', 0, 10, 'physical.push', 0.5)])
    with pytest.raises(CalibrationError, match='bag1: model_sha256 is not that of bag0'):
        material_of(run, nominal_run(3, model={'name': 'm', 'sha256': 'b' * 64}))
    with pytest.raises(CalibrationError, match='no world model'):
        material_of(nominal_run(3, model={}))
    with pytest.raises(CalibrationError, match='no manifest'):
        material_of(run[1:])
    with pytest.raises(CalibrationError, match=r'of .* slots have no record'):
        material_of([r for r in run if getattr(r, 'slot', 0) % 30 != 3])


def test_a_start_counts_once_and_what_an_alarm_cut_off_not_at_all(
    nominal_run: Maker, scenes: ModuleType,
) -> None:
    run = nominal_run(3)
    with pytest.raises(CalibrationError, match='bag1: the start of seed 0 is there twice'):
        material_of(run, run)
    with pytest.raises(CalibrationError, match='bag1: the start of seed 2 is there twice'):
        material_of(run, nominal_run(3, seed=2))
    assert len(material_of(run, nominal_run(3, seed=3)).episodes) == 6
    with pytest.raises(CalibrationError, match='bag0: alarms of a detector handed over 1 times'):
        material_of([*run, scenes.event('FALLBACK_ON', 0, 10, 'surprise 5, threshold 4', 0.0)])


@pytest.mark.parametrize('kind', ['FALLBACK_ON', 'STOPPED_ON', 'INTERVENTION_ON', 'MODE'])
def test_an_episode_in_which_somebody_else_drove_is_left_out_and_counted(
    nominal_run: Maker, scenes: ModuleType, kind: str,
) -> None:
    run = nominal_run(80)
    if kind == 'MODE':
        # who took over before the episode says no more in it: four slots are the 200 ms that
        # every hand-over lasts, three are commands that were heard late
        upset = [replace(r, mode=Mode.FALLBACK) if isinstance(r, CycleRecord) and (
            33 <= r.slot < 37 or 63 <= r.slot < 66) else r for r in run]
    else:
        upset = [*run, scenes.event(kind, 1, 1600, 'no valid command for 101 ms', 0.0)]
    found = material_of(upset)
    assert [e.number for e in found.episodes] == [0, *range(2, 80)]
    assert found.foreign == (1,)
    (source,) = calibrate(found, Wish(streams=('one_step',)), created_ns=0).sources
    assert (source.episodes, source.foreign) == (79, 1)
    upset.append(scenes.event('INTERVENTION_ON', 5, 7600))
    with pytest.raises(CalibrationError, match=r'^78 nominal episodes, and 2 in which somebody '
                                               r'else drove; '):
        calibrate(material_of(upset), Wish(), created_ns=0)


def test_a_hand_over_after_an_unreadable_slot_is_an_alarm_that_cut_the_scores_off(
    nominal_run: Maker, scenes: ModuleType,
) -> None:
    run = nominal_run(3)
    broken = [replace(r, status=CycleStatus.NO_INPUT, observation=(float('nan'),), latent=None)
              if isinstance(r, CycleRecord) and r.slot == 33 else r for r in run]
    assert len(material_of(broken).episodes) == 3
    before = scenes.event('FALLBACK_ON', 1, 50 * 33 - 20, 'no valid command for 101 ms')
    assert len(material_of([*broken, before]).episodes) == 2
    after = scenes.event('FALLBACK_ON', 1, 50 * 33 + 20, 'no valid command for 101 ms')
    with pytest.raises(CalibrationError, match='bag0: in 1 episodes the observation could not'):
        material_of([*broken, after])


def test_the_order_of_the_bags_changes_nothing(nominal_run: Maker) -> None:
    first, second = nominal_run(50, seed=0), nominal_run(50, seed=900)
    wish = Wish(streams=('one_step', 'residual'), detectors=('band',))
    one = calibrate(material_of(first, second), wish, created_ns=0)
    assert one == calibrate(material_of(second, first), wish, created_ns=0)


def test_aborted_and_open_episodes_are_left_out(nominal_run: Maker, scenes: ModuleType) -> None:
    run = nominal_run(4)
    ends = [r for r in run if getattr(r, 'kind', None) is not None and r.kind.name == 'TIMEOUT']
    cut = [r for r in run if r not in ends[2:]] + [
        scenes.event('ABORT', 2, 50.0 * 90 - 20), ]
    assert [e.number for e in material_of(cut).episodes] == [0, 1]


@pytest.mark.parametrize(('wish', 'detectors'), [
    pytest.param(Wish(), ('band',), id='default-streams'),
    pytest.param(Wish(streams=('effect', 'innovation')), ('band', 'cusum'), id='named-streams'),
    pytest.param(Wish(detectors=('cusum',)), ('cusum',), id='named-detectors'),
])
def test_only_the_default_streams_go_without_sums(nominal_run: Maker, wish: Wish,
                                                  detectors: tuple[str, ...]) -> None:
    found = calibrate(material_of(nominal_run(100)), wish, created_ns=0)
    assert found.streams == ('effect', 'innovation')
    assert found.detectors == detectors
