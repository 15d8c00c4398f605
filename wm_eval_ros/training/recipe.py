"""Recipes: how the shipped checkpoints are made, as data; one command follows one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from wm_eval_ros.config.scenario import config_folder, find_scenario, load_scenario, Scenario
from wm_eval_ros.config.schema import did_you_mean, setting
from wm_eval_ros.config.yaml_file import load_settings
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.models.protocol import WorldModel
from wm_eval_ros.planning.baselines import ExplorePlanner
from wm_eval_ros.planning.load import check_settings, make_planner
from wm_eval_ros.plants.load import make_plant
from wm_eval_ros.records import EventKind
from wm_eval_ros.training.settings import Progress, TrainSettings
from wm_eval_ros.training.simulate import Outcome, rollout_episodes, Timing, to_dataset
from wm_eval_ros.training.trainer import train
from wm_eval_ros.training.trajectory import Dataset, merge

#: folder of the recipes inside the config folder
RECIPE_FOLDER = 'recipes'
#: shortest latency of a trial [ms], where the recipe's longest allows it: what a planner needs
TRIAL_LOW_MS = 10.0


@dataclass(frozen=True, kw_only=True)
class Round:
    """Episodes collected by the `explore` planner, with the model of the rounds before if any."""

    episodes: int = setting(doc='episodes collected', low=1, high=100000)
    seed: int = setting(doc='seed of the first; the next ones count up', low=0, high=2**53)
    steps: int = setting(
        1500, doc='gradient steps on all data so far, after every round but the last', low=1)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a checkpoint is made: rounds of collecting and training, then a trial."""

    scenario: str = setting(doc='scenario whose plant, interface and planner are used')
    rounds: tuple[Round, ...] = setting(doc='rounds of collecting, in order')
    train: TrainSettings = setting(TrainSettings, doc='the last training, on all data')
    latency_low_ms: float = setting(
        5.0, doc='shortest latency of a command, drawn anew for each slot', unit='ms', low=0.0)
    latency_high_ms: float = setting(40.0, doc='longest latency of a command', unit='ms', low=0.0)
    age_ms: float = setting(
        0.0, doc='oldest observation a slot begins with; at most a period', unit='ms', low=0.0)
    limit_s: float = setting(
        0.0, doc='time limit of the episodes collected; 0: that of the scenario', unit='s',
        low=0.0)
    trial_episodes: int = setting(50, doc='episodes the finished model is tried on', low=1)
    trial_seed: int = setting(5000000, doc='seed of the first trial episode', low=0, high=2**53)

    def __post_init__(self) -> None:
        """
        Refuse latencies that none can be drawn from.

        :raises ConfigError: the shortest is above the longest
        """
        if self.latency_low_ms > self.latency_high_ms:
            raise ConfigError(f'latency_low_ms: {self.latency_low_ms:g}; at most latency_high_ms, '
                              f'{self.latency_high_ms:g}')


def recipe_names() -> tuple[str, ...]:
    """Return the names of the shipped recipes."""
    return tuple(sorted(p.stem for p in (config_folder() / RECIPE_FOLDER).glob('*.yaml')))


def load_recipe(name_or_path: str) -> Recipe:
    """
    Load a recipe, given its path or the name of a shipped one.

    :raises ConfigError: there is none, or it is not of the schema
    """
    path = Path(name_or_path)
    if path.suffix not in ('.yaml', '.yml'):
        path = config_folder() / RECIPE_FOLDER / f'{name_or_path}.yaml'
        if not path.is_file():
            raise ConfigError(f'no recipe {name_or_path!r}'
                              f'{did_you_mean(name_or_path, recipe_names())}')
    try:
        return load_settings(Recipe, path)
    except ConfigError as error:
        text = str(error)
        raise ConfigError(text if text.startswith(str(path)) else f'{path}: {text}') from None


class RecipeRunner:
    """The plant of a recipe and what is done with it: collecting data, trying models."""

    def __init__(self, recipe: Recipe) -> None:
        """
        Make the plant.

        :raises ConfigError: no such scenario, observations older than its period, or settings
            that its planner cannot search by
        """
        self._recipe = recipe
        self._scenario: Scenario = load_scenario(find_scenario(recipe.scenario))
        period_ms = self._scenario.planner.period_ms
        if recipe.age_ms > period_ms:
            raise ConfigError(f'age_ms: {recipe.age_ms:g}; at most planner.period_ms of the '
                              f'scenario {recipe.scenario}, {period_ms:g}')
        check_settings(self._scenario.planner)
        self._plant = make_plant(self._scenario)

    def gather(self, name: str, say: Callable[[str], Progress]) -> Dataset:
        """Collect all rounds in order, each but the first with a model of the data before it."""
        rounds, parts = self._recipe.rounds, list[Dataset]()
        model: WorldModel | None = None
        for i, stage in enumerate(rounds):
            title = f'{i + 1} of {len(rounds)}'
            parts.append(self.collect(stage, model, say(f'collecting, round {title}')))
            if i + 1 < len(rounds):
                settings = replace(self._recipe.train, steps=stage.steps)
                model = train(merge(parts), settings, name,
                              say(f'training, round {title}')).model
        return merge(parts)

    def collect(self, stage: Round, model: WorldModel | None, progress: Progress) -> Dataset:
        """Run one round's episodes to their time limit."""
        planner = ExplorePlanner(self._scenario.planner, model, self._scenario.interface)
        seeds = range(stage.seed, stage.seed + stage.episodes)
        recipe = self._recipe
        timing = self._timing(recipe.latency_low_ms,
                              recipe.limit_s or self._scenario.plant.time_limit_s)
        outcomes = rollout_episodes(
            self._plant, planner, self._scenario.interface, seeds, model=model, timing=timing,
            stop_on_success=False, progress=progress)
        how = 'random commands' if model is None else 'plans and random commands'
        return to_dataset(outcomes, self._scenario.interface, timing,
                          f'{stage.episodes} simulated episodes from seed {stage.seed}, {how}')

    def trial(self, model: WorldModel, progress: Progress) -> list[Outcome]:
        """Run the scenario's planner on starts that were never trained on."""
        recipe, settings = self._recipe, self._scenario.planner
        planner = make_planner(settings, model, self._scenario.interface)
        seeds = range(recipe.trial_seed, recipe.trial_seed + recipe.trial_episodes)
        low_ms = min(max(TRIAL_LOW_MS, recipe.latency_low_ms), recipe.latency_high_ms)
        return rollout_episodes(
            self._plant, planner, self._scenario.interface, seeds, model=model,
            timing=self._timing(low_ms, self._scenario.plant.time_limit_s), progress=progress)

    def _timing(self, low_ms: float, limit_s: float) -> Timing:
        planner, recipe = self._scenario.planner, self._recipe
        return Timing(
            period_ns=round(planner.period_ms * 1e6),
            latency_ns=(round(low_ms * 1e6), round(recipe.latency_high_ms * 1e6)),
            age_ns=round(recipe.age_ms * 1e6),
            limit_ns=round(limit_s * 1e9))


def solved(outcomes: list[Outcome]) -> int:
    """Return the number of episodes that ended in success."""
    return sum(o.kind is EventKind.SUCCESS for o in outcomes)
