"""What `wm-eval verify` says in text and in JSON."""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path
from typing import Any

import pytest

from wm_eval_ros.audit.seal import SIDECAR
from wm_eval_ros.cli.main import main


@pytest.fixture
def verify(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return what verifies a bag: exit code, text, and the object of its JSON."""
    def run(bag: Path, *options: str) -> tuple[int, str, dict[str, Any]]:
        code = main(['verify', str(bag), *options])
        text = capsys.readouterr().out
        assert main(['verify', str(bag), *options, '--json']) == code
        return code, text, json.loads(capsys.readouterr().out)

    return run


def test_an_unsigned_bag_that_holds_shows_accidents_only_and_says_so(
    tools: Any, run_messages: Any, verify: Any,
) -> None:
    code, text, found = verify(tools.seal('bag', run_messages))
    assert code == 0
    assert text.startswith('intact, unsigned: shows accidents only; every message is the one ')
    assert (found['outcome'], found['accidents_only']) == ('intact', True)
    assert (found['unsealed'], found['damage']) == (0, '')


def test_a_key_that_nobody_named_shows_no_more_and_one_that_was_given_does(
    tools: Any, run_messages: Any, verify: Any, keys: Path, signer: Any,
) -> None:
    bag = tools.seal('bag', run_messages, signer=signer)
    _, text, found = verify(bag)
    assert text.startswith('intact, signed by an unknown key: shows accidents only; ')
    assert found['accidents_only']
    _, text, found = verify(bag, '--key', str(keys / 'a.pub'))
    assert text.startswith('intact: every message is the one recorded')
    assert not found['accidents_only']


def test_messages_behind_the_last_seal_of_an_open_bag_are_counted(
    tools: Any, run_messages: Any, verify: Any,
) -> None:
    bag = tools.seal('bag', run_messages)
    content = tools.content(bag)
    lines = (bag / SIDECAR).read_bytes().splitlines(keepends=True)
    (bag / SIDECAR).write_bytes(b''.join(lines[:3]))
    # three checkpoints of 7 messages; then one that was recorded and two of somebody's making
    foreign = [replace(m, log_ns=m.log_ns + 10**9) for m in content.messages[3:5]]
    code, text, found = verify(tools.write('open', replace(
        content, messages=(*content.messages[:22], *foreign), seals=content.seals[:3]),
        bag / SIDECAR))
    assert code == 3
    assert text.startswith('open, unsigned: shows accidents only; ')
    assert '3 messages follow the last checkpoint' in text
    assert (found['messages'], found['sealed'], found['unsealed']) == (24, 21, 3)


@pytest.mark.parametrize('what', ['summary', 'metadata.yaml'])
def test_what_no_seal_covers_and_was_changed_is_told(
    tools: Any, run_messages: Any, verify: Any, what: str,
) -> None:
    bag = tools.seal('bag', run_messages)
    if what == 'summary':
        file = next(bag.glob('*.mcap'))
        data = bytearray(file.read_bytes())
        # of the index behind the last message: 37 bytes of footer and magic are the end
        data[-80] ^= 1
        file.write_bytes(bytes(data))
    else:
        yaml = bag / 'metadata.yaml'
        text = yaml.read_text().replace('message_count: 24', 'message_count: 23')
        yaml.write_text(text)
    code, text, found = verify(bag)
    assert code == 0, 'every message is the one recorded'
    assert 'the files themselves are damaged or were changed: ' in text
    assert found['outcome'] == 'intact'
    assert ('metadata.yaml declares 23' if what == 'metadata.yaml' else 'checksum') in (
        found['damage'])
