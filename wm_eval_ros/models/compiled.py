"""
Rollouts compiled by OpenVINO: the same mathematics as torch, fused, in fp32, bf16 or int8.

A function of tensors is traced once for the shapes it is called with. In int8 the wide products
take both sides as 8-bit numbers: weights by the largest of each output, what comes in by the range
that :func:`ranges_of` saw; sums stay 32 bits wide, and all else is fp32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import hashlib
import math
import re
from typing import Any
import warnings

import numpy as np
import torch

from wm_eval_ros.config.bounded import shown
from wm_eval_ros.config.scenario import PlannerSettings
from wm_eval_ros.errors import CheckpointError, ConfigError, MissingExtraError
from wm_eval_ros.models.protocol import (
    Differentiable,
    DifferentiableUncertainty,
    Latent,
    WorldModel,
)

#: smallest and largest value that comes into a product, by the product's name
Ranges = Mapping[str, tuple[float, float]]
Function = Callable[..., 'torch.Tensor | tuple[torch.Tensor, ...]']

#: key of the ranges in the provenance of a checkpoint
RANGES = 'int8_ranges'
#: OpenVINO's names of the precisions of ``planner.precision``; products in int8 are marked so
_HINTS = {'fp32': 'f32', 'bf16': 'bf16', 'int8': 'f32'}
#: narrower products stay fp32: they cost little, and their input is the state itself
_WIDE = 64
#: shapes compiled for one model; others go through torch
_SHAPES = 8
#: largest difference to torch at the first call, in units of the spread of the result
_TOLERANCE = {'fp32': 1e-3, 'bf16': 0.5, 'int8': 0.5}


class Compiled:
    """
    A function of tensors, for the shapes of one example.

    :param function: of tensors to one tensor or a tuple; no branch on values, no randomness
    :param precision: fp32, bf16 or int8
    :param ranges: of :func:`ranges_of`, for int8
    :raises MissingExtraError: OpenVINO is not installed
    :raises ConfigError: this processor has no bf16, or OpenVINO cannot compile the function
    :raises CheckpointError: no range is known of a product
    """

    def __init__(self, function: Function, examples: Sequence[torch.Tensor], *,
                 precision: str = 'fp32', threads: int = 1, ranges: Ranges | None = None) -> None:
        core = _openvino().Core()
        if precision == 'bf16' and 'BF16' not in core.get_property(
                'CPU', 'OPTIMIZATION_CAPABILITIES'):
            raise ConfigError('planner.precision: this processor has no bf16; use fp32 or int8')
        graph = _traced(function, examples)
        if precision == 'int8':
            _quantise(graph, ranges or {})
        try:
            self._request = core.compile_model(graph, 'CPU', {
                'INFERENCE_NUM_THREADS': threads, 'NUM_STREAMS': 1, 'PERFORMANCE_HINT': 'LATENCY',
                'ENABLE_CPU_PINNING': False, 'INFERENCE_PRECISION_HINT': _HINTS[precision],
            }).create_infer_request()
        except RuntimeError as error:
            raise _uncompiled(error) from None
        self._outputs = range(len(graph.outputs))
        self._tensor = _openvino().Tensor

    def __call__(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return what the function would, in tensors of the caller's own."""
        arrays = [value.contiguous().numpy() for value in inputs]
        for i, array in enumerate(arrays):
            self._request.set_input_tensor(i, self._tensor(array, shared_memory=True))
        self._request.infer()
        return tuple(torch.from_numpy(self._request.get_output_tensor(i).data.copy())
                     for i in self._outputs)


class CompiledRollouts:
    """
    Imagine by a model's ``rolled``, compiled for each of the first shapes that are asked for.

    The first call of a shape traces and compiles it, a second or so, and holds the result against
    torch. A planner's warm-up makes those calls.

    :param wary: return the model's uncertainty as well
    :raises ConfigError: the family cannot be compiled, as its first call may find
    :raises CheckpointError: int8, and the checkpoint holds no ranges
    """

    def __init__(self, model: WorldModel, precision: str, threads: int, *, wary: bool) -> None:
        able = isinstance(model, DifferentiableUncertainty if wary else Differentiable)
        if not able:
            raise ConfigError(f'planner.engine: model {model.spec.name!r} of the family '
                              f'{model.spec.family} cannot be compiled; use torch')
        self._ranges = ranges_in(model) if precision == 'int8' else None
        _openvino()
        self._function: Function = (
            model.rolled_with_uncertainty if wary else model.rolled)  # type: ignore[attr-defined]
        self._name, self._precision, self._threads = model.spec.name, precision, threads
        self._made: dict[tuple[int, ...], Compiled] = {}

    @torch.inference_mode()
    def __call__(self, z: Latent, actions: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(B, D), (B, H, A) -> rollouts (B, H, D), and with ``wary`` uncertainty (B, H)."""
        shape = tuple(actions.shape)
        if shape not in self._made:
            if len(self._made) == _SHAPES:
                return _tuple(self._function(z, actions))
            self._made[shape] = self._compiled(z, actions)
        return self._made[shape](z, actions)

    def _compiled(self, z: Latent, actions: torch.Tensor) -> Compiled:
        made = Compiled(self._function, (z, actions), precision=self._precision,
                        threads=self._threads, ranges=self._ranges)
        for want, have in zip(_tuple(self._function(z, actions)), made(z, actions), strict=True):
            good = torch.isfinite(want)
            unit = max(float(want[good].std(correction=0)) if bool(good.any()) else 0.0, 1e-3)
            off = float((want - have)[good].abs().max()) / unit if bool(good.any()) else 0.0
            if not off <= _TOLERANCE[self._precision]:
                raise CheckpointError(
                    f'planner.precision: model {self._name!r} compiled in {self._precision} '
                    f'imagines what is {off:.2g} standard deviations off; use another precision, '
                    'or planner.engine: torch')
        return made


def compiled_rollouts(settings: PlannerSettings, model: WorldModel) -> CompiledRollouts | None:
    """
    Return what ``planner.engine`` asks for; None: torch.

    :raises ConfigError: torch in another precision than fp32, or a family without ``rolled``
    :raises CheckpointError: int8, and the checkpoint holds no ranges
    :raises MissingExtraError: OpenVINO is not installed
    """
    if settings.engine == 'torch':
        if settings.precision != 'fp32':
            raise ConfigError(f'planner.precision: {settings.precision}; torch plans in fp32 '
                              'only, set planner.engine to openvino')
        return None
    return CompiledRollouts(model, settings.precision, settings.torch_threads,
                            wary=settings.uncertainty_weight > 0)


def ranges_in(model: WorldModel) -> Ranges:
    """
    Return the ranges in a model's checkpoint.

    :raises CheckpointError: there are none, or they are none
    """
    said = model.spec.provenance.get(RANGES)
    if said is None:
        raise CheckpointError(f'planner.precision: model {model.spec.name!r} knows no ranges for '
                              'int8; `wm-eval export-model BAG` adds them')
    good = isinstance(said, dict) and all(
        isinstance(r, list) and len(r) == 2 and all(type(v) is float for v in r)
        and math.isfinite(r[0]) and math.isfinite(r[1]) and r[0] < r[1] for r in said.values())
    if not good:
        raise CheckpointError(f'model {model.spec.name!r}: {RANGES} of its spec are no ranges; '
                              'export it anew')
    return {name: (r[0], r[1]) for name, r in said.items()}


def ranges_of(function: Function, inputs: Sequence[torch.Tensor]) -> Ranges:
    """
    Return the range of what comes into each wide product while a function runs.

    A product that is used in every step of a rollout has one range over all of them.

    :raises ConfigError: OpenVINO cannot compile the function
    """
    openvino = _openvino()
    from openvino import opset13
    graph = _traced(function, inputs)
    products = _products(graph)
    seen = openvino.Model([opset13.result(p.input_value(0)) for p in products],
                          graph.get_parameters())
    compiled = openvino.Core().compile_model(seen, 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})
    values = compiled([value.contiguous().numpy() for value in inputs])
    found: dict[str, tuple[float, float]] = {}
    for i, product in enumerate(products):
        name = _name_of(product)
        low, high = found.get(name, (0.0, 1e-6))
        found[name] = min(low, float(values[i].min())), max(high, float(values[i].max()))
    return found


def _quantise(graph: Any, ranges: Ranges) -> None:
    from openvino import opset13
    for product in _products(graph):
        name = _name_of(product)
        if name not in ranges:
            raise CheckpointError(f'planner.precision: no int8 range of the product {name} is '
                                  'known; `wm-eval export-model BAG` makes them anew')
        low, high = (opset13.constant(np.array([v], np.float32)) for v in ranges[name])
        coming = opset13.fake_quantize(product.input_value(0), low, high, low, high, 256)
        weight = _weight_of(product)
        inner = -1 if product.get_attributes()['transpose_b'] else -2
        most = np.abs(weight).max(axis=inner, keepdims=True).clip(1e-12)
        ends = [opset13.constant(v) for v in (-most, most, -most, most)]
        fixed = opset13.fake_quantize(opset13.constant(weight.copy()), *ends, 255)
        product.input(0).replace_source_output(coming.output(0))
        product.input(1).replace_source_output(fixed.output(0))
    graph.validate_nodes_and_infer_types()


def _products(graph: Any) -> list[Any]:
    """Return the products with fixed weights that are wide enough to gain by int8."""
    found = []
    for node in graph.get_ordered_ops():
        if node.get_type_name() != 'MatMul':
            continue
        weight = node.input_value(1)
        inner = weight.get_shape()[-1 if node.get_attributes()['transpose_b'] else -2]
        if weight.get_node().get_type_name() == 'Constant' and inner >= _WIDE:
            found.append(node)
    return found


def _weight_of(product: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.asarray(product.input_value(1).get_node().get_data(), np.float32)


def _name_of(product: Any) -> str:
    """Name a product by its weights: the same in every step, whatever the horizon."""
    return hashlib.sha256(_weight_of(product).tobytes()).hexdigest()[:16]


class _Module(torch.nn.Module):
    """What the tracer asks for."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self._function = function

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Call the function."""
        return self._function(*inputs)


def _traced(function: Function, examples: Sequence[torch.Tensor]) -> Any:
    """
    Return the graph of a function for the shapes of the examples.

    :raises ConfigError: it does what cannot be traced, or OpenVINO does not know
    """
    _openvino()
    try:
        return _converted(function, examples)
    except Exception as error:  # noqa: BLE001 its errors are no family, and the tracer's are any
        raise _uncompiled(error) from None


def _converted(function: Function, examples: Sequence[torch.Tensor]) -> Any:
    """By the front end itself: ``openvino.convert_model`` tells its makers that it was called."""
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    # ordinary tensors of the same shapes: those of inference mode cannot be traced
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        plain = tuple(value.detach().contiguous().clone() for value in examples)
        decoder = TorchScriptPythonDecoder(_Module(function), example_input=plain)
    reader = FrontEndManager().load_by_framework('pytorch')
    graph = reader.convert(reader.load(decoder))
    graph.reshape({graph.input(i): list(value.shape) for i, value in enumerate(plain)})
    return graph


def _uncompiled(error: Exception) -> ConfigError:
    """Name the operations that are not known, or say on one line what went wrong."""
    unknown = sorted(set(re.findall(r'\b(?:aten|prim)::\w+', str(error))))
    # the tracer puts what was raised between its own words
    said = str(error).rpartition('Exception:\n')[2].splitlines() or [type(error).__name__]
    return ConfigError('planner.engine: OpenVINO cannot compile the rollouts of this model '
                       f'({", ".join(unknown)[:200] or shown(said[0])}); use torch')


def _tuple(found: torch.Tensor | tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return found if isinstance(found, tuple) else (found,)


def _openvino() -> Any:
    try:
        import openvino
    except ModuleNotFoundError:
        raise MissingExtraError("planner.engine: openvino needs 'openvino', which is not "
                                "installed: pip install 'wm_eval_ros[fast]'") from None
    return openvino
