"""
The time of a decision over that of TD-MPC2's own planner: same weights, samples, iterations.

TD-MPC2 (github.com/nicklashansen/tdmpc2, MIT) is not part of this package: --tdmpc2 names a
checkout of it; its code needs `tensordict`. It hard-wires a CUDA device; its text is read with
the CPU in that place, and nothing else of it is changed.
"""

import argparse
import importlib
import json
import math
from pathlib import Path
import sys
import types

from _latent_mlp import LatentPlanner, Layer, Sizes
from _machine import machine, machine_line
from _turns import as_text, in_turn
from scipy.stats import spearmanr
import torch

OBSERVATION = 24
ENGINES = {'torch': '', 'openvino fp32': 'fp32', 'openvino bf16': 'bf16', 'openvino int8': 'int8'}
SETUPS = ((64, 3), (512, 6))


def upstream(folder: Path, sizes: Sizes):
    """Return TD-MPC2's agent of 5M parameters on the CPU."""
    sys.path.insert(0, str(folder))
    for name in ('common.scale', 'tdmpc2'):
        path = folder / f'{name.replace(".", "/")}.py'
        module = types.ModuleType(name)
        exec(compile(path.read_text().replace('cuda:0', 'cpu'), str(path), 'exec'),
             module.__dict__)
        sys.modules[name] = module
    size = importlib.import_module('common').MODEL_SIZE[5]
    cfg = types.SimpleNamespace(
        obs='state', obs_shape={'state': (OBSERVATION,)}, action_dim=sizes.actions, task_dim=0,
        multitask=False, episodic=False, tasks=[], num_channels=32, num_q=sizes.heads,
        dropout=0.01, simnorm_dim=sizes.group, num_bins=sizes.bins, vmin=sizes.low,
        vmax=sizes.high, log_std_min=-10.0, log_std_max=2.0, lr=3e-4, enc_lr_scale=0.3, tau=0.01,
        iterations=sizes.iterations, num_samples=sizes.samples, num_elites=sizes.elites,
        num_pi_trajs=sizes.policy, horizon=sizes.horizon, min_std=sizes.min_std,
        max_std=sizes.max_std, temperature=sizes.temperature, mpc=True, compile=False,
        discount_denom=5, discount_min=0.95, discount_max=0.995, episode_length=500,
        **{k: v for k, v in size.items() if k not in ('num_q',)})
    cfg.bin_size = (cfg.vmax - cfg.vmin) / (cfg.num_bins - 1)
    # everything is on the CPU already; today's torch refuses to move its templates without data
    importlib.import_module('common.world_model').WorldModel.to = lambda model, *device: model
    agent = sys.modules['tdmpc2'].TDMPC2(cfg)
    spread_heads(agent.model)
    return agent


@torch.no_grad()
def spread_heads(model) -> None:
    """Give every layer weights as of a trained network: fresh ones are near 0, so all ties."""
    rng = torch.Generator().manual_seed(1)
    state = model.state_dict()
    for name, value in state.items():
        if name.endswith('weight') and value.ndim >= 2:
            value.copy_(torch.randn(value.shape, generator=rng) / math.sqrt(value.shape[-1]))


def weights_of(model, heads: int) -> dict[str, list[Layer]]:
    """Return the agent's weights as layers."""
    def stack(modules) -> list[Layer]:
        return [Layer(m.weight.detach().T.contiguous(), m.bias.detach(),
                      m.ln.weight.detach() if hasattr(m, 'ln') else None,
                      m.ln.bias.detach() if hasattr(m, 'ln') else None) for m in modules]

    found = {'encoder': stack(model._encoder['state']), 'dynamics': stack(model._dynamics),
             'reward': stack(model._reward), 'policy': stack(model._pi)}
    raw = {k: v.detach() for k, v in model._Qs.state_dict().items() if torch.is_tensor(v)}
    for i in range(heads):
        found[f'value{i}'] = [
            Layer(raw[f'params.{n}.weight'][i].T.contiguous(), raw[f'params.{n}.bias'][i],
                  raw[f'params.{n}.ln.weight'][i] if n < 2 else None,
                  raw[f'params.{n}.ln.bias'][i] if n < 2 else None) for n in range(3)]
    return found


def parameters(weights: dict[str, list[Layer]]) -> int:
    """Count the numbers of the layers."""
    return sum(value.numel() for layers in weights.values() for layer in layers
               for value in vars(layer).values() if value is not None)


@torch.inference_mode()
def agreement(agent, planner: LatentPlanner, seed: int) -> tuple[float, float]:
    """Value the same candidates by both: largest difference in standard deviations, and ranks."""
    s, model = planner.sizes, agent.model
    torch.manual_seed(seed)
    obs = torch.randn(1, OBSERVATION)
    tried = torch.randn(s.horizon, s.samples - s.policy, s.actions).clamp(-1, 1)
    noise = torch.randn(s.horizon, s.policy, s.actions)
    mine = planner.run_follow(planner.encode(obs), noise)
    theirs = model.encode(obs, None).repeat(s.samples, 1)
    torch.manual_seed(seed + 1)
    want = agent._estimate_value(theirs, torch.cat([mine[0], tried], 1), None)
    torch.manual_seed(seed + 1)
    have = planner.values(planner.encode(obs), tried, mine[1], mine[2])
    off = float((have - want).abs().max() / want.std())
    return off, float(spearmanr(have[:, 0], want[:, 0]).statistic)


def measure(agent, planners: dict, rounds: int, pause_s: float) -> dict:
    """Time a decision of each in turn."""
    obs = torch.randn(1, OBSERVATION)
    calls = {'TD-MPC2': lambda: agent.act(obs[0]), **{
        name: (lambda p=p: p.plan(obs)) for name, p in planners.items()}}
    rows: dict = in_turn(calls, 'TD-MPC2', rounds=rounds, warm_up=5, pause_s=pause_s)
    return {name: {'n': rounds, **row} for name, row in rows.items()}


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--tdmpc2', type=Path, metavar='DIR',
                        help='checkout of TD-MPC2 to measure against')
    parser.add_argument('--rounds', type=int, default=60)
    parser.add_argument('--pause-ms', type=float, default=0.0, help='rest before every decision')
    parser.add_argument('--json', action='store_true')
    args = parser.parse_args()
    folder = None if args.tdmpc2 is None else args.tdmpc2 / 'tdmpc2'
    if folder is None or not (folder / 'tdmpc2.py').is_file():
        print('bench_tdmpc2: TD-MPC2 is not there, nothing measured; give --tdmpc2 DIR, a '
              'checkout of its repository', file=sys.stderr)
        return 0 if args.tdmpc2 is None else 2
    torch.set_num_threads(1)
    facts, found = machine(), []
    for samples, iterations in SETUPS:
        sizes = Sizes(samples=samples, iterations=iterations, elites=min(64, samples // 2))
        agent = upstream(folder, sizes)
        sizes = Sizes(**{**vars(sizes), 'discount': float(agent.discount)})
        weights = weights_of(agent.model, sizes.heads)
        planners = {name: LatentPlanner(weights, sizes, p) for name, p in ENGINES.items()}
        rows = measure(agent, planners, args.rounds, args.pause_ms / 1e3)
        for name, planner in planners.items():
            both = [agreement(agent, planner, seed) for seed in range(5)]
            rows[name] |= {'off': max(b[0] for b in both), 'rank': min(b[1] for b in both)}
        found.append({'samples': samples, 'iterations': iterations, 'horizon': sizes.horizon,
                      'parameters': parameters(weights), 'engines': rows})
    if args.json:
        print(json.dumps({'machine': facts, 'setups': found}, indent=1))
        return 0
    print(machine_line(facts, machine()['load_average'][0]))
    for one in found:
        print(f'\n{one["samples"]} samples x {one["iterations"]} iterations x H{one["horizon"]}, '
              f'{one["parameters"] / 1e6:.1f}M parameters, one thread, n = {args.rounds} each')
        print('planner            p50   p99/p50   over TD-MPC2: p50 [p10, p90]    CPU time   '
              'values: off [sd], least rank')
        for name, r in one['engines'].items():
            tail = f'{r["off"]:.2g}, {r["rank"]:.4f}' if 'off' in r else ''
            print(f'{name:14s} {as_text(r, 17)}   {tail}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
