"""The gate profile: what a deployment asks of a run's figures, in one typed YAML file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wm_eval_ros.config.scenario import config_folder
from wm_eval_ros.config.schema import did_you_mean, setting
from wm_eval_ros.config.yaml_file import load_settings
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.records import ClockMode, NameEnum

#: folder of the profiles that ship, beside the scenarios
GATE_FOLDER = 'gates'
#: kinds of plant whose figures tell of the world; a dream is what a model believes of it
REAL_PLANTS = ('mujoco', 'gymnasium', 'hardware', 'replay')


class Against(NameEnum):
    """Which part of a figure a bound is held against."""

    #: the whole interval must lie on the good side to pass, on the bad side to fail
    INTERVAL = 'interval'
    #: the value alone: for complete counts, and where a point estimate is what is asked
    VALUE = 'value'


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One bound on one figure of the scorecard."""

    metric: str = setting(doc='name of a figure as in the scorecard, such as `plan_latency.p99`')
    at_least: float | None = setting(None, doc='lower bound, in the unit of the figure')
    at_most: float | None = setting(None, doc='upper bound, in the unit of the figure')
    against: Against = setting(
        Against.INTERVAL, doc='interval: all of it must lie on the good side; value: the value '
        'alone, for complete counts')

    def __post_init__(self) -> None:
        """Refuse a gate without a bound, or with two."""
        if (self.at_least is None) == (self.at_most is None):
            raise ConfigError(f'gate on {self.metric}: give either at_least or at_most; two '
                              'bounds are two gates')

    @property
    def limit(self) -> float:
        """Return the bound."""
        return next(b for b in (self.at_least, self.at_most) if b is not None)

    @property
    def name(self) -> str:
        """Return the gate as it is asked, such as `success_rate >= 0.9`."""
        return f'{self.metric} {">=" if self.at_most is None else "<="} {self.limit:g}'


@dataclass(frozen=True, kw_only=True)
class GateProfile:
    """What a deployment asks of a run."""

    name: str = setting(doc='name of the profile')
    description: str = setting('', doc='one sentence')
    clock: ClockMode | None = setting(
        None, doc='clock mode the run must have had: a figure of another mode answers another '
        'question; left out: any')
    deadline_ms: float | None = setting(
        None, doc='longest deadline the run may have been held to; left out: any', unit='ms',
        low=1.0, high=10000.0)
    period_ms: float | None = setting(
        None, doc='longest period of control the run may have had; left out: any', unit='ms',
        low=1.0, high=10000.0)
    plants: tuple[str, ...] = setting(
        REAL_PLANTS, doc='kinds of plant the run may have had: a dream says what a model '
        'believes, a stimulus moves nothing')
    gates: tuple[Gate, ...] = setting(doc='the bounds')

    def __post_init__(self) -> None:
        """Refuse what no single key shows to be wrong."""
        if not self.plants:
            raise ConfigError('plants: none is named, so no run could be held; leave it out for '
                              f'{", ".join(REAL_PLANTS)}')
        if not self.gates:
            raise ConfigError('gates: none is given; a profile without one holds nothing')
        asked = [(gate.metric, gate.at_most is None) for gate in self.gates]
        for gate, key in zip(self.gates, asked, strict=True):
            if asked.count(key) > 1:
                raise ConfigError(f'gates: {gate.metric} has two bounds of one kind; keep one')


def load_gates(name: str) -> GateProfile:
    """
    Load a profile, given its path or the name of a shipped one.

    :raises ConfigError: there is none, or it does not fit the schema
    """
    path = Path(name)
    if path.suffix not in ('.yaml', '.yml') and not path.exists():
        path = config_folder() / GATE_FOLDER / f'{name}.yaml'
        if not path.is_file():
            known = [p.stem for p in shipped_gates()]
            raise ConfigError(f'no gate profile {name!r}{did_you_mean(name, known)}')
    try:
        return load_settings(GateProfile, path)
    except ConfigError as error:
        text = str(error)
        raise ConfigError(text if text.startswith(str(path)) else f'{path}: {text}') from None


def shipped_gates() -> tuple[Path, ...]:
    """Return the files of the shipped profiles, sorted."""
    return tuple(sorted((config_folder() / GATE_FOLDER).glob('*.yaml')))
