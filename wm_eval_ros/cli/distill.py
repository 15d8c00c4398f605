"""`wm-eval distill`: a policy cloned from what a planner decided in its bags."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import shlex
from typing import Any, TYPE_CHECKING

from wm_eval_ros.cli.outputs import require_writable, writing
from wm_eval_ros.cli.overrides import require_new
from wm_eval_ros.cli.train import phase_progress, use_threads
from wm_eval_ros.errors import EXIT_PASS

if TYPE_CHECKING:
    from wm_eval_ros.training.distill import DistillResult, DistillSettings

EXAMPLE = """example:
  wm-eval run reacher --set clock=free --set episodes=300 --out runs/teacher
  wm-eval distill runs/teacher/bag --out models/reacher-policy
  wm-eval run reacher --set planner.planner=policy_prior \\
      --set planner.policy=models/reacher-policy --out runs/policy

exit: 0 written, 2 a bag was refused or holds no decision to learn from, 74 not written."""
#: settings that have an option of their own
OPTIONS = ('steps', 'hidden', 'seed')


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EXAMPLE
    parser.add_argument('bags', metavar='BAG', type=Path, nargs='+',
                        help='bags of runs of one scenario, under the one planner to be cloned')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR',
                        help='folder of the policy; must be new or empty')
    parser.add_argument('--name', default='', help='name of the policy; default: the folder name')
    parser.add_argument('--steps', type=int, default=None, help='most gradient steps')
    parser.add_argument('--hidden', type=int, default=None, help='width of the hidden layers')
    parser.add_argument('--seed', type=int, default=None,
                        help='seed of split, initialisation and batches')
    parser.add_argument('--threads', type=int, default=1,
                        help='threads of torch; another number gives other roundings')
    parser.add_argument('--json', action='store_true', help='print the result as JSON')


def main(args: argparse.Namespace) -> int:
    """Run the verb."""
    require_new(args.out)
    settings = _settings(args)
    use_threads(args.threads)
    require_writable(args.out)
    from wm_eval_ros.training.decisions import read_decisions
    from wm_eval_ros.training.distill import distill
    data = read_decisions(args.bags)
    name = args.name or args.out.resolve().name
    result = distill(data, settings, name, phase_progress('distilling'))
    report = _write(args.out, result, command_of(args))
    print(json.dumps(report, indent=1) if args.json else text(report))
    return EXIT_PASS


def _settings(args: argparse.Namespace) -> DistillSettings:
    """Return the settings of the options, checked as a file's are."""
    from wm_eval_ros.config.schema import build
    from wm_eval_ros.training.distill import DistillSettings
    given = {n: getattr(args, n) for n in OPTIONS if getattr(args, n) is not None}
    return build(DistillSettings, given, 'command line')


def command_of(args: argparse.Namespace) -> str:
    """Return the command that makes the policy again."""
    words = ['wm-eval', 'distill', *map(str, args.bags)]
    for name, default in (*((n, None) for n in OPTIONS), ('threads', 1), ('name', '')):
        if (value := getattr(args, name)) != default:
            words += [f'--{name}', str(value)]
    return shlex.join([*words, '--out', str(args.out)])


def _write(folder: Path, result: DistillResult, command: str) -> dict[str, Any]:
    from wm_eval_ros.models.checkpoint import save_checkpoint
    policy = result.policy
    with writing(folder):
        spec = save_checkpoint(folder, policy.spec, dict(policy.net.state_dict()),
                               card(result, command))
    return {'folder': str(folder), 'name': spec.name, 'sha256': spec.sha256,
            'planners': spec.provenance['planners'], 'episodes': result.episodes,
            'decisions': result.decisions, 'rmse': result.rmse, 'steps': result.steps,
            'seconds': round(result.seconds, 1)}


def card(result: DistillResult, command: str) -> str:
    """
    Return the card of a policy, in Markdown.

    :param command: the command that made it
    """
    spec = result.policy.spec
    made = spec.provenance
    return f"""# {spec.name}

A policy cloned from the planner {', '.join(made['planners'])}: {len(spec.feature_names)} features
and the goal to {spec.action_dim} command fields, every {spec.dt_s * 1000:g} ms.

Made by `{command}`, {result.steps} gradient steps, seed {made['settings']['seed']}, torch
{made['torch_version']}, wm_eval_ros {made['package_version']}.

{result.decisions} decisions of {result.episodes} episodes ({', '.join(made['sources'])}). On
episodes held out its commands differ from the planner's by {result.rmse:.3f} of their standard
deviation (root mean square).

## Limits
Good only near the states that the planner came through: it never saw how to come back to them. It
knows neither the command in force nor what the planner had in mind.
"""


def text(report: dict[str, Any]) -> str:
    """Return the result in words."""
    return (f'{report["name"]}: {report["decisions"]} decisions of {report["episodes"]} episodes '
            f'under {", ".join(report["planners"])}, {report["steps"]} steps in '
            f'{report["seconds"]:.0f} s\n'
            f'  off the planner on episodes held out: {report["rmse"]:.3f} of a standard '
            f'deviation\n  written to {report["folder"]}, sha256 {report["sha256"]}')
