from __future__ import annotations

from pathlib import Path
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest

from wm_eval_ros.audit.seal import AuditSeal, seal_of
from wm_eval_ros.errors import ConfigError, MissingExtraError, SecurityError

pytest.importorskip('cryptography')


def run(*words: str, cwd: Path) -> None:
    subprocess.run(words, cwd=cwd, check=True, capture_output=True)


def test_keys_of_openssl_and_of_openssh_are_read(keys: Path, tmp_path: Path) -> None:
    from wm_eval_ros.audit.keys import load_public_key, load_signing_key, signature_holds
    run('ssh-keygen', '-t', 'ed25519', '-N', '', '-f', 'ssh', cwd=tmp_path)
    for private, public in ((keys / 'a.pem', keys / 'a.pub'),
                            (tmp_path / 'ssh', tmp_path / 'ssh.pub')):
        signer = load_signing_key(private)
        assert signer.public == load_public_key(public)
        assert signature_holds(signer.public, signer.sign(b'x'), b'x')
        assert not signature_holds(signer.public, signer.sign(b'x'), b'y')


def test_a_private_key_that_others_may_read_is_refused(keys: Path, tmp_path: Path) -> None:
    from wm_eval_ros.audit.keys import load_signing_key
    path = tmp_path / 'k.pem'
    path.write_bytes((keys / 'a.pem').read_bytes())
    path.chmod(0o640)
    with pytest.raises(SecurityError, match=r'mode 0640.*chmod 600'):
        load_signing_key(path)


def test_what_is_no_key_of_this_kind_is_refused(keys: Path, tmp_path: Path) -> None:
    from wm_eval_ros.audit.keys import load_public_key, load_signing_key
    run('openssl', 'genpkey', '-algorithm', 'RSA', '-out', 'rsa.pem', cwd=tmp_path)
    run('ssh-keygen', '-t', 'ed25519', '-N', 'secret', '-f', 'locked', cwd=tmp_path)
    (tmp_path / 'text').write_text('no key')
    for name, why in (('rsa.pem', 'only Ed25519'), ('locked', 'passphrase'),
                      ('text', 'neither a PEM nor'), ('absent', 'cannot be read')):
        path = tmp_path / name
        if path.exists():
            path.chmod(0o600)
        with pytest.raises(SecurityError, match=why):
            load_signing_key(path)
    with pytest.raises(SecurityError, match='is a private key'):
        load_public_key(keys / 'a.pem')


def test_without_the_extra_a_key_is_refused_and_the_chain_stands(
    keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, 'cryptography', None)
    assert isinstance(seal_of(tmp_path, audit=True, signing_key=''), AuditSeal)
    with pytest.raises(MissingExtraError, match=r'wm_eval_ros\[audit\]'):
        seal_of(tmp_path, audit=True, signing_key=str(keys / 'a.pem'))


def test_a_key_with_nothing_to_sign_is_refused(tmp_path: Path) -> None:
    assert seal_of(tmp_path, audit=False, signing_key='') is None
    with pytest.raises(ConfigError, match='nothing to sign'):
        seal_of(tmp_path, audit=False, signing_key='k')


def test_the_verb_pins_a_key_and_says_what_it_found(
    tools: Any, run_messages: Any, signer: Any, keys: Path, capsys: Any, scenes: ModuleType,
) -> None:
    from wm_eval_ros.cli.main import main
    bag = str(tools.seal('bag', run_messages, signer=signer))
    assert main(['verify', bag]) == 0
    assert 'signed by an unknown key ed25519:' in capsys.readouterr().out
    assert main(['verify', bag, '--key', str(keys / 'a.pub')]) == 0
    assert 'signed by the given key' in capsys.readouterr().out
    assert main(['verify', bag, '--key', str(keys / 'b.pub')]) == 1
    assert 'not by the given key' in capsys.readouterr().out
    assert main(['verify', str(tools.seal('un', run_messages)), '--key',
                 str(keys / 'a.pub')]) == 3
    assert main(['verify', str(tools.folder / 'nowhere')]) == 2
    plain = scenes.write_bag(tools.folder / 'foreign', scenes.busy_run())
    assert main(['verify', str(plain), '--json']) == 3
    assert '"outcome": "not sealed"' in capsys.readouterr().out
