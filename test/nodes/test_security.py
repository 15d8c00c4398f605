"""ROS security: what is asked for is there, or the node does not start."""

from __future__ import annotations

import os
from pathlib import Path
import subprocess
import sys

import pytest

from wm_eval_ros.errors import EXIT_BAD_INPUT, SecurityError
from wm_eval_ros.nodes.security import (
    enabled,
    enforced,
    FILES,
    middleware_has_security,
    refusal,
    require_enclave,
)

ON = {'ROS_SECURITY_ENABLE': 'true', 'ROS_SECURITY_STRATEGY': 'Enforce'}


def keystore(folder: Path, enclave: str, without: str = '') -> Path:
    """A keystore of files without contents."""
    at = folder / 'enclaves' / enclave
    at.mkdir(parents=True)
    for name in FILES:
        if name != without:
            (at / name).touch()
    return folder


@pytest.mark.parametrize(('environ', 'says'), [
    ({'ROS_SECURITY_ENABLE': 'True'}, 'takes that for false'),
    ({'ROS_SECURITY_ENABLE': '1'}, 'takes that for false'),
    ({**ON, 'ROS_SECURITY_STRATEGY': 'enforce'}, 'takes that for Permissive'),
    (ON, 'no ROS_SECURITY_KEYSTORE'),
    ({**ON, 'ROS_SECURITY_KEYSTORE': 'nowhere'}, 'enclave / has no identity_ca.cert.pem'),
])
def test_what_rcl_would_take_for_no_security_is_refused(
    environ: dict[str, str], says: str,
) -> None:
    with pytest.raises(SecurityError, match=says):
        require_enclave(environ, [])


def test_security_that_is_not_asked_for_is_not_missed() -> None:
    for environ in ({}, {'ROS_SECURITY_ENABLE': 'false', 'ROS_SECURITY_STRATEGY': 'Enforce'},
                    {'ROS_SECURITY_ENABLE': 'true'}):
        assert not enforced(environ)
        require_enclave(environ, [])
    assert enabled({'ROS_SECURITY_ENABLE': 'true'})


@pytest.mark.parametrize('missing', FILES)
def test_an_enclave_without_one_of_its_files_is_refused(tmp_path: Path, missing: str) -> None:
    store = keystore(tmp_path, 'wm_eval_ros/planner', missing)
    environ = {**ON, 'ROS_SECURITY_KEYSTORE': str(store)}
    with pytest.raises(SecurityError, match=f'has no {missing};'):
        require_enclave(environ, ['x', '--ros-args', '--enclave', '/wm_eval_ros/planner'])


def test_the_enclave_is_that_of_the_command_line_or_of_the_override(tmp_path: Path) -> None:
    environ = {**ON, 'ROS_SECURITY_KEYSTORE': str(keystore(tmp_path, 'mine'))}
    require_enclave(environ, ['--ros-args', '-e', '/mine'])
    require_enclave({**environ, 'ROS_SECURITY_ENCLAVE_OVERRIDE': '/mine'}, ['-e', '/other'])
    with pytest.raises(SecurityError, match='enclave /other'):
        require_enclave(environ, ['-e', '/other'])


def test_keys_in_a_token_are_no_missing_files(tmp_path: Path) -> None:
    store = keystore(tmp_path, 'mine', 'key.pem')
    (store / 'enclaves' / 'mine' / 'key.p11').touch()
    require_enclave({**ON, 'ROS_SECURITY_KEYSTORE': str(store)}, ['-e', '/mine'])


def test_what_the_middleware_says_is_one_line() -> None:
    text = ("error creating node: This Fast DDS version doesn't have the security libraries\n"
            'Please compile Fast DDS using the -DSECURITY=ON CMake option, at /a.cpp:364')
    assert 'this Fast DDS was built without DDS security' in refusal(text)
    assert '\n' not in refusal(text)
    assert refusal('a\nb, at /x.c:1') == 'a b'


def test_a_middleware_that_is_not_there_is_unknown(tmp_path: Path) -> None:
    assert middleware_has_security([tmp_path]) is None
    (tmp_path / 'librmw_fastrtps_shared_cpp.so').write_bytes(b'x')
    assert middleware_has_security([tmp_path]) is True


NODES = ('plant', 'planner', 'supervisor', 'monitor', 'recorder')


def started(name: str, environ: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    pytest.importorskip('rclpy', reason='no ROS 2 here')
    return subprocess.run(
        [sys.executable, '-m', f'wm_eval_ros.nodes.{name}', '--ros-args', '--enclave',
         f'/wm_eval_ros/{name}', '-p', 'scenario:=reacher'], cwd=folder,
        env={**os.environ, **environ}, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize('name', NODES)
def test_under_enforce_a_node_without_its_enclave_does_not_start(
    name: str, tmp_path: Path, domain_id: int,
) -> None:
    other = keystore(tmp_path / 'keys', 'wm_eval_ros/another')
    done = started(name, {**ON, 'ROS_SECURITY_KEYSTORE': str(other)}, tmp_path)
    assert done.returncode == EXIT_BAD_INPUT
    assert done.stderr.count('\n') == 1
    assert f'enclave /wm_eval_ros/{name} has no' in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ['keys'], 'nothing was recorded'


@pytest.mark.parametrize('name', NODES)
def test_under_enforce_a_middleware_without_security_starts_nothing(
    name: str, tmp_path: Path, domain_id: int,
) -> None:
    if middleware_has_security():
        pytest.skip('this Fast DDS has DDS security')
    store = keystore(tmp_path / 'keys', f'wm_eval_ros/{name}')
    done = started(name, {**ON, 'ROS_SECURITY_KEYSTORE': str(store)}, tmp_path)
    assert done.returncode == EXIT_BAD_INPUT
    assert 'built without DDS security' in done.stderr.splitlines()[-1]
    assert 'Traceback' not in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ['keys'], 'nothing was recorded'


def test_a_run_under_enforce_ends_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip('rclpy', reason='no ROS 2 here')
    from wm_eval_ros.cli.main import main
    for name, value in {**ON, 'ROS_SECURITY_KEYSTORE': str(tmp_path / 'none')}.items():
        monkeypatch.setenv(name, value)
    assert main(['run', 'reacher', '--episodes', '1', '--out', str(tmp_path / 'out')]) == 2
    said = [line for line in capfd.readouterr().err.splitlines() if 'wm-eval run:' in line]
    assert len(said) == 1 and 'has no identity_ca.cert.pem' in said[0]
