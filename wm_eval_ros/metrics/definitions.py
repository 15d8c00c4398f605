"""What each figure means, in one sentence; docs/metrics.md says the rest."""

from __future__ import annotations

import re

DEFINITIONS = {
    'success_rate': 'Share of decided episodes that reached the goal; starts already solved, '
                    'aborted and open episodes are left out and counted.',
    'success_posterior': 'Mean of the Beta posterior of the success rate under a uniform prior.',
    'success_rate_worst_case': 'Success rate if every aborted or open episode had failed.',
    'episodes': 'Number of episodes by outcome.',
    'steps_to_success': 'Control periods until success, censored where it was not reached.',
    'time_to_success': 'Task time until success, censored where it was not reached.',
    'plan_latency': 'Duration of the planner call: infer_end - infer_start.',
    'plan_latency_warmup': 'Longest planner call before the first episode.',
    'decision_latency': 'Start of the slot to publication of its command.',
    'sense_to_act': 'Stamp of the oldest input used to publication of the command.',
    'reaction_time': 'Stamp of the oldest input of the slot before to publication: the longest '
                     'a stimulus can wait for its answer.',
    'deadline_miss_rate': 'Share of due slots without a command within [due, due + deadline].',
    'longest_miss_run': 'Most missed slots in a row.',
    'miss_runs': 'Number of runs of at least m missed slots.',
    'slots': 'Number of due slots by status.',
    'release_jitter': 'Start of the slot minus its due time.',
    'release_drift': 'Slope of the release jitter over time.',
    'command_period_error': 'Distance of successive commands minus the period, magnitude.',
    'staleness': 'Start of the slot minus the stamp of the input it used.',
    'samples_unused': 'Samples published between two used ones and used by no slot.',
    'samples_superseded': 'Unused samples that did arrive: a newer one was taken.',
    'samples_lost': 'Unused samples that never arrived at this listener either.',
    'real_time_factor': 'Time of the stamps over time of their arrival.',
    'real_time_factor_slowest': 'The same in the slowest window of 10 s.',
    'prediction_error': 'Mean squared error per latent dimension of the state foreseen h slots '
                        'earlier, over executed plans.',
    'persistence_error': 'The same of the forecast that nothing changes, on the same pairs.',
    'prediction_ratio': 'Prediction error over persistence error; below 1 the model helps.',
    'useful_prediction_horizon': 'Most steps at which the model beats persistence with 95 % '
                                 'confidence.',
    'prediction_nonfinite': 'Foreseen states that were no numbers; left out of the errors.',
    'prediction_excluded': 'Forecasts during which somebody else drove; left out of the errors.',
    'plan_inconsistency': 'Mean squared distance of a plan from what was left of the plan before '
                          'it, per latent dimension.',
    'model_calls': 'Model evaluations per decision: samples times iterations.',
    'nonfinite_rollouts': 'Candidate rollouts that were not finite; they weigh nothing.',
    'cpu_time': 'CPU time of the planner process per decision.',
    'surprise': "The detector's score.",
    'surprise_alarm_rate': 'Share of slots whose surprise lies above its threshold.',
    'fallback_rate': 'Times per hour the supervisor took over.',
    'fallback_time': 'Time under the fallback policy.',
    'intervention_rate': 'Times per hour an operator took over.',
    'intervention_time': 'Time under the operator.',
}


def family(name: str) -> str:
    """
    Return the name under which a figure is defined.

    >>> family('staleness[/joint_states].p99'), family('episodes.open')
    ('staleness', 'episodes')
    """
    return re.sub(r'\[.*\]', '', name).partition('.')[0]


def definition(name: str) -> str:
    """Return the definition of a figure; empty for one of a plug-in."""
    return DEFINITIONS.get(family(name), '')
