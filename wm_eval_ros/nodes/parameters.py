"""Settings as ROS parameters: declared with description and range, misspelt ones refused."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node

from wm_eval_ros.config.scenario import find_scenario, load_scenario, Scenario
from wm_eval_ros.config.schema import build, did_you_mean, scalar_fields, setting, to_plain
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.nodes.topic_list import ALL_NODES

T = TypeVar('T')

#: parameters of rclpy itself
_OWN_OF_RCLPY = ('use_sim_time', 'start_type_description_service')


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What every node of a run is told; the defaults are the scenario's."""

    scenario: str = setting(doc='scenario file, or the name of a shipped scenario')
    run_id: str = setting('run', doc='name of this run')
    clock: str = setting('', doc='realtime, lockstep or free; empty: as in the scenario')
    seed: int = setting(-1, doc='seed of the run; -1: as in the scenario', low=-1)
    episodes: int = setting(0, doc='number of episodes; 0: as in the scenario', low=0)
    nodes: tuple[str, ...] = setting(ALL_NODES, doc='nodes that take part in the run')


class Parameters:
    """Declares settings on a node and refuses parameters nobody declared."""

    def __init__(self, node: Node) -> None:
        """Take over a node made with `automatically_declare_parameters_from_overrides`."""
        self._node = node
        self._known: set[str] = set()

    def declare(self, cls: type[T], defaults: T | None = None) -> T:
        """
        Declare the scalar settings of a class and return their effective values.

        :param defaults: the values where no parameter is given; None: the class's own
        :raises ConfigError: a value of the wrong type or out of range
        """
        values: dict[str, Any] = {}
        if defaults is not None:
            values = {f.name: getattr(defaults, f.name)
                      for f in dataclasses.fields(defaults)}  # type: ignore[arg-type]
        for declared, _ in scalar_fields(cls):
            default = values.get(declared.name, declared.default)
            value = self._declare_one(declared, default)
            if value is not dataclasses.MISSING:
                values[declared.name] = value
        return build(cls, values, f'parameters of {self._node.get_fully_qualified_name()}')

    def close(self) -> None:
        """Refuse every parameter given that no `declare` asked for; log the effective ones."""
        for name in self._node.get_parameters_by_prefix(''):
            if name in self._known or name in _OWN_OF_RCLPY or name.startswith('qos_overrides'):
                continue
            where = self._node.get_fully_qualified_name()
            raise ConfigError(f'{where}: unknown parameter {name!r}'
                              f'{did_you_mean(name, self._known)}')

    def _declare_one(self, declared: dataclasses.Field[Any], default: Any) -> Any:
        name = declared.name
        self._known.add(name)
        value = default
        if self._node.has_parameter(name):
            value = self._node.get_parameter(name).value
            self._node.undeclare_parameter(name)
        if value is dataclasses.MISSING:
            return value
        unit = declared.metadata['unit']
        descriptor = ParameterDescriptor(
            description=declared.metadata['doc'] + (f' [{unit}]' if unit else ''),
            read_only=True, dynamic_typing=True)
        plain = value.value if isinstance(value, Enum) else to_plain(value)
        self._node.declare_parameter(name, plain, descriptor)
        return plain


def run_scenario(run: RunSettings) -> Scenario:
    """Load the scenario a node was told, with the run's own overrides laid over it."""
    overrides: dict[str, object] = {}
    if run.clock:
        overrides['clock'] = run.clock
    if run.seed >= 0:
        overrides['seed'] = run.seed
    if run.episodes:
        overrides['episodes'] = run.episodes
    path: Path = find_scenario(run.scenario)
    return load_scenario(path, overrides)
