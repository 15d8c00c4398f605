"""The stages of a retraining case, each on disk: from nominal runs to the registry's pointer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TYPE_CHECKING

from wm_eval_ros.cli.collect import exploring, write_trace
from wm_eval_ros.cli.outputs import copy_folder, writing
from wm_eval_ros.cli.sweep_runs import run_points, Wanted
from wm_eval_ros.cli.train import phase_progress
from wm_eval_ros.config.detector import DetectorSettings
from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.models.checkpoint import find_checkpoint, load_spec, save_checkpoint
from wm_eval_ros.models.load import load_model
from wm_eval_ros.models.registry import Registry, registry_of
from wm_eval_ros.training.case import Case, HELD_OUT, scenario_of

if TYPE_CHECKING:
    from wm_eval_ros.training.trajectory import Dataset

CALIBRATION = 'calibration.json'
#: seeds that are proposed begin at a multiple of this
_MILLION = 1_000_000


@dataclass(frozen=True)
class Model:
    """A checkpoint on disk."""

    folder: Path
    sha256: str


class Stages:
    """The folder of a case, and what is made in it."""

    def __init__(self, case: Case, folder: Path, domain: int | None, old: Path,
                 command: str = 'wm-eval retrain') -> None:
        self.case, self.folder, self._domain = case, folder, domain
        self._command = command
        self.old = Model(old, load_spec(old).sha256)

    def scenario(self, model: Model, *, shifted: bool, calibration: Path | None = None,
                 use: str = 'evaluate') -> Scenario:
        """Return the scenario with a model, and with its detector where a calibration is given."""
        found = scenario_of(self.case, str(model.folder.resolve()), model.sha256, shifted=shifted,
                            use=use)
        if calibration is None:
            return found
        return replace(found, detector=replace(found.detector,
                                               calibration=str(calibration.resolve())))

    def run(self, label: str, scenario: Scenario, title: str) -> Path:
        """Run a scenario on the graph; return its bag."""
        point = Wanted(label, title, '', scenario)
        return run_points([point], self.folder, self._domain)[0][0]

    def both(self, name: str, model: Model, use: str) -> tuple[Path, Path]:
        """Run a model under the old condition and under the shift; return both bags."""
        whose = 'old model' if model == self.old else 'retrained model'
        fresh = ', fresh starts' if use == 'confirm' else ''
        return (self.run(f'nominal_{name}', self.scenario(model, shifted=False, use=use),
                         f'{whose}, old condition{fresh}'),
                self.run(f'shifted_{name}', self.scenario(model, shifted=True, use=use),
                         f'{whose}, under the shift{fresh}'))

    def collect(self, label: str, model: Model, seed: int, episodes: int, *,
                shifted: bool) -> list[Path]:
        """Drive with the planner `explore` and a model; return the bag, if there is one."""
        if not episodes:
            return []
        trace = self.folder / f'{label}_latency_ms.txt'
        write_trace(trace, seed)
        scenario = replace(self.scenario(model, shifted=shifted), seed=seed, episodes=episodes)
        # what explores imagines nothing that was driven: there is nothing to be surprised at
        scenario = replace(scenario, detector=DetectorSettings())
        where = 'under the shift' if shifted else 'under the old condition'
        return [self.run(label, exploring(scenario, str(model.folder.resolve()), trace),
                         f'exploring {where}')]

    def calibrate(self, bag: Path, path: Path) -> dict[str, Any]:
        """Calibrate the detectors from nominal runs of a model; return what is told of it."""
        from wm_eval_ros.surprise.calibration import write_calibration
        from wm_eval_ros.surprise.fit import Wish
        from wm_eval_ros.training.calibration import calibrate_bags
        found = calibrate_bags([bag], Wish(alpha=self.case.alpha, rule=self.case.rule))
        return found.facts(write_calibration(path, found))

    def mine(self, bag: Path) -> tuple[Path, dict[str, Any]]:
        """Cut the hard cases out of the guarded runs."""
        from wm_eval_ros.cli.mine import summary
        from wm_eval_ros.training.mined import write_mined
        from wm_eval_ros.training.mining import mine
        folder = self.folder / 'mined'
        found = mine([bag], self.case.mine)
        return folder, summary(found.manifest, folder,
                               write_mined(folder, found.data, found.manifest))

    def train(self, number: int, start: Model, data: Sequence[Path], replayed: Dataset | None,
              version: int) -> tuple[Model, dict[str, Any]]:
        """Train a model further; write the candidate beside the runs."""
        from wm_eval_ros.training.card import card
        from wm_eval_ros.training.continued import continue_training
        from wm_eval_ros.training.dataset import load_dataset
        from wm_eval_ros.training.mined import is_mined, manifest_sha256
        model = load_model(self.scenario(start, shifted=False))
        facts = {'parent_sha256': start.sha256, 'parent_version': model.spec.version,
                 'mined_sha256': [manifest_sha256(p) for p in data if is_mined(p)]}
        result = continue_training(model, load_dataset(data), replayed, self.case.train, facts,
                                   phase_progress(f'training, round {number}'))
        spec = replace(result.model.spec, version=str(version))
        folder = self.folder / f'candidate_{number}'
        with writing(folder):
            spec = save_checkpoint(folder, spec, result.model.tensors,
                                   card(spec, result, self._command))
        made = spec.provenance
        told = {'sha256': spec.sha256, 'improved': result.improved, 'steps': result.steps,
                'episodes': made['episodes'], 'transitions': made['transitions'],
                'wall_s': made['train_wall_s'], 'cpu_s': made['train_cpu_s'],
                'trained_at_ns': made['trained_at_ns'],
                'rmse': result.report['rmse'][0], 'persistence': result.report['persistence'][0]}
        return Model(folder, spec.sha256), told


def open_registry(root: Path, scenario_model: str, given: str) -> tuple[Registry, Path]:
    """
    Return the registry of a model and the checkpoint to begin with; a new one begins with that.

    :param root: folder of registries, one a model name
    :param scenario_model: what the scenario names
    :param given: what was given on the command line; empty: the version in force, or else the
        scenario's
    :raises CheckpointError: there is no such model
    :raises ConfigError: neither names one, or another version is in force than the one given: what
        comes of it would replace that without having been compared with it
    """
    name = given or scenario_model
    if not name:
        raise ConfigError('the scenario names no planner.model to begin with; give --model')
    source = find_checkpoint(name)
    registry = registry_of(root, load_spec(source).name)
    current = registry.current()
    if current is not None:
        if given and load_spec(source).sha256 != load_spec(registry.path(current)).sha256:
            raise ConfigError(f'--model {given}: in {registry.folder} version {current} is in '
                              'force, which is another and would not be compared with; begin a '
                              'new registry, or leave --model out')
        return registry, registry.path(current)
    version = registry.add(lambda to: copy_folder(source, to), {'why': f'copy of {name}'})
    registry.promote(version, {'why': 'the model to begin with'})
    return registry, registry.path(version)


def require_fresh(case: Case, registry: Registry) -> None:
    """
    Refuse a case whose starts decided on a version before: they are fresh only once.

    :raises CheckpointError: the registry is damaged
    :raises ConfigError: a start to judge on is one that an earlier case used
    """
    used = registry.used_starts()
    for use, block in case.seeds().items():
        if use in HELD_OUT and any(max(block.start, b.start) < min(block.stop, b.stop)
                                   for b in used):
            beyond = -(-max(b.stop for b in used) // _MILLION) * _MILLION
            raise ConfigError(f'{registry.folder}: starts to {use}, seeds {block.start} to '
                              f'{block.stop - 1}, were used by an earlier case of this registry '
                              f'and are not fresh; give others: --set seed={beyond}')


def require_apart(case: Case, data: Sequence[Path], replay: Sequence[str]) -> None:
    """
    Refuse given data that hold a start of the case: models would be judged on what they learnt.

    :raises BagError: some of it cannot be read
    :raises ConfigError: a start is in both, or there is no such recipe
    """
    from wm_eval_ros.training.recipe import load_recipe
    from wm_eval_ros.training.starts import starts_of, starts_of_recipe
    own = {seed: use for use, block in case.seeds().items() if use in HELD_OUT for seed in block}
    _require_recipes(replay)
    given = [(f'--data {p}', starts_of(p)) for p in data] + [
        (f'--replay {name}', starts_of(Path(name)) if Path(name).exists()
         else starts_of_recipe(load_recipe(name))) for name in replay]
    for what, seeds in given:
        if both := sorted(seeds & own.keys()):
            raise ConfigError(
                f'{what}: {len(both)} of its {len(seeds)} starts, such as seed {both[0]}, are '
                f'those to {own[both[0]]} of the case; give data of other seeds, or the case '
                'another: --set seed=N')


def _require_recipes(replay: Sequence[str]) -> None:
    from wm_eval_ros.training.recipe import recipe_names
    if unknown := [n for n in replay if not Path(n).exists() and n not in recipe_names()]:
        raise ConfigError(f'--replay {unknown[0]}: no bag or mined folder of that path, and no '
                          f'recipe; recipes: {", ".join(recipe_names())}')


def replay_of(names: Sequence[str], own: Sequence[Path]) -> Dataset | None:
    """
    Return the old data that is replayed.

    :param names: bags, mined folders, or names of recipes, whose data are collected anew in
        process; empty: what the case itself ran under the old condition
    :param own: bags of the case's own runs under the old condition
    """
    from wm_eval_ros.training.dataset import load_dataset
    from wm_eval_ros.training.recipe import load_recipe, RecipeRunner
    from wm_eval_ros.training.trajectory import merge
    if not names:
        return load_dataset(own) if own else None
    parts = [RecipeRunner(load_recipe(n)).gather(n, phase_progress)
             for n in names if not Path(n).exists()]
    if paths := [Path(n) for n in names if Path(n).exists()]:
        parts.append(load_dataset(paths))
    return merge(parts)
