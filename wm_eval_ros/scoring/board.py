"""Whether a board is fast enough: the latency measured on it against what a task bears."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from wm_eval_ros.errors import BagError
from wm_eval_ros.records import ClockMode, MetricValue, Verdict
from wm_eval_ros.scoring.scorecard import clean, Scorecard
from wm_eval_ros.scoring.sweep import flat

#: figures of a run on the board that can be held against an injected latency
FIGURES = ('decision_latency', 'sense_to_act', 'round_trip', 'actuation')
#: settings on which the time of a decision depends
WORK = ('planner', 'samples', 'iterations', 'horizon', 'action_repeat', 'engine', 'precision',
        'torch_threads', 'budget_ms', 'least_latency_ms')
#: what the plan of a compensated curve changes from point to point
FOLLOWING = ('horizon', 'action_repeat')


class Bracket(NamedTuple):
    """What is known of the largest latency that a task bears."""

    #: largest latency tried up to which success is there [ms], None: not even the smallest
    held_ms: float | None
    #: smallest latency above at which it is not [ms], None: nowhere
    lost_ms: float | None


@dataclass(frozen=True)
class Board:
    """Latency of one board."""

    #: path of its bag, or how the number was given
    name: str
    #: figure the quantile is of; empty: a number that was given
    figure: str
    #: 99 % quantile [ms], and limits that hold with 95 % each; None where n is too small
    p99_ms: float | None
    low_ms: float | None
    high_ms: float | None
    n: int = 0
    #: why there is no quantile, or no limit
    why: str = ''


@dataclass(frozen=True)
class Fit:
    """A board held against a curve."""

    board: Board
    verdict: Verdict
    #: latency the margin is taken from [ms]: for a pass the upper limit, for a fail the lower
    compared_ms: float | None
    #: what is left up to the largest latency that holds [ms]; below 0: it is too slow by that
    margin_ms: float | None
    #: largest latency that holds, over the compared one: above 1 there is room
    ratio: float | None
    sentence: str
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it in JSON's own types."""
        found: dict[str, Any] = clean({**asdict(self), 'notes': list(self.notes)})
        return found


def given(p99_ms: float) -> Board:
    """Return the board whose quantile somebody names; it is taken as it is."""
    return Board('as given', '', p99_ms, p99_ms, p99_ms)


def board_of(card: Scorecard, bag: str, figure: str = FIGURES[0]) -> Board:
    """
    Return the latency of the board that a run was recorded on.

    Where n is too small for a limit of the 99 % quantile from below, that of the 95 % quantile
    or of the median stands: the 99 % quantile is no smaller.

    :param figure: one of :data:`FIGURES`; of one that each topic has, the slowest topic's
    :raises BagError: the run is of another clock mode, or has no such figure
    """
    clock = str(card.manifest.get('clock', ''))
    if clock != ClockMode.REALTIME:
        raise BagError(f'{bag}: its clock is {clock or "not known"}; the latency of a board is '
                       'that of a run in realtime')
    values = {v.name: v for v in (*card.values, *card.host)}
    figure = _slowest(values, figure)
    top = values.get(f'{figure}.p99')
    if top is None or top.n == 0:
        why = f' ({top.why})' if top is not None and top.why else ''
        raise BagError(f'{bag}: no {figure} in it{why}')
    lower = (values.get(f'{figure}.{q}') for q in ('p99', 'p95', 'p50'))
    low = next((v.interval.low for v in lower if v is not None and v.interval is not None), None)
    high = None if top.interval is None else top.interval.high
    return Board(bag, figure, top.value, low, high, top.n, top.why)


def _slowest(values: Mapping[str, MetricValue], figure: str) -> str:
    """Return the figure of the topic with the largest quantile, where topics have it."""
    tail = '].p99'
    of_topics = {name.removesuffix('.p99'): value.value for name, value in values.items()
                 if name.startswith(f'{figure}[') and name.endswith(tail)}
    return max(of_topics, key=lambda name: (of_topics[name] or 0.0, name), default=figure)


def differences(board: Scorecard, curve: Scorecard, bag: str, *, following: bool
                ) -> tuple[str, ...]:
    """
    Say where the planner of a board's run worked otherwise than that of the curve.

    :param following: horizon and repeated commands follow the latency in the curve
    :raises BagError: another model drove
    """
    theirs, ours = (_model(card.manifest) for card in (board, curve))
    if theirs != ours:
        raise BagError(f'{bag}: {_named(board)} ran on it, the curve is of {_named(curve)}; '
                       'record the board with that model, or give its latency as a number')
    settings = [flat(card.manifest.get('settings') or {}) for card in (board, curve)]
    found = []
    for name in WORK:
        key = f'planner.{name}'
        there, here = (each.get(key) for each in settings)
        if there != here and not (following and name in FOLLOWING):
            found.append(f'the board ran with {key} = {there}, the curve with {here}')
    return tuple(found)


def _model(manifest: Mapping[str, Any]) -> str:
    return str((manifest.get('model') or {}).get('sha256', ''))


def _named(card: Scorecard) -> str:
    facts = card.manifest.get('model') or {}
    sha = str(facts.get('sha256', ''))
    return f'{facts.get("name") or "no model"}{f" {sha[:12]}" if sha else ""}'


def hold(board: Board, bracket: Bracket, bound: float, notes: tuple[str, ...] = ()) -> Fit:
    """
    Say whether a board stays within what a task bears.

    PASS: the upper limit of its latency is no larger than the largest that holds. FAIL: the lower
    limit is no smaller than the smallest that does not. Anything else is not decided.
    """
    held, lost = bracket
    if board.high_ms is not None and held is not None and board.high_ms <= held:
        return _fit(board, Verdict.PASS, board.high_ms, held, (
            f'yes: {_called(board)} is {_at_most(board)}, success is {bound:g} or above up to '
            f'{held:g} ms'), notes)
    if board.low_ms is not None and lost is not None and board.low_ms >= lost:
        return _fit(board, Verdict.FAIL, board.low_ms, held, (
            f'no: {_called(board)} is {_at_least(board)}, success is below {bound:g} at '
            f'{lost:g} ms'), notes)
    return _fit(board, Verdict.INCONCLUSIVE, board.p99_ms, held,
                f'not decided: {_open(board, bracket)}', notes)


def _fit(board: Board, verdict: Verdict, compared: float | None, held: float | None,
         sentence: str, notes: tuple[str, ...]) -> Fit:
    if compared is None or held is None:
        return Fit(board, verdict, compared, None, None, sentence, notes)
    margin, ratio = held - compared, held / compared if compared > 0 else None
    if verdict is Verdict.PASS:
        times = '' if ratio is None else f', {ratio:.3g} times its latency'
        sentence += f': {margin:.4g} ms to spare{times}'
    if verdict is Verdict.FAIL:
        times = f', {1 / ratio:.3g} times as fast' if ratio else ''
        sentence += f': it must be {-margin:.4g} ms faster{times}'
    return Fit(board, verdict, compared, margin, ratio, sentence, notes)


def _called(board: Board) -> str:
    return f'p99 of {board.figure}' if board.figure else 'the given p99'


def _at_most(board: Board) -> str:
    assert board.high_ms is not None
    return f'at most {board.high_ms:.4g} ms (95 %)' if board.figure else f'{board.high_ms:.4g} ms'


def _at_least(board: Board) -> str:
    assert board.low_ms is not None
    return f'at least {board.low_ms:.4g} ms (95 %)' if board.figure else f'{board.low_ms:.4g} ms'


def _open(board: Board, bracket: Bracket) -> str:
    held, lost = bracket
    if board.p99_ms is None or board.high_ms is None or board.low_ms is None:
        known = '' if board.p99_ms is None else f' is {board.p99_ms:.4g} ms, but'
        return f'{_called(board)}{known} has too few samples: {board.why}'
    where = f'{_called(board)} is {board.p99_ms:.4g} ms'
    if board.figure:
        where += f' ({board.low_ms:.4g} to {board.high_ms:.4g})'
    if lost is None:
        return (f'{where}, and success holds up to {held:g} ms, the largest latency tried: try '
                'larger ones' if held is not None else f'{where}, and no latency is decided: '
                'run more episodes')
    if held is None:
        return f'{where}, and below {lost:g} ms no latency that was tried is known to hold'
    inside = held < board.low_ms and board.high_ms < lost
    return (f'{where}, and what the task bears lies between {held:g} and {lost:g} ms: '
            f'{"try latencies between them" if inside else "record more on the board"}')
