"""The robot map: which topics of a real robot carry command and state, and how to read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wm_eval_ros.config.interface import Interface, Stream
from wm_eval_ros.config.scenario import config_folder
from wm_eval_ros.config.schema import did_you_mean, setting
from wm_eval_ros.config.yaml_file import load_settings
from wm_eval_ros.errors import ConfigError

#: folder of the maps that ship, beside the scenarios
MAP_FOLDER = 'maps'
#: packages whose messages are neither state nor command
_LOGS = ('rcl_interfaces', 'tf2_msgs', 'rosgraph_msgs')
#: topics a message names at most
_MOST_LISTED = 8


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """An estimate of the robot's own and a reference that measures the same thing."""

    name: str = setting(doc='name of what both say, such as position')
    estimate: Stream = setting(doc="stream of the robot's own estimate")
    reference: Stream = setting(doc='stream of the reference, with as many fields')
    rotation: bool = setting(
        False, doc='the fields are a quaternion x, y, z, w; the disagreement is an angle')

    def __post_init__(self) -> None:
        """Refuse what no single key shows to be wrong."""
        counts = len(self.estimate.fields), len(self.reference.fields)
        if counts[0] != counts[1] or (self.rotation and counts[0] != 4):
            raise ConfigError(f'agreement {self.name}: {counts[0]} fields of the estimate against '
                              f'{counts[1]} of the reference; it needs as many, and the four of a '
                              'quaternion for a rotation')
        if any(field.endswith(':angle') for s in (self.estimate, self.reference)
               for field in s.fields):
            raise ConfigError(f'agreement {self.name}: leave :angle out of its fields')


@dataclass(frozen=True, kw_only=True)
class RobotMap:
    """A robot's topics, and the settings of an open-loop evaluation on its bags."""

    name: str = setting(doc='name of the map')
    description: str = setting('', doc='one sentence')
    interface: Interface = setting(doc='topics of state and command')
    agreement: tuple[Agreement, ...] = setting(
        (), doc='estimates that are held against a reference, where the bag has both')
    period_ms: float = setting(50.0, doc='period everything is resampled at', unit='ms', low=1.0,
                               high=10000.0)
    horizons_s: tuple[float, ...] = setting(
        (0.5,), doc='how far ahead is predicted, besides one step', unit='s', low=0.001,
        high=60.0)
    history: tuple[int, ...] = setting(
        (1, 2, 3, 5, 8), doc='samples of state and command the model sees; one is chosen by '
                             'cross-validation within the fitted part', low=1, high=50)
    ridge: tuple[float, ...] = setting(
        (1.0, 10.0, 100.0, 1e3, 1e4), doc='ridge penalties on standardised inputs, chosen among '
                                          'likewise', low=1e-9, high=1e9)
    train_share: float = setting(0.7, doc='share of the bag the model is fitted on, its beginning',
                                 low=0.1, high=0.9)
    clock: str = setting(
        'log', doc="time of a sample: its log time, or its header stamp less the topic's clock "
                   'offset', choices=('log', 'stamps'))
    sentinel: float = setting(
        1e6, doc='a command at least this large is none, but a mark of "no command"', low=0.0)
    outlier_mads: float = setting(
        20.0, doc='a sample this many scaled median deviations off its neighbours is an outlier',
        low=3.0)
    command_timeout_s: float = setting(0.5, doc='a command older than this holds no more',
                                       unit='s', low=0.001, high=60.0)
    loss_s: float = setting(1.0, doc='a state silent for at least so long is a sensor loss',
                            unit='s', low=0.01, high=3600.0)
    max_lag_s: float = setting(1.5, doc='longest command-to-state lag that is looked for',
                               unit='s', low=0.0, high=60.0)
    lag_on: str = setting(
        'level', doc='what of a command the state follows: its level, or its rate (a velocity '
                     'under position commands)', choices=('level', 'rate'))
    alarm_share: float = setting(
        0.05, doc='largest share of nominal blocks that may raise an alarm: decides how many are '
                  'needed to calibrate', low=1e-6, high=0.5)
    definitions: dict[str, str] = setting(
        dict, doc='definitions of message types that such bags do not embed, by type name')

    def __post_init__(self) -> None:
        """Refuse what no single key shows to be wrong."""
        for name, value in (('history', self.history), ('ridge', self.ridge)):
            if not value:
                raise ConfigError(f'{name}: needs at least one value')
        for horizon in self.horizons_s:
            if horizon * 1e3 < self.period_ms:
                raise ConfigError(f'horizons_s: {horizon} s is shorter than the period of '
                                  f'{self.period_ms} ms')
        names = [agreement.name for agreement in self.agreement]
        if len(set(names)) < len(names):
            raise ConfigError(f'agreement: names {names} are not distinct')

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
        raise ConfigError(
            f'no robot map fits the topics of the bag ({"; ".join(lacks) or "none is shipped"}). '
            'Write one and give it with --map FILE.yaml: name, interface.observations as a list '
            'of topic, type and fields, interface.command with topic, type, fields, low and '
            f'high (an example stands in docs/openloop.md); the bag has {_listed(topics)}')
    return max(fits, key=lambda fit: len(fit.topics))


def _listed(topics: Mapping[str, str]) -> str:
    """Name the topics that may carry state or command, with their types; others come last."""
    ranked = sorted(topics.items(), key=lambda item: (item[1].split('/')[0] in _LOGS, item))
    shown = ', '.join(f'{topic} ({kind})' for topic, kind in ranked[:_MOST_LISTED])
    more = len(ranked) - _MOST_LISTED
    return (shown or 'no topics') + (f' and {more} more' if more > 0 else '')
