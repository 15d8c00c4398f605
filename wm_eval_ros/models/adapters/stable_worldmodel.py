"""LeWM and PLDM of stable-worldmodel, and its folders of ``weights.pt`` and ``config.json``."""

from __future__ import annotations

from collections.abc import Callable
import io
from pathlib import Path
from typing import Any
import zipfile

import torch
from torch import nn

from wm_eval_ros.config.bounded import read_bounded
from wm_eval_ros.config.json_text import load_json
from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.errors import CheckpointError
from wm_eval_ros.models.adapters.adapter import Layout, Readout
from wm_eval_ros.models.adapters.window import WindowAdapter
from wm_eval_ros.models.protocol import Latent

WEIGHTS = 'weights.pt'
CONFIG = 'config.json'
#: larger weights are refused unread [bytes]
MAX_WEIGHT_BYTES = 2 << 30


class StableWorldModel(WindowAdapter):
    """
    ``LeWM`` or ``PLDM`` of galilai-group/stable-worldmodel, to the signatures of addbab40377d.

    Used are ``encode(info)``, ``action_encoder(action)`` and ``predict(emb, act_emb)``. It sees an
    image alone. The read-out is given the newest embedding, (N, E).

    :param history: frames that its predictor takes at most; 0: ``predictor.num_frames``
    :raises ConfigError: the interface has not exactly one image
    """

    family = 'stable_worldmodel'

    def __init__(
        self, scenario: Scenario, upstream: Any, layout: Layout, *, name: str,
        readout: Readout | None = None, history: int = 0,
    ) -> None:
        super().__init__(scenario, upstream, layout, name=name, readout=readout)
        self._require_image()
        self.window = history or int(upstream.predictor.num_frames)
        with torch.inference_mode():
            seen = self._see(torch.zeros(1, self._count + scenario.interface.pixels))
        self.frame = seen.shape[1]

    def _see(self, obs: torch.Tensor) -> torch.Tensor:
        pixels = self._image(obs).permute(0, 3, 1, 2)[:, None]
        found: torch.Tensor = self.upstream.encode({'pixels': pixels})['emb']
        return found[:, 0]

    def _foresee(self, frames: torch.Tensor, commands: torch.Tensor) -> torch.Tensor:
        after: torch.Tensor = self.upstream.predict(frames, self.upstream.action_encoder(commands))
        return after[:, -1]

    def _newest(self, z: Latent) -> torch.Tensor:
        return self._there(self._unpacked(z)[0][:, -1])


def load_folder(
    folder: Path, build: Callable[[dict[str, Any]], nn.Module], device: str
) -> nn.Module:
    """
    Load the folder that stable-worldmodel's ``save_pretrained`` wrote.

    A ``.pt`` file is a pickle. It is read with torch's loader of weights alone, which makes
    tensors and plain containers and refuses everything else: a file that holds a whole model, or
    anything that would run, is refused. ``config.json`` names classes to be called, so nothing is
    called here: what it is handed to is given, such as ``hydra.utils.instantiate`` for a folder
    that you trust.

    :param build: makes the module of the configuration
    :raises CheckpointError: unreadable, too large as it is or unpacked, more than weights, of
        another architecture, or with values that are not finite; or a torch whose loader of
        weights alone could be made to run code (before 2.6, CVE-2025-32434)
    """
    config = load_json(folder / CONFIG, CheckpointError)
    if not isinstance(config, dict):
        raise CheckpointError(f'{folder / CONFIG}: no mapping; give the folder that '
                              'save_pretrained wrote')
    path = folder / WEIGHTS
    data = read_bounded(path, MAX_WEIGHT_BYTES, CheckpointError)
    _require_safe_loader(str(torch.__version__))
    _require_stored(data, path)
    try:
        weights = torch.load(io.BytesIO(data), map_location=device, weights_only=True)
    except Exception as error:  # noqa: BLE001 whatever the file makes the loader raise
        why = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise CheckpointError(f'{path}: not loaded: it holds more than weights, or is damaged '
                              f'({why}); save its state_dict alone') from None
    if not isinstance(weights, dict) or not all(
            isinstance(n, str) and isinstance(v, torch.Tensor) for n, v in weights.items()):
        raise CheckpointError(f'{path}: no mapping of names to tensors; save its state_dict alone')
    module = build(config).to(device)
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        why = ' '.join(str(error).split())[:200]
        raise CheckpointError(f'{path}: of another architecture than {CONFIG} ({why})') from None
    # looked at once they have the sizes of the module: a tensor may repeat one number at will
    _require_finite(module, path)
    return module


def _require_stored(data: bytes, path: Path) -> None:
    """Refuse what would take more memory unpacked than the file has: it is read as it stands."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as found:
            size = sum(entry.file_size for entry in found.infolist())
            packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in found.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        raise CheckpointError(f'{path}: not loaded: no file of torch.save since 1.6, or is '
                              'damaged; save its state_dict anew') from None
    if packed or size > len(data):
        raise CheckpointError(f'{path}: not loaded: {len(data)} bytes that are packed, of {size}; '
                              'torch.save packs nothing: save its state_dict anew')


def _require_finite(module: nn.Module, path: Path) -> None:
    for name, value in module.named_parameters():
        if not bool(torch.isfinite(value).all()):
            raise CheckpointError(f'{path}: tensor {name} has values that are not finite; the '
                                  'training diverged or the file is damaged')
    for name, held in module.named_buffers():
        # the mask of an attention may hold infinities
        if bool(torch.isnan(held).any()):
            raise CheckpointError(f'{path}: tensor {name} has values that are no numbers; the '
                                  'training diverged or the file is damaged')


def _require_safe_loader(version: str) -> None:
    """
    Refuse a torch whose loader of weights alone runs code.

    :param version: of torch, such as 2.6.0+cpu
    """
    major, minor = (int(part) for part in version.split('.')[:2])
    if (major, minor) < (2, 6):
        raise CheckpointError(f'torch {version}: opening a .pt file is safe from 2.6 on; update '
                              'torch, or convert the weights elsewhere')
