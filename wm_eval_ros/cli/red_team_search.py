"""The search of `wm-eval red-team`: points, runs, and the winner again on fresh starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
import sys

import numpy as np

from wm_eval_ros.config.perturbation import PerturbationSettings
from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.config.schema import to_plain
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.perturb.attack import Attack
from wm_eval_ros.perturb.protocol import Floats
from wm_eval_ros.perturb.search import generations, Judged
from wm_eval_ros.records import ClockMode
from wm_eval_ros.scoring.red_team import Effect, effect, mildest, RedTeam, Successes, Trial
from wm_eval_ros.stats.paired import mcnemar_exact

#: runs a scenario in a folder of this name; returns what each start came to
Run = Callable[[Scenario, str], Successes]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is run, and what counts as broken."""

    budget: int
    #: success of a broken task at most
    bound: float
    alpha: float
    confirm_episodes: int
    most_confirmations: int

    @property
    def confirm_alpha(self) -> float:
        """Level of each confirmation: all of them together keep alpha."""
        return self.alpha / self.most_confirmations


class Search:
    """One search; everything is run once."""

    def __init__(self, scenario: Scenario, attack: Attack, plan: Plan, run: Run) -> None:
        """
        Lay the search out; nothing is run.

        :param scenario: without what is searched; its other perturbations stay on
        """
        self._scenario, self._attack, self._plan, self._run = scenario, attack, plan, run
        self._trials: list[Trial] = []
        self._made: dict[str, tuple[PerturbationSettings, ...]] = {}

    def result(self) -> RedTeam:
        """
        Search, then confirm.

        :raises ConfigError: so few starts succeed that nothing could be seen to break
        """
        plan, scenario = self._plan, self._scenario
        self._nominal = self._run(scenario, 'nominal')
        self._require_room()
        for _ in generations(np.random.default_rng(scenario.seed), self._attack.strongest,
                             lambda points: [self._judge(p) for p in points], plan.budget):
            pass
        return RedTeam(
            scenario.name, scenario.clock, scenario.seed, self._attack.searched, plan.budget,
            scenario.episodes, plan.bound, plan.alpha, tuple(self._trials), self._confirm(),
            plan.most_confirmations,
            () if scenario.clock is ClockMode.LOCKSTEP else (
                f'in {scenario.clock} the same perturbation need not come to the same again',))

    def fresh(self, number: int) -> Scenario:
        """Return the scenario on starts that nothing else is run on, without what is searched."""
        scenario, episodes = self._scenario, self._plan.confirm_episodes
        return replace(scenario, seed=scenario.seed + scenario.episodes + number * episodes,
                       episodes=episodes)

    def perturbed(self, scenario: Scenario, label: str) -> Scenario:
        """Return a scenario with the perturbations of a trial."""
        return replace(scenario,
                       perturbations=(*self._scenario.perturbations, *self._made[label]))

    def _require_room(self) -> None:
        won = sum(self._nominal.values())
        if not won or mcnemar_exact(won, 0) > self._plan.alpha:
            raise ConfigError(
                f'without a perturbation {won} of {len(self._nominal)} episodes succeed: even '
                'if none did with one, the fall would not be significant; give more --episodes, '
                'or a planner that can do the task')

    def _judge(self, point: Floats) -> Judged:
        label = f'search/{len(self._trials):03d}'
        self._made[label] = self._attack.settings(point)
        found = effect(self._nominal, self._run(self.perturbed(self._scenario, label), label))
        trial = self._trial(label, self._attack.cost(point), found, self._plan.alpha)
        self._trials.append(trial)
        best = mildest(self._trials)
        print(f'{len(self._trials)} of {self._plan.budget}: cost {trial.cost:.3f}, success '
              f'{found.perturbed} of {found.n}; mildest that breaks: '
              + (f'{best[0].cost:.3f}' if best else 'none yet'), file=sys.stderr)
        return Judged(point, trial.cost, found.violation(self._plan.bound, self._plan.alpha))

    def _confirm(self) -> tuple[Trial, ...]:
        """Run the mildest ones again, in order, until one breaks fresh starts too."""
        plan, done = self._plan, []
        for number, trial in enumerate(mildest(self._trials)[:plan.most_confirmations]):
            label, fresh = f'confirm/{number}', self.fresh(number)
            print(f'confirming a cost of {trial.cost:.3f} on {fresh.episodes} fresh starts',
                  file=sys.stderr)
            nominal = self._run(fresh, f'{label}/nominal')
            self._made[f'{label}/perturbed'] = self._made[trial.label]
            broken = self._run(self.perturbed(fresh, trial.label), f'{label}/perturbed')
            done.append(self._trial(f'{label}/perturbed', trial.cost, effect(nominal, broken),
                                    plan.confirm_alpha))
            if done[-1].breaks:
                break
        return tuple(done)

    def _trial(self, label: str, cost: float, found: Effect, alpha: float) -> Trial:
        plain = tuple(to_plain(each) for each in self._made[label])
        return Trial(label, plain, cost, found, alpha, found.breaks(self._plan.bound, alpha))
