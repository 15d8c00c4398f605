"""From nominal runs to alarms: the verb, and whole runs with a calibration."""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.cli.main import main
from wm_eval_ros.records import ALARM, CycleRecord, CycleStatus, EpisodeEvent, RunInfo
from wm_eval_ros.surprise.calibration import read_calibration
from wm_eval_ros.surprise.monitor import rescored, SurpriseFold
from wm_eval_ros.wire import codec

#: a run that takes longer hangs [s]
PATIENCE_S = 180


def interface_records(scenes: ModuleType, episodes: int, seed: int = 0) -> list[object]:
    """Make a nominal run of few slots an episode."""
    rng = np.random.default_rng(seed)
    records: list[object] = [scenes.info(
        episodes=episodes, run_id=f'run-{seed}', model={'name': 'm', 'sha256': 'a' * 64},
        settings={'planner': {'horizon': 2}, 'interface': {}})]
    for e in range(episodes):
        records.append(scenes.event('START', e, 600.0 * e, '', e))
        z = rng.normal(size=2)
        for k in range(10):
            rollout = np.stack([0.9 * z, 0.81 * z])
            records.append(scenes.cycle(12 * e + k, episode=e, latent=z, rollout=rollout))
            z = rollout[0] + 0.1 * rng.normal(size=2)
        records.append(scenes.event('TIMEOUT', e, 600.0 * e + 480, '', 0.48))
    return records


@pytest.fixture(scope='module')
def nominal_bag(scenes: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = scenes.write_bag(tmp_path_factory.mktemp('nominal') / 'bag',
                                  interface_records(scenes, 80))
    return made


def test_the_verb_writes_a_calibration_and_says_what_it_holds(
    nominal_bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / 'c.json'
    assert main(['calibrate', str(nominal_bag), '--out', str(out), '--json']) == 0
    said = json.loads(capsys.readouterr().out)
    found, sha256 = read_calibration(out)
    assert said['sha256'] == sha256
    assert (said['n'], said['rank'], said['alpha']) == (found.n, found.rank, 0.05) == (60, 60, .05)
    assert 'ensemble_variance' not in said['streams']
    assert said['action_sensitivity'] is None
    assert main(['calibrate', str(nominal_bag), '--out', str(out)]) == 0
    assert 'rank 60 of 60 (tolerance)' in capsys.readouterr().out


def test_runs_that_somebody_else_drove_are_counted_in_the_refusal(
    scenes: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    records = interface_records(scenes, 3)
    records += [scenes.event('INTERVENTION_ON', e, 600.0 * e + 100) for e in range(3)]
    bag = scenes.write_bag(tmp_path / 'bag', records)
    # the model is at hand, and there is no latent to ask it about
    monkeypatch.setattr('wm_eval_ros.training.fidelity.find_model', lambda evidence: evidence)
    monkeypatch.setattr('wm_eval_ros.training.fidelity_data.read_evidence',
                        lambda bag: SimpleNamespace(model=None))
    assert main(['calibrate', str(bag), '--out', str(tmp_path / 'c.json')]) == 2
    assert '0 nominal episodes, and 3 in which somebody else drove; ' in capsys.readouterr().err


@pytest.mark.parametrize(('words', 'what'), [
    pytest.param(['--alpha', '0.01'], 'takes 319', id='too-few-for-this-alpha'),
    pytest.param(['--alpha', '2'], '--alpha: 2', id='alpha-out-of-range'),
    pytest.param(['--streams', 'one_stp'], "did you mean 'one_step'", id='a-misspelt-stream'),
    pytest.param(['--detectors', 'bnd'], "no detector 'bnd'", id='a-misspelt-detector'),
    pytest.param(['--streams', 'ensemble_variance'], 'has no score', id='a-stream-without-score'),
])
def test_what_cannot_be_calibrated_is_refused_in_one_line(
    nominal_bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    words: list[str], what: str,
) -> None:
    assert main(['calibrate', str(nominal_bag), '--out', str(tmp_path / 'c.json'), *words]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert what in said[0]
    assert not (tmp_path / 'c.json').exists()


def wm_eval(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, '-m', 'wm_eval_ros.cli.main', *words],
                          capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def cycles_of(bag: Path) -> tuple[list[CycleRecord], RunInfo]:
    with open_bag(bag) as opened:
        records = list(opened.records())
    return ([r for r in records
             if isinstance(r, CycleRecord) and r.status is not CycleStatus.WARMUP],
            next(r for r in records if isinstance(r, RunInfo)))


def same(one: CycleRecord, two: CycleRecord) -> bool:
    numbers = [np.array([*r.scores, r.surprise, r.surprise_threshold]) for r in (one, two)]
    return numbers[0].tobytes() == numbers[1].tobytes()


@pytest.mark.slow
def test_a_run_with_a_calibration_alarms_and_its_bag_gives_the_same_scores(
    tmp_path: Path,
) -> None:
    pytest.importorskip('rclpy', reason='no ROS 2 here')
    nominal, file = tmp_path / 'nominal', tmp_path / 'c.json'

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return wm_eval('run', 'reacher', '--clock', 'lockstep', *words)

    done = run('--episodes', '30', '--seed', '600000', '--out', str(nominal))
    assert done.returncode == 0, done.stderr
    done = wm_eval('calibrate', str(nominal / 'bag'), '--out', str(file), '--alpha', '0.1',
                   '--rule', 'marginal')
    assert done.returncode == 0, done.stderr
    calibration, sha256 = read_calibration(file)
    assert not calibration.action_blind
    done = run('--episodes', '8', '--seed', '610000', '--out', str(tmp_path / 'upset'),
               '--set', f'detector.calibration={file}',
               '--set', f'detector.calibration_sha256={sha256}',
               '--set', 'perturbations=[{name: physical.damping, severity: 1.0}]')
    assert done.returncode == 0, done.stderr
    cycles, info = cycles_of(tmp_path / 'upset' / 'bag')
    assert info.detector['sha256'] == sha256
    assert tuple(info.detector['streams']) == calibration.streams
    alarmed = {c.episode for c in cycles if c.surprise > c.surprise_threshold}
    assert len(alarmed) >= 6
    fold = SurpriseFold((), 2, calibration)
    bare = [replace(c, scores=(), surprise=0.0, surprise_threshold=0.0) for c in cycles]
    assert all(map(same, rescored(bare, fold), cycles))
    live = json.loads((tmp_path / 'upset' / 'live.json').read_text())
    offline = json.loads((tmp_path / 'upset' / 'score' / 'scorecard.json').read_text())
    assert live['values'] == offline['values']
    done = wm_eval('run', 'cartpole', '--clock', 'lockstep', '--episodes', '1',
                   '--out', str(tmp_path / 'other'), '--set', f'detector.calibration={file}')
    assert done.returncode != 0
    assert 'made for model_sha256' in done.stderr


@pytest.mark.slow
def test_runs_with_faults_alarms_and_fallbacks_are_the_same_to_the_bit(tmp_path: Path) -> None:
    pytest.importorskip('rclpy', reason='no ROS 2 here')
    nominal, file = tmp_path / 'nominal', tmp_path / 'c.json'

    def run(out: Path, *words: str) -> Path:
        done = wm_eval('run', 'reacher', '--clock', 'lockstep', '--out', str(out), *words)
        assert done.returncode == 0, done.stderr
        return out

    run(nominal, '--episodes', '30', '--seed', '600000')
    done = wm_eval('calibrate', str(nominal / 'bag'), '--out', str(file), '--alpha', '0.1',
                   '--rule', 'marginal')
    assert done.returncode == 0, done.stderr
    faults = ('[{name: physical.damping, severity: 1.0, start_s: 0.2}, '
              '{name: sensor.noise, severity: 0.2, start_s: 0.3, duration_s: 0.5}, '
              '{name: timing.planner_exception, severity: 0.5, start_s: 0.9, duration_s: 0.3}]')
    outs = [run(tmp_path / name, '--episodes', '6', '--seed', '620000',
                '--set', f'detector.calibration={file}', '--set', f'perturbations={faults}')
            for name in ('a', 'b')]
    kinds, scored, driven = [], [], []
    for out in outs:
        with open_bag(out / 'bag') as opened:
            events = [r for r in opened.records() if isinstance(r, EpisodeEvent)]
            driven.append([(codec.stamp_ns(m.header.stamp), tuple(m.effort))
                           for _, m in opened.decoded(['/joint_command'])])
        # events of several nodes have no common order
        kinds.append(sorted((e.stamp_ns, e.kind.name, e.label, e.value, e.source)
                            for e in events))
        scored.append([(c.slot, c.mode, c.action, c.scores, c.surprise, c.surprise_threshold,
                        c.observation) for c in cycles_of(out / 'bag')[0]])
    told = {kind for _, kind, *_ in kinds[0]}
    assert {'PERTURB_ON', 'FALLBACK_ON', 'FALLBACK_OFF'} <= told
    assert any(label.startswith(ALARM) for _, kind, label, *_ in kinds[0]
               if kind == 'FALLBACK_ON')
    assert kinds[0] == kinds[1]
    assert driven[0] == driven[1]
    # repr tells NaN from a number and keeps every bit of both
    assert repr(scored[0]) == repr(scored[1])
    cards = [json.loads((out / 'score' / 'scorecard.json').read_text()) for out in outs]
    assert cards[0]['values'] == cards[1]['values']
    assert cards[0]['episodes'] == cards[1]['episodes']
