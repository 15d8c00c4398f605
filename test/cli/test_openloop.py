"""`wm-eval openloop`: tables, JSON, files, and one line for bad input."""

from __future__ import annotations

import json
from pathlib import Path
import sys

import pytest

from wm_eval_ros.cli.main import main


def test_the_tables_name_verdicts_lags_masks_alarms_and_findings(
    shared_data: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(['openloop', str(shared_data / 'dev_tb3_rasl')]) == 0
    shown = capsys.readouterr()
    for text in ('odom.twist.twist.linear.x', 'pass', 'better than persistence', '-143.61',
                 '774 s', 'outlier', 'lag', 'tolerance', 'refused', 'silence[/odom]'):
        assert text in shown.out
    assert 'turtlebot3' in shown.err
    assert max(map(len, shown.out.splitlines())) < 400


def test_the_tables_of_a_flight_say_when_the_sensor_was_lost(
    shared_data: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(['openloop', str(shared_data / 'dev_crazyflie_fly90bag')]) == 0
    shown = capsys.readouterr().out
    assert 'loss 1: silent for 32.6 s from 7.59 s' in shown
    assert '7.60 ..    40.19 s  silence[/vicon/Group466CF/Group466CF/pose]: alarm' in shown
    assert '654 sensor_loss' in shown
    assert 'no alarm' in shown and 'more of prediction[/cf_logpos]' in shown


def test_the_json_holds_value_unit_n_interval_and_reason(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    bag = str(shared_data / 'dev_gps_nav_1')
    assert main(['openloop', bag, '--json', '--out', str(tmp_path)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((tmp_path / 'openloop.json').read_text())
    assert report['schema_version'] == 2
    for value in report['values']:
        assert set(value) == {'name', 'value', 'unit', 'n', 'interval', 'why'}
    for score in report['scores']:
        assert score['verdict'] == 'inconclusive' and score['why']
        assert score['ratio'] in report['values']
    assert {f['kind'] for f in report['findings']} >= {'clock', 'stale', 'stamp', 'definition'}
    assert {c['time'] for c in report['clocks']} == {'log'}


def test_alarms_stand_in_the_json_with_onset_duration_and_loss(
    shared_data: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(['openloop', str(shared_data / 'dev_crazyflie_fly90bag'), '--json']) == 0
    report = json.loads(capsys.readouterr().out)
    loss, = report['losses']
    assert loss['duration_s'] == pytest.approx(32.6, abs=0.05)
    streams = {stream['name']: stream for stream in report['streams']}
    silence = streams['silence[/vicon/Group466CF/Group466CF/pose]']
    alarm = next(a for a in silence['alarms'] if a['loss'] == 1)
    assert alarm['onset_s'] == pytest.approx(7.604, abs=0.005)
    assert alarm['duration_s'] == pytest.approx(32.59, abs=0.02)
    refused = streams['disagreement[position]']
    assert refused['guarantee'] == 'refused' and refused['alarms'] == []
    assert refused['threshold'] is None and refused['excursions']


def test_the_page_is_written_beside_the_json(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip('plotly')
    assert main(['openloop', str(shared_data / 'dev_tb3_rasl'), '--out', str(tmp_path)]) == 0
    assert {p.name for p in tmp_path.iterdir()} == {'openloop.json', 'openloop.html'}
    assert str(tmp_path / 'openloop.html') in capsys.readouterr().err


def test_without_plotly_the_page_is_left_out_and_a_line_says_so(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, 'plotly', None)
    monkeypatch.setitem(sys.modules, 'plotly.offline', None)
    assert main(['openloop', str(shared_data / 'dev_tb3_rasl'), '--out', str(tmp_path)]) == 0
    assert [p.name for p in tmp_path.iterdir()] == ['openloop.json']
    assert 'wm_eval_ros[report]' in capsys.readouterr().err


@pytest.mark.parametrize(('words', 'what'), [
    (['nobody'], 'no such file'),
    (['dev_format_zoo/ros2bag__empty_bag'], 'empty'),
    (['dev_format_zoo/rosbag2_py__mcap__talker'], 'Write one and give it with --map'),
    (['dev_tb3_rasl', '--map', 'turtlebt3'], "did you mean 'turtlebot3'"),
    (['dev_tb3_rasl', '--map', 'unitree_go2'], 'no topic /joint_command'),
    (['dev_tb3_rasl', '--map', '/nobody.yaml'], 'cannot be read'),
])
def test_bad_input_is_one_line_and_exit_code_2(
    shared_data: Path, capsys: pytest.CaptureFixture[str], words: list[str], what: str,
) -> None:
    bag, *rest = words
    assert main(['openloop', str(shared_data / bag), *rest]) == 2
    shown = capsys.readouterr()
    line = shown.err.strip().splitlines()[-1]
    assert line.startswith('wm-eval openloop: ') and what in line
    assert shown.out == ''


def test_a_map_with_a_wrong_key_is_one_line(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / 'mine.yaml'
    path.write_text('name: mine\nobservations: []\n', encoding='utf-8')
    assert main(['openloop', str(shared_data / 'dev_tb3_rasl'), '--map', str(path)]) == 2
    line, = capsys.readouterr().err.strip().splitlines()
    assert "unknown key 'observations'" in line


def test_a_folder_that_cannot_be_written_ends_with_the_code_of_the_disk(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / 'file').write_text('', encoding='utf-8')
    assert main(['openloop', str(shared_data / 'dev_gps_nav_1'),
                 '--out', str(tmp_path / 'file' / 'out')]) == 74
    assert 'cannot be written' in capsys.readouterr().err
