"""Settings of the supervisor: what passes the command gate, and what is commanded instead."""

from __future__ import annotations

from dataclasses import dataclass

from wm_eval_ros.config.schema import setting
from wm_eval_ros.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class StateLimit:
    """A range of an observed quantity that a command field must not drive it further out of."""

    feature: str = setting(doc='observed feature, `topic.field`, such as a joint position')
    low: float = setting(doc='at or below it a negative command is refused')
    high: float = setting(doc='at or above it a positive command is refused')
    field: str = setting(doc='command field that drives it: a velocity, torque or force')

    def __post_init__(self) -> None:
        """Refuse a range that no command could pass."""
        if self.low > self.high:
            raise ConfigError(f'supervisor.state_limits: {self.feature}: low, {self.low:g}, is '
                              f'above high, {self.high:g}; exchange them')


@dataclass(frozen=True, kw_only=True)
class BrakeTerm:
    """One command field of the fallback `brake`: minus the gain times a measured velocity."""

    field: str = setting(doc='command field')
    feature: str = setting(doc='observed velocity that the field acts against, `topic.field`')
    gain: float = setting(doc='command per unit of velocity; the command is kept in its limits',
                          low=0.0)


@dataclass(frozen=True, kw_only=True)
class ReflexTerm:
    """One correction between two slots: a gain times what was predicted and not observed."""

    field: str = setting(doc='command field that is corrected')
    feature: str = setting(doc='feature predicted by the plan and observed, `topic.field`')
    gain: float = setting(doc='command per unit of (predicted - observed)')
    bound: float = setting(doc='largest correction of this term', low=0.0)


@dataclass(frozen=True, kw_only=True)
class SupervisorSettings:
    """The command gate, last before the plant."""

    late_periods: float = setting(1.5, doc='no fresh command for this many periods: degraded, '
                                  'the last one stays in force', low=1.0)
    stale_periods: float = setting(2.0, doc='no fresh command for this many periods: fallback',
                                   low=1.0)
    stop_ms: float = setting(500.0, doc='no fresh command for this long: stopped', unit='ms',
                             low=1.0)
    clear_ms: float = setting(200.0, doc='the planner gets back control once every monitor has '
                              'been clear for this long', unit='ms', low=0.0)
    returns: int = setting(10, doc='so often the planner gets back control in an episode; the '
                           'hand-over after that stops; 60 s on end without trouble forget one',
                           low=0)
    age_ms: float = setting(0.0, doc='a command that arrives this long after its stamp is '
                            "refused; 0: the planner's deadline", unit='ms', low=0.0)
    liveliness_ms: float = setting(300.0, doc='DDS lease of the planner: not heard of for this '
                                   'long, it is not alive', unit='ms', low=10.0)
    fallback: str = setting(
        'zero', doc='command of the fallback: zero, the last one held, brake, or a second '
        "controller's", choices=('zero', 'hold', 'brake', 'controller'))
    brake: tuple[BrakeTerm, ...] = setting((), doc='what the fallback `brake` commands')
    controller_topic: str = setting(
        '', doc="topic of the second controller's commands, of the command's type")
    rate: tuple[float, ...] = setting(
        (), doc='largest change of each command field per second; empty: not limited', low=0.0)
    acceleration: tuple[float, ...] = setting(
        (), doc='largest change of that rate per second; empty: not limited', low=0.0)
    jerk: tuple[float, ...] = setting(
        (), doc='largest change of that acceleration per second; empty: not limited', low=0.0)
    state_limits: tuple[StateLimit, ...] = setting(
        (), doc='ranges of observed quantities that no command may drive them further out of')
    alarms: int = setting(1, doc='surprise alarms among the last `alarm_slots` slots that make '
                          'the fallback command; fewer degrade', low=1)
    alarm_slots: int = setting(1, doc='slots among which alarms are counted', low=1)
    authorised: str = setting('planner', doc='name of the one node that may propose commands')
    joy_axes: tuple[int, ...] = setting(
        (), doc='axis of the joystick for each command field; empty: no joystick', low=0)
    joy_deadman: int = setting(0, doc='button that must be held for the joystick to command',
                               low=0)
    shadow: bool = setting(
        False, doc='decide and record, publish no command: somebody else drives')
    reflex: tuple[ReflexTerm, ...] = setting(
        (), doc='corrections of the command between two slots (realtime); empty: none')

    def __post_init__(self) -> None:
        """Refuse what no single key shows to be wrong."""
        if self.late_periods > self.stale_periods:
            raise ConfigError(f'supervisor.late_periods: {self.late_periods:g}, above '
                              f'stale_periods, {self.stale_periods:g}; a command is late before '
                              'it is stale')
        if self.alarms > self.alarm_slots:
            raise ConfigError(f'supervisor.alarms: {self.alarms} among {self.alarm_slots} '
                              'slots; raise alarm_slots')
        if (self.fallback == 'controller') != bool(self.controller_topic):
            raise ConfigError('supervisor.controller_topic: goes together with fallback: '
                              'controller; give both or none')
        if (self.fallback == 'brake') != bool(self.brake):
            raise ConfigError('supervisor.brake: goes together with fallback: brake; '
                              'give both or none')
