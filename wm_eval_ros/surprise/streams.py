"""Raw score streams: numbers that grow when the world does not do what the model foresaw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import math

import numpy as np

from wm_eval_ros.config.schema import did_you_mean
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.records import CycleRecord, CycleStatus, Mode
from wm_eval_ros.stats.distance import Singles, squared_error
from wm_eval_ros.stats.samples import Floats
from wm_eval_ros.surprise.bias import RunningError
from wm_eval_ros.surprise.effect import CommandTest
from wm_eval_ros.surprise.reference import Reference

#: the stream that a model computes itself, where it offers it
KL = 'kl'
NAN = float('nan')
_SENT = frozenset({CycleStatus.OK, CycleStatus.LATE})


class Window:
    """
    The newest slots of an episode whose predictions were driven, up to this one.

    A forecast counts only where the planner's own commands were in force from the slot it was made
    in to the slot it is about. The window therefore begins anew with an episode, after a slot that
    was lost or sent nothing, and in every slot up to which somebody else drove.

    :param steps: slots kept besides the newest
    """

    def __init__(self, steps: int) -> None:
        self._most = steps + 1
        self._held: list[CycleRecord] = []

    def begin(self) -> None:
        """Begin anew: the planner was started again and carries nothing over."""
        self._held.clear()

    def push(self, cycle: CycleRecord) -> None:
        """Take the next slot in."""
        if self._held and not follows(self._held[-1], cycle):
            self._held.clear()
        if cycle.latent is None:
            self._held.clear()
            return
        self._held.append(cycle)
        del self._held[:-self._most]

    def back(self, steps: int) -> CycleRecord | None:
        """Return the slot so many before the newest; None where it is not driven from there."""
        return self._held[-1 - steps] if steps < len(self._held) else None


def follows(before: CycleRecord, after: CycleRecord) -> bool:
    """Say whether the planner's own command led from one slot to the next."""
    return (after.episode == before.episode and after.slot == before.slot + 1
            and before.status in _SENT and before.mode == after.mode == Mode.PLANNER)


def foreseen(window: Window, steps: int) -> Singles | None:
    """Return the newest slot's latent as it was imagined so many slots before; shape (D,)."""
    made, now = window.back(steps), window.back(0)
    if made is None or now is None or made.rollout is None or now.latent is None:
        return None
    if len(made.rollout) < steps or made.rollout.shape[1:] != now.latent.shape:
        return None
    imagined: Singles = made.rollout[steps - 1]
    return imagined


def residual(window: Window) -> Singles | None:
    """Return the newest latent less the one foreseen a slot before, shape (D,)."""
    expected, now = foreseen(window, 1), window.back(0)
    if expected is None or now is None or now.latent is None:
        return None
    with np.errstate(over='ignore', invalid='ignore'):
        gap: Singles = now.latent - expected
    return gap


def _error(window: Window, steps: int) -> float:
    expected, now = foreseen(window, steps), window.back(0)
    if expected is None or now is None or now.latent is None:
        return NAN
    return _score(float(squared_error(expected, now.latent)))


def _innovation(window: Window) -> float:
    """Return the largest squared one-step error of an entry, in its predicted variances."""
    gap, made = residual(window), window.back(1)
    if gap is None or made is None or made.rollout_std is None or not len(made.rollout_std):
        return NAN
    std = made.rollout_std[0].astype(np.float64)
    if std.shape != gap.shape:
        return NAN
    if not (np.isfinite(gap).all() and np.isfinite(std).all()):
        return float(np.inf)
    told = std > 0
    if not told.any():
        return NAN
    with np.errstate(over='ignore', invalid='ignore'):
        ratio = gap[told] / std[told]
        return _score(float(np.max(ratio * ratio)))


def _ensemble_variance(cycle: CycleRecord) -> float:
    std = cycle.rollout_std
    if std is None or not std.size:
        return NAN
    wide = std.astype(np.float64)
    return _score(float(np.mean(wide * wide)))


def _plan_inconsistency(window: Window) -> float:
    before, now = window.back(1), window.back(0)
    if before is None or now is None or before.rollout is None or now.rollout is None:
        return NAN
    shared = min(len(before.rollout) - 1, len(now.rollout))
    if shared < 1 or before.rollout.shape[1:] != now.rollout.shape[1:]:
        return NAN
    return _score(float(np.mean(squared_error(before.rollout[1:shared + 1],
                                              now.rollout[:shared]))))


def _score(value: float) -> float:
    """Return a score: a forecast or latent that is no number is as surprising as can be."""
    return math.inf if math.isnan(value) else value


#: streams of the records alone, and those that need a reference of nominal runs
FREE = ('one_step', 'innovation', 'h_step', 'ensemble_variance', 'plan_inconsistency')
REFERRED = ('mahalanobis', 'knn', 'residual', 'bias', 'effect')
STREAMS = (*FREE, *REFERRED, KL)


class StreamFold:
    """
    Scores of each slot, out of the records alone.

    :param names: streams to compute, in the order of the scores
    :param h_steps: how many slots ahead ``h_step`` looks, >= 2
    :param reference: of nominal runs; None: the streams that need it have no score
    :raises ConfigError: a stream nobody knows
    """

    def __init__(self, names: Sequence[str], h_steps: int,
                 reference: Reference | None = None) -> None:
        for name in names:
            if name not in STREAMS:
                raise ConfigError(f'detector.streams: no stream {name!r}'
                                  f'{did_you_mean(name, STREAMS)}')
        self.names = tuple(names)
        self._window, self._steps, self._reference = Window(h_steps), h_steps, reference
        self._running = RunningError()
        self._commands = CommandTest()
        self._nominal = reference.effect if reference is not None and 'effect' in names else None
        self._mean: Floats | None = None
        self._moved: float | None = None
        makers: dict[str, Callable[[CycleRecord], float]] = {
            'one_step': lambda cycle: _error(self._window, 1),
            'h_step': lambda cycle: _error(self._window, self._steps),
            'innovation': lambda cycle: _innovation(self._window),
            'ensemble_variance': _ensemble_variance,
            'plan_inconsistency': lambda cycle: _plan_inconsistency(self._window),
            'mahalanobis': self._mahalanobis, 'knn': self._knn, 'residual': self._residual,
            'bias': self._bias, 'effect': lambda _: self._effect()}
        self._makers = [makers.get(name) for name in names]

    def begin(self) -> None:
        """Begin anew: the planner was started again and carries nothing over."""
        self._window.begin()

    def update(self, cycle: CycleRecord, measured: Mapping[str, float] | None = None) -> Floats:
        """
        Score the next slot.

        :param measured: scores the model gave itself, by stream; None: as logged in the record
        :returns: shape (S,); NaN where a stream has no score, infinite allowed
        """
        self._window.push(cycle)
        gap, made = residual(self._window), self._window.back(1)
        self._mean = self._running.update(gap, made)
        self._moved = self._commands.update(gap, made, self._nominal)
        return np.array([self._given(name, cycle, measured) if make is None else make(cycle)
                         for name, make in zip(self.names, self._makers, strict=True)], float)

    def _given(self, name: str, cycle: CycleRecord,
               measured: Mapping[str, float] | None) -> float:
        if self._window.back(1) is None:
            return NAN
        if measured is not None:
            return measured.get(name, NAN)
        at = self.names.index(name)
        return cycle.scores[at] if at < len(cycle.scores) else NAN

    def _mahalanobis(self, cycle: CycleRecord) -> float:
        reference, latent = self._reference, cycle.latent
        if reference is None or latent is None or latent.shape != reference.latents.mean.shape:
            return NAN
        return _score(reference.latents.distance(latent.astype(np.float64)))

    def _knn(self, cycle: CycleRecord) -> float:
        reference, latent = self._reference, cycle.latent
        if reference is None or latent is None or latent.shape != reference.latents.mean.shape:
            return NAN
        return reference.nearest(latent)

    def _residual(self, cycle: CycleRecord) -> float:
        gap, reference = residual(self._window), self._reference
        if gap is None or reference is None or gap.shape != reference.residuals.mean.shape:
            return NAN
        return _score(reference.residuals.distance(gap.astype(np.float64)))

    def _bias(self, cycle: CycleRecord) -> float:
        mean, reference = self._mean, self._reference
        if mean is None or reference is None or mean.shape != reference.biases.mean.shape:
            return NAN
        return _score(reference.biases.distance(mean))

    def _effect(self) -> float:
        return NAN if self._moved is None else _score(self._moved)
