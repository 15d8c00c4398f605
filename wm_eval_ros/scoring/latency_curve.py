"""Success over injected latency: how much of it a task bears, and which boards stay within."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from wm_eval_ros.errors import BagError
from wm_eval_ros.metrics.base import missing
from wm_eval_ros.records import MetricValue, Verdict
from wm_eval_ros.scoring.board import Bracket, Fit
from wm_eval_ros.scoring.confirmation import Confirmation
from wm_eval_ros.scoring.curves import change, holds, Success
from wm_eval_ros.scoring.scorecard import canonical, clean, Scorecard, value_json
from wm_eval_ros.scoring.sweep import BOUND, flat, LATENCY, make_sweep, Point, Sweep, varied

#: layout of latency_curve.json; raised whenever a reader of the old would misread the new
CURVE_SCHEMA = 1
#: latencies tried where none are named, in periods; whole ones are a cliff that no real latency
#: keeps to
PERIODS = (0.0, 0.25, 0.5, 0.75, 0.9, 1.1, 1.5, 1.9, 2.9)
#: settings that follow the latency where the planner is told of it
FOLLOWING = ('planner.delay_steps', 'planner.action_repeat', 'planner.horizon')
#: of the smallest latency
_FIRST = missing('success_change', '1', 'the others are held against it')
#: from the worst on
_WORST = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)


class Told(NamedTuple):
    """Settings that tell a planner of its latency."""

    delay_steps: int
    action_repeat: int
    horizon: int

    def settings(self) -> dict[str, int]:
        """Return them by dotted key."""
        return dict(zip(FOLLOWING, self, strict=True))


def told(latency_ms: float, period_ms: float, horizon: int, repeat: int = 1, dead: int = 0
         ) -> Told:
    """
    Return the settings that tell a planner how late its commands act, and how seldom.

    A command acts the whole periods of the latency after its slot; the next decision is made in
    the first slot that begins no sooner than this one ended.

    :param horizon: of the scenario; rounded up to a multiple of the repeat [steps]
    :param repeat: the scenario's own ``action_repeat``, which is kept if it is larger
    :param dead: dead time of the actuators [steps]

    >>> told(75.0, 50.0, 12), told(50.0, 50.0, 12), told(150.0, 50.0, 20)
    (Told(delay_steps=1, action_repeat=2, horizon=12), Told(delay_steps=1, action_repeat=1, \
horizon=12), Told(delay_steps=3, action_repeat=3, horizon=21))
    """
    latency, period = round(latency_ms * 1e6), round(period_ms * 1e6)
    every = max(repeat, -(-latency // period))
    return Told(dead + latency // period, every, -(-horizon // every) * every)


@dataclass(frozen=True)
class CurvePoint:
    """One latency, and what the run with it gave."""

    point: Point
    #: what the planner was told
    told: Told
    #: success less that at the smallest latency, on the same starts
    change: MetricValue
    #: success is there; None: not decided
    holds: bool | None

    @property
    def latency_ms(self) -> float:
        """Return the latency [ms]."""
        assert self.point.x is not None
        return self.point.x


@dataclass(frozen=True)
class LatencyCurve:
    """The points in ascending order, what is read off them, and the boards held against it."""

    sweep: Sweep
    bound: float
    #: a latency holds only where the lower limit of success is at the bound
    strict: bool
    #: the planner was told of the latency
    compensated: bool
    period_ms: float
    points: tuple[CurvePoint, ...]
    bracket: Bracket
    fits: tuple[Fit, ...] = ()
    #: runs in real time with the latency injected
    confirmations: tuple[Confirmation, ...] = ()
    notes: tuple[str, ...] = ()
    schema_version: int = CURVE_SCHEMA

    @property
    def verdict(self) -> Verdict:
        """
        Return the worst verdict of boards and runs in real time.

        Without either, whether any latency holds.
        """
        if self.fits or self.confirmations:
            every = {*(f.verdict for f in self.fits), *(c.verdict for c in self.confirmations)}
            return next(v for v in _WORST if v in every)
        if self.bracket.held_ms is not None:
            return Verdict.PASS
        return Verdict.FAIL if self.points[0].holds is False else Verdict.INCONCLUSIVE

    @property
    def sentence(self) -> str:
        """Say how much latency the task bears."""
        held, lost = self.bracket
        shown = ' (shown)' if self.strict else ''
        if held is None:
            there = 'not there' if self.points[0].holds is False else 'not shown'
            return (f'success of {self.bound:g} is {there} even at the smallest latency tried, '
                    f'{self.points[0].latency_ms:g} ms')
        if lost is None:
            return (f'success is {self.bound:g} or above{shown} up to {held:g} ms; where it is '
                    f'lost is {"not shown" if self.strict else "beyond the latencies tried"}')
        return (f'success is {self.bound:g} or above{shown} up to {held:g} ms and below{shown} at '
                f'{lost:g} ms')

    def to_dict(self) -> dict[str, Any]:
        """Return it in JSON's own types."""
        first = self.sweep
        model = next((p.point.model for p in self.points if p.point.model), None)
        return {
            'schema_version': self.schema_version, 'scenario': first.scenario,
            'clock': first.clock, 'model': clean(model), 'period_ms': self.period_ms,
            'bound': self.bound, 'strict': self.strict, 'compensated': self.compensated,
            'points': [_point_json(p) for p in self.points],
            'held_ms': self.bracket.held_ms, 'lost_ms': self.bracket.lost_ms,
            'figures': [value_json(v) for v in first.figures],
            'boards': [fit.to_dict() for fit in self.fits],
            'realtime': [each.to_dict() for each in self.confirmations],
            'verdict': str(self.verdict), 'sentence': self.sentence,
            'notes': [*first.notes, *self.notes]}

    def to_json(self) -> str:
        """Return canonical JSON, ending in a newline: equal inputs give equal bytes."""
        return canonical(self.to_dict()) + '\n'


def _point_json(at: CurvePoint) -> dict[str, Any]:
    episodes = [{'seed': seed, 'success': won} for seed, won in sorted(at.point.outcomes.items())]
    return {'latency_ms': at.latency_ms, **at.told._asdict(), 'holds': at.holds,
            'success': value_json(at.point.success), 'change': value_json(at.change),
            'episodes': episodes, 'bag': at.point.bag}


def make_curve(cards: Sequence[tuple[str, Scorecard]], bound: float = BOUND, *,
               strict: bool = False) -> LatencyCurve:
    """
    Make the curve of scored runs; whether the planner was told of the latency is read off them.

    :param cards: path of each bag and its scorecard
    :raises BagError: no latency was declared, or the runs differ in something else as well
    """
    settings = [flat(card.manifest.get('settings') or {}) for _, card in cards]
    for (bag, card), own in zip(cards, settings, strict=True):
        _require_declared(bag, card, own)
    changed = set(varied([card for _, card in cards])) & set(FOLLOWING)
    sweep = make_sweep(LATENCY, cards, bound, FOLLOWING if changed else ())
    by_bag = {bag: own for (bag, _), own in zip(cards, settings, strict=True)}
    every = [Success(p.x or 0.0, p.outcomes, p.seedless) for p in sweep.points]
    bracket = bracket_of(every, bound, strict=strict)
    points = tuple(
        CurvePoint(p, _told(by_bag[p.bag]), change(own, every[0]) if at else _FIRST,
                   holds(own, bound, strict))
        for at, (p, own) in enumerate(zip(sweep.points, every, strict=True)))
    period = float(settings[0].get('planner.period_ms') or 0.0)
    return LatencyCurve(sweep, bound, strict, bool(changed), period, points, bracket,
                        notes=(*_notes(points, bracket, bound, strict=strict),
                               *_driven([card for _, card in cards], settings)))


def _require_declared(bag: str, card: Scorecard, settings: Mapping[str, Any]) -> None:
    clock = card.manifest.get('clock', '')
    latency = settings.get(LATENCY)
    if clock != 'lockstep':
        raise BagError(f'{bag}: its clock is {clock or "not known"}; a latency is injected in '
                       'lockstep only')
    if settings.get('planner.latency_trace') or isinstance(latency, bool) or not isinstance(
            latency, (int, float)) or latency < 0:
        raise BagError(f'{bag}: no latency was declared in it ({LATENCY} = {latency}); a curve is '
                       'of declared ones')


def _told(settings: Mapping[str, Any]) -> Told:
    delay, repeat, horizon = (settings.get(key) for key in FOLLOWING)
    return Told(int(delay or 0), int(repeat or 1), int(horizon or 0))


def bracket_of(points: Sequence[Success], bound: float, *, strict: bool) -> Bracket:
    """
    Return the largest latency such that it and all smaller ones hold, and the next that does not.

    Strictly both ends are shown, in fixed sequences: from the smallest latency up while success
    is shown to be at the bound, from the largest down while it is shown to be below.

    :param points: in ascending order of the latency
    """
    known = [holds(p, bound, strict) for p in points]
    first = next((i for i, yes in enumerate(known) if not yes), len(known))
    if strict:
        lost = next((i + 1 for i in range(len(known) - 1, -1, -1) if known[i] is not False), 0)
    else:
        lost = next((i for i in range(first, len(known)) if known[i] is False), len(known))
    return Bracket(points[first - 1].x if first else None,
                   points[lost].x if lost < len(known) else None)


def _driven(cards: Sequence[Scorecard], settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say where somebody but the planner drove in episodes that were lost."""
    found = []
    for own, card in sorted(zip((float(s[LATENCY]) for s in settings), cards, strict=True),
                            key=lambda each: each[0]):
        lost = [e for e in card.episodes if e.decided and e.outcome != 'success']
        if count := sum(e.aided is True for e in lost):
            found.append(f'at {own:g} ms somebody but the planner drove in {count} of {len(lost)} '
                         'episodes that were lost: the supervisor may have ended them, not the '
                         'plan')
    return found


def _notes(points: Sequence[CurvePoint], bracket: Bracket, bound: float, *, strict: bool
           ) -> tuple[str, ...]:
    found = []
    held, lost = bracket
    back = [p.latency_ms for p in points if lost is not None and p.latency_ms > lost and p.holds]
    if back:
        found.append(f'success is at {bound:g} again at {", ".join(f"{x:g}" for x in back)} ms: '
                     'what counts is up to where it never was below')
    at = next((p.point.success for p in points if p.latency_ms == held), None)
    if not strict and at is not None and at.interval is not None and at.interval.low < bound:
        found.append(f'{at.n} episodes at {held:g} ms leave success down to '
                     f'{at.interval.low:.3f} possible: --strict asks for that limit')
    if points[0].latency_ms > 0:
        found.append(f'no latency below {points[0].latency_ms:g} ms was tried')
    return tuple(found)
