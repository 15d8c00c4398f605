"""Settings of the perturbations that a scenario schedules."""

from __future__ import annotations

from dataclasses import dataclass

from wm_eval_ros.config.schema import setting


@dataclass(frozen=True, kw_only=True)
class PerturbationSettings:
    """One perturbation of a scenario; drawn anew, from its seed, for every episode."""

    name: str = setting(doc='perturbation plug-in, `kind.name`; `wm-eval list` names them')
    severity: float = setting(1.0, doc='strength, 0: none, 1: the strongest the perturbation has',
                              low=0.0, high=1.0)
    severity_to: float = setting(
        -1.0, doc='above `severity`: drawn between both for each episode; else `severity` it is',
        low=-1.0, high=1.0)
    start_s: float = setting(
        0.0, doc="task time of the onset; 0: from the episode's start (domain randomisation)",
        unit='s', low=0.0)
    start_to_s: float = setting(
        -1.0, doc='above `start_s`: the onset is drawn between both for each episode', unit='s',
        low=-1.0)
    duration_s: float = setting(0.0, doc='how long it lasts; 0: to the end of the episode',
                                unit='s', low=0.0)
    probability: float = setting(1.0, doc='share of the episodes that are perturbed', low=0.0,
                                 high=1.0)
    seed: int = setting(0, doc="seed of its draws, together with the episode's", low=0,
                        high=2**53)
    topics: tuple[str, ...] = setting(
        (), doc='topics it acts on, for those of messages; empty: all it can act on')
    parameters: dict[str, float] = setting(
        dict, doc="the perturbation's own parameters; empty: its defaults")
