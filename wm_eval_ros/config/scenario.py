"""The scenario: everything a run depends on, in one typed YAML file."""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
from dataclasses import dataclass
from pathlib import Path
import re

from wm_eval_ros.config.detector import DetectorSettings
from wm_eval_ros.config.interface import Interface
from wm_eval_ros.config.perturbation import PerturbationSettings
from wm_eval_ros.config.recorder import RecorderSettings
from wm_eval_ros.config.replay import ReplaySettings
from wm_eval_ros.config.schema import build, setting
from wm_eval_ros.config.supervisor import SupervisorSettings
from wm_eval_ros.config.yaml_file import load_yaml
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.records import ClockMode


@dataclass(frozen=True, kw_only=True)
class PlantSettings:
    """The thing under control."""

    kind: str = setting('mujoco', doc='plant plug-in')
    task: str = setting(doc='task of the plant; `wm-eval list` names them')
    observation_hz: float = setting(
        100.0, doc='rate of the state topics in realtime; lockstep and free publish one per slot',
        unit='Hz', low=1.0, high=1000.0)
    time_limit_s: float = setting(doc='task time after which an episode ends as TIMEOUT', unit='s',
                                  low=0.01)
    link: bool = setting(
        False, doc='realtime: tell of every sample that is sent and every command that comes, on '
        'the steady clock of this host, and ask the clock of the device under test')
    camera_hz: float = setting(0.0, doc='rate of the rendered camera, 0: no camera', unit='Hz',
                               low=0.0, high=120.0)
    camera_encoding: str = setting(
        'raw', doc='raw: Image; jpeg or png: CompressedImage', choices=('raw', 'jpeg', 'png'))
    camera_width: int = setting(64, doc='width of the camera image', unit='px', low=16, high=1920)
    camera_height: int = setting(64, doc='height of the camera image', unit='px', low=16,
                                 high=1080)
    model: str = setting(
        '', doc='dream: the world model that is the world, a checkpoint or a family that needs '
        'none; empty: no dream')
    model_sha256: str = setting(
        '', doc='dream: sha256 its weights must have; empty: not pinned, and found for the '
        'manifest')
    keyframe_steps: int = setting(
        0, doc='dream: after so many imagined steps its state is that of the simulator beside it; '
        '0: never', low=0, high=1000000)


@dataclass(frozen=True, kw_only=True)
class ObjectiveTerm:
    """One weighted distance between predicted features and a target."""

    features: tuple[str, ...] = setting(doc='names of predicted features, `topic.field` each')
    target: tuple[str, ...] = setting(
        doc='what they should equal: names of goal fields, or of features, or numbers as text')
    weight: float = setting(1.0, doc='weight of this term', low=0.0)
    shape: str = setting('distance', doc='distance: Euclidean norm; square: its square',
                         choices=('distance', 'square'))


@dataclass(frozen=True, kw_only=True)
class ConstraintTerm:
    """Bounds of one predicted feature; what lies beyond them is penalised."""

    feature: str = setting(doc='name of a predicted feature, `topic.field`')
    low: float | None = setting(None, doc='smallest value that costs nothing; none: unbounded')
    high: float | None = setting(None, doc='largest value that costs nothing; none: unbounded')
    weight: float = setting(1.0, doc='weight of the distance beyond a bound, in units of the '
                            'feature', low=0.0)


@dataclass(frozen=True, kw_only=True)
class PlannerSettings:
    """The planner node: model, search and schedule."""

    planner: str = setting('cem', doc='planner plug-in')
    model: str = setting('', doc='checkpoint: name of a shipped one, or a folder; or a family '
                         'that needs none, such as oracle; empty: none')
    model_sha256: str = setting('', doc='sha256 the weights must have; empty: not pinned')
    policy: str = setting(
        '', doc='policy_prior, best_of_n: the policy that is played, or proposes: a folder that '
        '`wm-eval distill` wrote; empty: none, and best_of_n asks the model for its own')
    policy_sha256: str = setting(
        '', doc='sha256 the weights of the policy must have; empty: not pinned')
    period_ms: float = setting(50.0, doc='period of the schedule', unit='ms', low=1.0,
                               high=10000.0)
    deadline_ms: float = setting(50.0, doc='deadline after the slot is due', unit='ms', low=1.0,
                                 high=10000.0)
    budget_ms: float = setting(
        35.0, doc='planning stops at its best so far this long after the slot is due', unit='ms',
        low=0.1, high=10000.0)
    stale_ms: float = setting(200.0, doc='an input older than this is STALE_INPUT', unit='ms',
                              low=1.0)
    delay_steps: int = setting(
        0, doc='whole periods from the begin of a slot until its command acts, as with a dead '
        'time or a latency of a period and more: the model is rolled through the commands on '
        'their way first', low=0, high=1000)
    samples: int = setting(64, doc='candidate action sequences per iteration', low=2, high=100000)
    iterations: int = setting(3, doc='most refinements per decision', low=1, high=1000)
    horizon: int = setting(10, doc='imagined steps', low=1, high=1000)
    action_repeat: int = setting(
        1, doc='imagined steps that each command searched is held for; a part of the horizon',
        low=1, high=1000)
    action_limit: float = setting(
        1.0, doc='largest command searched and explored, of half the command range', low=0.001,
        high=1.0)
    elites: int = setting(8, doc='candidates the distribution is refitted to', low=1)
    noise_std: float = setting(0.5, doc='initial standard deviation, of half the command range',
                               low=0.0, high=10.0)
    noise_floor: float = setting(
        0.05, doc='the refitted standard deviation never shrinks below this, of half the range',
        low=0.0, high=10.0)
    noise_beta: float = setting(
        0.0, doc='correlation of the search noise between neighbouring steps, 0: white',
        low=0.0, high=0.999)
    noise_color: float = setting(
        2.0, doc='icem: exponent of the power law of the search noise, 0: white, 1: pink, 2: red',
        low=0.0, high=6.0)
    fresh: float = setting(
        0.0, doc='share of the candidates drawn anew as a few held commands, not about the last '
        'plan: finds ways round an obstacle', low=0.0, high=0.9)
    smoothing: float = setting(
        0.1, doc='share of the old distribution kept at each refit', low=0.0, high=0.99)
    elite_reuse: float = setting(
        0.3, doc='icem: share of the elites tried again in the next iteration, and in the next '
        'decision', low=0.0, high=1.0)
    sample_decay: float = setting(
        1.25, doc='icem: an iteration has this many times fewer candidates than the one before, '
        'down to two for each elite', low=1.0, high=10.0)
    temperature: float = setting(
        0.1, doc='mppi, grad_mppi: a candidate that costs this much more than the best weighs 1/e '
        'of it; in units of what the median costs more', low=0.0001, high=1000.0)
    learning_rate: float = setting(
        0.05, doc='gradient, grad_mppi: largest change of a command by a gradient step, of half '
        'the command range', low=0.0, high=1.0)
    gradient_steps: int = setting(
        2, doc='gradient, grad_mppi: gradient steps per iteration', low=1, high=1000)
    bins: int = setting(
        5, doc='mcts: values of each field of a command, evenly spaced from -action_limit to '
        'action_limit', low=2, high=1000)
    exploration: float = setting(
        0.5, doc='mcts: how much a branch that was tried seldom counts against its mean cost, in '
        'units of the range of the costs', low=0.0, high=100.0)
    terminal_weight: float = setting(
        0.0, doc='extra weight of the last imagined step, in units of the whole horizon', low=0.0)
    control_weight: float = setting(0.0, doc='weight of the mean squared command, in half ranges',
                                    low=0.0)
    jerk_weight: float = setting(
        0.0, doc='weight of the mean squared change of the command, in half ranges, from that in '
        'force on', low=0.0)
    uncertainty_weight: float = setting(0.0, doc='weight of the ensemble disagreement', low=0.0)
    goal_weight: float = setting(
        0.0, doc='weight of the distance of codes, root mean square, to that of the goal: of '
        'models that encode goals', low=0.0)
    reward_weight: float = setting(
        0.0, doc="weight of the rewards that the model foresees, and of its last step's value, if "
        'it knows one', low=0.0)
    constraint_weight: float = setting(
        0.0, doc='weight of what the model says of its own constraints beyond 0', low=0.0)
    objective: tuple[ObjectiveTerm, ...] = setting((), doc='what the imagined future should reach')
    constraints: tuple[ConstraintTerm, ...] = setting(
        (), doc='bounds that the imagined future should keep')
    latency_ms: float = setting(
        -1.0, doc='latency charged per decision in lockstep; -1: as measured (not repeatable)',
        unit='ms', low=-1.0, high=10000.0)
    least_latency_ms: float = setting(
        0.0, doc='in realtime, a command is sent no sooner than this after the begin of its slot: '
        'an injected latency; 0: none', unit='ms', low=0.0, high=10000.0)
    latency_trace: str = setting(
        '', doc='text file of latencies to charge in lockstep, one number [ms] a line, repeated')
    engine: str = setting(
        'torch', doc='what rolls the model out: torch, or openvino, which compiles it (extra '
        '`fast`)', choices=('torch', 'openvino'))
    precision: str = setting(
        'fp32', doc='openvino: numbers of the products; int8 needs a checkpoint of `wm-eval '
        'export-model`', choices=('fp32', 'bf16', 'int8'))
    torch_threads: int = setting(1, doc='threads of torch and of the engine', low=1, high=256)
    record_rollout: bool = setting(True, doc='write latent and imagined rollout into each cycle')


@dataclass(frozen=True, kw_only=True)
class Prices:
    """What an hour of operation is paid for; without them there is no cost per hour."""

    currency: str = setting('', doc='currency of the prices, such as EUR; empty: no prices')
    compute_per_hour: float = setting(0.0, doc='price of an hour of the computer', low=0.0)
    energy_per_kwh: float = setting(0.0, doc='price of a kilowatt-hour', low=0.0)
    operator_per_minute: float = setting(0.0, doc="price of a minute of an operator's help",
                                         low=0.0)
    assumed_power_w: float = setting(
        0.0, doc='power of the computer where the host has no energy counter; 0: none assumed',
        unit='W', low=0.0)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A run, described whole."""

    name: str = setting(doc='name of the scenario')
    description: str = setting('', doc='one sentence')
    clock: ClockMode = setting(ClockMode.REALTIME, doc='realtime, lockstep or free')
    seed: int = setting(0, doc='seed of the run; episode i resets with seed + i', low=0,
                        high=2**53)
    episodes: int = setting(20, doc='number of episodes', low=1, high=1000000)
    realtime_priority: bool = setting(
        False, doc='in realtime, run plant, supervisor and planner under SCHED_FIFO where allowed')
    lock_memory: bool = setting(
        False, doc='in realtime, keep plant, supervisor and planner in memory (mlockall) where '
        'allowed')
    pinned_cpus: tuple[int, ...] = setting(
        (), doc="in realtime, processors that are the planner's, where another is left for the "
        'other nodes of its host; empty: none')
    composed: bool = setting(
        False, doc='planner and supervisor run in one process, `device_node`: a crash of the one '
        'is a crash of both; not on a robot')
    baselines: tuple[str, ...] = setting(
        (), doc='planners run on the same starts beside the first')
    interface: Interface = setting(doc='topics of state, goal and command')
    plant: PlantSettings = setting(doc='the thing under control')
    planner: PlannerSettings = setting(PlannerSettings, doc='the planner node')
    detector: DetectorSettings = setting(DetectorSettings, doc='the surprise detectors')
    perturbations: tuple[PerturbationSettings, ...] = setting(
        (), doc='what disturbs the run, and when')
    supervisor: SupervisorSettings = setting(SupervisorSettings, doc='the command gate')
    recorder: RecorderSettings = setting(RecorderSettings, doc='the recorder')
    replay: ReplaySettings = setting(ReplaySettings, doc='a bag in the place of a robot')
    prices: Prices = setting(Prices, doc='prices of operation, for the cost per hour')

    def __post_init__(self) -> None:
        """Refuse what no single key shows to be wrong."""
        if not re.fullmatch(r'[A-Za-z0-9_][A-Za-z0-9_.-]*', self.name):
            raise ConfigError(f'name: {self.name!r}; letters, digits, _ . and - only, it names a '
                              'folder')
        command = self.interface.command
        for name in ('low', 'high'):
            if len(getattr(command, name)) != len(command.fields):
                have = len(getattr(command, name))
                raise ConfigError(f'interface.command.{name}: {have} numbers for '
                                  f'{len(command.fields)} fields; give one each')
        if any(lo >= hi for lo, hi in zip(command.low, command.high, strict=True)):
            raise ConfigError('interface.command: every low must be below its high')
        self._require_camera()
        if self.plant.kind == 'hardware' and self.clock is not ClockMode.REALTIME:
            raise ConfigError(f'clock: {self.clock}; a robot does not wait, only realtime will do')
        if self.replay.bag and self.plant.kind != 'hardware':
            raise ConfigError('replay.bag: a bag stands for a robot; set plant.kind hardware, it '
                              f'is {self.plant.kind}')
        if len(set(self.pinned_cpus)) < len(self.pinned_cpus) or any(
                cpu < 0 for cpu in self.pinned_cpus):
            raise ConfigError(f'pinned_cpus: {list(self.pinned_cpus)}; give numbers from 0 on, '
                              'each once')
        if self.composed and self.plant.kind == 'hardware':
            raise ConfigError('composed: not on a robot, where a planner that crashes would take '
                              'the command gate with it; start planner_node and supervisor_node')
        if self.plant.link and (self.clock is not ClockMode.REALTIME
                                or self.plant.kind == 'hardware'):
            raise ConfigError('plant.link: it times a device against a plant of this host; set '
                              'clock realtime, and a plant that sends samples itself')
        self._require_dreamer()
        if self.planner.budget_ms > self.planner.deadline_ms:
            raise ConfigError(f'planner.budget_ms: {self.planner.budget_ms:g}; at most '
                              f'planner.deadline_ms, {self.planner.deadline_ms:g}: both count '
                              'from when the slot is due, and what is planned later is LATE')

    def _require_dreamer(self) -> None:
        """Refuse a dream without a model, and settings of a dream where there is none."""
        plant = self.plant
        if plant.kind == 'dream' and not plant.model:
            raise ConfigError('plant.model: a dream needs a world model; name a checkpoint')
        for name in ('model', 'model_sha256', 'keyframe_steps'):
            if plant.kind == 'mujoco' and getattr(plant, name):
                raise ConfigError(f'plant.{name}: {getattr(plant, name)}; only a dream has one, '
                                  'plant.kind is mujoco')

    def _require_camera(self) -> None:
        """Refuse images that the simulated camera will not send."""
        plant, images = self.plant, self.interface.images
        if not images or plant.kind == 'hardware':
            return
        if len(images) > 1 or images[0].topic != 'camera/image_raw':
            raise ConfigError('interface.images: a simulated plant has one camera, '
                              "'camera/image_raw'")
        if plant.camera_hz <= 0 or plant.camera_encoding != 'raw':
            raise ConfigError('interface.images: the model sees the camera; set plant.camera_hz, '
                              'and plant.camera_encoding raw')
        for side in ('width', 'height'):
            sent, seen = getattr(plant, f'camera_{side}'), getattr(images[0], side)
            if sent % seen:
                raise ConfigError(f'plant.camera_{side}: {sent}; give a whole number of times '
                                  f'interface.images[0].{side}, {seen}')


#: folder of the scenarios that ship with a source checkout or an installed package
SCENARIO_FOLDER = 'scenarios'


def config_folder() -> Path:
    """
    Return the folder of the shipped settings, of the source checkout or else of the installation.

    :raises ConfigError: it was not installed
    """
    for parent in Path(__file__).parents[2:]:
        for folder in (parent / 'config', parent / 'share' / 'wm_eval_ros' / 'config'):
            if (folder / SCENARIO_FOLDER).is_dir():
                return folder
    raise ConfigError('the config folder of wm_eval_ros was not installed; '
                      'reinstall, or give a path to a scenario file')


def find_scenario(name: str) -> Path:
    """
    Return the file of a scenario, given its path or the name of a shipped one.

    :raises ConfigError: there is none; the message lists the shipped ones
    """
    path = Path(name)
    if path.suffix in ('.yaml', '.yml') or path.exists():
        return path
    folder = config_folder() / SCENARIO_FOLDER
    shipped = folder / f'{name}.yaml'
    if shipped.is_file():
        return shipped
    from wm_eval_ros.config.schema import did_you_mean
    known = [p.stem for p in folder.glob('*.yaml')]
    raise ConfigError(f'no scenario {name!r}{did_you_mean(name, known)}')


def load_scenario(path: Path, overrides: Mapping[str, object] | None = None) -> Scenario:
    """
    Load a scenario and lay overrides over it.

    :param overrides: dotted keys, such as ``planner.samples``, and their values
    :raises ConfigError: the file or an override does not fit the schema
    """
    raw = load_yaml(path)
    for key, value in (overrides or {}).items():
        _set(raw, key.split('.'), value, str(path))
    try:
        return build(Scenario, raw, str(path))
    except ConfigError as error:
        text = str(error)
        raise ConfigError(text if text.startswith(str(path)) else f'{path}: {text}') from None


def with_planner(scenario: Scenario, planner: str) -> Scenario:
    """Return the scenario under another planner, without model and detector: a baseline."""
    return dataclasses.replace(
        scenario, planner=dataclasses.replace(scenario.planner, planner=planner, model=''),
        detector=DetectorSettings())


def _set(raw: object, keys: list[str], value: object, where: str) -> None:
    if not isinstance(raw, dict):
        return  # what reads it says so
    at: object = raw
    for key in keys[:-1]:
        if not isinstance(at, dict):
            raise ConfigError(f'{where}: no section {".".join(keys[:-1])}')
        at = at.setdefault(key, {})
    if not isinstance(at, dict):
        raise ConfigError(f'{where}: no section {".".join(keys[:-1])}')
    at[keys[-1]] = value
