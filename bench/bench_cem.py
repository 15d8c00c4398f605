"""Plan latency of CEM with a 5-member ensemble, and its ratio to the bare matrix products."""

import argparse
import itertools
import json
import sys
import time

import numpy as np
import torch

from wm_eval_ros.config.interface import CommandStream, Interface, Stream
from wm_eval_ros.config.scenario import ObjectiveTerm, PlannerSettings
from wm_eval_ros.models.ensemble import EnsembleArchitecture, EnsembleModel, EnsembleNet
from wm_eval_ros.models.protocol import WorldModelSpec
from wm_eval_ros.planning.cem import CemPlanner

ACTIONS = 2
LATENTS = (16, 32, 64)


def model_of(latent: int, hidden: int, activation: str) -> EnsembleModel:
    """Return an ensemble with random weights and the wanted length of the latent."""
    features = latent - ACTIONS
    fields = tuple(f'position[{i}]' for i in range(features))
    interface = Interface(
        observations=(Stream(topic='joint_states', type='sensor_msgs/msg/JointState',
                             fields=fields),),
        command=CommandStream(topic='command', type='sensor_msgs/msg/JointState',
                              fields=('effort[0]', 'effort[1]'), low=(-1.0, -1.0),
                              high=(1.0, 1.0)))
    arch = EnsembleArchitecture(features, ACTIONS, hidden=hidden, activation=activation)
    spec = WorldModelSpec(
        name='bench', version='1', sha256='', family='ensemble', interface=interface,
        feature_names=tuple(f'joint_states.{f}' for f in fields), dt_s=0.05,
        architecture=vars(arch).copy(), provenance={})
    return EnsembleModel(spec, EnsembleNet.initial(arch, torch.Generator().manual_seed(0)))


def floor_of(model: EnsembleModel, settings: PlannerSettings):
    """Return a function that does the matrix products of one decision, and nothing else."""
    arch = model.arch
    sizes = [arch.latent + arch.actions, *[arch.hidden] * arch.layers, arch.features]
    pairs = [(torch.randn(arch.members, settings.samples, a), torch.randn(arch.members, a, b))
             for a, b in itertools.pairwise(sizes)]
    outs = [torch.empty(x.shape[0], x.shape[1], w.shape[2]) for x, w in pairs]

    @torch.inference_mode()
    def products() -> None:
        for _ in range(settings.iterations * settings.horizon):
            for (x, w), out in zip(pairs, outs, strict=True):
                torch.bmm(x, w, out=out)
    return products


def measure(latent: int, args: argparse.Namespace) -> dict:
    """Time decisions and floors in turn, so that both see the same machine."""
    model, rounds = model_of(latent, args.hidden, args.activation), args.rounds
    name = model.spec.feature_names[0]
    settings = PlannerSettings(
        horizon=10, engine=args.engine, precision=args.precision,
        objective=(ObjectiveTerm(features=(name,), target=('0',)),))
    planner = CemPlanner(settings, model, model.spec.interface)
    floor = floor_of(model, settings)
    z, goal = model.encode(torch.zeros(1, latent - ACTIONS))[0], torch.zeros(0)
    times = np.empty((rounds, 2))
    for i in range(-20, rounds):
        begun = time.perf_counter()
        plan = planner.plan(z, goal, sys.maxsize)
        between = time.perf_counter()
        floor()
        if i >= 0:
            times[i] = between - begun, time.perf_counter() - between
        assert plan.iterations == settings.iterations
    plan_ms, floor_ms = (times * 1e3).T
    ratio = plan_ms / floor_ms
    return {'latent': latent, 'hidden': args.hidden, 'activation': args.activation, 'n': rounds,
            'engine': args.engine, 'precision': args.precision,
            'plan_p50_ms': float(np.median(plan_ms)),
            'plan_p99_ms': float(np.percentile(plan_ms, 99)),
            'floor_p50_ms': float(np.median(floor_ms)),
            'ratio_p50': float(np.median(ratio)),
            'ratio_p10': float(np.percentile(ratio, 10)),
            'ratio_p90': float(np.percentile(ratio, 90))}


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rounds', type=int, default=300)
    parser.add_argument('--hidden', type=int, default=128)
    parser.add_argument('--activation', default='silu', choices=('silu', 'relu'))
    parser.add_argument('--engine', default='torch', choices=('torch', 'openvino'))
    parser.add_argument('--precision', default='fp32', choices=('fp32', 'bf16'))
    parser.add_argument('--json', action='store_true')
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = [measure(d, args) for d in LATENTS]
    if args.json:
        print(json.dumps(rows, indent=1))
        return 0
    print(f'CEM, 64 samples x 3 iterations x horizon 10, ensemble of 5 x {args.hidden} '
          f'{args.activation}, {args.engine} {args.precision}, one thread, n = {args.rounds} each')
    print('latent   plan p50   plan p99   floor p50   plan / floor: p50 [p10, p90]')
    for r in rows:
        print(f'{r["latent"]:6d} {r["plan_p50_ms"]:7.1f} ms {r["plan_p99_ms"]:7.1f} ms '
              f'{r["floor_p50_ms"]:8.1f} ms   {r["ratio_p50"]:17.2f} '
              f'[{r["ratio_p10"]:.2f}, {r["ratio_p90"]:.2f}]')
    return 0


if __name__ == '__main__':
    sys.exit(main())
