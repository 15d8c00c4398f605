"""Whether a dream ranks policies as the world does: paired runs of each policy in both."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from wm_eval_ros.errors import ConfigError
from wm_eval_ros.records import MetricValue, Verdict
from wm_eval_ros.scoring.conditions import (
    DREAM,
    obstacle,
    other_differences,
    plant_kind,
    require_one_task,
    unmet,
)
from wm_eval_ros.scoring.dream_figures import ALPHA, Rates, success_figures
from wm_eval_ros.scoring.evidence import Evidence, merge, repeated_seeds
from wm_eval_ros.scoring.pairs import match
from wm_eval_ros.scoring.ranking import title
from wm_eval_ros.scoring.scorecard import canonical, clean, value_json
from wm_eval_ros.scoring.success import binary

#: layout of the JSON; raised whenever a reader of the old layout would misread the new
CORRELATION_SCHEMA = 1
#: fewer policies than this say nothing about how a dream ranks
MIN_POLICIES = 5
_FEW = f'fewer than {MIN_POLICIES} policies'
_PLANT = frozenset({'plant'})


@dataclass(frozen=True, slots=True)
class PolicyPair:
    """One policy, in the world and in the dream."""

    #: planner and model in words, with the settings that tell equally named ones apart
    title: str
    #: success in the world and in the dream, over the episodes that are compared
    real: MetricValue
    dreamed: MetricValue
    #: dreamed - real, with its interval: above 0 the dream is optimistic
    optimism: MetricValue
    #: episodes are paired by seed, and how in words
    paired: bool
    pairing: str
    #: the planner imagines with the very model that is the dream
    own: bool
    real_runs: tuple[str, ...]
    dream_runs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Correlation:
    """Everything `wm-eval correlate` says."""

    task: str
    clock: str
    #: name or folder, sha256 and keyframe_steps of the model that was the world
    dream: dict[str, Any]
    #: by success in the world, the best first
    pairs: tuple[PolicyPair, ...]
    figures: tuple[MetricValue, ...]
    #: error of imagined states against the simulator's under the same commands, by depth; whoever
    #: follows them (:mod:`wm_eval_ros.training.imagined`) puts it in
    depth: tuple[MetricValue, ...]
    verdict: Verdict
    sentence: str
    notes: tuple[str, ...] = ()
    schema_version: int = CORRELATION_SCHEMA

    def figure(self, name: str) -> MetricValue:
        """
        Return a figure by its name.

        :raises KeyError: there is none
        """
        for value in self.figures:
            if value.name == name:
                return value
        raise KeyError(name)

    def to_dict(self) -> dict[str, Any]:
        """Return it in JSON's own types."""
        values = ('real', 'dreamed', 'optimism')
        names = ('title', 'paired', 'pairing', 'own', 'real_runs', 'dream_runs')
        return {
            'schema_version': self.schema_version, 'task': self.task, 'clock': self.clock,
            'dream': clean(self.dream),
            'policies': [{**{n: clean(getattr(p, n)) for n in names},
                          **{n: value_json(getattr(p, n)) for n in values}} for p in self.pairs],
            'figures': [value_json(v) for v in self.figures],
            'depth': [value_json(v) for v in self.depth], 'verdict': self.verdict.value,
            'sentence': self.sentence, 'notes': list(self.notes)}

    def to_json(self) -> str:
        """Return canonical JSON, ending in a newline: equal inputs give equal bytes."""
        return canonical(self.to_dict()) + '\n'


def correlate(
    real: Sequence[Evidence], dreamed: Sequence[Evidence], *, at_least: float | None = None,
    waived: Collection[str] = (),
) -> Correlation:
    """
    Pair policies by the settings of their planner, and correlate their success.

    :param real: runs in the world, in any order; those of one policy are joined
    :param dreamed: runs in one dream
    :param at_least: PASS where the whole bootstrap interval of Pearson's r lies at or above it,
        FAIL where it lies below; None: no such question
    :param waived: conditions that may differ, see :data:`.conditions.CONDITIONS`
    :raises ConfigError: nothing to pair, sides mixed up, different tasks, dreams or conditions
    :raises BagError: runs of one policy that differ in more than their starts
    """
    _check_sides(real, dreamed)
    sides = (_by_policy(real), _by_policy(dreamed))
    common = [key for key in sides[0] if key in sides[1]]
    if not common:
        raise ConfigError('no policy was run in both: runs are paired by the settings of their '
                          'planner, and none of the dreamed has those of a real one')
    matched = [(sides[0][key], sides[1][key]) for key in common]
    for first, second in matched:
        _require_alike(first, second, waived)
    every = [first for first, _ in matched]
    told = [(_pair(r, d, every), r) for r, d in matched]
    told.sort(key=lambda entry: (-(entry[0].real.value or 0.0), entry[0].title))
    pairs = tuple(pair for pair, _ in told)
    figures = success_figures([
        Rates(p.real.value, p.dreamed.value, r) for p, r in told
        if p.real.value is not None and p.dreamed.value is not None])
    verdict, sentence = _verdict(figures, len(pairs), at_least)
    manifest = matched[0][1].manifest
    return Correlation(
        str(manifest.get('task')), str(manifest.get('clock')), _dream_of(matched[0][1]), pairs,
        figures, (), verdict, sentence, tuple(_notes(sides, matched, pairs)))


def is_dream(side: Evidence) -> bool:
    """Say whether a run's world was a model."""
    return plant_kind(side.manifest) == DREAM


def _plant(side: Evidence) -> dict[str, Any]:
    found: dict[str, Any] = (side.manifest.get('settings') or {}).get('plant') or {}
    return found


def _dream_of(side: Evidence) -> dict[str, Any]:
    return {key: _plant(side).get(key) for key in ('model', 'model_sha256', 'keyframe_steps')}


def _check_sides(real: Sequence[Evidence], dreamed: Sequence[Evidence]) -> None:
    for name, side, wanted in (('real', real, False), ('dreamed', dreamed, True)):
        if not side:
            raise ConfigError(f'no {name} run; give at least {MIN_POLICIES} policies of each')
        for each in side:
            if is_dream(each) is not wanted:
                raise ConfigError(f'run {_ids([each])}: its plant is {_plant(each).get("kind")}, '
                                  f'given as {name}')
    require_one_task([(f'run {_ids([e])}', e) for e in (*real, *dreamed)])
    dreams = {(d['model_sha256'], d['keyframe_steps']) for d in map(_dream_of, dreamed)}
    if len(dreams) > 1:
        shown = ', '.join(sorted(f'{str(sha)[:12]} (key frames {frames})'
                                 for sha, frames in dreams))
        raise ConfigError(f'dreams of different models: {shown}; give those of one')


def _by_policy(runs: Iterable[Evidence]) -> dict[str, Evidence]:
    """Join the runs of each policy; refuse a start that one was run from twice."""
    grouped: dict[str, list[Evidence]] = {}
    for run in runs:
        settings = (run.manifest.get('settings') or {}).get('planner')
        model = (run.manifest.get('model') or {}).get('sha256')
        key = canonical(clean([run.manifest.get('planner'), settings, model]))
        grouped.setdefault(key, []).append(run)
    found = {key: merge(own, f'runs {_ids(own)}') for key, own in sorted(grouped.items())}
    for side in found.values():
        if seeds := repeated_seeds(side):
            raise ConfigError(f'runs {_ids([side])}: seed {seeds[0]} stands more than once; one '
                              'start is one piece of evidence: give one run of each')
    return found


def _ids(runs: Sequence[Evidence]) -> str:
    return ', '.join(name for run in runs for name in run.run_ids) or 'without a name'


def _require_alike(real: Evidence, dreamed: Evidence, waived: Collection[str]) -> None:
    why = obstacle('success_rate', unmet(real, dreamed), _PLANT.union(waived))
    if why:
        raise ConfigError(f'run {_ids([real])} and dream {_ids([dreamed])}: {why}; give runs of '
                          'one condition, or --across')


def _pair(real: Evidence, dreamed: Evidence, every: Sequence[Evidence]) -> PolicyPair:
    matched = match(dreamed.episodes, real.episodes)
    gap = binary('success_rate', matched.where(lambda e: e.decided), 1 - ALPHA)
    own = (real.manifest.get('model') or {}).get('sha256')
    return PolicyPair(
        title(real, every), gap.second, gap.first, gap.difference, matched.paired, matched.text,
        bool(own) and own == _plant(dreamed).get('model_sha256'), real.run_ids, dreamed.run_ids)


def _verdict(figures: Sequence[MetricValue], n: int, at_least: float | None
             ) -> tuple[Verdict, str]:
    named = {value.name: value for value in figures}
    r = named['pearson[bootstrap]']
    if n < MIN_POLICIES:
        return Verdict.INCONCLUSIVE, f'{n} policies: {_FEW} say nothing about how a dream ranks'
    if r.value is None:
        return Verdict.INCONCLUSIVE, f"Pearson's r: {r.why}"
    told = f"Pearson's r = {r.value:.3f}"
    if r.interval is None:
        return Verdict.INCONCLUSIVE, f'{told} has no interval: {r.why}'
    told += f' [{r.interval.low:.3f}, {r.interval.high:.3f}] over {n} policies'
    if at_least is None:
        return Verdict.PASS, told
    if r.interval.low >= at_least:
        return Verdict.PASS, f'{told}: shown to be at least {at_least:g}'
    if r.interval.high < at_least:
        return Verdict.FAIL, f'{told}: shown to be below {at_least:g}'
    return Verdict.INCONCLUSIVE, f'{told}: neither shown to be at least {at_least:g} nor below'


def _notes(sides: tuple[dict[str, Evidence], dict[str, Evidence]],
           matched: Sequence[tuple[Evidence, Evidence]], pairs: Sequence[PolicyPair]
           ) -> list[str]:
    notes = []
    for own, other, where in ((sides[0], sides[1], 'in the dream'),
                              (sides[1], sides[0], 'in the world')):
        alone = [side for key, side in own.items() if key not in other]
        if alone:
            notes.append(f'left out, not run {where}: {_ids(alone)}')
    if loose := sum(not p.paired for p in pairs):
        notes.append(f'{loose} of {len(pairs)} policies were not run from the same starts in '
                     'both: their rates are those of independent samples')
    if own_model := sum(p.own for p in pairs):
        notes.append(f'{own_model} of {len(pairs)} policies plan with the very model that is the '
                     'dream: they exploit its errors, and the dream believes them')
    odd = sorted({key for real, dreamed in matched for key in other_differences(real, dreamed)
                  if not key.startswith('settings.plant')})
    if odd:
        notes.append(f'world and dream differ in {", ".join(odd[:5])}')
    return notes
