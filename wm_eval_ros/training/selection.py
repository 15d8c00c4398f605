"""From candidates to windows: by turns of the reasons, without overlap, up to a cap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wm_eval_ros.config.schema import setting
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.training.hard_cases import Candidate, Reason


@dataclass(frozen=True, kw_only=True)
class MineSettings:
    """What is cut out of bags."""

    before: int = setting(12, doc='slots kept before a hard case', low=0, high=10000)
    after: int = setting(12, doc='slots kept after it', low=0, high=10000)
    windows: int = setting(500, doc='most windows, after overlapping ones were joined', low=1)
    share: float = setting(0.5, doc='largest share of all slots that is mined', low=0.001,
                           high=1.0)
    near: float = setting(
        0.9, doc='share of the deadline, or of half the command range, that is a near miss',
        low=0.0)
    reasons: tuple[str, ...] = setting(
        tuple(r.value for r in Reason), doc='why a slot is mined; they take turns in this order')

    def __post_init__(self) -> None:
        """Refuse a reason nobody knows."""
        known = [r.value for r in Reason]
        for name in self.reasons:
            if name not in known:
                raise ConfigError(f'reasons: no {name!r}; known: {", ".join(known)}')
        if not self.reasons:
            raise ConfigError(f'reasons: none is given; known: {", ".join(known)}')


@dataclass(frozen=True)
class Window:
    """Consecutive slots that are kept."""

    #: index of the trajectory
    piece: int
    #: first row, and one past the last
    begin: int
    end: int
    #: reason -> the highest score of its candidates in the window
    reasons: dict[Reason, float] = field(default_factory=dict)


def select(lengths: Sequence[int], found: Sequence[Candidate],
           settings: MineSettings) -> list[Window]:
    """
    Choose windows; equal input gives equal windows.

    The reasons take turns, each with its hardest slot that no window covers yet, because their
    scores do not compare. The first slot that would go over a cap ends the selection.

    :param lengths: rows of each trajectory
    """
    masks = [np.zeros(n, bool) for n in lengths]
    wanted = [Reason(name) for name in settings.reasons]
    queues = [_ranked(found, reason) for reason in wanted]
    most = int(settings.share * sum(lengths))
    count = kept = 0
    while any(queues):
        for queue in queues:
            candidate = _next(queue, masks)
            if candidate is None:
                continue
            mask = masks[candidate.piece]
            grown = mask.copy()
            grown[_span(candidate.row, len(mask), settings)] = True
            more = count + _runs(grown) - _runs(mask)
            if more > settings.windows or kept + int(grown.sum() - mask.sum()) > most:
                return _windows(masks, found, wanted)
            count, kept = more, kept + int(grown.sum() - mask.sum())
            masks[candidate.piece] = grown
    return _windows(masks, found, wanted)


def _ranked(found: Sequence[Candidate], reason: Reason) -> list[Candidate]:
    """Return the candidates of a reason, the hardest last."""
    own = [c for c in found if c.reason is reason]
    return sorted(own, key=lambda c: (c.score, -c.piece, -c.row))


def _next(queue: list[Candidate], masks: Sequence[NDArray[np.bool_]]) -> Candidate | None:
    while queue:
        candidate = queue.pop()
        if not masks[candidate.piece][candidate.row]:
            return candidate
    return None


def _span(row: int, length: int, settings: MineSettings) -> slice:
    """Return the window about a row, moved inward at the ends of the trajectory."""
    size = settings.before + settings.after + 1
    begin = max(0, min(row - settings.before, length - size))
    return slice(begin, min(length, begin + size))


def _runs(mask: NDArray[np.bool_]) -> int:
    return int(np.sum(mask & ~np.concatenate([[False], mask[:-1]])))


def _windows(masks: Sequence[NDArray[np.bool_]], found: Sequence[Candidate],
             wanted: Sequence[Reason]) -> list[Window]:
    windows: list[Window] = []
    owner: dict[tuple[int, int], Window] = {}
    for piece, mask in enumerate(masks):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
        for begin, end in edges.reshape(-1, 2).tolist():
            window = Window(piece, begin, end)
            windows.append(window)
            owner.update({(piece, row): window for row in range(begin, end)})
    for c in found:
        window_of = owner.get((c.piece, c.row))
        if window_of is not None and c.reason in wanted:
            best = window_of.reasons.get(c.reason, c.score)
            window_of.reasons[c.reason] = max(best, c.score)
    return windows
