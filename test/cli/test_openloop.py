from __future__ import annotations

import json
from pathlib import Path

import pytest

from wm_eval_ros.cli.main import main


def test_the_table_names_figures_and_findings(
    shared_data: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(['openloop', str(shared_data / 'dev_tb3_rasl')]) == 0
    shown = capsys.readouterr()
    for text in ('odom.twist.twist.linear.x', 'better', '-143.61', '774 ms ahead', 'lag'):
        assert text in shown.out
    assert 'turtlebot3' in shown.err


def test_the_json_holds_value_unit_n_interval_and_reason(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    bag = str(shared_data / 'dev_gps_nav_1')
    assert main(['openloop', bag, '--json', '--out', str(tmp_path)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((tmp_path / 'openloop.json').read_text())
    assert report['schema_version'] == 1
    for score in report['scores']:
        assert set(score['ratio']) == {'name', 'value', 'unit', 'n', 'interval', 'why'}
        assert score['verdict'] in ('undecided', 'worse')
    assert {f['kind'] for f in report['findings']} >= {'clock', 'stale', 'stamp', 'definition'}


@pytest.mark.parametrize(('words', 'what'), [
    (['nobody'], 'no such file'),
    (['dev_format_zoo/ros2bag__empty_bag'], 'empty'),
    (['dev_format_zoo/rosbag2_py__mcap__talker'], 'no robot map fits'),
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
