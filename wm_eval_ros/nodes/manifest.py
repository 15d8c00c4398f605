"""The run's manifest: what was run, with what, on which machine."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
import os
from pathlib import Path
import platform
from typing import Any

from wm_eval_ros.config.scenario import PlannerSettings, Scenario
from wm_eval_ros.config.schema import to_plain
from wm_eval_ros.config.software import git_commit, package_version
from wm_eval_ros.models.protocol import WorldModel
from wm_eval_ros.nodes.machine import governors, in_container
from wm_eval_ros.planning.prior import pinned_policy
from wm_eval_ros.plants.load import pinned
from wm_eval_ros.records import RUN_INFO_SCHEMA, RunInfo
from wm_eval_ros.wire.fields import joined_names


def run_info(
    scenario: Scenario, planner: PlannerSettings, run_id: str, model: WorldModel | None,
    detector: dict[str, Any],
) -> RunInfo:
    """Collect the manifest of a run; of the detector what the calibration says of itself."""
    effective = pinned(replace(scenario, planner=pinned_policy(planner)))
    return RunInfo(
        schema_version=RUN_INFO_SCHEMA, run_id=run_id, scenario=scenario.name,
        task=scenario.plant.task, clock=scenario.clock, seed=scenario.seed,
        episodes=scenario.episodes, planner=planner.planner,
        period_ns=round(planner.period_ms * 1e6), deadline_ns=round(planner.deadline_ms * 1e6),
        time_limit_s=scenario.plant.time_limit_s, package_version=package_version(),
        git_commit=git_commit(), model=_model_facts(model), detector=detector,
        observation_names=joined_names(scenario.interface.observations),
        settings=to_plain(effective),
        host=host_facts() | engine_facts(planner.engine))


def host_facts() -> dict[str, Any]:
    """Describe the machine, the middleware and the load at this moment."""
    from rclpy.utilities import get_rmw_implementation_identifier
    import torch
    return {
        'machine': platform.machine(), 'kernel': platform.release(), 'cpu': cpu_name(),
        'cores': len(os.sched_getaffinity(0)), 'governor': ', '.join(governors()),
        'container': in_container(), 'locked_kib': _locked_kib(),
        'python': platform.python_version(),
        'rmw': get_rmw_implementation_identifier(), 'device': 'cpu', 'scheduling': _scheduling(),
        'ros_distro': os.environ.get('ROS_DISTRO', 'wheels'),
        'torch': torch.__version__, 'torch_threads': torch.get_num_threads(),
        'load_average': [round(x, 2) for x in os.getloadavg()],
    }


def _model_facts(model: WorldModel | None) -> dict[str, Any]:
    if model is None:
        return {}
    spec = model.spec
    facts: dict[str, Any] = {'name': spec.name, 'version': spec.version, 'sha256': spec.sha256,
             'family': spec.family, 'feature_names': list(spec.feature_names)}
    for name in ('latent_names', 'latent_mean', 'latent_scale'):
        value = getattr(model, name, None)
        if value is not None:
            facts[name] = [v if isinstance(v, str) else float(v) for v in value]
    # environment steps, and when and at what cost it was trained
    for name in ('transitions', 'trained_at_ns', 'train_cpu_s'):
        if isinstance(known := spec.provenance.get(name), (int, float)):
            facts[name] = known
    flops = getattr(model, 'flops_per_step', None)
    if flops is not None:
        facts['flops_per_step'] = int(flops)
    return facts


def engine_facts(engine: str) -> dict[str, Any]:
    """Return the version of an engine beside torch: other versions round otherwise."""
    if engine == 'torch':
        return {}
    try:
        return {engine: version(engine)}
    except PackageNotFoundError:
        return {engine: 'not installed'}


def _locked_kib() -> int:
    """Return how much of this process is locked in memory [KiB]."""
    try:
        lines = Path('/proc/self/status').read_text(encoding='ascii').splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith('VmLck:')), 0)


def _scheduling() -> str:
    names = {os.SCHED_OTHER: 'SCHED_OTHER', os.SCHED_FIFO: 'SCHED_FIFO',
             os.SCHED_RR: 'SCHED_RR', os.SCHED_BATCH: 'SCHED_BATCH'}
    return names.get(os.sched_getscheduler(0), 'other')


def cpu_name() -> str:
    """Return the name of the processor."""
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor()
