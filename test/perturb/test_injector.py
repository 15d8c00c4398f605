"""A schedule carried out: onsets, ends, order, and what could not act."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from wm_eval_ros.config.perturbation import PerturbationSettings
from wm_eval_ros.errors import ConfigError, UnknownNameError
from wm_eval_ros.perturb import catalogue
from wm_eval_ros.perturb.host import Channel, Host, Role
from wm_eval_ros.perturb.injector import Change, Injector, Outcome
from wm_eval_ros.perturb.protocol import ChangesProcesses, Copy, WorldChange
from wm_eval_ros.perturb.schedule import Scheduled
from wm_eval_ros.records import EventKind

MS = 1_000_000
UNIT = np.array([0.2, 1.0])
HOST = Host((Channel('joints', Role.OBSERVATION, UNIT, lists=True),
             Channel('tip', Role.OBSERVATION, np.array([0.05])),
             Channel('camera', Role.CAMERA),
             Channel('command', Role.COMMAND, np.array([1.0]), lists=True)),
            {ChangesProcesses: 'no processes here'})


class World:
    """Remembers what it was told."""

    def __init__(self, refuse: str = '') -> None:
        self.told: list[tuple[WorldChange, ...]] = []
        self.refuse = refuse

    def __call__(self, changes: Sequence[WorldChange]) -> str:
        self.told.append(tuple(changes))
        return self.refuse if changes else ''


def one(name: str, **changes: object) -> PerturbationSettings:
    return PerturbationSettings(name=name, **{'severity': 0.5, **changes})  # type: ignore[arg-type]


def running(*settings: PerturbationSettings, world: World | None = None,
            host: Host = HOST) -> Injector:
    injector = Injector(settings, host, world or World())
    injector.begin(7)
    return injector


def told(changes: Sequence[Change]) -> list[tuple[str, str]]:
    return [(c.kind.name, c.label) for c in changes]


def test_it_begins_at_its_onset_and_ends_after_its_duration() -> None:
    injector = running(one('sensor.bias', start_s=0.1, duration_s=0.2))
    assert injector.step(99 * MS) == []
    on, = injector.step(100 * MS)
    assert (on.kind, on.name, on.severity) == (EventKind.PERTURB_ON, 'sensor.bias', 0.5)
    assert injector.on == ('sensor.bias',)
    assert injector.step(299 * MS) == []
    off, = injector.step(300 * MS)
    assert (off.kind, off.name, off.severity) == (EventKind.PERTURB_OFF, 'sensor.bias', 0.5)
    assert injector.on == ()


def test_before_and_after_it_the_numbers_are_the_true_ones_themselves() -> None:
    injector = running(one('sensor.bias', start_s=0.1, duration_s=0.2))
    truth = np.array([1.0, 2.0])
    for task_ns, changed in ((0, False), (100 * MS, True), (300 * MS, False)):
        injector.step(task_ns)
        given_on = injector.values('joints', truth, UNIT, task_ns)
        assert (given_on is not truth) == changed
    assert truth.tolist() == [1.0, 2.0]


def test_a_push_without_a_duration_has_its_own() -> None:
    injector = running(one('physical.impulse', start_s=0.1, parameters={'lasts': 0.05}))
    assert told(injector.step(100 * MS)) == [('PERTURB_ON', 'physical.impulse')]
    assert told(injector.step(150 * MS)) == [('PERTURB_OFF', 'physical.impulse')]


def test_the_world_is_told_all_changes_that_hold() -> None:
    world = World()
    injector = running(one('physical.damping', duration_s=0.2),
                       one('physical.friction', start_s=0.1), world=world)
    for task_ns in (0, 100 * MS, 200 * MS):
        injector.step(task_ns)
    injector.end()
    assert [[c.quantity.value for c in changes] for changes in world.told] == [
        ['damping'], ['damping', 'friction'], ['friction'], []]


def test_what_the_world_does_not_feel_is_unsupported_and_never_ends() -> None:
    world = World(refuse='gravity has no grip')
    injector = running(one('physical.gravity'), world=world)
    assert told(injector.step(0)) == [
        ('PERTURB_SKIPPED', 'physical.gravity: unsupported: gravity has no grip')]
    assert world.told[-1] == ()
    assert injector.end() == []


def test_everything_ends_with_the_episode_and_what_never_began_is_told() -> None:
    injector = running(one('sensor.bias'), one('sensor.drift', start_s=5.0))
    injector.step(0)
    assert told(injector.end()) == [
        ('PERTURB_OFF', 'sensor.bias'),
        ('PERTURB_SKIPPED', 'sensor.drift: skipped: the episode ended before its onset')]
    assert injector.end() == []


def test_two_of_a_name_do_not_overlap() -> None:
    injector = running(one('sensor.bias'), one('sensor.bias', start_s=0.1))
    injector.step(0)
    assert told(injector.step(100 * MS)) == [
        ('PERTURB_SKIPPED', 'sensor.bias: skipped: it is on already')]


def test_severity_0_is_skipped() -> None:
    assert told(running(one('sensor.bias', severity=0.0)).step(0)) == [
        ('PERTURB_SKIPPED', 'sensor.bias: skipped: severity 0 changes nothing')]


@pytest.mark.parametrize(('name', 'host', 'why'), [
    ('visual.blur', Host((HOST.channels[0],)), 'there is no camera'),
    ('timing.planner_kill', HOST, 'no processes here'),
    ('timing.drop', Host((Channel('joints', Role.OBSERVATION, UNIT, 'it waits'),)), 'it waits'),
    ('sensor.wrong_shape', Host((HOST.channels[1],)), 'tip holds no list that could be too short'),
    ('sensor.wrong_shape', Host((Channel('joints', Role.OBSERVATION, UNIT, 'it waits',
                                         lists=True),)), 'it waits'),
    ('sensor.noise', Host(()), 'there is nothing that it could act on')])
def test_what_the_host_cannot_do_is_unsupported(name: str, host: Host, why: str) -> None:
    assert told(running(one(name), host=host).step(0)) == [
        ('PERTURB_SKIPPED', f'{name}: unsupported: {why}')]


def test_without_topics_a_sensor_fault_is_on_every_observation_and_not_on_the_command() -> None:
    injector = running(one('sensor.bias'))
    injector.step(0)
    for topic, unit, changed in (('joints', UNIT, True), ('tip', np.ones(1), True),
                                 ('command', np.ones(1), False)):
        truth = np.zeros(len(unit))
        assert np.any(injector.values(topic, truth, unit, 0)) == changed


def test_with_topics_it_is_on_those_alone() -> None:
    injector = running(one('sensor.bias', topics=('tip',)))
    injector.step(0)
    assert not injector.values('joints', np.zeros(2), UNIT, 0).any()
    assert injector.values('tip', np.zeros(1), np.ones(1), 0).any()


def test_commands_are_delayed_only_where_their_topic_is_named() -> None:
    for topics, delay in (((), 0), (('command',), 100 * MS)):
        injector = running(one('timing.delay', topics=topics))
        injector.step(0)
        assert injector.deliver('command', 0) == [Copy(delay)]


def test_delays_add_up_and_copies_multiply() -> None:
    injector = running(one('timing.delay', parameters={'longest': 0.2}),
                       one('timing.duplicate', severity=1.0, parameters={'after': 0.01}),
                       one('timing.stale_stamp', parameters={'age': 1.0}))
    injector.step(0)
    assert injector.deliver('joints', 0) == [
        Copy(100 * MS, -500 * MS), Copy(110 * MS, -500 * MS)]


def test_streams_draw_for_themselves() -> None:
    injector = running(one('sensor.noise'))
    injector.step(0)
    first = injector.values('joints', np.zeros(2), np.ones(2), 0)
    second = injector.values('tip', np.zeros(2), np.ones(2), 0)
    assert not np.allclose(first, second)


def test_live_injection_answers_and_is_on() -> None:
    injector = running()
    plan = Scheduled('sensor.bias', 0.5, 10 * MS, 30 * MS, 3, (), {'size': 4.0})
    assert injector.inject(plan, 10 * MS).outcome is Outcome.APPLIED
    assert injector.inject(plan, 10 * MS).outcome is Outcome.SKIPPED
    assert told(injector.step(30 * MS)) == [('PERTURB_OFF', 'sensor.bias')]


def test_severity_0_injected_live_ends_it() -> None:
    injector = running(one('sensor.bias'))
    injector.step(0)
    found = injector.inject(Scheduled('sensor.bias', 0.0, 0, None, 0), 0)
    assert (found.kind, found.outcome) == (EventKind.PERTURB_OFF, Outcome.APPLIED)
    assert injector.on == ()


def test_a_scenario_with_an_unknown_name_parameter_or_topic_is_refused_at_once() -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean 'sensor\.bias'"):
        Injector([one('sensor.bais')], HOST)
    with pytest.raises(ConfigError, match="no parameter 'std'"):
        Injector([one('sensor.bias', parameters={'std': 1.0})], HOST)
    with pytest.raises(ConfigError, match="no topic 'joint' to act on; there are camera"):
        Injector([one('sensor.bias', topics=('joint',))], HOST)


NAMES = [n for n in catalogue.names() if not n.startswith('timing.planner_')]


@given(st.lists(st.builds(one, st.sampled_from(NAMES), start_s=st.floats(0.0, 2.0),
                          duration_s=st.floats(0.0, 2.0), severity=st.floats(0.0, 1.0),
                          probability=st.floats(0.0, 1.0)), max_size=6),
       st.lists(st.integers(0, 3000), max_size=20), st.integers(0, 2**53))
def test_every_on_has_its_off_within_the_episode_whatever_is_scheduled(
    settings: list[PerturbationSettings], instants: list[int], seed: int,
) -> None:
    injector = Injector(settings, HOST, World())
    injector.begin(seed)
    changes: list[Change] = []
    for ms in sorted(instants):
        changes += injector.step(ms * MS)
    changes += injector.end()
    assert injector.on == ()
    for name in {s.name for s in settings}:
        own = [c.kind for c in changes
               if c.name == name and c.kind is not EventKind.PERTURB_SKIPPED]
        assert len(own) % 2 == 0
        assert all(kind is EventKind.PERTURB_ON for kind in own[::2])
        assert all(a is not b for a, b in pairwise(own))


def test_topics_of_what_acts_on_none_are_refused() -> None:
    with pytest.raises(ConfigError, match='it acts on none; leave them out'):
        Injector([one('physical.payload', topics=('joints',))], HOST, World())


def test_topics_that_nothing_acts_on_are_not_touched() -> None:
    injector = running(one('sensor.bias', topics=('tip',), duration_s=0.1))
    assert not injector.touches('tip')
    injector.step(0)
    assert (injector.touches('tip'), injector.touches('joints')) == (True, False)
    injector.step(100 * MS)
    assert not injector.touches('tip')


def test_numbers_of_a_wrong_type_have_lost_their_fractions() -> None:
    injector = running(one('sensor.wrong_type', severity=1.0))
    injector.step(0)
    assert injector.values('joints', np.array([-1.7, 0.6]), UNIT, 0).tolist() == [-1.0, 0.0]


@pytest.mark.parametrize(('severity', 'more'), [(1.0, 8), (0.5, 4), (0.25, 2)])
def test_a_doubled_rate_has_samples_between_those_that_are_due(
    severity: float, more: int,
) -> None:
    injector = running(one('timing.double_rate', severity=severity, topics=('tip',)))
    injector.step(0)
    assert sum(injector.samples_between('tip') for _ in range(8)) == more
    assert not injector.samples_between('joints')


def test_endpoints_that_do_not_match_are_those_of_the_command_for_a_while() -> None:
    injector = running(one('timing.qos_mismatch', start_s=0.1))
    assert not injector.is_apart('command')
    injector.step(100 * MS)
    assert (injector.is_apart('command'), injector.is_apart('joints')) == (True, False)
    off, = injector.step(600 * MS)
    assert (off.kind, injector.is_apart('command')) == (EventKind.PERTURB_OFF, False)


@pytest.mark.parametrize(('name', 'topic', 'why'), [
    ('timing.qos_mismatch', 'joints', 'whoever reads joints takes any quality of service'),
    ('timing.double_rate', 'camera', 'camera is not sampled from the state of the robot'),
])
def test_a_topic_that_it_cannot_act_on_makes_it_unsupported(
    name: str, topic: str, why: str,
) -> None:
    change, = running(one(name, topics=(topic,))).step(0)
    assert (change.outcome, change.why) == (Outcome.UNSUPPORTED, why)
