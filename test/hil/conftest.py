"""Two hosts on this machine: the helpers of the bench, and what a run between them found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
import importlib
from pathlib import Path
import sys
from types import ModuleType
from typing import Any

import pytest

from wm_eval_ros.cli.reading import read, Scored

BENCH = Path(__file__).resolve().parents[2] / 'bench'


@pytest.fixture(scope='session')
def bench() -> Iterator[Callable[[str], ModuleType]]:
    """Import modules of the bench folder."""
    sys.path.insert(0, str(BENCH))
    yield importlib.import_module
    sys.path.remove(str(BENCH))


@pytest.fixture(scope='session')
def two_hosts(bench: Callable[[str], ModuleType]) -> ModuleType:
    """Makes two hosts; skips where there can be none."""
    pytest.importorskip('rclpy', reason='no ROS 2 here')
    module = bench('_two_hosts')
    why = module.unavailable()
    if why:
        pytest.skip(why)
    return module


@pytest.fixture(scope='session')
def way(bench: Callable[[str], ModuleType]) -> Any:
    return bench('_wire').Way


@dataclass(frozen=True)
class Timed:
    """A run between two hosts."""

    scored: Scored
    #: what the wire did, host to device and back
    out: Any
    back: Any
    #: what each message took by the clocks as they really are [ms]: topic -> shape (N,)
    true_out_ms: dict[str, Any]
    true_back_ms: dict[str, Any]


@pytest.fixture
def timed(two_hosts: ModuleType, tmp_path: Path) -> Callable[..., Timed]:
    """Time a device over a wire, its clock ahead."""
    def run(device: str, out: Any, back: Any, clock: Any, seed: int = 0, **settings: object,
            ) -> Timed:
        with two_hosts.TwoHosts(tmp_path, out, back, clock, seed=seed) as hosts:
            bag = two_hosts.measure(hosts, device, 150.0, **settings)
            hosts.cut()
        scored = read(bag)
        return Timed(scored, hosts.frames(0), hosts.frames(1),
                     *two_hosts.true_ms(scored.run, clock))
    return run
