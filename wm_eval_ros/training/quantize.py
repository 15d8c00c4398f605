"""
Weights with fewer bits: the grid of cells, rounding, size, and a checkpoint of one cell.

Weights are rounded to nearest on a grid symmetric about 0 and stored as what they are rounded to:
what is computed is fp32, and so are activations, biases, norms and scales of features. It shows
what the bits of the weights cost, not what an engine would gain by them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from wm_eval_ros.errors import ConfigError
from wm_eval_ros.models.compiled import RANGES
from wm_eval_ros.models.modules import as_matrices, from_matrices, MODULES, modules_of
from wm_eval_ros.models.protocol import TrainedModel, WorldModelSpec
from wm_eval_ros.training.quantize_record import ALL, Cell, REFERENCE

#: weights that share a scale: of a whole matrix, of one output, of some inputs of one output
GRANULARITIES = ('tensor', 'channel', 'group')
#: bits of a weight, in the order of a table
BITS = ('bf16', 'int8', 'int7', 'int6', 'int5', 'int4', 'int3', 'int2')
#: those of a grid where none are named
DEFAULT_BITS = ('bf16', 'int8', 'int6', 'int4', 'int3')
#: inputs that share a scale under ``group``
GROUP = 32
#: key of what was rounded how in the provenance of a checkpoint
QUANTIZED = 'quantized'
_FP32_BITS = 32
_BF16_BITS = 16
#: significant bits of a scale: with the 7 of a rounded weight a product is exact in fp32, so that
#: rounding what was rounded changes nothing
_SCALE_BITS = 16
#: smallest scale: products with it are normal numbers
_LEAST_SCALE = 2.0**-126


def width(bits: str) -> int:
    """
    Return the number of bits of a weight.

    >>> [width(b) for b in ('fp32', 'bf16', 'int3')]
    [32, 16, 3]
    """
    return int(bits.removeprefix('fp').removeprefix('bf').removeprefix('int'))


def steps(weight: torch.Tensor, bits: int, granularity: str, group: int = GROUP) -> torch.Tensor:
    """
    Return the scale of each weight: the step of the grid that it is rounded to.

    The largest magnitude of those that share a scale lies on the last of ``2^(bits - 1) - 1``
    steps, rounded up to 16 significant bits.

    :param weight: matrices, (M, O, I)
    :param bits: 2 to 8
    :param granularity: tensor, channel or group
    :param group: inputs of an output that share a scale under ``group``; the last may be fewer
    :returns: float64, (M, 1, 1), (M, O, 1) or (M, O, ceil(I / group))
    """
    size = weight.abs().double()
    if granularity == 'tensor':
        most = size.amax((1, 2), keepdim=True)
    elif granularity == 'channel':
        most = size.amax(2, keepdim=True)
    else:
        most = _grouped(size, group).amax(-1)
    mantissa, exponent = torch.frexp(most / (2 ** (bits - 1) - 1))
    unit = 2.0**_SCALE_BITS
    return torch.ldexp(torch.ceil(mantissa * unit) / unit, exponent).clamp(min=_LEAST_SCALE)


def rounded(
    weight: torch.Tensor, bits: int, granularity: str, group: int = GROUP
) -> torch.Tensor:
    """
    Round weights to nearest, ties to even, on a grid symmetric about 0.

    :param weight: matrices, float32, (M, O, I)
    :returns: float32, (M, O, I); off by at most half a step, and exactly whole steps
    """
    scale = steps(weight, bits, granularity, group)
    if granularity == 'group':
        scale = scale.repeat_interleave(min(group, weight.shape[2]), 2)[..., :weight.shape[2]]
    most = torch.finfo(torch.float32).max
    return ((weight.double() / scale).round() * scale).clamp(-most, most).float()


def _grouped(matrices: torch.Tensor, group: int) -> torch.Tensor:
    """(M, O, I) -> (M, O, ceil(I / group), group), zeros after the end."""
    inputs = matrices.shape[2]
    group = min(group, inputs)
    padded = torch.nn.functional.pad(matrices, (0, -inputs % group))
    return padded.reshape(*padded.shape[:2], -1, group)


def cells(
    model: TrainedModel, bits: Sequence[str], modules: Sequence[str],
    granularities: Sequence[str],
) -> tuple[Cell, ...]:
    """
    Return the grid, the reference first.

    :param modules: encoder, dynamics, read_out or all; none: what the model has, and all
    :raises ConfigError: the family has no such module, or nothing is left to try
    """
    have = tuple(m for m in MODULES if m in modules_of(model).values())
    for module in modules:
        if module != ALL and module not in have:
            raise ConfigError(f'--modules: {module!r}; a model of the family {model.spec.family} '
                              f'has {", ".join((*have, ALL))}')
    found = [Cell(REFERENCE)]
    for of in (b for b in BITS if b in bits):
        for module in (m for m in (*have, ALL) if m in (modules or (*have, ALL))):
            found += ([Cell(of, module)] if of == 'bf16' else
                      [Cell(of, module, g) for g in GRANULARITIES if g in granularities])
    if len(found) == 1:
        raise ConfigError('--bits, --granularity: no cell beside fp32; name bits such as int4, '
                          'and tensor, channel or group')
    return tuple(found)


def quantized(model: TrainedModel, cell: Cell, group: int = GROUP) -> TrainedModel:
    """Return the model with the weights of a cell; its spec says how they were made."""
    if cell.bits == REFERENCE:
        return model
    chosen, tensors = _chosen(model, cell), dict(model.tensors)
    for name in chosen:
        weight = tensors[name]
        if cell.bits == 'bf16':
            most = torch.finfo(torch.bfloat16).max
            tensors[name] = weight.clamp(-most, most).bfloat16().float()
        else:
            made = rounded(as_matrices(model, weight), width(cell.bits), cell.granularity, group)
            tensors[name] = from_matrices(model, made, weight.shape)
    return type(model)(_spec(model.spec, cell, group), tensors)  # type: ignore[call-arg]


def size(model: TrainedModel, cell: Cell, group: int = GROUP) -> tuple[int, int]:
    """
    Return the bytes of all numbers that a model stores, and the number of scales among them.

    Each tensor fills whole bytes. Scales and what is no weight of the cell have 32 bits.
    """
    chosen = set() if cell.bits == REFERENCE else set(_chosen(model, cell))
    total, scales = 0, 0
    for name, tensor in model.tensors.items():
        if name not in chosen:
            total += tensor.numel() * _FP32_BITS // 8
            continue
        total += -(-tensor.numel() * width(cell.bits) // 8)
        if cell.granularity:
            scales += _scales(as_matrices(model, tensor), cell.granularity, group)
    return total + scales * _FP32_BITS // 8, scales


def _scales(matrices: torch.Tensor, granularity: str, group: int) -> int:
    count, outputs, inputs = matrices.shape
    each = {'tensor': 1, 'channel': outputs, 'group': outputs * -(-inputs // group)}
    return count * each[granularity]


def _chosen(model: TrainedModel, cell: Cell) -> list[str]:
    return [name for name, module in modules_of(model).items() if cell.module in (ALL, module)]


def _spec(spec: WorldModelSpec, cell: Cell, group: int) -> WorldModelSpec:
    """Return the spec of a model made so; int8 ranges were those of other weights."""
    made = {k: v for k, v in spec.provenance.items() if k != RANGES}
    made[QUANTIZED] = {
        'bits': width(cell.bits), 'format': cell.bits, 'module': cell.module,
        'granularity': cell.granularity, 'group': group if cell.granularity == 'group' else 0,
        'rounding': 'symmetric, to nearest' if cell.granularity else 'to nearest',
        'source_name': spec.name, 'source_sha256': spec.sha256,
        **({'source_quantized': made[QUANTIZED]} if QUANTIZED in made else {})}
    return replace(spec, name=f'{spec.name}_{cell.name.replace("/", "_")}', provenance=made)
