"""A retraining case: a scenario, what shifts in it, and how a model is brought back, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from wm_eval_ros.config.perturbation import PerturbationSettings
from wm_eval_ros.config.scenario import config_folder, find_scenario, load_scenario, Scenario
from wm_eval_ros.config.schema import build, did_you_mean, setting
from wm_eval_ros.config.yaml_file import load_yaml
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.metrics.perturbations import NUISANCE
from wm_eval_ros.metrics.retrain import BACK_MARGIN
from wm_eval_ros.records import ClockMode
from wm_eval_ros.training.continued import ContinueSettings
from wm_eval_ros.training.selection import MineSettings

#: what a case's runs are for, and how far the seeds of each use lie from those of the evaluation:
#: no start and no draw of a perturbation that a model was trained on, or mined from, is one it is
#: judged on; nor do those that choose a model confirm it, calibrate or guard it
USES = {'evaluate': 0, 'confirm': 500_000, 'mine': 1_000_000, 'replay': 1_500_000,
        'calibrate': 2_000_000, 'guard': 2_500_000}
#: uses whose starts no training data may hold
HELD_OUT = frozenset(USES) - {'mine', 'replay'}
#: those of the exploration for the replay lie this far from those under the shift
EXPLORED_OLD = 500_000
#: folder of the cases inside the config folder
CASE_FOLDER = 'retraining'


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a model is retrained for, and what is asked of it before it is promoted."""

    description: str = setting('', doc='one sentence')
    scenario: str = setting(doc='scenario, a shipped name or a file; run in lockstep')
    shift: tuple[PerturbationSettings, ...] = setting(
        doc='what shifts in the world: perturbations of every episode under the new condition')
    seed: int = setting(1000, doc='seed of the first episode of either condition', low=0,
                        high=2**53)
    nominal_episodes: int = setting(
        100, doc='episodes of the old condition on which models are judged', low=2, high=100000)
    shifted_episodes: int = setting(
        100, doc='episodes of the new condition on which models are judged', low=2, high=100000)
    guarded_episodes: int = setting(
        24, doc='episodes under the shift with detector and fallback: those of the old model are '
        'mined, those of the retrained one are the last word', low=2, high=100000)
    calibration_episodes: int = setting(
        49, doc='episodes of the old condition that a detector is calibrated from; those of the '
        'old model are replayed as well', low=2, high=100000)
    rounds: int = setting(
        3, doc='most rounds of exploring, training and judging; the first model whose success is '
        'back ends them', low=1, high=100)
    explore_episodes: int = setting(
        40, doc='episodes driven by the planner `explore` under the shift in each round, with the '
        'newest model; 0: what the guarded runs did must do', low=0, high=100000)
    replay_episodes: int = setting(
        40, doc='episodes driven by `explore` under the old condition, for the replay', low=0,
        high=100000)
    explore_seed: int = setting(
        7000000, doc='seed of the first under the shift; those of the replay begin 500000 later',
        low=0, high=2**53)
    alpha: float = setting(0.1, doc='share of nominal episodes that may raise an alarm', low=1e-6,
                           high=0.5)
    rule: str = setting('tolerance', doc='rank of the calibration',
                        choices=('tolerance', 'marginal'))
    margin: float = setting(
        0.1, doc='loss of success under the old condition that is accepted: the interval of the '
        'paired difference must lie above minus this', low=0.0, high=1.0)
    back_margin: float = setting(
        BACK_MARGIN, doc='loss of success under the shift, against the old model under the old '
        'condition, that still counts as back; shown the same way', low=0.0, high=1.0)
    mine: MineSettings = setting(MineSettings, doc='what is cut out of the guarded runs')
    train: ContinueSettings = setting(ContinueSettings, doc='how the model is trained further')

    def __post_init__(self) -> None:
        """Refuse a case in which nothing shifts."""
        if all(p.name.startswith(f'{NUISANCE}.') for p in self.shift):
            raise ConfigError('shift: nothing shifts; name at least one perturbation that is no '
                              'nuisance, such as physical.payload')
        blocks = self.seeds()
        for name, block in blocks.items():
            for other, theirs in blocks.items():
                if name < other and max(block.start, theirs.start) < min(block.stop, theirs.stop):
                    raise ConfigError(f'seed, explore_seed: starts to {name} and to {other} '
                                      'overlap; set them further apart')

    def episodes(self, use: str, *, shifted: bool) -> int:
        """Return how many episodes a use takes."""
        if use in ('mine', 'guard'):
            return self.guarded_episodes
        if use in ('replay', 'calibrate'):
            return self.calibration_episodes
        return self.shifted_episodes if shifted else self.nominal_episodes

    def seeds(self) -> dict[str, range]:
        """Return the seeds of the episodes by what they are for; no two may share one."""
        return {use: range(self.seed + far, self.seed + far + max(
                    self.episodes(use, shifted=False), self.episodes(use, shifted=True)))
                for use, far in USES.items()} | {
            'explore': range(self.explore_seed,
                             self.explore_seed + self.rounds * self.explore_episodes),
            'explore the old condition': range(
                self.explore_seed + EXPLORED_OLD,
                self.explore_seed + EXPLORED_OLD + self.replay_episodes)}


def case_names() -> tuple[str, ...]:
    """Return the names of the shipped cases."""
    return tuple(sorted(p.stem for p in (config_folder() / CASE_FOLDER).glob('*.yaml')))


def load_case(name_or_path: str, overrides: Mapping[str, object]) -> Case:
    """
    Load a case, given its path or the name of a shipped one, and lay overrides over it.

    :param overrides: dotted keys, such as ``train.steps``, and their values
    :raises ConfigError: there is none, or it or an override is not of the schema
    """
    path = Path(name_or_path)
    if path.suffix not in ('.yaml', '.yml'):
        path = config_folder() / CASE_FOLDER / f'{name_or_path}.yaml'
        if not path.is_file():
            raise ConfigError(f'no retraining case {name_or_path!r}'
                              f'{did_you_mean(name_or_path, case_names())}')
    raw = load_yaml(path)
    for key, value in overrides.items():
        _set(raw, key.split('.'), value, str(path))
    return build(Case, raw, str(path))


def _set(raw: object, keys: list[str], value: object, where: str) -> None:
    if not isinstance(raw, dict):
        return  # what reads it says so
    at: object = raw
    for key in keys[:-1]:
        at = at.setdefault(key, {}) if isinstance(at, dict) else None
    if not isinstance(at, dict):
        raise ConfigError(f'{where}: no section {".".join(keys[:-1])}')
    at[keys[-1]] = value


def scenario_of(case: Case, model: str, sha256: str, *, shifted: bool,
                use: str = 'evaluate') -> Scenario:
    """
    Return the scenario of a case under one condition, in lockstep, with one model.

    :param model: folder of the checkpoint
    :param sha256: what its weights must have
    :param shifted: under the new condition
    :param use: what the episodes are for, of USES
    """
    path = find_scenario(case.scenario)
    scenario = load_scenario(path)
    if scenario.perturbations:
        raise ConfigError(f'{path}: perturbations: the old condition must be without any; a case '
                          'names the shift itself')
    return replace(
        scenario, clock=ClockMode.LOCKSTEP, seed=case.seeds()[use].start,
        episodes=case.episodes(use, shifted=shifted),
        perturbations=case.shift if shifted else (),
        planner=replace(scenario.planner, model=model, model_sha256=sha256))
