"""Statements made of real scorecards, and every way in which they do not hold."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from wm_eval_ros.cli.main import main
from wm_eval_ros.cli.reading import score_bag

pytest.importorskip('cryptography')


@pytest.fixture
def scored(scenes: ModuleType, tmp_path: Path) -> tuple[str, str]:
    """Scorecard and bag of a made-up run."""
    bag = scenes.write_bag(tmp_path / 'bag', scenes.busy_run())
    card = tmp_path / 'scorecard.json'
    card.write_text(score_bag(bag).to_json())
    return str(card), str(bag)


def test_a_signed_statement_names_run_model_and_files(
    scored: tuple[str, str], keys: Path, tmp_path: Path, capsys: Any,
) -> None:
    card, bag = scored
    (tmp_path / 'gates.json').write_text('{"profile": "p", "verdict": "pass"}')
    assert main(['attest', card, bag, '--signing-key', str(keys / 'a.pem'), '--json']) == 0
    made = json.loads(capsys.readouterr().out)
    assert made['_type'] == 'https://in-toto.io/Statement/v1'
    names = [s['name'] for s in made['subject']]
    assert names == ['scorecard.json', 'bag/bag_0.mcap', 'bag/metadata.yaml']
    assert all(len(s['digest']['sha256']) == 64 for s in made['subject'])
    said = made['predicate']
    assert (said['run_id'], said['model']['name'], said['task']) == ('r1', 'reacher', 'reacher')
    assert said['gates'] == {'profile': 'p', 'verdict': 'pass'}
    assert said['bag']['seal'] == 'not sealed'
    assert said['bag']['accidents_only'] is True
    envelope = json.loads((tmp_path / 'provenance.json').read_text())
    assert envelope['payloadType'] == 'application/vnd.in-toto+json'
    check = ['attest', card, bag, '--check', str(tmp_path / 'provenance.json'), '--key']
    assert main([*check, str(keys / 'a.pub')]) == 0
    assert capsys.readouterr().out.startswith('as stated; signed by the given key ed25519:')
    assert main([*check, str(keys / 'b.pub')]) == 2
    assert 'not by the given key' in capsys.readouterr().err.replace('signature is not', 'not')


@pytest.mark.parametrize(('key', 'accidents_only'), [('a', False), ('b', True), (None, True)])
def test_a_statement_says_whether_the_seals_show_accidents_only(
    key: str | None, accidents_only: bool, tools: Any, run_messages: Any, signer: Any, keys: Path,
    tmp_path: Path, capsys: Any,
) -> None:
    bag, card = tools.seal('sealed', run_messages, signer=signer), tmp_path / 'scorecard.json'
    card.write_text(score_bag(bag).to_json())
    signing = [] if key is None else ['--signing-key', str(keys / f'{key}.pem')]
    assert main(['attest', str(card), str(bag), *signing, '--json']) == 0
    said = json.loads(capsys.readouterr().out)['predicate']['bag']
    assert (said['seal'], said['accidents_only']) == ('intact', accidents_only)
    assert said['signer'].startswith('ed25519:')


def test_a_changed_file_is_not_as_stated(
    scored: tuple[str, str], tmp_path: Path, capsys: Any,
) -> None:
    card, bag = scored
    assert main(['attest', card, bag]) == 0
    check = ['attest', card, bag, '--check', str(tmp_path / 'provenance.json')]
    assert main(check) == 0
    (Path(bag) / 'more.txt').write_text('x')
    with (Path(bag) / 'metadata.yaml').open('a') as file:
        file.write('#')
    capsys.readouterr()
    assert main(check) == 1
    out = capsys.readouterr().out
    assert 'bag/more.txt: not in the statement' in out
    assert 'bag/metadata.yaml: sha256 is' in out


def test_a_scorecard_that_does_not_follow_from_the_bag_is_not_attested(
    scored: tuple[str, str], capsys: Any,
) -> None:
    card, bag = scored
    data = json.loads(Path(card).read_text())
    next(v for v in data['values'] if v['name'] == 'success_rate')['value'] = 1.0
    Path(card).write_text(json.dumps(data))
    assert main(['attest', card, bag]) == 1
    assert 'gives other figures' in capsys.readouterr().err


def test_an_envelope_whose_payload_was_changed_has_no_signature(
    scored: tuple[str, str], keys: Path, tmp_path: Path, capsys: Any,
) -> None:
    import base64
    card, bag = scored
    path = tmp_path / 'provenance.json'
    assert main(['attest', card, bag, '--signing-key', str(keys / 'a.pem')]) == 0
    data = json.loads(path.read_text())
    inner = json.loads(base64.b64decode(data['payload']))
    inner['predicate']['success_rate'] = 1.0
    data['payload'] = base64.b64encode(json.dumps(inner).encode()).decode()
    path.write_text(json.dumps(data))
    assert main(['attest', card, bag, '--check', str(path), '--key', str(keys / 'a.pub')]) == 2
    assert 'do not trust it' in capsys.readouterr().err


@pytest.mark.parametrize('text', ['', '[]', '{}', '{"payload": 3}', '{"_type": "x"}',
                                  '{"payload": "e30=", "payloadType": "x", "signatures": []}'])
def test_what_is_no_statement_is_refused_in_one_line(
    scored: tuple[str, str], text: str, tmp_path: Path, capsys: Any,
) -> None:
    path = tmp_path / 'p.json'
    path.write_text(text)
    assert main(['attest', *scored, '--check', str(path)]) == 2
    err = capsys.readouterr().err
    assert err.count('\n') == 1
    assert 'no provenance statement' in err
