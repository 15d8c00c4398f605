"""`wm-eval power QUESTION`: how many episodes a question needs, before any is run."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict
import json
import math
from typing import TYPE_CHECKING

from wm_eval_ros.errors import ConfigError, EXIT_PASS

if TYPE_CHECKING:
    from wm_eval_ros.scoring.sample_size import Answer

EXAMPLE = """example:
  wm-eval power half-width --success 0.8 --width 0.1
  wm-eval power bound --success 0.9 --bound 0.8
  wm-eval power gap --success 0.7 --against 0.5
  wm-eval power quantile --quantile 0.99
  wm-eval power rate --rate 0.1 --bound 0.5
"""
#: layout of the JSON
POWER_SCHEMA = 1
#: question -> options it must have
_MUST = {'half-width': ('success', 'width'), 'bound': ('success', 'bound'),
         'gap': ('success', 'against'), 'quantile': (), 'rate': ('rate', 'bound')}
#: question -> options it may have
_MAY = {'half-width': ('alpha',), 'bound': ('alpha', 'power'),
        'gap': ('alpha', 'power', 'correlation'), 'quantile': ('alpha', 'quantile'),
        'rate': ('alpha', 'power')}
_OPTIONS = ('success', 'width', 'against', 'correlation', 'bound', 'quantile', 'rate', 'power',
            'alpha')
_DEFAULTS = {'power': 0.8, 'alpha': 0.05}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EXAMPLE
    parser.add_argument('question', choices=sorted(_MUST),
                        help='half-width: of the interval of a success rate; bound: to show that '
                             'it lies above or below; gap: between two systems; quantile: of '
                             'latencies; rate: of false alarms or interventions per hour')
    helps = {'success': 'success rate supposed', 'width': 'half the width of the interval',
             'against': 'success rate supposed of the other system',
             'correlation': 'of the successes of the two systems on one seed (phi)',
             'bound': 'what is to be shown to lie below or above the rate',
             'quantile': 'such as 0.99; left out: every one that is reported',
             'rate': 'events per hour supposed',
             'power': 'chance to succeed that is wanted (0.8)',
             'alpha': 'chance of a false decision; the confidence is 1 - ALPHA (0.05)'}
    for name in _OPTIONS:
        parser.add_argument(f'--{name}', type=float, help=helps[name])
    parser.add_argument('--json', action='store_true', help='print the answers as JSON')


def main(args: argparse.Namespace) -> int:
    """Answer the question."""
    values = _values(args)
    try:
        answers = _ask(args.question, values)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if args.json:
        print(json.dumps({'schema_version': POWER_SCHEMA, 'question': args.question,
                          'given': values, 'answers': [asdict(a) for a in answers]}, indent=1))
        return EXIT_PASS
    from wm_eval_ros.report.text import aligned
    from wm_eval_ros.scoring.sample_size import amount_text
    print(aligned([['plan', 'needs', 'of', 'meaning'],
                   *([a.plan, amount_text(a), a.unit, a.meaning] for a in answers)], (1,)))
    return EXIT_PASS


def _values(args: argparse.Namespace) -> dict[str, float]:
    """Return what is given, with defaults; refuse what is missing, of no use or no chance."""
    question = args.question
    given = {n: float(getattr(args, n)) for n in _OPTIONS if getattr(args, n) is not None}
    if broken := [f'--{n}' for n, value in given.items() if not math.isfinite(value)]:
        raise ConfigError(f'{", ".join(broken)}: give a finite number')
    missing = [f'--{n}' for n in _MUST[question] if n not in given]
    if missing:
        raise ConfigError(f'{question}: give {" and ".join(missing)}')
    known = (*_MUST[question], *_MAY[question])
    if useless := [f'--{n}' for n in given if n not in known]:
        raise ConfigError(f'{question}: {", ".join(useless)} makes no difference to it; leave it '
                          'out')
    values = {**{n: v for n, v in _DEFAULTS.items() if n in known}, **given}
    for name in ('alpha', 'power'):
        if not 0 < values.get(name, 0.5) < 1:
            raise ConfigError(f'--{name} {values[name]:g}: a chance, between 0 and 1')
    return values


def _ask(question: str, given: dict[str, float]) -> list[Answer]:
    from wm_eval_ros.scoring import sample_size as sizes
    get = given.get
    confidence, power = 1 - given['alpha'], get('power', 0.0)
    asks: dict[str, Callable[[], list[Answer]]] = {
        'half-width': lambda: sizes.for_half_width(given['success'], given['width'], confidence),
        'bound': lambda: sizes.for_bound(given['success'], given['bound'], power, confidence),
        'gap': lambda: sizes.for_gap(given['success'], given['against'], power, given['alpha'],
                                     get('correlation')),
        'quantile': lambda: sizes.for_quantiles(get('quantile'), confidence),
        'rate': lambda: sizes.for_rate(given['rate'], given['bound'], power, confidence)}
    return asks[question]()
