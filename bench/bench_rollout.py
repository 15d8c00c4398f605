"""
The time of imagined rollouts over that of their bare matrix products, by engine and precision.

A network of the family `mlp` and an ensemble of five; the floor is the products of the same
shapes in fp32 by torch, with nothing between them. All take turns, so that all see the same
machine. Ranks are of candidate costs beside torch in fp32, from states the ranges never saw.
"""

import argparse
from dataclasses import replace
import itertools
import json
import sys

from _machine import machine, machine_line
from _turns import as_text, in_turn
from bench_cem import model_of
import numpy as np
from scipy.stats import spearmanr
import torch

from wm_eval_ros.models.compiled import CompiledRollouts, RANGES, ranges_of
from wm_eval_ros.models.mlp import MlpArchitecture, MlpModel, MlpNetwork

#: family, latent D, hidden width, activation, samples K, horizon H
SETUPS = (('mlp', 32, 512, 'relu', 512, 10), ('mlp', 32, 512, 'silu', 512, 10),
          ('mlp', 32, 256, 'silu', 512, 10), ('mlp', 32, 128, 'silu', 64, 10),
          ('ensemble', 32, 128, 'silu', 64, 10), ('ensemble', 32, 128, 'relu', 64, 10),
          ('ensemble', 32, 128, 'silu', 512, 10))
ENGINES = ('fp32', 'bf16', 'int8')
ACTIONS = 2


def made(family: str, latent: int, hidden: int, activation: str):
    """Return a model with random weights whose features move by a tenth a step."""
    ensemble = model_of(latent, hidden, activation)
    if family == 'ensemble':
        ensemble.net.tensors['delta_scale'].fill_(0.1)
        return type(ensemble)(ensemble.spec, ensemble.tensors)
    arch = MlpArchitecture(latent - ACTIONS, ACTIONS, hidden=hidden, activation=activation)
    torch.manual_seed(0)
    net = MlpNetwork(arch)
    net.delta_scale.fill_(0.1)
    spec = replace(ensemble.spec, family='mlp', architecture=vars(arch).copy())
    return MlpModel(spec, net.state_dict())


def floor_of(family: str, latent: int, hidden: int, samples: int, horizon: int):
    """Return a function that does the products of one rollout, and nothing else."""
    sizes = [latent + ACTIONS, hidden, hidden, latent - ACTIONS]
    lead = (5,) if family == 'ensemble' else ()
    pairs = [(torch.randn(*lead, samples, a), torch.randn(*lead, a, b),
              torch.empty(*lead, samples, b)) for a, b in itertools.pairwise(sizes)]

    @torch.inference_mode()
    def products() -> None:
        for _ in range(horizon):
            for x, w, out in pairs:
                torch.matmul(x, w, out=out)
    return products


def drawn(latent: int, samples: int, horizon: int, rng: torch.Generator):
    """Return a state and commands."""
    z = torch.randn(1, latent, generator=rng).clamp(-2, 2)
    return z.expand(samples, -1), torch.rand(samples, horizon, ACTIONS, generator=rng) * 2 - 1


def measure(setup: tuple, rounds: int, pause_s: float) -> dict:
    """Time every engine and the floor in turn."""
    family, latent, hidden, activation, samples, horizon = setup
    model, rng = made(family, latent, hidden, activation), torch.Generator().manual_seed(0)
    seen = [drawn(latent, 32, horizon, rng) for _ in range(32)]
    found = ranges_of(model.rolled, [torch.cat(x) for x in zip(*seen, strict=True)])
    model.spec.provenance[RANGES] = {k: list(v) for k, v in found.items()}
    z, actions = drawn(latent, samples, horizon, rng)
    calls = {'floor': floor_of(family, latent, hidden, samples, horizon),
             'torch fp32': lambda: model.predict(z, actions)}
    compiled = {}
    for precision in ENGINES:
        compiled[precision] = CompiledRollouts(model, precision, 1, wary=False)
        calls[f'openvino {precision}'] = lambda c=compiled[precision]: c(z, actions)
    rows = in_turn(calls, 'floor', rounds=rounds, warm_up=10, pause_s=pause_s)
    ranks = ranked(model, compiled, latent, samples, horizon, rng)
    rows = {name: {**row, 'rank': ranks.get(name)} for name, row in rows.items()}
    return {'family': family, 'latent': latent, 'hidden': hidden, 'activation': activation,
            'samples': samples, 'horizon': horizon, 'n': rounds, 'engines': rows}


def ranked(model, compiled: dict, latent: int, samples: int, horizon: int,
           rng: torch.Generator) -> dict:
    """Return the least rank correlation of costs with torch over ten states."""
    least = {f'openvino {p}': 1.0 for p in compiled}
    target = torch.randn(latent - ACTIONS, generator=rng)
    for _ in range(10):
        z, actions = drawn(latent, samples, horizon, rng)

        def cost(rollout: torch.Tensor) -> np.ndarray:
            features = model.decode(rollout)[..., :3]
            return (features - target[:3]).square().sum(-1).sqrt().mean(1).numpy()
        want = cost(model.predict(z, actions))
        for p, roll in compiled.items():
            rank = float(spearmanr(cost(roll(z, actions)[0]), want).statistic)
            least[f'openvino {p}'] = min(least[f'openvino {p}'], rank)
    return least


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rounds', type=int, default=300)
    parser.add_argument('--pause-ms', type=float, default=0.0, help='rest before every call')
    parser.add_argument('--json', action='store_true')
    args = parser.parse_args()
    torch.set_num_threads(1)
    facts = machine()
    found = [measure(setup, args.rounds, args.pause_ms / 1e3) for setup in SETUPS]
    if args.json:
        print(json.dumps({'machine': facts, 'setups': found}, indent=1))
        return 0
    print(machine_line(facts, machine()['load_average'][0]))
    for one in found:
        print(f'\n{one["family"]} {one["hidden"]} {one["activation"]}, latent {one["latent"]}, '
              f'{one["samples"]} samples x H{one["horizon"]}, one thread, n = {one["n"]} each')
        print('engine            p50   p99/p50   over floor: p50 [p10, p90]   CPU time   '
              'least rank')
        for name, r in one['engines'].items():
            rank = '' if r['rank'] is None else f'{r["rank"]:.4f}'
            print(f'{name:14s} {as_text(r, 12)}   {rank}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
