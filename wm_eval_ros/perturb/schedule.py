"""When which perturbation acts in an episode: a function of settings and seed alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from wm_eval_ros.config.perturbation import PerturbationSettings

_SEEDS = 2**63


@dataclass(frozen=True, slots=True)
class Scheduled:
    """One perturbation of one episode."""

    name: str
    severity: float
    #: task time of the onset [ns]
    start_ns: int
    #: task time of the end [ns]; None: the end of the episode
    end_ns: int | None
    #: seed of everything it draws
    seed: int
    #: topics it acts on; empty: all it can act on
    topics: tuple[str, ...] = ()
    parameters: Mapping[str, float] = field(default_factory=dict)


def schedule(settings: Sequence[PerturbationSettings], seed: int) -> tuple[Scheduled, ...]:
    """
    Return the perturbations of an episode, in order of their onset.

    Every process of a run computes the same. Each perturbation draws from a generator of its own,
    and always the same draws: changing one setting changes nothing that the others draw.

    :param seed: the episode's seed, the value of its START event
    """
    drawn = [_draw(each, number, seed) for number, each in enumerate(settings)]
    return tuple(sorted((d for d in drawn if d is not None), key=lambda d: d.start_ns))


def _draw(settings: PerturbationSettings, number: int, seed: int) -> Scheduled | None:
    rng = np.random.default_rng([settings.seed, number, seed])
    happens, strength, onset = rng.random(3).tolist()
    own_seed = int(rng.integers(_SEEDS))
    if happens >= settings.probability:
        return None
    start_ns = round(_between(settings.start_s, settings.start_to_s, onset) * 1e9)
    lasts_ns = round(settings.duration_s * 1e9)
    return Scheduled(
        settings.name, _between(settings.severity, settings.severity_to, strength), start_ns,
        start_ns + lasts_ns if lasts_ns else None, own_seed, settings.topics,
        settings.parameters)


def _between(low: float, high: float, share: float) -> float:
    """Return a number between both; the low one where the other does not lie above it."""
    return low + share * (high - low) if high > low else low
