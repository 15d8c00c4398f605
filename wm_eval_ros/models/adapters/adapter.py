"""What the adapters share: how an upstream model takes what this package has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
import hashlib
import math
from typing import Any, ClassVar

import torch
from torch import nn

from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.errors import ConfigError
from wm_eval_ros.models.in_force import command_at_rest, command_in_force
from wm_eval_ros.models.protocol import Latent, WorldModelSpec
from wm_eval_ros.wire.fields import joined_names

#: what an adapter hands on of a latent, (N, ...), to features in physical units, (N, F)
Readout = Callable[[Any], torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """
    What the upstream model was trained to be given; ports break where this is left implicit.

    :raises ConfigError: a block below 1, or a mean without its scale
    """

    #: torch device that it runs on, such as ``cpu`` or ``cuda:0``
    device: str
    #: steps of its environment in one of its actions, side by side in the vector; the command
    #: of a slot is held over them, and a slot lasts as long as all of them
    action_block: int = 1
    #: what it subtracts from commands in their own units, and divides them by, (A,) each; empty:
    #: it takes commands in [-1, 1]
    action_mean: tuple[float, ...] = ()
    action_scale: tuple[float, ...] = ()
    #: likewise for the numbers of an observation; empty: it takes physical units
    obs_mean: tuple[float, ...] = ()
    obs_scale: tuple[float, ...] = ()
    #: likewise for red, green and blue in [0, 1]
    pixel_mean: tuple[float, ...] = ()
    pixel_scale: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.action_block < 1:
            raise ConfigError(f'layout: action_block is {self.action_block}; at least 1')
        for name in ('action', 'obs', 'pixel'):
            mean, scale = getattr(self, f'{name}_mean'), getattr(self, f'{name}_scale')
            if len(mean) != len(scale) or not all(s > 0 for s in scale):
                raise ConfigError(f'layout: {name}_mean has {len(mean)} values, {name}_scale '
                                  f'{len(scale)}; give as many of each, scales above 0')


class Adapter:
    """
    An upstream model that is given as an object; nothing of its package is imported here.

    Latents are float32 on the CPU, whatever the device. An adapter decodes only where it was
    given a read-out, or the upstream model has one for all features.

    :param upstream: with its weights; a module is moved to the device and set to evaluation
    :param readout: what the features are, of the newest frame's latent; such as a linear map
        fitted to recorded pairs
    :raises ConfigError: the layout does not fit the scenario's interface
    """

    #: name of the family in the spec
    family: ClassVar[str]
    #: there where the model decodes, see :class:`wm_eval_ros.models.protocol.Decodes`
    decode: Callable[[Latent], torch.Tensor]

    def __init__(
        self, scenario: Scenario, upstream: Any, layout: Layout, *, name: str,
        readout: Readout | None = None,
    ) -> None:
        interface = scenario.interface
        self.spec = WorldModelSpec(
            name=name, version='1', sha256=_fingerprint(upstream), family=self.family,
            interface=interface,
            feature_names=joined_names((*interface.observations, *interface.unseen)),
            dt_s=scenario.planner.period_ms * 1e-3, architecture=asdict(layout), provenance={})
        self.layout, self.upstream = layout, upstream
        if isinstance(upstream, nn.Module):
            _move(upstream, layout.device)
            upstream.eval()
            upstream.requires_grad_(False)
        self._count = len(joined_names(interface.observations))
        self._rest = command_at_rest(interface.command)
        self._low, self._high = torch.tensor(interface.command.low), torch.tensor(
            interface.command.high)
        _require(len(layout.action_mean), self.spec.action_dim, 'action_mean', 'command fields')
        _require(len(layout.obs_mean), self._count, 'obs_mean', 'numbers in its observations')
        _require(len(layout.pixel_mean), 3, 'pixel_mean', 'colours')
        if readout is not None:
            self._readout = readout
            self.decode = self._decode

    def _commands(self, actions: torch.Tensor) -> torch.Tensor:
        """Return what upstream takes for commands in [-1, 1], (..., A) to (..., A * block)."""
        given = actions.to(torch.float32)
        if self.layout.action_mean:
            given = self._low + (given + 1.0) / 2.0 * (self._high - self._low)
            given = _standard(given, self.layout.action_mean, self.layout.action_scale)
        return self._there(torch.cat([given] * self.layout.action_block, -1))

    def _from_upstream(self, given: torch.Tensor) -> torch.Tensor:
        """
        Return the commands in [-1, 1] that upstream's own stand for, (..., A * block) to (..., A).

        The other way round than :meth:`_commands`. A command is held over a block, so the first
        step's is what counts; what lies outside the command's limits is cut off.
        """
        found = here(given)[..., :self.spec.action_dim]
        if self.layout.action_mean:
            found = (found * torch.tensor(self.layout.action_scale)
                     + torch.tensor(self.layout.action_mean))
            found = (found - self._low) / (self._high - self._low) * 2.0 - 1.0
        return found.clamp(-1.0, 1.0)

    def _numbers(self, obs: torch.Tensor) -> torch.Tensor:
        """Return the numbers of observations, (B, F) to (B, N)."""
        given = obs[:, :self._count].to(torch.float32)
        if self.layout.obs_mean:
            given = _standard(given, self.layout.obs_mean, self.layout.obs_scale)
        return self._there(given)

    def _image(self, obs: torch.Tensor) -> torch.Tensor:
        """Return the image of observations, (B, F) to (B, H, W, 3)."""
        first = self.spec.interface.images[0]
        given = obs[:, self._count:].reshape(-1, first.height, first.width, 3).to(torch.float32)
        if self.layout.pixel_mean:
            given = _standard(given, self.layout.pixel_mean, self.layout.pixel_scale)
        return self._there(given)

    def _require_image(self) -> None:
        """Refuse an interface without exactly one image."""
        if len(self.spec.interface.images) != 1:
            raise ConfigError(f'interface.images: {len(self.spec.interface.images)} images; a '
                              f'{self.family} sees exactly one')

    def _executed(self, prev_action: torch.Tensor | None, count: int) -> torch.Tensor:
        """Return the command that led to a step, (B, A): rest where none is known."""
        return command_in_force(prev_action, None, self._rest, count)

    def _there(self, values: torch.Tensor) -> torch.Tensor:
        return values.to(self.layout.device)

    def _newest(self, z: Latent) -> Any:
        """Return what the read-out is given of latents, (N, D): by default all of it."""
        return self._there(z)

    @torch.inference_mode()
    def _decode(self, z: Latent) -> torch.Tensor:
        """(..., D) -> (..., F) in physical units."""
        found = here(self._readout(self._newest(z.reshape(-1, z.shape[-1]))))
        return found.reshape(*z.shape[:-1], -1)


def here(values: torch.Tensor) -> torch.Tensor:
    """Return them as float32 on the CPU."""
    return values.detach().to('cpu', torch.float32)


def unflattened(
    flat: torch.Tensor, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, torch.Tensor]:
    """Return the parts that lie one after the other in each row, (N, D) to (N, *shape) each."""
    pieces = torch.split_with_sizes(flat, [math.prod(shape) for shape in shapes.values()], -1)
    return {name: piece.reshape(len(flat), *shape)
            for (name, shape), piece in zip(shapes.items(), pieces, strict=True)}


def fresh_rows(
    prev: Latent | None, is_first: torch.Tensor | None, count: int
) -> torch.Tensor:
    """Return the rows where nothing comes before, (B,)."""
    if prev is None:
        return torch.ones(count, dtype=torch.bool)
    return torch.zeros(count, dtype=torch.bool) if is_first is None else is_first.to(torch.bool)


def _standard(values: torch.Tensor, mean: Sequence[float], scale: Sequence[float]) -> torch.Tensor:
    return (values - torch.tensor(mean)) / torch.tensor(scale)


def _require(have: int, want: int, name: str, what: str) -> None:
    if have and have != want:
        raise ConfigError(f'layout: {name} has {have} values; the scenario has {want} {what}')


def _move(module: nn.Module, device: str) -> None:
    """Move a module, unless it is there: a module with parts on `meta` cannot be moved."""
    where = torch.device(device)
    held = (v for v in (*module.parameters(), *module.buffers()) if not v.is_meta)
    if any((v.device.type, v.device.index or 0) != (where.type, where.index or 0) for v in held):
        module.to(where)


def _fingerprint(upstream: Any) -> str:
    """Return the hash of its weights; that of nothing where it has none."""
    found = hashlib.sha256()
    for name, value in sorted(getattr(upstream, 'state_dict', dict)().items()):
        # what is on `meta` has no values: TD-MPC2 keeps shells of its ensemble there
        if isinstance(value, torch.Tensor) and not value.is_meta:
            plain = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            found.update(f'{name} {value.dtype} {tuple(value.shape)}\n'.encode())
            found.update(plain.numpy().tobytes())
    return found.hexdigest()
