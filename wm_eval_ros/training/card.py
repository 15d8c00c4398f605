"""The card of a checkpoint: what it is, what it was made of, how good it is."""

from __future__ import annotations

from collections.abc import Sequence

from wm_eval_ros.models.protocol import WorldModelSpec
from wm_eval_ros.records import EventKind
from wm_eval_ros.stats.proportion import clopper_pearson
from wm_eval_ros.training.simulate import Outcome
from wm_eval_ros.training.trainer import TrainResult


def card(
    spec: WorldModelSpec, result: TrainResult, command: str, trial: Sequence[Outcome] = ()
) -> str:
    """
    Write the card, in Markdown.

    :param command: the command that made the checkpoint
    :param trial: closed-loop episodes in process; empty: none were run
    """
    report, made = result.report, spec.provenance
    sources = ''.join(f'* {source}\n' for source in made['sources'])
    hashes = ''.join(f'* sha256 of what was learnt from: {h}\n' for h in made['data_sha256'])
    size = ', '.join(f'{name} {value}' for name, value in sorted(spec.architecture.items())
                     if name not in ('features', 'actions'))
    last = report['horizon'] - 1
    return f"""# {spec.name}

A model of the family `{spec.family}` ({size}), over {len(spec.feature_names)} features and
{spec.action_dim} command fields, {spec.dt_s * 1000:g} ms a step.

Made by `{command}` in {result.seconds:.0f} s of training, {result.steps} gradient steps, seed
{made['settings']['seed']}, torch {made['torch_version']}, wm_eval_ros {made['package_version']},
source {made['git_commit'] or 'of no commit'}.
{_unchanged(result)}
## Data
{made['episodes']} episodes, {made['transitions']} transitions:
{sources}{hashes}
## Held-out episodes
In units of each feature's standard deviation, {report['windows']} windows:

| imagined steps | error (RMS) | persistence |
|---|---|---|
| 1 | {report['rmse'][0]:.3f} | {report['persistence'][0]:.3f} |
| {last + 1} | {report['rmse'][last]:.3f} | {report['persistence'][last]:.3f} |

{_coverage(report['coverage90'])}
{_trial(trial)}
## Limits
Good only near the states of its data: the task's own starts, commands of the sizes explored, and
commands that take effect within the slot they were decided in.
"""


def _unchanged(result: TrainResult) -> str:
    if result.improved:
        return ''
    made = result.model.spec.provenance
    return f"""
NOT IMPROVED: training went on from a model and made nothing better of it. The weights and all
figures below are those it began with: the lowest validation since was
{made['validation_lowest']:.4g}, theirs is {made['validation_before']:.4g}.
"""


def _coverage(share: float | None) -> str:
    if share is None:
        return 'The model predicts no spread.'
    return f'{share:.1%} of the one-step outcomes lie in the central 90 % of the prediction.'


def _trial(trial: Sequence[Outcome]) -> str:
    if not trial:
        return ''
    won = sum(o.kind is EventKind.SUCCESS for o in trial)
    interval = clopper_pearson(won, len(trial))
    return f"""
## Closed loop
In one process, latency drawn for each slot, starts never trained on (seeds {trial[0].seed} to
{trial[-1].seed}): {won} of {len(trial)} solved, success {won / len(trial):.2f}, Clopper-Pearson
95 % interval [{interval.low:.2f}, {interval.high:.2f}]. A result that counts comes from
`wm-eval run`.
"""
