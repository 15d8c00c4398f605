"""What a search for the mildest breaking perturbation found, and what that says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from wm_eval_ros.scoring.scorecard import canonical
from wm_eval_ros.stats.paired import Difference, mcnemar_exact, paired_difference
from wm_eval_ros.stats.proportion import clopper_pearson

#: layout of red_team.json
RED_TEAM_SCHEMA = 1

#: seed of an episode -> whether it succeeded
Successes = Mapping[int, bool]


@dataclass(frozen=True, slots=True)
class Effect:
    """Success without and with a perturbation, on the same starts."""

    n: int
    nominal: int
    perturbed: int
    #: starts on which only one of both succeeded
    lost: int
    gained: int

    @property
    def p_value(self) -> float:
        """Exact McNemar test of equal success rates, two-sided."""
        return mcnemar_exact(self.lost, self.gained)

    def drop(self, alpha: float) -> Difference:
        """Return how far success falls, with Tango's interval of confidence 1 - alpha."""
        return paired_difference(self.lost, self.gained, self.n, 1.0 - alpha)

    def breaks(self, bound: float, alpha: float) -> bool:
        """Say whether success is at most the bound and has fallen significantly."""
        return self.violation(bound, alpha) <= 0.0

    def violation(self, bound: float, alpha: float) -> float:
        """Return by how many successes, as a share, it is too good; 0: the task is broken."""
        above = self.perturbed / self.n - bound
        if above > 0.0:
            return above
        return 0.0 if self.lost > self.gained and self.p_value <= alpha else 1.0 / self.n


def least_episodes(alpha: float) -> int:
    """Return the fewest successes of which the loss of all is significant at this level."""
    return next(n for n in count(1) if mcnemar_exact(n, 0) <= alpha)


def effect(nominal: Successes, perturbed: Successes) -> Effect:
    """
    Compare on the starts that both have.

    :raises ValueError: they share none
    """
    seeds = nominal.keys() & perturbed.keys()
    if not seeds:
        raise ValueError('the runs share no decided episode')
    return Effect(len(seeds), sum(nominal[s] for s in seeds), sum(perturbed[s] for s in seeds),
                  sum(nominal[s] and not perturbed[s] for s in seeds),
                  sum(perturbed[s] and not nominal[s] for s in seeds))


@dataclass(frozen=True, slots=True)
class Trial:
    """One set of perturbations that was run."""

    #: folder of its run, relative to that of the search
    label: str
    #: as in a scenario
    perturbations: tuple[Mapping[str, Any], ...]
    #: sum of severity times share of the episode
    cost: float
    effect: Effect
    #: level it was tested at
    alpha: float
    #: success is at most the bound, and has fallen significantly
    breaks: bool


@dataclass(frozen=True, slots=True)
class RedTeam:
    """The whole search."""

    scenario: str
    clock: str
    seed: int
    #: what was varied, `name.what` and its range
    searched: Mapping[str, tuple[float, float]]
    budget: int
    episodes: int
    bound: float
    alpha: float
    #: in the order they were run
    trials: tuple[Trial, ...]
    #: the mildest ones again, on starts of their own, until one holds
    confirmations: tuple[Trial, ...]
    #: confirmations that were allowed: each is tested at alpha over these
    most_confirmations: int
    notes: tuple[str, ...] = ()

    @property
    def confirmed(self) -> Trial | None:
        """The mildest perturbation that broke the task on fresh starts too, None without one."""
        return next((trial for trial in self.confirmations if trial.breaks), None)

    @property
    def verdict(self) -> str:
        """One sentence; never that nothing breaks the task."""
        ran = f'{len(self.trials)} of {self.budget} sets of perturbations were run'
        found = self.confirmed
        if found is not None:
            fall = found.effect.drop(found.alpha)
            return (f'broken at a cost of {found.cost:.3f}: on {found.effect.n} fresh starts '
                    f'success falls by {fall.value:.2f} ({fall.low:.2f} … {fall.high:.2f}, '
                    f'{100 * (1 - found.alpha):.3g} %); {ran}, a milder one may exist')
        if self.confirmations:
            return (f'not confirmed: what broke the task on the starts of the search did not on '
                    f'{len(self.confirmations)} sets of fresh ones; {ran}')
        return (f'none found: {ran} with {self.episodes} episodes each, and none of them broke '
                'the task; others were not tried')

    def to_dict(self) -> dict[str, Any]:
        """Return everything in JSON's own types."""
        return {
            'schema_version': RED_TEAM_SCHEMA, 'scenario': self.scenario, 'clock': self.clock,
            'seed': self.seed, 'budget': self.budget, 'episodes': self.episodes,
            'bound': self.bound, 'alpha': self.alpha,
            'most_confirmations': self.most_confirmations,
            'searched': {key: list(limits) for key, limits in self.searched.items()},
            'trials': [_trial(trial) for trial in self.trials],
            'confirmations': [_trial(trial) for trial in self.confirmations],
            'confirmed': None if self.confirmed is None else _trial(self.confirmed),
            'verdict': self.verdict, 'notes': list(self.notes)}

    def to_json(self) -> str:
        """Return canonical JSON, ending in a newline."""
        return canonical(self.to_dict()) + '\n'


def mildest(trials: Sequence[Trial]) -> list[Trial]:
    """Return those that broke the task, the mildest first."""
    return sorted((trial for trial in trials if trial.breaks), key=lambda trial: trial.cost)


def _trial(trial: Trial) -> dict[str, Any]:
    found = trial.effect
    rate = clopper_pearson(found.perturbed, found.n)
    return {
        'label': trial.label, 'cost': trial.cost, 'breaks': trial.breaks, 'n': found.n,
        'nominal': found.nominal, 'perturbed': found.perturbed, 'lost': found.lost,
        'gained': found.gained, 'p_value': found.p_value, 'alpha': trial.alpha,
        'success': {'value': rate.value, 'low': rate.low, 'high': rate.high},
        'drop': dict(found.drop(trial.alpha)._asdict()),
        'perturbations': list(trial.perturbations)}
