"""Whole runs: five processes over DDS, from the command line to the scorecard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import json
from pathlib import Path
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip('rclpy', reason='no ROS 2 here')

from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.cli.main import VERBS
from wm_eval_ros.models.checkpoint import shipped_checkpoints
from wm_eval_ros.plants.tasks import task_names
from wm_eval_ros.records import CycleRecord, CycleStatus, EpisodeEvent, EventKind
from wm_eval_ros.wire import codec

#: a run that takes longer hangs [s]
PATIENCE_S = 180
RANDOM = ['--set', 'planner.planner=random', '--set', "planner.model=''"]


def command(*words: str) -> list[str]:
    return [sys.executable, '-m', 'wm_eval_ros.cli.main', *words]


def wm_eval(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), capture_output=True, text=True, timeout=PATIENCE_S,
                          check=False, cwd=cwd)


def identity(path: Path) -> dict[str, object]:
    card = json.loads(path.read_text())
    return {key: card[key] for key in ('schema_version', 'manifest', 'values', 'episodes')}


def records(bag: Path, kind: type) -> list[CycleRecord | EpisodeEvent]:
    with open_bag(bag) as opened:
        return [r for r in opened.records() if isinstance(r, kind)]


def planner_of(task: str) -> list[str]:
    return [] if task in shipped_checkpoints() else RANDOM


def check_live_equals_offline(out: Path) -> None:
    live, offline = identity(out / 'live.json'), identity(out / 'score' / 'scorecard.json')
    assert json.dumps(live) == json.dumps(offline)


def test_a_lockstep_run_is_recorded_scored_and_equal_live_and_offline(tmp_path: Path) -> None:
    out = tmp_path / 'run'
    done = wm_eval('run', 'reacher', '--episodes', '2', '--clock', 'lockstep', '--json',
                   '--out', str(out), *RANDOM)
    assert done.returncode == 0, done.stderr
    card = json.loads(done.stdout)
    values = {v['name']: v for v in card['values']}
    assert values['episodes.all']['value'] == 2
    assert values['success_rate']['n'] == 2
    assert values['success_rate']['interval'] is not None
    check_live_equals_offline(out)
    for name in ('scorecard.json', 'results.jsonl', 'junit.xml', 'report.html'):
        assert (out / 'score' / name).stat().st_size > 0
    cycles = records(out / 'bag', CycleRecord)
    assert [c.slot for c in cycles] == list(range(cycles[0].slot, cycles[0].slot + len(cycles)))


@pytest.mark.slow
@pytest.mark.parametrize('clock', ['realtime', 'lockstep'])
@pytest.mark.parametrize('task', task_names())
def test_live_equals_offline_bit_for_bit_on_every_task(
    tmp_path: Path, task: str, clock: str,
) -> None:
    out = tmp_path / 'run'
    done = wm_eval('run', task, '--episodes', '2', '--clock', clock, '--out', str(out),
                   '--set', 'plant.time_limit_s=3.0', *planner_of(task))
    assert done.returncode == 0, done.stderr
    check_live_equals_offline(out)
    starts = [e for e in records(out / 'bag', EpisodeEvent) if e.kind is EventKind.START]
    assert len(starts) == 2


@pytest.mark.slow
@pytest.mark.parametrize('task', sorted(shipped_checkpoints()))
def test_the_same_seed_in_lockstep_gives_a_bit_identical_scorecard(
    tmp_path: Path, task: str,
) -> None:
    cards = []
    for name in ('a', 'b'):
        out = tmp_path / name
        done = wm_eval('run', task, '--episodes', '3', '--clock', 'lockstep', '--out', str(out))
        assert done.returncode == 0, done.stderr
        cards.append(json.dumps(identity(out / 'score' / 'scorecard.json')))
    assert cards[0] == cards[1]


@pytest.mark.slow
def test_a_charge_of_120_ms_skips_two_of_three_slots(tmp_path: Path) -> None:
    out = tmp_path / 'run'
    done = wm_eval('run', 'reacher', '--episodes', '1', '--clock', 'lockstep', '--out', str(out),
                   '--set', 'planner.latency_ms=120', *RANDOM,
                   # a gate that does not take over when a command comes every 150 ms
                   '--set', 'supervisor.late_periods=4', '--set', 'supervisor.stale_periods=4')
    assert done.returncode == 0, done.stderr
    statuses = [c.status for c in records(out / 'bag', CycleRecord)]
    late, skipped = CycleStatus.LATE, CycleStatus.SKIPPED
    assert statuses[:6] == [late, skipped, skipped, late, skipped, skipped]
    cycles = records(out / 'bag', CycleRecord)
    with open_bag(out / 'bag') as bag:
        commands = [(codec.stamp_ns(m.header.stamp), tuple(m.effort))
                    for _, m in bag.decoded(['/joint_command'])]
    begin = cycles[0].stamp_ns
    acting = [next(a for s, a in reversed(commands[:n + 1]) if s <= begin + 50_000_000 * n)
              if n % 3 else None for n in range(9)]
    first, second = cycles[0].action, cycles[3].action
    zero = (0.0, 0.0)
    assert acting == [None, zero, zero, None, first, first, None, second, second]
    values = {v['name']: v['value'] for v in
              json.loads((out / 'score' / 'scorecard.json').read_text())['values']}
    assert values['deadline_miss_rate'] == 1.0


class Started:
    """A run in the background."""

    def __init__(self, out: Path, *words: str) -> None:
        self.out = out
        self.process = subprocess.Popen(
            command('run', 'reacher', '--out', str(out), '--episodes', '50', *RANDOM, *words),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def until(self, done: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not done():
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < end
            time.sleep(0.05)

    def in_episode(self) -> bool:
        """Say whether the bag has begun to grow."""
        return any(p.stat().st_size > 50_000 for p in (self.out / 'bag').glob('*.mcap'))

    def node(self, name: str) -> int:
        """Return the process id of a node of this run."""
        found = subprocess.run(['pgrep', '-f', f'wm_eval_ros.nodes.{name} .*{self.out}'],
                               capture_output=True, text=True, check=True)
        return int(found.stdout.split()[0])

    def end(self) -> tuple[int, str]:
        _, said = self.process.communicate(timeout=150)
        return self.process.returncode, said


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_in_an_episode_aborts_it_and_leaves_a_whole_bag(
    tmp_path: Path, number: signal.Signals,
) -> None:
    run = Started(tmp_path / 'run')
    run.until(run.in_episode)
    run.process.send_signal(number)
    code, said = run.end()
    assert code == 130
    assert 'Traceback' not in said
    events = records(run.out / 'bag', EpisodeEvent)
    assert events[-1].kind is EventKind.ABORT
    assert wm_eval('score', str(run.out / 'bag')).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize('wait_s', [0.3, 1.5, 3.0])
def test_ctrl_c_while_the_nodes_come_up_ends_them_all(tmp_path: Path, wait_s: float) -> None:
    run = Started(tmp_path / 'run')
    time.sleep(wait_s)
    run.process.send_signal(signal.SIGINT)
    code, said = run.end()
    assert code in (130, -signal.SIGINT)
    if wait_s > 1:
        assert 'Traceback' not in said
    left = subprocess.run(['pgrep', '-f', f'wm_eval_ros.nodes.*{run.out}'], check=False,
                          capture_output=True)
    assert left.stdout == b''


@pytest.mark.slow
@pytest.mark.parametrize('name', ['planner', 'recorder', 'supervisor', 'monitor'])
def test_a_node_that_dies_ends_the_run_with_one_line(tmp_path: Path, name: str) -> None:
    run = Started(tmp_path / 'run')
    run.until(run.in_episode)
    subprocess.run(['kill', '-KILL', str(run.node(name))], check=True)
    code, said = run.end()
    assert code == 4
    assert f'{name} node' in said
    assert 'Traceback' not in said
    salvage = ['--salvage'] if name == 'recorder' else []
    assert wm_eval('score', str(run.out / 'bag'), *salvage).returncode == 0


@pytest.mark.slow
def test_the_nodes_end_when_their_launcher_dies(tmp_path: Path) -> None:
    run = Started(tmp_path / 'run')
    run.until(run.in_episode)
    run.process.kill()
    run.process.communicate()
    end = time.monotonic() + 30
    while subprocess.run(['pgrep', '-f', f'wm_eval_ros.nodes.*{run.out}'], check=False,
                         capture_output=True).stdout:
        assert time.monotonic() < end, 'orphans'
        time.sleep(0.2)
    assert wm_eval('score', str(run.out / 'bag')).returncode == 0


REFUSED = {
    'unknown-scenario': (['run', 'reachr'], "did you mean 'reacher'"),
    'unknown-key': (['run', 'reacher', '--set', 'planner.sampels=3'], "did you mean 'samples'"),
    'unknown-topic-of-a-perturbation': (
        ['run', 'reacher', '--set', 'perturbations=[{name: sensor.bias, topics: [joint_stats]}]'],
        "perturbation sensor.bias: no topic 'joint_stats' to act on; there are joint_command, "),
    'topic-of-what-acts-on-none': (
        ['run', 'reacher', '--set',
         'perturbations=[{name: physical.payload, topics: [joint_states]}]'],
        'perturbation physical.payload: topics: it acts on none'),
    'wrong-type': (['run', 'reacher', '--set', 'planner.samples=many'], 'a whole number'),
    'out-of-range': (['run', 'reacher', '--episodes', '0'], 'outside'),
    'clock': (['run', 'reacher', '--clock', 'fast'], 'realtime'),
    'unknown-task': (['run', 'reacher', '--set', 'plant.task=reachr'], 'reacher'),
    'unknown-planner': (['run', 'reacher', '--set', 'planner.planner=cemm'], "'cem'"),
    'unknown-model': (['run', 'reacher', '--set', 'planner.model=reachr'], "'reacher'"),
    'wrong-hash': (['run', 'reacher', '--set', f'planner.model_sha256="{"0" * 64}"'], 'sha256'),
    'wrong-dimension': (['run', 'cartpole', '--set', 'planner.model=reacher'], 'trained'),
    'bad-domain': (['run', 'reacher', '--domain', '999'], 'domain'),
    'bad-baseline': (['run', 'reacher', '--baselines', '--set', 'baselines=[nope]'], 'baselines'),
    'baseline-that-imagines': (['run', 'reacher', '--baselines', '--set', 'baselines=[cem]'],
                               'planner.model'),
    'no-signing-key': (['run', 'reacher', '--set', 'recorder.signing_key=lab.pem'], 'lab.pem'),
    'more-elites-than-samples': (['run', 'reacher', '--set', 'planner.samples=4'],
                                 'planner.elites: 8 of 4 samples'),
    'dream-under-gates': (
        ['run', 'reacher', '--set', 'plant.kind=dream', '--set', 'plant.model=reacher',
         '--gates', 'manipulation_20hz'], 'plant: dream'),
    'no-latency-trace': (['run', 'reacher', '--clock', 'lockstep', '--set',
                          'planner.latency_trace=nofile'], 'latency trace nofile'),
    'bad-name': (['run', 'reacher', '--set', 'name=../evil'], 'folder'),
}


@pytest.mark.slow
@pytest.mark.parametrize('name', REFUSED)
def test_wrong_input_gets_one_line_and_exit_code_2(tmp_path: Path, name: str) -> None:
    words, says = REFUSED[name]
    done = wm_eval(*words, '--out', str(tmp_path / 'run'), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert 'Traceback' not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith('wm-eval run:')
    assert says in last
    assert not (tmp_path / 'run').exists()


def test_an_output_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'x').write_text('mine')
    done = wm_eval('run', 'reacher', '--out', str(tmp_path))
    assert done.returncode == 2
    assert 'not empty' in done.stderr
    assert (tmp_path / 'x').read_text() == 'mine'


def test_a_domain_in_use_is_refused(tmp_path: Path, domain_id: int) -> None:
    import socket

    from wm_eval_ros.cli.processes import domain_in_use
    if domain_in_use(domain_id):
        pytest.skip('the drawn domain is really in use')
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(('', 7400 + 250 * domain_id + 10))
        done = wm_eval('run', 'reacher', '--domain', str(domain_id), '--out', str(tmp_path / 'x'))
    assert done.returncode == 2
    assert f'domain {domain_id} is in use' in done.stderr


@pytest.mark.parametrize('words', [['list'], ['doctor'], ['list', '--json'], ['doctor', '--json']])
def test_list_and_doctor_answer(words: Sequence[str]) -> None:
    done = wm_eval(*words)
    assert done.returncode in (0, 1), done.stderr
    if '--json' in words:
        json.loads(done.stdout)
    assert 'reacher' in done.stdout or 'mujoco' in done.stdout


@pytest.mark.parametrize('verb', VERBS)
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    done = wm_eval(verb, '--help')
    assert done.returncode == 0
    assert 'example:' in done.stdout
    assert '--json' in done.stdout


@pytest.mark.slow
def test_a_topic_left_out_of_the_bag_is_not_waited_for(tmp_path: Path) -> None:
    out = tmp_path / 'run'
    done = wm_eval('run', 'reacher', '--episodes', '1', '--clock', 'lockstep', '--out', str(out),
                   '--set', 'recorder.exclude=[metrics, tip_pose]', *RANDOM)
    assert done.returncode == 0, done.stderr
    with open_bag(out / 'bag') as bag:
        assert not {'/metrics', '/tip_pose'} & set(bag.topics)
    check_live_equals_offline(out)


@pytest.mark.slow
def test_a_disk_with_too_little_room_ends_the_run_with_74_and_one_line(tmp_path: Path) -> None:
    out = tmp_path / 'run'
    done = wm_eval('run', 'reacher', '--episodes', '3', '--out', str(out), *RANDOM,
                   '--set', 'recorder.min_free_gib=1000000000')
    assert done.returncode == 74
    assert len(done.stderr.strip().splitlines()) == 1
    assert 'GiB free' in done.stderr
    with open_bag(out / 'bag') as bag:
        assert bag.metadata is not None
        assert bag.metadata.custom['wm_eval_ros.recorder'].startswith('state=failed: ')
