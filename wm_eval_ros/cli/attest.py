"""`wm-eval attest SCORECARD BAG`: say where a scorecard comes from, signed; and check it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import sys
from typing import Any, TYPE_CHECKING

from wm_eval_ros.config.bounded import read_bounded, text_of
from wm_eval_ros.config.json_text import load_json, MAX_JSON_BYTES
from wm_eval_ros.errors import BagError, ConfigError, EXIT_FAIL, EXIT_PASS, RecordingError

if TYPE_CHECKING:
    from wm_eval_ros.scoring.scorecard import Scorecard

EXAMPLE = """example:
  wm-eval attest runs/reacher/score/scorecard.json runs/reacher/bag --signing-key lab.pem
  wm-eval attest runs/reacher/score/scorecard.json runs/reacher/bag \\
      --check runs/reacher/score/provenance.json --key lab.pub

exit: 0 written, or as stated; 1 not as stated, or a bag or scorecard that cannot be attested:
changed, or the one is not of the other; 2 bad input or a wrong signature; 74 not written."""
FILE = 'provenance.json'


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EXAMPLE
    parser.add_argument('scorecard', metavar='SCORECARD', type=Path,
                        help='scorecard.json that `wm-eval score` wrote')
    parser.add_argument('bag', metavar='BAG', type=Path, help='the bag it was computed from')
    parser.add_argument('--signing-key', metavar='FILE', type=Path,
                        help='Ed25519 private key (PEM or OpenSSH) that signs the statement')
    parser.add_argument('--out', metavar='FILE', type=Path,
                        help=f'where it goes; default: {FILE} beside the scorecard')
    parser.add_argument('--check', metavar='FILE', type=Path,
                        help='check a statement instead of making one')
    parser.add_argument('--key', metavar='PUB', type=Path,
                        help='with --check, the public key it must be signed with')
    parser.add_argument('--json', action='store_true', help='print the result as JSON')


def main(args: argparse.Namespace) -> int:
    """Make a statement, or check one."""
    if args.check is not None:
        if args.signing_key is not None or args.out is not None:
            raise ConfigError('--check: makes no statement; leave --signing-key and --out out')
        return _check(args)
    if args.key is not None:
        raise ConfigError('--key: goes with --check; a statement is signed with --signing-key')
    return _make(args)


def _make(args: argparse.Namespace) -> int:
    from wm_eval_ros.audit.keys import key_id, load_signing_key
    from wm_eval_ros.audit.statement import envelope, statement, subjects
    from wm_eval_ros.audit.verify import Outcome, verify
    signer = load_signing_key(args.signing_key) if args.signing_key is not None else None
    text = _text(args.scorecard)
    card = _card(args.scorecard, text)
    seal = verify(args.bag)
    if signer is not None and seal.signer == key_id(signer.public):
        seal = verify(args.bag, signer.public)
    if seal.outcome is Outcome.TAMPERED:
        print(f'wm-eval attest: {args.bag}: not what was recorded; `wm-eval verify` says where',
              file=sys.stderr)
        return EXIT_FAIL
    if not _recomputed(card, args.bag):
        print(f'wm-eval attest: {args.scorecard}: scoring {args.bag} gives other figures; it is '
              'of another bag, version or history', file=sys.stderr)
        return EXIT_FAIL
    predicate = {**_predicate(card, args.scorecard.parent / 'gates.json'), 'bag': {
        'seal': str(seal.outcome.value), 'messages': seal.messages, 'sealed': seal.sealed,
        'signer': seal.signer, 'accidents_only': seal.accidents_only}}
    made = statement(subjects(args.scorecard, args.bag), predicate)
    path = args.out or args.scorecard.parent / FILE
    try:
        path.write_bytes(made if signer is None else envelope(made, signer))
    except OSError as error:
        raise RecordingError(f'{path}: cannot be written ({error.strerror})') from None
    if args.json:
        sys.stdout.write(made.decode())
    else:
        print(path)
    return EXIT_PASS


def _check(args: argparse.Namespace) -> int:
    from wm_eval_ros.audit.keys import load_public_key
    from wm_eval_ros.audit.statement import read_statement, subjects, unlike
    key = None if args.key is None else load_public_key(args.key)
    found, signer = read_statement(args.check, key)
    wrong = unlike(found, subjects(args.scorecard, args.bag))
    if args.json:
        print(json.dumps({'holds': not wrong, 'signer': signer, 'unlike': wrong,
                          'predicate': found['predicate']}, indent=1, ensure_ascii=False))
    else:
        signed = f'signed by the given key {signer}' if signer else 'signature not checked'
        print('\n'.join([f'{"not as stated" if wrong else "as stated"}; {signed}', *wrong]))
    return EXIT_FAIL if wrong else EXIT_PASS


def _predicate(card: Scorecard, gates: Path) -> dict[str, Any]:
    """Return what is said of the scorecard: the run, its model and code, and the verdict."""
    manifest = card.manifest
    model = manifest.get('model') or {}
    verdict = None
    if gates.is_file():
        try:
            found = load_json(gates, BagError)
            verdict = {'profile': found['profile'], 'verdict': found['verdict']}
        except (ValueError, KeyError, TypeError) as error:
            raise BagError(f'{gates}: no verdict of gates ({type(error).__name__}: {error}); '
                           'write it anew with `wm-eval score --gates`') from None
    return {
        'run_id': card.provenance.get('run_id', ''),
        **{name: manifest.get(name) for name in (
            'scenario', 'task', 'clock', 'seed', 'episodes', 'planner', 'package_version',
            'git_commit')},
        'model': {name: model[name] for name in ('name', 'version', 'sha256', 'family')
                  if name in model},
        'success_rate': next((v.value for v in card.values if v.name == 'success_rate'), None),
        'gates': verdict}


def _recomputed(card: Scorecard, bag: Path) -> bool:
    """Score the bag again and compare everything two equal runs agree on."""
    from wm_eval_ros.cli.reading import score_bag
    return score_bag(bag).identity_bytes() == card.identity_bytes()


def _card(path: Path, text: str) -> Scorecard:
    from wm_eval_ros.scoring.saved import read_card
    return read_card(text, str(path))


def _text(path: Path) -> str:
    return text_of(read_bounded(path, MAX_JSON_BYTES, BagError), path, BagError)
