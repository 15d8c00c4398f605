"""
Nominal runs to a calibration, by three parts of them that share no episode.

The first part gives the reference, the second the band and the scales, the third the ranks. What
the first two give is fixed before the third is looked at, so that the largest scores of its
episodes and of a further nominal one are exchangeable, whatever the streams, the band and the
detectors are: the guarantee is the rank's alone (split conformal prediction).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from wm_eval_ros.errors import CalibrationError
from wm_eval_ros.records import CycleRecord, CycleStatus
from wm_eval_ros.stats.conformal import marginal_rank, runs_needed, tolerance_rank
from wm_eval_ros.stats.samples import Floats
from wm_eval_ros.surprise.band import Band, fit_band
from wm_eval_ros.surprise.calibration import Calibration, HUGE, Nominal, NominalEffect
from wm_eval_ros.surprise.joint import Components, fit_scale, largest, Scale
from wm_eval_ros.surprise.material import Material, NominalEpisode
from wm_eval_ros.surprise.monitor import advance, joint, make_detectors
from wm_eval_ros.surprise.reference import fit_reference, MOST_DIMENSIONS, Reference
from wm_eval_ros.surprise.streams import FREE, StreamFold, STREAMS

#: episodes of the reference, and of the band, at least
LEAST_PART = 10
#: share of the episodes that the reference takes, and the band, where there are enough
PART = 0.15
#: streams that found most faults of the dynamics together: every further one raises the threshold
#: that all share
FEW = ('effect', 'innovation')
#: detectors that go with `FEW`, and with other streams: `effect` is a sum over the slots already,
#: and a sum of `innovation` found nothing more and raised the threshold
FEW_DETECTORS, DETECTORS = ('band',), ('band', 'cusum')


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is to be calibrated."""

    alpha: float = 0.05
    #: tolerance or marginal
    rule: str = 'tolerance'
    #: empty: `FEW` where they have scores in the runs, else every stream that has one
    streams: tuple[str, ...] = ()
    h_steps: int = 5
    #: empty: `FEW_DETECTORS` where `streams` is empty and `FEW` are taken, else `DETECTORS`
    detectors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scored:
    """One episode's records without their vectors, and the raw scores of each, (T, S)."""

    cycles: tuple[CycleRecord, ...]
    raw: Floats


def episodes_needed(wish: Wish) -> int:
    """Return how many nominal episodes a calibration takes at least."""
    return 2 * LEAST_PART + runs_needed(wish.alpha, _confidence(wish))


def _confidence(wish: Wish) -> float | None:
    return 0.95 if wish.rule == 'tolerance' else None


def split(count: int, wish: Wish, foreign: int = 0) -> tuple[int, int]:
    """
    Return how many episodes the reference and the band take; the rest is ranked.

    :param foreign: how many were left out besides, for the error
    :raises CalibrationError: too few, with the number needed
    """
    need = runs_needed(wish.alpha, _confidence(wish))
    if count < episodes_needed(wish):
        raise CalibrationError(
            f'{count} nominal episodes{_besides(foreign)}; alpha {wish.alpha:g} by the '
            f'{wish.rule} rank takes {episodes_needed(wish)}: {need} to rank and {LEAST_PART} '
            f'each for reference and band; record {episodes_needed(wish) - count} more')
    part = max(LEAST_PART, min(int(PART * count), (count - need) // 2))
    return part, part


def _besides(foreign: int) -> str:
    return f', and {foreign} in which somebody else drove' if foreign else ''


def calibrate(material: Material, wish: Wish, *, created_ns: int,
              action_sensitivity: float | None = None) -> Calibration:
    """
    Calibrate the detectors.

    :param action_sensitivity: of the model, for the file; None: not known
    :raises CalibrationError: too few episodes, or no stream has a score in them
    """
    parts = _parts(material.episodes, *split(
        len(material.episodes), wish, sum(material.foreign)))
    reference, nominal = _reference(parts[0], wish)
    names = wish.streams or tuple(s for s in STREAMS if reference is not None or s in FREE)
    scored = _scores(material, parts[1] + parts[2], StreamFold(names, wish.h_steps, reference))
    shaping, ranking = scored[:len(parts[1])], scored[len(parts[1]):]
    kept = _known(names, shaping, wish)
    wish = replace(wish, detectors=wish.detectors or _detectors(kept, wish))
    shaping, ranking = _only(shaping, names, kept), _only(ranking, names, kept)
    band = fit_band([s.raw for s in shaping])
    scale = fit_scale(np.array([largest(_components(s, band, wish)) for s in shaping]))
    maxima = sorted(_largest(s, band, scale, wish) for s in ranking)
    rank = _rank(len(maxima), wish)
    _require_finite(maxima, rank)
    return Calibration(
        scope=material.scope, alpha=wish.alpha, rule=wish.rule, n=len(maxima), rank=rank,
        threshold=maxima[rank - 1], streams=kept, h_steps=wish.h_steps, detectors=wish.detectors,
        shaped=len(shaping), referred=len(parts[0]), centre=_rows(band.centre),
        spread=_rows(band.spread), usual=tuple(scale.centre.tolist()),
        usual_spread=tuple(scale.spread.tolist()), maxima=tuple(maxima),
        nominal=nominal, action_sensitivity=action_sensitivity,
        created_ns=created_ns, sources=material.sources())


def _parts(episodes: Sequence[NominalEpisode], first: int, second: int,
           ) -> tuple[list[NominalEpisode], list[NominalEpisode], list[NominalEpisode]]:
    """Split episodes evenly over the record: what drifts along it drifts in every part."""
    count = len(episodes)
    places = np.floor((np.arange(first + second) + 0.5) * count / (first + second)).astype(int)
    chosen = {int(at): number for number, at in enumerate(places)}
    parts: tuple[list[NominalEpisode], ...] = ([], [], [])
    for at, episode in enumerate(episodes):
        number = chosen.get(at)
        parts[2 if number is None else number % 2].append(episode)
    return parts[0], parts[1], parts[2]


def _reference(episodes: Sequence[NominalEpisode],
               wish: Wish) -> tuple[Reference | None, Nominal]:
    latents = np.concatenate([e.latents for e in episodes])
    residuals = np.concatenate([e.residuals for e in episodes])
    biases = np.concatenate([e.biases for e in episodes])
    if len(residuals) < 2 or latents.shape[1] > MOST_DIMENSIONS:
        return None, Nominal()
    found = fit_reference(latents, residuals, biases, [e.driven for e in episodes])
    effect = found.effect
    return found, Nominal(
        latent_mean=tuple(found.latents.mean.tolist()),
        latent_whitening=_rows(found.latents.whitening),
        residual_mean=tuple(found.residuals.mean.tolist()),
        residual_whitening=_rows(found.residuals.whitening),
        bias_mean=tuple(found.biases.mean.tolist()),
        bias_whitening=_rows(found.biases.whitening),
        neighbours=_rows(found.neighbours),
        effect=None if effect is None else NominalEffect(
            offset=tuple(effect.offset.tolist()), weights=_rows(effect.weights),
            limit=tuple(effect.limit.tolist()), pushes=_rows(effect.pushes),
            reach=_rows(effect.reach)))


def _scores(material: Material, wanted: Sequence[NominalEpisode],
            fold: StreamFold) -> list[Scored]:
    """Read the recordings again; return the scores of the episodes in the order asked for."""
    keys = {(e.recording, e.number) for e in wanted}
    found: dict[tuple[int, int], tuple[list[CycleRecord], list[Floats]]] = {}
    for at, recording in enumerate(material.recordings):
        for record in recording():
            if not isinstance(record, CycleRecord) or record.status is CycleStatus.WARMUP:
                continue
            raw = fold.update(record)
            if (at, record.episode) in keys:
                cycles, rows = found.setdefault((at, record.episode), ([], []))
                cycles.append(_bare(record))
                rows.append(raw)
    return [Scored(tuple(cycles), np.array(rows)) for cycles, rows in (
        found[e.recording, e.number] for e in wanted)]


def _bare(cycle: CycleRecord) -> CycleRecord:
    return replace(cycle, latent=None, rollout=None, rollout_std=None)


def _known(names: Sequence[str], shaping: Sequence[Scored], wish: Wish) -> tuple[str, ...]:
    """Return the streams that have finite scores in the episodes that shape the band."""
    has = np.any([np.any(np.isfinite(s.raw), axis=0) for s in shaping], axis=0)
    missing = [name for name, good in zip(names, has, strict=True) if not good]
    if wish.streams and missing:
        raise CalibrationError(f'stream {missing[0]!r} has no score in these runs; leave it out')
    if not has.any():
        raise CalibrationError('no stream has a score in these runs: were they recorded with '
                               'planner.record_rollout?')
    found = tuple(name for name, good in zip(names, has, strict=True) if good)
    return FEW if not wish.streams and set(FEW) <= set(found) else found


def _detectors(kept: tuple[str, ...], wish: Wish) -> tuple[str, ...]:
    return FEW_DETECTORS if kept == FEW and not wish.streams else DETECTORS


def _only(scored: Sequence[Scored], names: Sequence[str], kept: Sequence[str]) -> list[Scored]:
    columns = [names.index(name) for name in kept]
    return [Scored(s.cycles, s.raw[:, columns]) for s in scored]


def _components(scored: Scored, band: Band, wish: Wish) -> Floats:
    """Return the components of every slot of an episode, shape (T, C)."""
    components = Components(band, make_detectors(wish.detectors))
    before: CycleRecord | None = None
    rows = []
    for cycle, raw in zip(scored.cycles, scored.raw, strict=True):
        advance(components, before, cycle)
        rows.append(components.update(raw))
        before = cycle
    return np.array(rows)


def _largest(scored: Scored, band: Band, scale: Scale, wish: Wish) -> float:
    """Return the largest joint score of an episode, finite; lowest of all where it has none."""
    components = Components(band, make_detectors(wish.detectors))
    before: CycleRecord | None = None
    found = -HUGE
    for cycle, raw in zip(scored.cycles, scored.raw, strict=True):
        # a slot without a score, NaN, is no larger than any
        found = max(found, joint(components, scale, before, cycle, raw))
        before = cycle
    return min(found, HUGE)


def _rank(n: int, wish: Wish) -> int:
    find = tolerance_rank if wish.rule == 'tolerance' else marginal_rank
    rank = find(n, wish.alpha)
    if rank is None:
        raise CalibrationError(f'{n} episodes to rank: too few for alpha {wish.alpha:g}')
    return rank


def _require_finite(maxima: Sequence[float], rank: int) -> None:
    """Refuse a threshold that nothing exceeds: more episodes are unreadable than may alarm."""
    if maxima[rank - 1] >= HUGE:
        count = sum(m >= HUGE for m in maxima)
        raise CalibrationError(
            f'{count} of {len(maxima)} ranked nominal episodes hold a slot whose observation or '
            f'forecast cannot be read, {len(maxima) - rank} of them may raise an alarm: such a '
            'threshold would never be exceeded; mend the inputs, or their age '
            '(planner.stale_ms), and record anew')


def _rows(matrix: np.ndarray[tuple[int, ...], np.dtype[np.floating]],
          ) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in matrix.tolist())
