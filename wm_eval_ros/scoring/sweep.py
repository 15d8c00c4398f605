"""A sweep: settings varied over runs that share everything else, and what the curve says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from wm_eval_ros.errors import BagError
from wm_eval_ros.metrics.base import missing, share
from wm_eval_ros.metrics.task import is_robot
from wm_eval_ros.records import MetricValue
from wm_eval_ros.scoring import typed
from wm_eval_ros.scoring.curves import (
    area,
    falls_below,
    planning_horizon,
    sample_efficiency,
    Success,
)
from wm_eval_ros.scoring.frontier import COMPUTE, compute_at_bound, COST, efficient, Spent
from wm_eval_ros.scoring.scorecard import (
    canonical,
    clean,
    Scorecard,
    value_from_json,
    value_json,
)
from wm_eval_ros.scoring.typed import check_types

#: layout of sweep.json; raised whenever a reader of the old layout would misread the new
SWEEP_SCHEMA = 1
#: key of the horizon, of the injected latency, of the model
HORIZON, LATENCY, MODEL = 'planner.horizon', 'planner.latency_ms', 'planner.model'
#: key of the latency that is injected in realtime
INJECTED = 'planner.least_latency_ms'
#: last part of the key of a perturbation's severity
SEVERITY = 'severity'
#: success below which a value is too much
BOUND = 0.8
#: settings that say nothing about the conditions of an episode
_LABELS = ('name', 'description', 'episodes', 'baselines')


@dataclass(frozen=True)
class Point:
    """One value of the varied setting, and what the run with it gave."""

    #: the setting's value, as the manifest has it; of several settings a list of theirs
    value: Any
    #: place on the axis: the value, or a model's environment steps; None where there is none
    x: float | None
    #: outcome of each decided episode by its seed
    outcomes: Mapping[int, bool]
    #: figures of the run
    values: tuple[MetricValue, ...]
    #: path of the bag, relative to sweep.json; empty: an in-process trial has none
    bag: str = ''
    #: name, sha256, family and transitions of the model, where known
    model: Mapping[str, Any] | None = None
    #: outcomes of decided episodes whose seed is not known: they have no partner elsewhere
    seedless: tuple[bool, ...] = ()
    #: CPU time of a decision, a figure of the host; None where the setting does not change it
    cpu: MetricValue | None = None

    @property
    def text(self) -> str:
        """Return the value for reading."""
        several = isinstance(self.value, (list, tuple))
        return ', '.join(map(str, self.value)) if several else str(self.value)

    @property
    def success(self) -> MetricValue:
        """Share of successes among decided episodes."""
        every = [*self.outcomes.values(), *self.seedless]
        return share('success_rate', sum(every), len(every), 'no episode was decided')


@dataclass(frozen=True)
class Sweep:
    """Points in ascending order of their place, and the figures read off their curve."""

    #: dotted key of the varied setting; of several, with commas between
    key: str
    scenario: str
    #: clock mode of every point, or how an in-process trial kept time
    clock: str
    points: tuple[Point, ...]
    figures: tuple[MetricValue, ...]
    #: what to know before believing it
    notes: tuple[str, ...] = ()
    schema_version: int = SWEEP_SCHEMA

    @property
    def frontier(self) -> tuple[bool | None, ...]:
        """Say of each point whether it is Pareto-efficient; None: cost or success unknown."""
        spent = [_spent(p) for p in self.points]
        found = iter(efficient([(s.cpu_ms, s.won / s.n) for s in spent if s is not None]))
        return tuple(None if s is None else next(found) for s in spent)

    def to_dict(self) -> dict[str, Any]:
        """Return it in JSON's own types."""
        points = [{**_point_json(p), **({} if p.cpu is None else {'efficient': yes})}
                  for p, yes in zip(self.points, self.frontier, strict=True)]
        return {
            'schema_version': self.schema_version, 'key': self.key, 'scenario': self.scenario,
            'clock': self.clock, 'points': points,
            'figures': [value_json(v) for v in self.figures], 'notes': list(self.notes)}

    def to_json(self) -> str:
        """Return canonical JSON, ending in a newline: equal inputs give equal bytes."""
        return canonical(self.to_dict()) + '\n'


def sweep_from_json(data: Mapping[str, Any]) -> Sweep:
    """
    Read a sweep back.

    :raises BagError: of another schema, or with a field of another type than it has
    """
    if data.get('schema_version') != SWEEP_SCHEMA:
        raise BagError(f'a sweep of schema {data.get("schema_version")!r}; this version reads '
                       f'{SWEEP_SCHEMA}')
    check_types(data, typed.SWEEP, 'sweep')
    for point in data['points']:
        check_types(point, typed.POINT, 'a point')
        for trial in point['episodes']:
            check_types(trial, typed.TRIAL, 'an episode', {'seed'})
    spent = [p['cpu'] for p in data['points'] if p.get('cpu') is not None]
    for value in (*data['figures'], *(v for p in data['points'] for v in p['values']), *spent):
        check_types(value, typed.FIGURE, 'a figure', typed.NULLABLE)
    points = tuple(Point(
        p['value'], p['x'],
        {e['seed']: e['success'] for e in p['episodes'] if e['seed'] is not None},
        tuple(value_from_json(v) for v in p['values']), p['bag'], p['model'],
        tuple(e['success'] for e in p['episodes'] if e['seed'] is None),
        None if p.get('cpu') is None else value_from_json(p['cpu']))
        for p in data['points'])
    return Sweep(data['key'], data['scenario'], data['clock'], points,
                 tuple(value_from_json(v) for v in data['figures']),
                 tuple(str(note) for note in data['notes']))


def _point_json(point: Point) -> dict[str, Any]:
    episodes = [{'seed': s, 'success': w} for s, w in (
        *sorted(point.outcomes.items()), *((None, w) for w in point.seedless))]
    cost = {} if point.cpu is None else {'cpu': value_json(point.cpu)}
    return {'value': clean(point.value), 'x': clean(point.x), 'bag': point.bag,
            'model': clean(point.model), 'success': value_json(point.success),
            'episodes': episodes, 'values': [value_json(v) for v in point.values], **cost}


def keys_of(key: str) -> list[str]:
    """Return the dotted keys of a sweep."""
    return key.split(',')


def _spent(point: Point) -> Spent | None:
    """Return what success costs at a point, None where either is not known."""
    if point.cpu is None or point.cpu.value is None or point.success.n == 0:
        return None
    return Spent(point.cpu.value, sum(point.outcomes.values()) + sum(point.seedless),
                 point.success.n)


def point_of(card: Scorecard, key: str, bag: str) -> Point:
    """
    Make the point of a scored run.

    :param key: dotted key of the varied setting, or several with commas between
    :param bag: path of its bag, relative to sweep.json
    :raises BagError: the manifest holds no such setting, or a start was run more than once
    """
    settings = flat(card.manifest.get('settings') or {})
    keys = keys_of(key)
    absent = next((k for k in keys if k not in settings), None)
    if absent is not None:
        raise BagError(f'{bag}: no setting {absent!r} in its manifest')
    value = settings[key] if len(keys) == 1 else [settings[k] for k in keys]
    facts = card.manifest.get('model') or {}
    model = {name: facts[name] for name in ('name', 'sha256', 'family', 'transitions')
             if name in facts}
    decided = [] if is_robot(card.manifest.get('settings') or {}) else [
        e for e in card.episodes if e.decided and not e.solved_at_start]
    outcomes = {e.seed: e.outcome == 'success' for e in decided if e.seed is not None}
    seedless = tuple(e.outcome == 'success' for e in decided if e.seed is None)
    if len(outcomes) + len(seedless) < len(decided):
        twice = next(s for s, n in Counter(e.seed for e in decided).items()
                     if s is not None and n > 1)
        raise BagError(f'{bag}: seed {twice} stands more than once; a sweep takes each start once '
                       'a value: record the point anew, or leave it out')
    cpu = next((v for v in card.host if v.name == COST), None)
    return Point(value, place(key, value, model), outcomes, card.values, bag, model or None,
                 seedless, cpu if COMPUTE & set(keys) else None)


def place(key: str, value: Any, model: Mapping[str, Any]) -> float | None:
    """Return where a value lies on the axis: a number itself, a model at its steps."""
    found = model.get('transitions') if key == MODEL else value
    return None if isinstance(found, bool) or not isinstance(found, (int, float)) else float(found)


def make_sweep(
    key: str, cards: Sequence[tuple[str, Scorecard]], bound: float = BOUND,
    also: Collection[str] = (),
) -> Sweep:
    """
    Make a sweep of scored runs.

    :param cards: path of each bag, relative to sweep.json, and its scorecard
    :param bound: success that a value must keep, for :func:`~.curves.falls_below`
    :param also: settings that follow the varied one, by dotted key
    :raises BagError: the runs differ in more than the varied setting, or one value comes twice
    """
    conditions = [{name: value for name, value in condition(card, key).items()
                   if name not in also} for _, card in cards]
    for (bag, _), own in zip(cards, conditions, strict=True):
        odd = sorted(k for k in own.keys() | conditions[0].keys()
                     if own.get(k) != conditions[0].get(k))
        if odd:
            raise BagError(f'{bag}: differs from {cards[0][0]} in {", ".join(odd[:4])} also; a '
                           f'sweep varies {key} alone')
    points = [point_of(card, key, bag) for bag, card in cards]
    first = cards[0][1].manifest
    notes = _notes([card for _, card in cards], points)
    return assemble(key, str(first.get('scenario', '')), str(first.get('clock', '')), points,
                    bound, notes)


def assemble(
    key: str, scenario: str, clock: str, points: Sequence[Point], bound: float = BOUND,
    notes: Sequence[str] = (),
) -> Sweep:
    """
    Order the points and read the figures off their curve.

    :raises BagError: one value comes twice
    """
    values = [canonical(p.value) for p in points]
    twice = next((v for i, v in enumerate(values) if v in values[:i]), None)
    if twice is not None:
        raise BagError(f'{key} is {twice} in two of the runs; give each value once')
    ordered = sorted(points, key=lambda p: (p.x is None, p.x or 0.0, _rank(p.value),
                                            canonical(p.value)))
    return Sweep(key, scenario, clock, tuple(ordered), figures(key, ordered, bound),
                 (*notes, *_shared_places(ordered)))


def _rank(value: Any) -> tuple[tuple[bool, float], ...]:
    """Return what puts values of several settings in order, numbers by their size."""
    if not isinstance(value, (list, tuple)):
        return ()
    return tuple((False, float(v)) if isinstance(v, (int, float)) else (True, 0.0)
                 for v in value)


def figures(key: str, points: Sequence[Point], bound: float = BOUND) -> tuple[MetricValue, ...]:
    """Return what is read off the curve of this setting; nothing for one without a reading."""
    if key == MODEL:
        return _efficiency(points)
    spent = [s for p in points if (s := _spent(p)) is not None]
    return (*_curve_figures(key, points, bound),
            *((compute_at_bound(spent, bound),) if spent else ()))


def _curve_figures(key: str, points: Sequence[Point], bound: float) -> tuple[MetricValue, ...]:
    curve = [Success(p.x, p.outcomes, p.seedless) for p in points
             if p.x is not None and (p.outcomes or p.seedless)]
    if key == HORIZON:
        return (planning_horizon(curve),)
    if key in (LATENCY, INJECTED):
        return (falls_below('latency_at_bound', 'ms', curve, bound),
                area('latency_robustness', curve))
    if key.rpartition('.')[2] == SEVERITY:
        return (falls_below('severity_at_bound', '1', curve, bound),
                area('severity_robustness', curve))
    return ()


def _efficiency(points: Sequence[Point]) -> tuple[MetricValue, ...]:
    if not any(p.x is not None for p in points):
        why = 'no model says on how many environment steps it was trained'
        return (missing('sample_efficiency', 'environment steps', why),)
    return sample_efficiency([_pooled(x, group) for x, group in by_place(points).items()])


def _pooled(x: float, group: Sequence[Point]) -> Success:
    """Join models of one place: the start is what is independent, its outcome their mean."""
    seeds = sorted(set().union(*(p.outcomes for p in group)))
    means = {seed: fmean(p.outcomes[seed] for p in group if seed in p.outcomes)
             for seed in seeds}
    return Success(x, means, tuple(won for p in group for won in p.seedless))


def by_place(points: Sequence[Point]) -> dict[float, list[Point]]:
    """Return the points of each place in ascending order: training seeds on one amount of data."""
    found: dict[float, list[Point]] = {}
    for point in points:
        if point.x is not None:
            found.setdefault(point.x, []).append(point)
    return dict(sorted(found.items()))


def flat(settings: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
    """
    Return nested settings by dotted key; lists stay values.

    >>> flat({'planner': {'horizon': 8}, 'seed': 1})
    {'planner.horizon': 8, 'seed': 1}
    """
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found.update(flat(value, f'{prefix}{name}.'))
        else:
            found[f'{prefix}{name}'] = value
    return found


def condition(card: Scorecard, key: str) -> dict[str, Any]:
    """Return what two runs of a sweep must have in common, by dotted key."""
    manifest = card.manifest
    own = {'clock': str(manifest.get('clock', '')), **flat(manifest.get('settings') or {})}
    keys = keys_of(key)
    dropped = {*keys, *_LABELS, 'seed', *(['planner.model_sha256'] if MODEL in keys else [])}
    return {name: value for name, value in own.items() if name not in dropped}


def varied(cards: Sequence[Scorecard]) -> list[str]:
    """Return the dotted keys in which runs differ, labels and seeds aside."""
    settings = [condition(card, '') for card in cards]
    keys = sorted(set().union(*settings))
    found = [k for k in keys if any(s.get(k) != settings[0].get(k) for s in settings)]
    return [k for k in found if k != 'planner.model_sha256' or MODEL not in found]


def _shared_places(points: Sequence[Point]) -> list[str]:
    """Say how far models differ that were trained on equally much data."""
    found = []
    for x, group in by_place(points).items():
        rates = [v for p in group if (v := p.success.value) is not None]
        if len(rates) > 1:
            found.append(f'{len(rates)} models at {x:g} steps: success {min(rates):.2f} to '
                         f'{max(rates):.2f}; intervals are over starts, given these models')
    return found


def _notes(cards: Sequence[Scorecard], points: Sequence[Point]) -> list[str]:
    found = []
    seeds = [frozenset(p.outcomes) for p in points]
    if len(set(seeds)) > 1:
        shared = len(frozenset.intersection(*seeds))
        found.append(f'not all seeds were decided at every point: {shared} are shared by all')
    helped = [(p.text, n) for card, p in zip(cards, points, strict=True)
              if (n := sum(e.helped for e in card.episodes))]
    found += [f'success at {value} counts {n} episodes in which somebody but the planner drove '
              'as well; unaided_success_rate does not' for value, n in helped]
    for name in ('package_version', 'git_commit'):
        kinds = sorted({str(card.manifest.get(name, '')) for card in cards})
        if len(kinds) > 1:
            found.append(f'the points were recorded by different versions: {", ".join(kinds)}')
            break
    return found
