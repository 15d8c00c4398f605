"""The robot map: which topics of a real robot carry command and state, and how to read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wm_eval_ros.config.interface import Interface
from wm_eval_ros.config.scenario import config_folder
from wm_eval_ros.config.schema import did_you_mean, setting
from wm_eval_ros.config.yaml_file import load_settings
from wm_eval_ros.errors import ConfigError

#: folder of the maps that ship, beside the scenarios
MAP_FOLDER = 'maps'


@dataclass(frozen=True, kw_only=True)
class RobotMap:
    """A robot's topics, and the settings of an open-loop evaluation on its bags."""

    name: str = setting(doc='name of the map')
    description: str = setting('', doc='one sentence')
    interface: Interface = setting(doc='topics of state and command')
    period_ms: float = setting(50.0, doc='period everything is resampled at', unit='ms', low=1.0,
                               high=10000.0)
    horizons_s: tuple[float, ...] = setting(
        (0.5,), doc='how far ahead is predicted, besides one step', unit='s', low=0.001,
        high=60.0)
    history: int = setting(5, doc='samples of state and command the model sees', low=1, high=50)
    train_share: float = setting(0.7, doc='share of the bag the model is fitted on, its beginning',
                                 low=0.1, high=0.9)
    ridge: float = setting(1.0, doc='ridge penalty on standardised inputs', low=0.0, high=1e9)
    sentinel: float = setting(
        1e6, doc='a command at least this large is none, but a mark of "no command"', low=0.0)
    outlier_mads: float = setting(
        20.0, doc='a sample this many scaled median deviations off its neighbours is an outlier',
        low=3.0)
    command_timeout_s: float = setting(0.5, doc='a command older than this holds no more',
                                       unit='s', low=0.001, high=60.0)
    max_lag_s: float = setting(1.5, doc='longest command-to-state lag that is looked for',
                               unit='s', low=0.0, high=60.0)
    block_s: float = setting(0.5, doc='shortest block of the block bootstrap', unit='s',
                             low=0.001, high=600.0)
    definitions: dict[str, str] = setting(
        dict, doc='definitions of message types that such bags do not embed, by type name')

    def __post_init__(self) -> None:
        """Refuse what no single key shows to be wrong."""
        for horizon in self.horizons_s:
            if horizon * 1e3 < self.period_ms:
                raise ConfigError(f'horizons_s: {horizon} s is shorter than the period of '
                                  f'{self.period_ms} ms')

    @property
    def topics(self) -> dict[str, str]:
        """Types of the topics it needs, by topic."""
        streams = (*self.interface.observations, self.interface.command)
        return {stream.topic: stream.type for stream in streams}


def load_map(name: str) -> RobotMap:
    """
    Load a map, given its path or the name of a shipped one.

    :raises ConfigError: there is none, or it does not fit the schema
    """
    path = Path(name)
    if path.suffix not in ('.yaml', '.yml') and not path.exists():
        path = config_folder() / MAP_FOLDER / f'{name}.yaml'
        if not path.is_file():
            known = [p.stem for p in shipped_maps()]
            raise ConfigError(f'no robot map {name!r}{did_you_mean(name, known)}')
    return load_settings(RobotMap, path)


def shipped_maps() -> tuple[Path, ...]:
    """Return the files of the shipped maps, sorted."""
    return tuple(sorted((config_folder() / MAP_FOLDER).glob('*.yaml')))


def find_map(topics: Mapping[str, str]) -> RobotMap:
    """
    Return the shipped map whose topics and types a bag has; the most demanding of several.

    :param topics: types by topic of the bag
    :raises ConfigError: none fits; the message says what each lacks
    """
    lacks: list[str] = []
    fits: list[RobotMap] = []
    for path in shipped_maps():
        candidate = load_settings(RobotMap, path)
        missing = [topic for topic, kind in candidate.topics.items() if topics.get(topic) != kind]
        if missing:
            lacks.append(f'{candidate.name} lacks {", ".join(missing)}')
        else:
            fits.append(candidate)
    if not fits:
        raise ConfigError('no robot map fits the topics of the bag '
                          f'({"; ".join(lacks) or "none is shipped"}); write one and give it '
                          'with --map')
    return max(fits, key=lambda fit: len(fit.topics))
