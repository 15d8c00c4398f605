"""Bags to decisions: what a planner saw and was asked for, and what it commanded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import hashlib
from pathlib import Path

import torch

from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.config.interface import Interface
from wm_eval_ros.errors import BagError
from wm_eval_ros.planning.scaling import to_unit
from wm_eval_ros.records import CycleRecord, CycleStatus
from wm_eval_ros.training.dataset import read_recording, run_info_of
from wm_eval_ros.training.distinct import require_different_contents, require_different_places
from wm_eval_ros.wire.fields import feature_names, joined_names

#: planners whose commands follow no search: there is nothing of a model in them
NOT_SEARCHING = frozenset({'explore', 'hold', 'noop', 'policy_prior', 'random'})


@dataclass(frozen=True)
class Decisions:
    """The slots of one or more bags of one interface and period."""

    interface: Interface
    #: names of the features, (F,)
    feature_names: tuple[str, ...]
    #: control period [s]
    dt_s: float
    #: in physical units: features (F), then the goal (G); (N, F + G)
    inputs: torch.Tensor
    #: in [-1, 1], (N, A)
    actions: torch.Tensor
    #: unique over all bags, (N,)
    episodes: torch.Tensor
    #: names of the bags, and of the planners that decided
    sources: tuple[str, ...]
    planners: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Hash of all that is learnt from."""
        found = hashlib.sha256()
        for values in (self.inputs, self.actions, self.episodes):
            found.update(values.numpy().tobytes())
        return found.hexdigest()


def read_decisions(paths: Sequence[Path]) -> Decisions:
    """
    Read the slots in which a command was decided, and whose record holds all it was decided from.

    :raises BagError: no bag of a run, none such slot, bags of different interfaces, one of them
        twice, a planner that does not search or several planners, or a goal or observation that is
        an image: no record of a slot holds one
    """
    require_different_places(paths)
    parts: list[Decisions] = []
    for path in paths:
        part = _of_bag(path)
        if parts and (part.interface, part.dt_s) != (parts[0].interface, parts[0].dt_s):
            raise BagError(f'{path}: another interface or period than {paths[0]}; distil from '
                           'bags of one scenario')
        parts.append(part)
    if not parts:
        raise BagError('no bag given; `wm-eval run` records some')
    require_different_contents(paths, [part.sha256 for part in parts])
    _require_one_teacher(paths, [part.planners[0] for part in parts])
    first, offset, episodes = parts[0], 0, []
    for part in parts:
        episodes.append(part.episodes + offset)
        offset = int(episodes[-1].max()) + 1
    return Decisions(
        first.interface, first.feature_names, first.dt_s, torch.cat([p.inputs for p in parts]),
        torch.cat([p.actions for p in parts]), torch.cat(episodes),
        tuple(s for p in parts for s in p.sources),
        tuple(sorted({name for p in parts for name in p.planners})))


def _require_one_teacher(paths: Sequence[Path], planners: Sequence[str]) -> None:
    """Refuse what a policy has nothing to learn from, and a mean of several planners."""
    for path, name in zip(paths, planners, strict=True):
        if name in NOT_SEARCHING:
            raise BagError(f'{path}: was driven by {name}, which does not search, so its commands '
                           'are none to be learnt; distil from runs of a planner that does')
        if name != planners[0]:
            raise BagError(f'{path}: was driven by {name}, {paths[0]} by {planners[0]}; distil '
                           'from bags of one planner')


def _of_bag(path: Path) -> Decisions:
    with open_bag(path) as bag:
        recording, info = read_recording(bag), run_info_of(bag)
    interface = recording.interface
    if interface.images or interface.goal_image is not None:
        raise BagError(f'{path}: what was decided depends on images, which no record of a slot '
                       'holds; distil from runs of a scenario without')
    names = joined_names(interface.observations)
    goals = () if interface.goal is None else feature_names(interface.goal)
    kept = [c for c in recording.cycles if _is_whole(c, len(names), len(goals))]
    found = torch.tensor([[*c.observation, *c.goal] for c in kept], dtype=torch.float32)
    actions = torch.tensor([to_unit(c.action, interface.command).tolist() for c in kept],
                           dtype=torch.float32)
    episodes = torch.tensor([c.episode for c in kept], dtype=torch.int64)
    if kept:
        finite = torch.isfinite(found).all(1) & torch.isfinite(actions).all(1)
        found, actions, episodes = found[finite], actions[finite], episodes[finite]
    if not len(found):
        raise BagError(f'{path}: {len(recording.cycles)} slots, none with a command and all that '
                       'it was decided from; `wm-eval score` says what is missing')
    return Decisions(interface, names, recording.period_ns * 1e-9, found, actions, episodes,
                     (path.resolve().parent.name + '/' + path.name,), (info.planner,))


def _is_whole(cycle: CycleRecord, features: int, goals: int) -> bool:
    return (cycle.status in (CycleStatus.OK, CycleStatus.LATE) and bool(cycle.action)
            and len(cycle.observation) == features and len(cycle.goal) == goals)
