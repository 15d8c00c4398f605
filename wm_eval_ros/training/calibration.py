"""Bags of nominal runs to a calibration of the surprise detectors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
import time

import numpy as np

from wm_eval_ros.bag.reader import open_bag
from wm_eval_ros.errors import BagError, CheckpointError, ConfigError
from wm_eval_ros.records import Record
from wm_eval_ros.surprise.calibration import Calibration
from wm_eval_ros.surprise.fit import calibrate, Wish
from wm_eval_ros.surprise.material import gather, Material, Recording

#: nominal latents from which random commands are tried
_TRIED = 256


def calibrate_bags(bags: Sequence[Path], wish: Wish) -> Calibration:
    """
    Calibrate from bags of nominal runs.

    :raises BagError: one cannot be read
    :raises CalibrationError: perturbed, of several models or tasks, or too few episodes
    """
    material = gather([(str(path), _recording(path)) for path in bags])
    return calibrate(material, wish, created_ns=time.time_ns(),
                     action_sensitivity=sensitivity(bags[0], material))


def sensitivity(bag: Path, material: Material) -> float | None:
    """
    Ask the model of the runs how much its prediction depends on the command.

    :param bag: a bag of it, whose manifest names the checkpoint
    :returns: None where no checkpoint here is that model, nothing can load one, or no episode of
        the runs may be used
    """
    if not material.episodes:
        return None
    try:
        import torch

        from wm_eval_ros.models.conformance import action_sensitivity
        from wm_eval_ros.training.fidelity import find_model
        from wm_eval_ros.training.fidelity_data import read_evidence
        model = find_model(read_evidence(bag)).model
    except (ModuleNotFoundError, BagError, CheckpointError, ConfigError):
        return None
    latents = np.concatenate([e.latents for e in material.episodes])
    picked = latents[np.linspace(0, len(latents) - 1, _TRIED).astype(np.int64)]
    return action_sensitivity(model, torch.from_numpy(picked), torch.Generator().manual_seed(0))


def _recording(path: Path) -> Recording:
    def records() -> Iterable[Record]:
        with open_bag(path) as bag:
            yield from bag.records()

    return records
