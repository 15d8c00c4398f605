"""Several systems compared: every two of them, the verdict for the first, and letters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
import string
from typing import Any

import numpy as np

from wm_eval_ros.errors import ConfigError
from wm_eval_ros.metrics.base import missing, share
from wm_eval_ros.metrics.definitions import family
from wm_eval_ros.records import Interval, MetricValue, Verdict
from wm_eval_ros.scoring.compare import Better, Comparison, Contrast, Side
from wm_eval_ros.scoring.conditions import (
    CONDITIONS,
    obstacle,
    other_differences,
    require_one_task,
    unmet,
    whereabouts,
)
from wm_eval_ros.scoring.contrast import decide, measure, Measured, Question
from wm_eval_ros.scoring.effects import measures
from wm_eval_ros.scoring.evidence import differences, Evidence, repeated_seeds
from wm_eval_ros.stats.multiple import holm, letters
from wm_eval_ros.stats.paired import agresti_caffo

#: more systems than this get no letters of their own
MOST_SIDES = 26
#: world-model family whose dynamics are the simulator's own
ORACLE = 'oracle'
#: settings of the planner that name its model
_THE_MODEL = ('model', 'model_sha256')
GAP = 'counterfactual_planning_gap'
_ONLY_CARD = ('only its scorecard is there: differences of latencies, CPU time and prediction '
              'have no interval; give the bag')
#: settings that tell equally named systems apart are named up to so many, more only if needed
_MOST_TOLD = 3
#: fact of a side: the hash of its model's weights
_WEIGHTS = 'weights'
#: named only where nothing readable tells as much
_HASHES = (_WEIGHTS, 'model_sha256', 'policy_sha256')
_HASH_LENGTH = 64
_MODEL_KEYS = ('name', 'version', 'sha256', 'family')


def compare(evidence: Sequence[Evidence], question: Question | None = None) -> Comparison:
    """
    Compare systems: every two of them, Holm over the deciding tests where there are several.

    :param evidence: two or more; the first is the candidate the verdict is about
    :raises ConfigError: fewer than two, of different tasks, or of an unknown one
    """
    asked = question or Question()
    _check(evidence, asked)
    names = string.ascii_uppercase[:len(evidence)]
    require_one_task(list(zip(names, evidence, strict=True)))
    _require_starts_once(names, evidence)
    found = [measure((names[i], names[j]), (evidence[i], evidence[j]), asked)
             for i, j in combinations(range(len(evidence)), 2)]
    contrasts = tuple(decide(m, p, asked) for m, p in zip(found, _adjusted(found), strict=True))
    verdict, sentence = _verdict(names[0], contrasts)
    return Comparison(
        tuple(_side(n, e, evidence) for n, e in zip(names, evidence, strict=True)), contrasts,
        asked.rule, asked.alpha, verdict, sentence, _letters(names, evidence, contrasts),
        planning_gap(evidence, asked), tuple(_notes(names, evidence, asked)))


def _check(evidence: Sequence[Evidence], asked: Question) -> None:
    if not 2 <= len(evidence) <= MOST_SIDES:
        raise ConfigError(f'{len(evidence)} systems to compare; give 2 to {MOST_SIDES}')
    unknown = asked.waived - CONDITIONS.keys()
    if unknown:
        raise ConfigError(f'no condition {", ".join(sorted(unknown))}; known: '
                          f'{", ".join(CONDITIONS)}')


def _require_starts_once(names: str, evidence: Sequence[Evidence]) -> None:
    """Refuse a start that a side has several times: it would count as several starts."""
    for name, side in zip(names, evidence, strict=True):
        if seeds := repeated_seeds(side):
            shown = ', '.join(map(str, seeds[:3])) + (
                f' and {len(seeds) - 3} more' if len(seeds) > 3 else '')
            raise ConfigError(
                f'{name}: seed {shown} stands more than once in its runs '
                f'({", ".join(side.run_ids) or "one run"}): one start is one piece of evidence, '
                'however often it is run; give the folders of one run of each seed')


def _adjusted(found: Sequence[Measured]) -> list[float | None]:
    """Return Holm's p-values among several comparisons; None for one alone or without a test."""
    known = [m.p_value for m in found if m.p_value is not None]
    if len(found) == 1:
        return [None]
    stepped = iter(holm(known).tolist() if known else [])
    return [None if m.p_value is None else next(stepped) for m in found]


def _verdict(first: str, contrasts: Sequence[Contrast]) -> tuple[Verdict, str]:
    """Return what the comparisons say of the first system."""
    own = [c for c in contrasts if c.first == first]
    if len(contrasts) == 1:
        verdicts = {Better.FIRST: Verdict.PASS, Better.SECOND: Verdict.FAIL}
        return verdicts.get(own[0].better, Verdict.INCONCLUSIVE), own[0].sentence
    worse = [c.second for c in own if c.better is Better.SECOND]
    if worse:
        return Verdict.FAIL, f'{", ".join(worse)} shown to be better than {first}'
    better = [c.second for c in own if c.better is Better.FIRST]
    if len(better) == len(own):
        return Verdict.PASS, f'{first} is shown to be better than every other'
    rest = [c.second for c in own if c.better is not Better.FIRST]
    return Verdict.INCONCLUSIVE, f'no difference is shown between {first} and {", ".join(rest)}'


def _letters(names: str, evidence: Sequence[Evidence],
             contrasts: Sequence[Contrast]) -> dict[str, str]:
    """Return the compact letter display, letters handed out from the highest rate down."""
    if len(names) == 2 or any(c.better is Better.INCOMPARABLE for c in contrasts):
        return {}
    rates = {n: _rate(e).value or 0.0 for n, e in zip(names, evidence, strict=True)}
    ordered = sorted(names, key=lambda n: (-rates[n], n))
    differs = np.zeros((len(names), len(names)), bool)
    for contrast in contrasts:
        i, j = ordered.index(contrast.first), ordered.index(contrast.second)
        differs[i, j] = differs[j, i] = contrast.better is not Better.NEITHER
    found = letters(ordered, differs)
    return {name: found[name] for name in names}


def _rate(side: Evidence) -> MetricValue:
    decided = [e for e in side.episodes if e.decided]
    return share('success_rate', sum(e.succeeded for e in decided), len(decided),
                 side.unknown_success or 'no episode was decided')


def planning_gap(evidence: Sequence[Evidence],
                 question: Question | None = None) -> MetricValue | None:
    """
    Return success(oracle dynamics) - success(learned) with the interval of Agresti and Caffo.

    A gap above zero is the model's; where the oracle fails as well, the planner's. So the two
    must differ in the model alone: without a value where success is not comparable, or where
    planner or planner settings differ.

    :returns: None unless of two systems exactly one plans with the oracle
    """
    oracle = [(e.manifest.get('model') or {}).get('family') == ORACLE for e in evidence]
    if len(evidence) != 2 or sum(oracle) != 1:
        return None
    if why := _more_than_the_model(evidence[0], evidence[1], question or Question()):
        return missing(GAP, '1', why)
    first, second = (_rate(evidence[at]) for at in (oracle.index(True), oracle.index(False)))
    if first.value is None or second.value is None:
        return missing(GAP, '1', 'a side has no decided episode')
    found = agresti_caffo(round(first.value * first.n), first.n,
                          round(second.value * second.n), second.n)
    return MetricValue(GAP, found.value, '1', first.n + second.n,
                       Interval(found.low, found.high, 0.95, 'Agresti-Caffo'))


def _more_than_the_model(first: Evidence, second: Evidence, question: Question) -> str:
    """Say in what two systems differ that would make their gap not the model's."""
    if why := obstacle('success_rate', unmet(first, second), question.waived):
        return why
    one, other = ({'planner': side.manifest.get('planner'), **_planner(side)}
                  for side in (first, second))
    odd = [key for key in differences(one, other) if key not in _THE_MODEL]
    return '' if not odd else (f"they differ in the planner's {', '.join(odd[:4])} also: the gap "
                               "would not be the model's alone")


def _side(letter: str, own: Evidence, every: Sequence[Evidence]) -> Side:
    figures = [_rate(own), *(_told(value, own) for value in (
        own.figures[m.name] if own.figures and m.name in own.figures
        else m.value(tuple(filter(m.keep, own.episodes))) for m in measures(own.horizon_s)))]
    notes = own.notes if own.figures is None else (*own.notes, _ONLY_CARD)
    return Side(letter, title(own, every), _manifest(own.manifest), own.run_ids, tuple(figures),
                tuple(e.result for e in own.episodes), notes)


def _told(value: MetricValue, own: Evidence) -> MetricValue:
    """Say why a figure of success is not known on a robot."""
    if own.unknown_success and family(value.name) == 'time_to_success':
        return missing(value.name, value.unit, own.unknown_success)
    return value


def title(own: Evidence, every: Sequence[Evidence]) -> str:
    """
    Name planner and model; of equally named systems also the settings that tell them apart.

    Those that tell most of them apart stand first, as many as are needed, and up to three.
    """
    name = _name(own)
    alike = [e for e in every if _name(e) == name]
    facts = _facts(own)
    told = [f'{key}={_brief(facts.get(key))}' for key in _telling(list(map(_facts, alike)))]
    return f'{name} ({", ".join(told)})' if told else name


def _telling(sides: Sequence[dict[str, Any]]) -> list[str]:
    """Return the keys that tell sides apart, those that part the most of them first."""
    texts = [{key: str(value) for key, value in side.items()} for side in sides]
    left = {key for side in texts for key in side
            if len({other.get(key) for other in texts}) > 1}
    apart: list[tuple[str | None, ...]] = [() for _ in sides]
    chosen: list[str] = []
    while left:
        parted = {key: len({(*a, t.get(key)) for a, t in zip(apart, texts, strict=True)})
                  for key in left}
        best = min(left, key=lambda key: (-parted[key], key in _HASHES, key))
        more = parted[best] > len(set(apart))
        if not more and (len(chosen) >= _MOST_TOLD or best in _HASHES):
            break
        apart = [(*a, t.get(best)) for a, t in zip(apart, texts, strict=True)]
        chosen.append(best)
        left.discard(best)
    return chosen


def _name(side: Evidence) -> str:
    planner = str(side.manifest.get('planner') or 'unknown planner')
    model = (side.manifest.get('model') or {}).get('name')
    return f'{planner}, model {model}' if model else planner


def _brief(value: Any) -> str:
    """Return a setting as it is, a hash by its beginning."""
    text = str(value)
    return f'{text[:12]}...' if len(text) == _HASH_LENGTH and text.isalnum() else text


def _facts(side: Evidence) -> dict[str, Any]:
    """Return what makes a policy, by dotted key: its planner's settings, its model's weights."""
    found = dict(_leaves(_planner(side)))
    weights = (side.manifest.get('model') or {}).get('sha256')
    return {**found, _WEIGHTS: weights} if weights else found


def _leaves(value: Any, at: str = '') -> Iterator[tuple[str, Any]]:
    """Yield key and value of all that is no mapping and no list of such."""
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _leaves(entry, f'{at}.{key}' if at else str(key))
    elif isinstance(value, (list, tuple)) and any(isinstance(e, Mapping) for e in value):
        for number, entry in enumerate(value):
            yield from _leaves(entry, f'{at}[{number}]')
    else:
        yield at, value


def _planner(side: Evidence) -> dict[str, Any]:
    found: dict[str, Any] = (side.manifest.get('settings') or {}).get('planner') or {}
    return found


def _manifest(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest without the latents' scales and names."""
    model = manifest.get('model') or {}
    return {**manifest, 'model': {key: model[key] for key in _MODEL_KEYS if key in model}}


def _notes(names: str, evidence: Sequence[Evidence], asked: Question) -> list[str]:
    """Say in what the systems differ beyond planner and model."""
    notes = [f'{name} was run {where}' for name, side in zip(names, evidence, strict=True)
             if (where := whereabouts(side.manifest))]
    for (a, first), (b, second) in combinations(zip(names, evidence, strict=True), 2):
        for condition, text in unmet(first, second).items():
            waived = ' (asked to be compared across)' if condition in asked.waived else ''
            notes.append(f'{a} and {b} differ in {text}{waived}')
        if others := other_differences(first, second):
            more = f' and {len(others) - 5} more' if len(others) > 5 else ''
            notes.append(f'{a} and {b} differ in {", ".join(others[:5])}{more}')
        if set(first.run_ids) & set(second.run_ids):
            notes.append(f'{a} and {b} hold the same run: {_common(first, second)}')
    return notes


def _common(first: Evidence, second: Evidence) -> str:
    return ', '.join(sorted(set(first.run_ids) & set(second.run_ids)))
