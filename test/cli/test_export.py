"""`wm-eval export`: each form read back by the library it is made for."""

from __future__ import annotations

from collections.abc import Iterator
import json
from pathlib import Path
import subprocess
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from wm_eval_ros.cli.main import main
from wm_eval_ros.report.exports.foxglove import layout
from wm_eval_ros.report.exports.numbers import numbers
from wm_eval_ros.report.exports.tables import tables
from wm_eval_ros.scoring.scorecard import Scorecard
from wm_eval_ros.scoring.scorer import Scorer

MODEL = {'latent_names': ['tip.pose.position.x', 'tip.pose.position.y'],
         'latent_mean': [0.5, 0.0], 'latent_scale': [2.0, 1.0]}


@pytest.fixture(scope='module')
def records(scenes: ModuleType) -> list[Any]:
    return list(scenes.busy_run(model=MODEL))


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory, scenes: ModuleType, records: list[Any]) -> Path:
    return Path(scenes.write_bag(tmp_path_factory.mktemp('run') / 'bag', records))


def scored(records: list[Any]) -> tuple[Scorecard, Any]:
    scorer = Scorer()
    for record in records:
        scorer.update(record)
    return scorer.compute(), scorer.run()


def test_tables_hold_every_record_and_say_what_is_missing(
        scenes: ModuleType, records: list[Any]) -> None:
    card, run = scored(records)
    found = tables(card, run)
    slots = found['slots']
    cycles = [r for r in records if isinstance(r, type(scenes.cycle(0)))]
    assert len(slots['slot'].values) == len(cycles)
    # the three warm-up calls are rows, and neither due nor met
    assert not np.any(slots['is_due'].values[:3])
    assert slots['deadline_met'].absent.tolist() == [True] * 3 + [False] * (len(cycles) - 3)
    late = slots['plan_latency_ms'].values[~slots['plan_latency_ms'].absent]
    assert np.sort(late)[-1] == pytest.approx(90)
    skipped = np.array(slots['status'].values) == 'SKIPPED'
    assert np.all(slots['publish_ns'].absent[skipped])
    assert len(found['episodes']['episode'].values) == 6
    assert found['metrics']['name'].values == [v.name for v in (*card.values, *card.host)]


def test_durations_are_those_of_the_scorecard(scenes: ModuleType) -> None:
    card, run = scored([scenes.info(), scenes.cycle(0, took_ms=20, lag_ms=2, inputs=[
        {'topic': '/pose', 'age_ms': 5.0}])])
    slots = tables(card, run)['slots']
    row = {name: slots[name].values[0] for name in slots if name.endswith('_ms')}
    # published 1 ms after the plan of 20 ms; the input was 5 ms old at the start
    assert row == pytest.approx({'plan_latency_ms': 20, 'decision_latency_ms': 21,
                                 'release_jitter_ms': 2, 'sense_to_act_ms': 26})


def test_parquet_comes_back_as_it_was_scored(
        bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parquet = pytest.importorskip('pyarrow.parquet', reason='the extra parquet is not installed')
    assert main(['export', str(bag), '--parquet', str(tmp_path / 'tables'), '--json']) == 0
    paths = json.loads(capsys.readouterr().out)['parquet']
    assert [Path(p).stem for p in paths] == ['slots', 'inputs', 'episodes', 'events', 'metrics']
    found = {Path(p).stem: parquet.read_table(p) for p in paths}
    main(['score', str(bag), '--json', '--out', str(tmp_path)])
    card = json.loads(capsys.readouterr().out)
    rows = found['metrics'].to_pylist()
    assert [(r['name'], r['value']) for r in rows] == [
        (v['name'], v['value']) for v in card['values'] + card['host']]
    first = next(r for r in rows if r['name'] == 'success_rate')
    want = next(v for v in card['values'] if v['name'] == 'success_rate')['interval']
    assert (first['low'], first['high']) == (want['low'], want['high'])
    assert found['episodes'].column('seed').to_pylist() == [100, 101, 102, 103, 104, 105]
    meta = found['slots'].schema.metadata
    assert json.loads(meta[b'wm_eval_ros.manifest'])['scenario'] == 'reacher'
    assert found['slots'].column('publish_ns').null_count > 0
    assert str(found['inputs'].schema.field('sequence').type) == 'uint64'


def test_a_run_without_anything_still_has_typed_columns(tmp_path: Path) -> None:
    parquet = pytest.importorskip('pyarrow.parquet', reason='the extra parquet is not installed')
    from wm_eval_ros.report.exports.parquet import write_parquet
    write_parquet(tmp_path, tables(*scored([])), '{}')
    slots = parquet.read_table(tmp_path / 'slots.parquet')
    assert slots.num_rows == 0 and str(slots.schema.field('stamp_ns').type) == 'int64'


def chunks(path: Path) -> Iterator[Any]:
    from rerun.chunk import RrdReader
    yield from RrdReader(str(path)).stream()


def read_back(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of every entity of a recording."""
    found: dict[str, list[dict[str, Any]]] = {}
    for chunk in chunks(path):
        found.setdefault(chunk.entity_path, []).extend(chunk.to_record_batch().to_pylist())
    return found


def test_a_rerun_recording_holds_plans_over_what_happened(
        bag: Path, tmp_path: Path, scenes: ModuleType, records: list[Any]) -> None:
    pytest.importorskip('rerun.chunk', reason='the extra rerun is not installed')
    path = tmp_path / 'deep' / 'run.rrd'
    assert main(['export', str(bag), '--rerun', str(path)]) == 0
    found = read_back(path)
    cycles = [r for r in records if getattr(r, 'latent', None) is not None]
    # mean 0.5 and scale 2 of the manifest; one row a slot
    name = '/state/tip.pose.position.x\\ \\[m\\]'
    actual = {row['slot']: row['Scalars:scalars'][0] for row in found[f'{name}/actual']}
    assert actual == pytest.approx({c.slot: 0.5 + 2 * float(c.latent[0]) for c in cycles})
    ahead = {row['slot']: row['Scalars:scalars'][0]
             for row in found[f'{name}/imagined\\ 1\\ ahead']}
    assert ahead[cycles[0].slot + 1] == pytest.approx(0.5 + 2 * float(cycles[0].rollout[0, 0]))
    strip = next(row for row in found['/world/imagined'] if row['slot'] == cycles[0].slot)
    points = np.array(strip['LineStrips3D:strips'][0])
    # where it is, then the three states imagined; flat, since there is no z
    assert points.shape == (4, 3)
    assert points[1] == pytest.approx([0.5 + 2 * cycles[0].rollout[0, 0],
                                       cycles[0].rollout[0, 1], 0.0], abs=1e-5)
    texts = [row['TextLog:text'][0] for row in found['/events']]
    assert 'episode 0: START (100)' in texts and 'episode 0: FALLBACK_ON stale (0)' in texts
    assert any('EXCEPTION' in row['TextLog:text'][0] for row in found['/planner/log'])
    assert '"scenario": "reacher"' in found['/manifest'][0]['TextDocument:text'][0]


def test_simulated_time_is_a_duration(tmp_path: Path, scenes: ModuleType) -> None:
    pytest.importorskip('rerun.chunk', reason='the extra rerun is not installed')
    bag = scenes.write_bag(tmp_path / 'bag', [scenes.info(clock='lockstep'), scenes.cycle(0)])
    assert main(['export', str(bag), '--rerun', str(tmp_path / 'a.rrd')]) == 0
    rows = read_back(tmp_path / 'a.rrd')['/planner/plan_latency_ms']
    assert rows[0]['Scalars:scalars'] == [10.0]
    assert 'timedelta' in type(rows[0]['ros_time']).__name__.lower()


def test_a_layout_has_panels_for_what_the_bag_holds() -> None:
    found = layout({
        '/ns/planner_cycle': 'wm_eval_ros/msg/PlannerCycle',
        '/ns/episode_event': 'wm_eval_ros/msg/EpisodeEvent',
        '/ns/metrics': 'wm_eval_ros/msg/MetricArray',
        '/joint_states': 'sensor_msgs/msg/JointState', '/pose': 'geometry_msgs/msg/PoseStamped',
        '/camera/image_raw/compressed': 'sensor_msgs/msg/CompressedImage'},
        ('deadline_met', 'plan_latency'), {'/joint_states': 2}, 50.0)
    panels = found['configById']
    latency = [(p['value'], p['label']) for p in panels['Plot!latency']['paths']]
    assert latency == [('/ns/metrics.values[1]', 'plan_latency [ms]'), ('50', 'deadline [ms]')]
    assert [p['value'] for p in panels['StateTransitions!states']['paths']] == [
        '/ns/planner_cycle.status', '/ns/planner_cycle.mode', '/ns/planner_cycle.episode',
        '/ns/episode_event.kind']
    assert panels['Image!camera0']['imageMode']['imageTopic'] == '/camera/image_raw/compressed'
    assert panels['3D!scene']['topics'] == {'/pose': {'visible': True}}
    assert [p['value'] for p in panels['Plot!joint_states']['paths']] == [
        '/joint_states.position[0]', '/joint_states.position[1]',
        '/joint_states.velocity[0]', '/joint_states.velocity[1]']
    assert sorted(leaves(found['layout'])) == sorted(panels), 'each panel stands once'


def leaves(node: Any) -> Iterator[str]:
    """Yield the panels of a layout, and check what halves it."""
    if isinstance(node, str):
        yield node
        return
    assert node['direction'] in ('row', 'column') and 0 < node['splitPercentage'] < 100
    yield from leaves(node['first'])
    yield from leaves(node['second'])


def test_a_layout_of_one_panel_is_that_panel() -> None:
    found = layout({'/image': 'sensor_msgs/msg/Image'})
    assert found['layout'] == 'Image!camera0'


def test_the_layout_of_a_run_names_its_own_topics(bag: Path, tmp_path: Path) -> None:
    path = tmp_path / 'layout.json'
    assert main(['export', str(bag), '--foxglove', str(path)]) == 0
    found = json.loads(path.read_text(encoding='utf-8'))
    assert sorted(leaves(found['layout'])) == sorted(found['configById'])
    assert 'RawMessages!planner_cycle' in found['configById']
    assert 'Plot!latency' not in found['configById'], 'no live metrics were recorded'


def test_numbers_of_a_message_have_their_paths(scenes: ModuleType, bag: Path) -> None:
    from wm_eval_ros.bag.reader import open_bag
    with open_bag(bag) as source:
        point = next(fields for _, fields in source.decoded(['/joint_states']))
    assert dict(numbers(point)) == {'point/x': 0.0, 'point/y': 0.0, 'point/z': 0.0}


def test_records_are_lines_of_json(bag: Path, tmp_path: Path, records: list[Any]) -> None:
    path = tmp_path / 'run.jsonl'
    assert main(['export', str(bag), '--jsonl', str(path)]) == 0
    lines = [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()]
    kinds = [line['kind'] for line in lines]
    assert (kinds.count('run_info'), kinds.count('event')) == (1, 14)
    cycle = next(line for line in lines if line['kind'] == 'cycle' and line['status'] == 'OK')
    assert cycle['mode'] == 'PLANNER' and cycle['inputs'][0]['topic'] == '/joint_states'
    assert cycle['cost'] is None, 'there was none'
    assert {line['event'] for line in lines if line['kind'] == 'event'} >= {'START', 'SUCCESS'}


def test_nothing_asked_for_is_refused_in_one_line(
        bag: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['export', str(bag)]) == 2
    assert capsys.readouterr().err == (
        'wm-eval export: nothing to write: give one of --parquet, --rerun, --foxglove, --jsonl, '
        '--audit, --ocsf\n')


@pytest.mark.parametrize('form', ['--parquet', '--jsonl', '--foxglove'])
def test_a_place_that_cannot_be_written_is_one_line(
        bag: Path, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    if form == '--parquet':
        pytest.importorskip('pyarrow')
    (tmp_path / 'file').touch()
    assert main(['export', str(bag), form, str(tmp_path / 'file' / 'below')]) == 74
    err = capsys.readouterr().err
    assert err.count('\n') == 1 and 'cannot be written' in err


@pytest.mark.parametrize('form', ['--rerun', '--jsonl'])
def test_a_damaged_bag_leaves_no_half_file_and_is_salvaged_on_request(
        bag: Path, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    if form == '--rerun':
        pytest.importorskip('rerun.chunk', reason='the extra rerun is not installed')
    whole = next(bag.glob('*.mcap')).read_bytes()
    broken = bytearray(whole)
    # within the second chunk: found out only while reading
    broken[int(0.4 * len(whole))] ^= 0xFF
    (tmp_path / 'cut_0.mcap').write_bytes(broken)
    out = tmp_path / 'out'
    assert main(['export', str(tmp_path / 'cut_0.mcap'), form, str(out / 'run')]) == 2
    assert capsys.readouterr().err.count('\n') == 1
    assert not out.exists() or list(out.iterdir()) == []
    assert main(['export', str(tmp_path / 'cut_0.mcap'), form, str(out / 'run'), '--salvage']) == 0
    assert [p.name for p in out.iterdir()] == ['run']


@pytest.mark.parametrize(('form', 'module', 'extra'), [
    ('--parquet', 'pyarrow', 'parquet'), ('--rerun', 'rerun', 'rerun')])
def test_a_missing_library_is_named_with_its_extra(
        bag: Path, tmp_path: Path, form: str, module: str, extra: str) -> None:
    code = (f'import sys; sys.modules[{module!r}] = None\n'
            'from wm_eval_ros.cli.main import main\nsys.exit(main(sys.argv[1:]))')
    done = subprocess.run([sys.executable, '-c', code, 'export', str(bag), form,
                           str(tmp_path / 'out')], capture_output=True, text=True, timeout=60,
                          check=False)
    assert done.returncode == 2
    assert f"pip install 'wm_eval_ros[{extra}]'" in done.stderr
    assert 'Traceback' not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize('name', ['dev_tb3_rasl', 'dev_go2_test4/bag'])
def test_a_robot_bag_has_a_layout_and_a_recording(
        shared_data: Path, tmp_path: Path, name: str) -> None:
    pytest.importorskip('rerun.chunk', reason='the extra rerun is not installed')
    assert main(['export', str(shared_data / name), '--foxglove', str(tmp_path / 'l.json'),
                 '--rerun', str(tmp_path / 'r.rrd')]) == 0
    assert json.loads((tmp_path / 'l.json').read_text(encoding='utf-8'))['configById']
    assert sum(chunk.num_rows for chunk in chunks(tmp_path / 'r.rrd')) > 10_000


def test_two_forms_do_not_go_to_one_place(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    same = str(tmp_path / 'same')
    assert main(['export', str(bag), '--foxglove', same, '--jsonl', same]) == 2
    assert 'two of the forms go to the same place' in capsys.readouterr().err
    assert not Path(same).exists()
