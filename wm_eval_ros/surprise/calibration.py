"""
The calibration: what `wm-eval calibrate` writes, and for which runs alone it holds.

A file of one JSON object with sorted keys and no spaces. It is untrusted input: larger files are
not read, unknown or missing keys, numbers that are not finite and arrays that do not fit each
other are refused, and it is used for no run whose scope is another than that it was made with.
"""

from __future__ import annotations

from dataclasses import dataclass
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from wm_eval_ros.config.bounded import read_bounded, text_of
from wm_eval_ros.config.json_text import parse_json
from wm_eval_ros.config.schema import build, setting, to_plain
from wm_eval_ros.errors import CalibrationError, ConfigError, RecordingError
from wm_eval_ros.surprise.band import Band
from wm_eval_ros.surprise.effect import Effect
from wm_eval_ros.surprise.joint import Scale
from wm_eval_ros.surprise.reference import Cloud, Reference
from wm_eval_ros.surprise.scope import Scope

#: layout of the file; any other is refused
CALIBRATION_SCHEMA = 2
#: larger files are refused unread [bytes]
MAX_BYTES = 64 << 20
#: below this action sensitivity a model is called blind
BLIND_BELOW = 0.05
#: stands for an infinite largest score, which JSON does not hold; a threshold lies below it, so
#: that a score that is infinite is above every threshold, ranked or live
HUGE = 1e300

Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A bag that went into it."""

    run_id: str = setting(doc='name of the run')
    seed: int = setting(doc='its seed')
    episodes: int = setting(doc='episodes of it that were used', low=0)
    foreign: int = setting(0, doc='episodes of it that were left out, since somebody else drove '
                           'in them', low=0)
    sha256: str = setting(doc='sha256 of the latents used, in order')


@dataclass(frozen=True, kw_only=True)
class NominalEffect:
    """What commands do in nominal runs."""

    offset: tuple[float, ...] = setting(doc='error to be expected with a context of zeros, (D,)')
    weights: Rows = setting(doc='error to be expected by context, (D, D + 2 A)')
    limit: tuple[float, ...] = setting(doc='most that an entry of the error counts, (D,)')
    pushes: Rows = setting(doc='whitened change by each command and each before it, (D, 2 A)')
    reach: Rows = setting(doc='what whitens errors, times those changes, (D, 2 A)')

    def fits(self, size: int) -> bool:
        """Say whether the arrays fit each other and latents of a size."""
        twice = len(self.pushes[0]) if self.pushes else 0
        return (len(self.offset) == len(self.limit) == size and twice > 0 and twice % 2 == 0
                and _is(self.weights, size, size + twice) and _is(self.pushes, size, twice)
                and _is(self.reach, size, twice) and all(v > 0 for v in self.limit))

    def ready(self) -> Effect:
        """Return it ready for use."""
        return Effect(np.array(self.offset), np.array(self.weights), np.array(self.limit),
                      np.array(self.pushes), np.array(self.reach))


@dataclass(frozen=True, kw_only=True)
class Nominal:
    """Latents and one-step errors of nominal runs; empty: no stream needs them."""

    latent_mean: tuple[float, ...] = setting((), doc='(D,)')
    latent_whitening: Rows = setting((), doc='(D, D)')
    residual_mean: tuple[float, ...] = setting((), doc='(D,)')
    residual_whitening: Rows = setting((), doc='(D, D)')
    bias_mean: tuple[float, ...] = setting((), doc='(D,)')
    bias_whitening: Rows = setting((), doc='(D, D)')
    neighbours: Rows = setting((), doc='(N, D)')
    effect: NominalEffect | None = setting(None, doc='of commands; null: not known')

    def reference(self) -> Reference | None:
        """Return it ready for use; None where there is none."""
        if not self.neighbours:
            return None
        return Reference(
            Cloud(np.array(self.latent_mean), np.array(self.latent_whitening)),
            Cloud(np.array(self.residual_mean), np.array(self.residual_whitening)),
            Cloud(np.array(self.bias_mean), np.array(self.bias_whitening)),
            np.array(self.neighbours, np.float32),
            None if self.effect is None else self.effect.ready())


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Everything the detectors need, and where it comes from."""

    schema: int = setting(CALIBRATION_SCHEMA, doc='layout of the file')
    scope: Scope = setting(doc='what it holds for')
    alpha: float = setting(doc='share of nominal episodes that may raise an alarm', low=1e-6,
                           high=0.5)
    rule: str = setting(doc='how the rank follows from n and alpha',
                        choices=('tolerance', 'marginal'))
    n: int = setting(doc='episodes that were ranked', low=1)
    rank: int = setting(doc='the threshold is the largest score of this rank, ascending', low=1)
    threshold: float = setting(doc='above it the joint score is an alarm')
    streams: tuple[str, ...] = setting(doc='streams, in the order of the scores')
    h_steps: int = setting(doc='slots that h_step looks ahead', low=2)
    detectors: tuple[str, ...] = setting(doc='detector plug-ins, in the order of the components')
    shaped: int = setting(doc='episodes that gave the band and the scales', low=1)
    referred: int = setting(doc='episodes that gave the reference', low=0)
    centre: Rows = setting(doc='of the band, (T, S)')
    spread: Rows = setting(doc='of the band, (T, S)')
    usual: tuple[float, ...] = setting(
        doc='median of the logarithm of the largest score of an episode, by component, (C,)')
    usual_spread: tuple[float, ...] = setting(doc='upper spread of that logarithm, (C,)')
    maxima: tuple[float, ...] = setting(doc='largest score of each ranked episode, ascending')
    nominal: Nominal = setting(Nominal, doc='reference of the streams that need one')
    action_sensitivity: float | None = setting(
        None, doc='how far random commands move the imagined next latent, of what a step moves '
        'it; null: the model was not at hand', low=0.0)
    created_ns: int = setting(doc='when it was made', unit='ns')
    sources: tuple[Source, ...] = setting(doc='bags it was made of')

    def __post_init__(self) -> None:
        """Refuse numbers that do not fit each other."""
        streams, size = len(self.streams), len(self.nominal.latent_mean)
        wanted = [
            ('maxima', len(self.maxima) == self.n and sorted(self.maxima) == list(self.maxima)),
            ('rank', self.rank <= self.n),
            ('threshold', self.threshold == self.maxima[min(self.rank, self.n) - 1]
             and self.threshold < HUGE),
            ('centre', len(self.centre) >= 1 and _is(self.centre, len(self.centre), streams)),
            ('spread', _is(self.spread, len(self.centre), streams)
             and all(v > 0 for row in self.spread for v in row)),
            ('usual', len(self.usual) > 0),
            ('usual_spread', len(self.usual_spread) == len(self.usual)
             and all(v > 0 for v in self.usual_spread)),
            ('nominal', len(self.nominal.residual_mean) == len(self.nominal.bias_mean) == size
             and _is(self.nominal.latent_whitening, size, size)
             and _is(self.nominal.residual_whitening, size, size)
             and _is(self.nominal.bias_whitening, size, size)
             and _is(self.nominal.neighbours, len(self.nominal.neighbours), size)
             and (self.nominal.effect is None or self.nominal.effect.fits(size)))]
        for name, good in wanted:
            if not good:
                raise ConfigError(f'{name}: does not fit the rest of the calibration')

    @property
    def action_blind(self) -> bool:
        """The model does not listen to commands, so that faults of actuators are not seen."""
        return self.action_sensitivity is not None and self.action_sensitivity < BLIND_BELOW

    @property
    def unreadable(self) -> int:
        """Number of ranked episodes with a slot that could not be read: above the threshold."""
        return sum(m >= HUGE for m in self.maxima)

    @property
    def band(self) -> Band:
        """The band, ready for use."""
        return Band(np.array(self.centre), np.array(self.spread))

    @property
    def scale(self) -> Scale:
        """The scale of the components, ready for use."""
        return Scale(np.array(self.usual), np.array(self.usual_spread))

    def to_json(self) -> str:
        """Return the text of the file: equal calibrations are equal text."""
        return json.dumps(to_plain(self), sort_keys=True, separators=(',', ':'),
                          ensure_ascii=False, allow_nan=False) + '\n'

    def facts(self, sha256: str) -> dict[str, Any]:
        """
        Return what the manifest of a run says of the calibration in use.

        :param sha256: of the file
        """
        return {'sha256': sha256, 'model_sha256': self.scope.model_sha256,
                'task': self.scope.task, 'n': self.n, 'alpha': self.alpha, 'rank': self.rank,
                'rule': self.rule, 'threshold': self.threshold, 'detectors': list(self.detectors),
                'action_blind': self.action_blind}


def write_calibration(path: Path, calibration: Calibration) -> str:
    """
    Write the file; return its sha256.

    :raises RecordingError: it cannot be written
    """
    data = calibration.to_json().encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise RecordingError(f'{path}: cannot be written ({error.strerror})') from None
    return hashlib.sha256(data).hexdigest()


def read_calibration(path: Path, sha256: str = '') -> tuple[Calibration, str]:
    """
    Read a calibration and check all of it.

    :param sha256: what the file must have; empty: not pinned
    :returns: the calibration and the sha256 of its file
    :raises CalibrationError: missing, too large, damaged, of another layout or not the pinned one
    """
    data = read_bounded(path, MAX_BYTES, CalibrationError)
    found = hashlib.sha256(data).hexdigest()
    if sha256 and found != sha256.lower():
        raise CalibrationError(f'{path}: sha256 {found[:16]}..., pinned is {sha256[:16]}...; '
                               'give the file that was pinned, or pin this one')
    raw = parse_json(text_of(data, path, CalibrationError), str(path), CalibrationError)
    schema = raw.get('schema') if isinstance(raw, dict) else None
    if schema != CALIBRATION_SCHEMA:
        raise CalibrationError(f'{path}: layout {schema!r}, this version reads '
                               f'{CALIBRATION_SCHEMA}; write it anew with `wm-eval calibrate`')
    try:
        return build(Calibration, raw, str(path)), found
    except ConfigError as error:
        text = str(error)
        raise CalibrationError(text if text.startswith(str(path)) else f'{path}: {text}') from None


def _is(rows: Rows, count: int, width: int) -> bool:
    return len(rows) == count and all(len(row) == width for row in rows)
