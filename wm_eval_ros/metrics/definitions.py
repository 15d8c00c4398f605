"""What each figure means, in one sentence; docs/metrics.md says the rest."""

from __future__ import annotations

import re

from wm_eval_ros.metrics.beyond import BEYOND

DEFINITIONS = {
    'success_rate': 'Share of decided episodes that reached the goal; starts already solved, '
                    'aborted and open episodes are left out and counted.',
    'unaided_success_rate': 'The same, where an episode counts as solved only if nobody but the '
                            'planner drove in it: no fallback, stop or operator.',
    'success_posterior': 'Mean of the Beta posterior of the success rate under a uniform prior.',
    'success_rate_worst_case': 'Success rate if every aborted or open episode had failed.',
    'episodes': 'Number of episodes by outcome.',
    'steps_to_success': 'Control periods until success, censored where it was not reached.',
    'time_to_success': 'Task time until success, censored where it was not reached.',
    'perturbed_episodes': 'Episodes in which a perturbation was really applied, without those '
                          'solved at the start.',
    'recovery_rate': 'Share of perturbed episodes of known outcome that recovered after the last '
                     'onset and did not fail.',
    'time_to_recover': 'Time from the first onset to recovery, censored where there was none.',
    'plan_latency': 'Duration of the planner call: infer_end - infer_start.',
    'plan_latency_warmup': 'Longest planner call before the first episode.',
    'decision_latency': 'Start of the slot to publication of its command.',
    'sense_to_act': 'Stamp of the oldest input used to publication of the command.',
    'reaction_time': 'Oldest input of the command before to publication: the longest '
                     'a stimulus can wait for its answer.',
    'deadline_miss_rate': 'Share of due slots without a command within [due, due + deadline].',
    'longest_miss_run': 'Most missed slots in a row.',
    'miss_runs': 'Number of runs of at least m missed slots.',
    'slots': 'Number of due slots by status.',
    'release_jitter': 'Start of the slot minus its due time.',
    'release_drift': 'Slope of the release jitter over time.',
    'command_period_error': 'Distance of successive commands minus the period, magnitude.',
    'round_trip': 'Sample sent by a test host to arrival of the command that answers it, on the '
                  "host's steady clock.",
    'round_trip_warmup': 'Longest of the first 20 round trips, which stand in no other figure.',
    'answers_unjoined': 'Commands that came to the host and join nothing that it sent.',
    'commands_unreceived': 'Share of the published commands that never came to the host.',
    'stimuli_unanswered': 'Share of what was sent to an echo that it never answered.',
    'one_way_out': 'Host to device, by both system clocks less their offset.',
    'one_way_back': 'Device to host, by both system clocks less their offset.',
    'interval': 'Time between two messages of a topic at the host.',
    'clock_offset': "The device's system clock less the host's; the interval is what is known.",
    'clock_round_trip': 'Smallest round trip of a question to the clock of the device.',
    'actuation': 'Sample sent by a test host until the command that answers it acts at the '
                 "actuator, by the host's steady clock.",
    'command_to_actuation': 'Arrival of a command at the host until it acts at the actuator.',
    'actuation_interval': "Time between two commands that act, by the micro-controller's clock.",
    'commands_not_applied': 'Share of the commands that came to the host and never acted.',
    'watchdog_trips': 'How often zero acted between two commands since none came in time.',
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
    'useful_prediction_horizon': 'Steps up to each of which, from the first on, the model beats '
                                 'persistence with 95 % confidence.',
    'prediction_nonfinite': 'Foreseen states that were no numbers; where any is, there is no '
                            'error and no ratio.',
    'prediction_excluded': 'Forecasts during which somebody else drove; left out of the errors.',
    'plan_inconsistency': 'Mean squared distance of a plan from what was left of the plan before '
                          'it, per latent dimension.',
    'calibration_ece': 'Mean distance of the found coverage of central prediction intervals from '
                       'the nominal one.',
    'calibration_mce': 'Largest such distance.',
    'aurc': 'Mean one-step error over all shares of predictions kept, the surest first.',
    'aurc_excess': 'The same, less that of the best possible order.',
    'inverse_dynamics': 'Held-out R^2 of the command read off driven transitions of the latent.',
    'action_following': 'Held-out R^2 of the command read off imagined first steps by that map.',
    'latent_probe': 'Held-out R^2 of a linear probe from the latent to an observed quantity.',
    'latent_probe_null': 'The R^2 that chance stays below with 95 %, by permutation of episodes.',
    'latent_probe_median': 'Median of the probes over the observed quantities.',
    'model_calls': 'Model evaluations per decision: samples times iterations.',
    'flops': 'Floating-point operations of the imagined rollouts of a decision.',
    'nonfinite_rollouts': 'Candidate rollouts that were not finite; they weigh nothing.',
    'cpu_time': 'CPU time of the planner process per decision.',
    'energy': "What the host's energy counters advanced during a decision.",
    'peak_memory': 'Largest resident memory of the planner process.',
    'cost_per_hour': "Computer, energy and operator's minutes of an hour of operation, at "
                     'declared prices.',
    'time_to_retrain': 'Time from the first alarm after a shift to the end of training of the '
                       'first later model whose success is shown to be no more than 0.15 below '
                       'that before the shift.',
    'retrain_cpu_time': 'CPU time of all trainings within that time.',
    'surprise': "The detector's score.",
    'surprise_alarm_rate': 'Share of slots whose surprise lies above its threshold.',
    'detector': 'The score as a detector of the perturbations that were really applied.',
    'fallback_rate': 'Times per hour the supervisor took over.',
    'time_between_fallbacks': 'Time watched over fallbacks seen.',
    'fallback_time': 'Time under the fallback policy.',
    'intervention_rate': 'Times per hour an operator took over.',
    'time_between_interventions': 'Time watched over interventions seen.',
    'intervention_time': 'Time under the operator.',
    'handover_success': 'Share of episodes with a hand-over that were solved all the same.',
    'handover_end': 'Share of them that ended otherwise: stopped until the time limit, out of '
                    'time, failed.',
    'degraded_rate': 'Times per hour the command gate was degraded.',
    'degraded_share': 'Share of its time that an episode was degraded, mean over episodes.',
    'stopped_rate': 'Times per hour the command gate stopped the robot.',
    'stopped_share': 'Share of its time that an episode was stopped, mean over episodes.',
    'commands_refused': 'Commands that the gate refused.',
    'refusal_rate': 'Refused commands over commands that the planner proposed.',
}

#: the same of figures that share a family and little else
PARTS = {
    'detector.auroc': 'Probability that the largest score of a perturbed episode, from the onset '
                      'on, is above that of an unperturbed one in the same slots.',
    'detector.slot_auroc': 'Probability that a slot that saw a perturbation scores above a '
                           'nominal one.',
    'detector.slot_auprc': 'Average precision of slots that saw a perturbation among all that '
                           'are judged.',
    'detector.tpr_at_fpr_5pct': 'Share of perturbed episodes above the threshold that 5 % of the '
                                'unperturbed exceed at most, in the same slots.',
    'detector.detection_rate': 'Share of perturbed episodes in which an alarm began after the '
                               'onset.',
    'detector.chance_detection_rate': 'The detection rate that false alarms alone would give.',
    'detector.detection_delay': 'Time from the onset to the first alarm that began after it, '
                                'censored at the end of the episode.',
    'detector.false_alarm_rate': 'Alarms per hour of nominal time.',
    'detector.false_alarm_episodes': 'Share of unperturbed episodes with an alarm.',
    'detector.warned_failures': 'Share of failed episodes with an alarm before the failure.',
    'detector.lead_time': 'Time from the first such alarm to the failure.',
}


def family(name: str) -> str:
    """
    Return the name under which a figure is defined.

    >>> family('staleness[/joint_states].p99'), family('episodes.open')
    ('staleness', 'episodes')
    """
    return re.sub(r'\[.*\]', '', name).partition('.')[0]


def definition(name: str) -> str:
    """
    Return the definition of a figure; empty for one of a plug-in.

    >>> definition('detector[surprise,visual].lead_time.p50')
    'Time from the first such alarm to the failure.'
    """
    part = '.'.join(re.sub(r'\[.*\]', '', name).split('.')[:2])
    known = {**BEYOND, **DEFINITIONS}
    return PARTS.get(part) or known.get(family(name), '')
