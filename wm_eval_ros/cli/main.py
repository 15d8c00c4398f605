"""`wm-eval VERB ...`: finds the verb, runs it, turns errors into one line and an exit code."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module
import sys

from wm_eval_ros.errors import EXIT_INTERRUPTED, WmEvalError

#: verb -> (module below wm_eval_ros.cli, one line of help); the module has `arguments(parser)`
#: and `main(args) -> int`
VERBS: dict[str, tuple[str, str]] = {
    'run': ('run', 'run a scenario: start the nodes, record, score, print the scorecard'),
    'collect': ('collect', 'drive the plant with exploration and record bags to train on'),
    'train': ('train', 'train a world model from bags'),
    'distill': ('distill', 'clone a policy from what a planner decided'),
    'mine': ('mine', 'cut the hard cases out of bags, into a data set to train on'),
    'retrain': ('retrain', 'retrain a model for a shift, and promote it if it is good again'),
    'registry': ('registry', 'list the versions of a model, put one in force, roll back'),
    'calibrate': ('calibrate', 'set the thresholds of the surprise detectors from nominal runs'),
    'score': ('score', 'recompute every figure from a bag alone'),
    'verify': ('verify', 'say whether a bag is what was recorded, and if not, from where on'),
    'recover': ('recover', 'write what can be read of a damaged bag into a new one'),
    'attest': ('attest', 'say where a scorecard comes from, signed; or check that'),
    'compare': ('compare', 'say which of two or more systems is better, and how sure that is'),
    'correlate': ('correlate', 'say whether a dream ranks policies as the world does'),
    'power': ('power', 'say how many episodes a question needs'),
    'export': ('export', 'write a bag as Parquet tables, a Rerun recording or a Foxglove layout'),
    'export-model': ('export_model', 'fit a model for planning in int8, and time every engine'),
    'quantize': ('quantize', 'say how few bits a model can have before it stops working'),
    'fidelity': ('fidelity', 'ask the model of a recorded run again: errors, commands, ranking'),
    'replay-decision': ('replay_decision', 'plan a recorded slot again and compare'),
    'sweep': ('sweep', 'vary one setting over runs: planning horizon, latency, sample efficiency'),
    'latency-curve': ('latency_curve', 'success over injected latency, against that of a board'),
    'red-team': ('red_team', 'search for the mildest perturbation that breaks the task'),
    'learning-curve': ('learning_curve', 'success over the environment steps of training'),
    'shadow': ('shadow', 'compare the proposals of a shadow run with what really drove'),
    'hil': ('hil', 'time a device: round trips by rate, payload and load, misses, drops'),
    'openloop': ('openloop', 'train and score a small model on a robot bag, against persistence'),
    'list': ('list', 'list tasks, models, planners and scenarios'),
    'policy': ('policy', 'write the SROS 2 policy of a run: what each node may say and hear'),
    'doctor': ('doctor', 'say what is installed, and what to do about what is missing'),
}


#: longest line that says why a verb ended [characters]
_LONGEST = 4000


def parser(verb: str | None = None) -> argparse.ArgumentParser:
    """Build the command line; only the named verb's module is imported."""
    top = argparse.ArgumentParser(
        prog='wm-eval', description='Closed-loop evaluation of world models on the ROS 2 graph.')
    top.add_argument('--version', action='store_true', help='print the version and exit')
    verbs = top.add_subparsers(dest='verb', metavar='VERB')
    for name, (module, help_line) in VERBS.items():
        sub = verbs.add_parser(name, help=help_line, description=help_line,
                               formatter_class=argparse.RawDescriptionHelpFormatter)
        if name == verb:
            import_module(f'wm_eval_ros.cli.{module}').arguments(sub)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    verb = next((w for w in words if w in VERBS), None)
    top = parser(verb)
    args = top.parse_args(words)
    if args.version:
        from importlib.metadata import version
        print(version('wm_eval_ros'))
        return 0
    if args.verb is None:
        top.print_help()
        return 2
    try:
        return int(import_module(f'wm_eval_ros.cli.{VERBS[args.verb][0]}').main(args))
    except WmEvalError as error:
        # one line, whatever an untrusted name or value brought along
        print(f'wm-eval {args.verb}: {" ".join(str(error).splitlines())[:_LONGEST]}',
              file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f'wm-eval {args.verb}: interrupted', file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return EXIT_INTERRUPTED


if __name__ == '__main__':
    sys.exit(main())
