"""Gates: figures held against the bounds of a deployment, each verdict with its evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from wm_eval_ros.config.gate import Against, Gate, GateProfile, REAL_PLANTS
from wm_eval_ros.config.schema import did_you_mean
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.metrics.base import missing
from wm_eval_ros.metrics.definitions import DEFINITIONS, family
from wm_eval_ros.records import Interval, MetricValue, Verdict
from wm_eval_ros.scoring.conditions import plant_kind, STIMULUS, whereabouts
from wm_eval_ros.scoring.needed import Needed, needed
from wm_eval_ros.scoring.scorecard import clean, Scorecard, value_json
from wm_eval_ros.stats.quantile import RECORD_MORE

#: layout of gates.json; raised whenever a reader of the old layout would misread the new
GATES_SCHEMA = 1
#: worst first
SEVERITY = (Verdict.ERROR, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)
_NS_PER_MS = 1e6
#: families that tell something where nothing moves: times, and what they cost
OF_TIMING = frozenset({
    'plan_latency', 'plan_latency_warmup', 'decision_latency', 'sense_to_act', 'reaction_time',
    'deadline_miss_rate', 'longest_miss_run', 'miss_runs', 'slots', 'release_jitter',
    'release_drift', 'command_period_error', 'round_trip', 'round_trip_warmup',
    'answers_unjoined', 'commands_unreceived', 'stimuli_unanswered', 'one_way_out',
    'one_way_back', 'interval', 'clock_offset', 'clock_round_trip', 'actuation',
    'command_to_actuation', 'actuation_interval', 'commands_not_applied', 'watchdog_trips',
    'staleness', 'samples_unused', 'samples_superseded', 'samples_lost', 'real_time_factor',
    'real_time_factor_slowest', 'model_calls', 'flops', 'cpu_time', 'energy', 'peak_memory',
    'cost_per_hour'})
#: figures named where another was meant
_MOST_NAMED = 8


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate and what the evidence says to it."""

    #: the gate as asked, such as `success_rate >= 0.9`; or the condition, such as `clock`
    name: str
    verdict: Verdict
    #: what was found, in one sentence
    sentence: str
    #: None for a condition of the profile
    gate: Gate | None = None
    #: the figure held against the bound
    value: MetricValue | None = None
    #: about how much evidence would decide; None where that cannot be said
    needed: Needed | None = None


@dataclass(frozen=True, slots=True)
class GateReport:
    """A profile held against a scorecard."""

    profile: GateProfile
    results: tuple[GateResult, ...]

    @property
    def verdict(self) -> Verdict:
        """Return the worst verdict among conditions and gates."""
        return worst(result.verdict for result in self.results)

    def to_dict(self) -> dict[str, Any]:
        """Return it in JSON's own types."""
        return {'schema_version': GATES_SCHEMA, 'profile': self.profile.name,
                'description': self.profile.description, 'verdict': self.verdict.value,
                'results': [_result_json(result) for result in self.results]}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of some verdicts: error, fail, inconclusive, pass; PASS of none."""
    found = set(verdicts)
    return next((v for v in SEVERITY if v in found), Verdict.PASS)


def check_families(profile: GateProfile) -> None:
    """
    Refuse a gate on a figure no run can have, before a run is spent on it.

    :raises ConfigError: the family of the figure is not defined
    """
    for gate in profile.gates:
        if family(gate.metric) not in DEFINITIONS:
            raise ConfigError(f'gate profile {profile.name}: no figure {gate.metric!r}'
                              f'{did_you_mean(family(gate.metric), DEFINITIONS)}')


def evaluate(profile: GateProfile, card: Scorecard) -> GateReport:
    """
    Hold every gate of a profile against a scorecard.

    Where a condition of the profile (clock, deadline, period, plant) does not hold, the run
    answers another question: the condition is an ERROR and no gate is held against its figures.

    Where nothing moves, on the plant `stimulus`, no figure but one of timing is held.

    A figure of a defined family that the scorecard does not hold, because the run had nothing to
    take it of, is no evidence.

    :raises ConfigError: a gate names a figure of no defined family that the scorecard does not
        hold
    """
    figures = {value.name: value for value in (*card.values, *card.host)}
    for gate in profile.gates:
        if gate.metric not in figures:
            figures[gate.metric] = _absent(profile, gate.metric, figures)
    conditions = tuple(hold_conditions(profile, card.manifest))
    unmet = [c.name for c in conditions if c.verdict is not Verdict.PASS]
    if unmet:
        why = f'not held: the condition {" and ".join(unmet)} of the profile is not met'
        gates = tuple(GateResult(g.name, Verdict.INCONCLUSIVE, why, g, figures[g.metric])
                      for g in profile.gates)
    else:
        still = plant_kind(card.manifest) == STIMULUS
        gates = tuple(_of_no_world(gate, figures[gate.metric])
                      if still and family(gate.metric) not in OF_TIMING
                      else hold(gate, figures[gate.metric]) for gate in profile.gates)
    return GateReport(profile, (*conditions, *gates))


def _of_no_world(gate: Gate, value: MetricValue) -> GateResult:
    why = (f'not held: nothing moves on the plant {STIMULUS}, so it tells of times alone; record '
           'a run in a world')
    return GateResult(gate.name, Verdict.INCONCLUSIVE, why, gate, value)


def _absent(profile: GateProfile, name: str, figures: Mapping[str, MetricValue]) -> MetricValue:
    near = [other for other in figures if family(other) == family(name)]
    instead = _instead(name, near, figures)
    if family(name) not in DEFINITIONS:
        raise ConfigError(f'gate profile {profile.name}: the scorecard holds no {name!r}{instead}')
    return missing(name, '', f'the run gave no {name}{instead if near else ""}')


def _instead(name: str, near: list[str], figures: Mapping[str, MetricValue]) -> str:
    """Return the figures of the same family, or else the family that may be meant."""
    if near:
        more = f' and {len(near) - _MOST_NAMED} more' if len(near) > _MOST_NAMED else ''
        return f'; of that family: {", ".join(near[:_MOST_NAMED])}{more}'
    close = did_you_mean(name, figures)
    return close if 'did you mean' in close else did_you_mean(name, map(family, figures))


def hold(gate: Gate, value: MetricValue) -> GateResult:
    """Hold one figure against its bound."""
    if value.value is None:
        more = needed(gate, value)
        text = f'no evidence: {value.why}' + (f'; {more.sentence}' if more else '')
        return GateResult(gate.name, Verdict.INCONCLUSIVE, text, gate, value, more)
    if gate.against is Against.VALUE:
        verdict = Verdict.PASS if _good(gate, value.value) else Verdict.FAIL
        return GateResult(gate.name, verdict, f'the value is {_figure(value)}', gate, value)
    if value.interval is None:
        remedy = '' if value.why.endswith(RECORD_MORE) else ': hold it with `against: value`'
        why = f'{_figure(value)}, without an interval ({value.why}){remedy}'
        return GateResult(gate.name, Verdict.INCONCLUSIVE, why, gate, value)
    return _by_interval(gate, value, value.interval)


def _by_interval(gate: Gate, value: MetricValue, interval: Interval) -> GateResult:
    ends = (_good(gate, interval.low), _good(gate, interval.high))
    if all(ends):
        verdict, says = Verdict.PASS, 'all of it keeps the bound'
    elif not any(ends):
        verdict, says = Verdict.FAIL, 'all of it breaks the bound'
    else:
        verdict, says = Verdict.INCONCLUSIVE, 'the bound lies within it'
    more = needed(gate, value) if verdict is Verdict.INCONCLUSIVE else None
    text = f'{_figure(value)}: {says}' + (f'; {more.sentence}' if more else '')
    return GateResult(gate.name, verdict, text, gate, value, more)


def _good(gate: Gate, value: float) -> bool:
    return value >= gate.limit if gate.at_most is None else value <= gate.limit


def _figure(value: MetricValue) -> str:
    unit = '' if value.unit == '1' else f' {value.unit}'
    text = f'{value.value:.4g}{unit}'
    if value.interval is None:
        return f'{text}, n = {value.n}'
    low, high, confidence, _ = value.interval
    return f'{text} in [{low:.4g}, {high:.4g}] at {confidence:.0%}, n = {value.n}'


def hold_conditions(profile: GateProfile, manifest: Mapping[str, Any]) -> Iterable[GateResult]:
    """
    Yield what the profile asks of the run itself.

    :param manifest: with `clock`, `deadline_ns`, `period_ns` and the plant's settings; empty where
        none was recorded
    """
    if profile.clock is not None:
        found = manifest.get('clock')
        yield _condition('clock', f'{profile.clock}', None if found is None else f'{found}',
                         found == profile.clock)
    for name in ('deadline', 'period'):
        limit = getattr(profile, f'{name}_ms')
        if limit is not None:
            ns = manifest.get(f'{name}_ns')
            yield _condition(name, f'at most {limit:g} ms',
                             None if ns is None else f'{ns / _NS_PER_MS:g} ms',
                             ns is not None and ns <= limit * _NS_PER_MS)
    yield from _hold_plant(profile, manifest)


def _hold_plant(profile: GateProfile, manifest: Mapping[str, Any]) -> Iterable[GateResult]:
    """Yield what is to be said of the plant: nothing where it is one of the real ones."""
    kind, asked = plant_kind(manifest), ', '.join(profile.plants)
    shown = kind + (f' ({whereabouts(manifest)})' if whereabouts(manifest) else '')
    if not kind:
        yield GateResult('plant', Verdict.INCONCLUSIVE, f'one of {asked} is asked; no plant was '
                         'recorded, so it is not known')
    elif kind not in profile.plants:
        yield GateResult('plant', Verdict.ERROR, f'{shown}, where the profile takes {asked}: '
                         'figures of such a run answer another question; record one as asked, or '
                         f'name {kind} in `plants` of the profile')
    elif kind not in REAL_PLANTS:
        yield GateResult('plant', Verdict.PASS, f'{shown}, which the profile takes')


def _condition(name: str, asked: str, found: str | None, holds: bool) -> GateResult:
    if found is None:
        return GateResult(name, Verdict.INCONCLUSIVE,
                          f'{asked} is asked; no manifest was recorded, so it is not known')
    if holds:
        return GateResult(name, Verdict.PASS, f'{found}, as asked ({asked})')
    return GateResult(name, Verdict.ERROR, f'{found}, where the profile asks {asked}: figures of '
                      'such a run answer another question; record one as asked')


def _result_json(result: GateResult) -> dict[str, Any]:
    gate = result.gate
    found: dict[str, Any] = {'name': result.name, 'verdict': result.verdict.value,
                             'sentence': result.sentence}
    if gate is not None and result.value is not None:
        found |= {'metric': gate.metric, 'bound': 'at_least' if gate.at_most is None else
                  'at_most', 'limit': gate.limit, 'against': gate.against.value,
                  'figure': value_json(result.value), 'needed': None}
    if result.needed is not None:
        found['needed'] = {'n': result.needed.n, 'of': result.needed.of,
                           'sentence': result.needed.sentence}
    return {key: clean(entry) for key, entry in found.items()}
