"""What figures mean that no fold over one run makes: those of sweeps and of models asked again."""

from __future__ import annotations

#: described in docs/sweeps.md
SWEEP = {
    'planning_horizon': 'Smallest horizon such that no longer one gains more than 0.01 in '
                        'success.',
    'latency_at_bound': 'Smallest injected latency at which success is below the bound.',
    'latency_robustness': 'Area under success over the injected latency, divided by its range.',
    'severity_at_bound': 'Smallest severity of a perturbation at which success is below the '
                         'bound.',
    'severity_robustness': 'Area under success over the severity, divided by its range.',
    'compute_at_bound': 'Least CPU time of a decision, of the settings tried, at which success is '
                        'at the bound.',
    'sample_efficiency': 'Environment steps of training until the lower 95 % bound of success '
                         'reaches 0.8 of the asymptote.',
    'success_asymptote': 'Success at the most environment steps tried.',
}
#: described in docs/fidelity.md
FIDELITY = {
    'probe_error': 'Root mean square error of a feature imagined h steps ahead under the executed '
                   'commands, in its own unit.',
    'probe_persistence': 'The same of the forecast that nothing changes, on the same windows.',
    'probe_ratio': 'Squared error over that of persistence, features in units of their spread.',
    'probe_nonfinite': 'Imagined futures that were no numbers; left out of the errors.',
    'oracle_ratio': 'The same as probe_ratio for the simulator itself: what cannot be foreseen '
                    'from the record.',
    'command_recovery': 'Held-out R^2 of commands read off transitions: driven ones, the state '
                        'alone, imagined ones, and under drawn commands imagined or simulated.',
    'command_direction': 'Share of commands whose sign is read off the imagined step.',
    'counterfactual_divergence': 'How far imagined futures part under different commands, over '
                                 "how far the simulator's do.",
    'counterfactual_correlation': 'Rank correlation of those distances, pair by pair.',
    'action_sensitivity': 'How far imagined futures part under different commands, over how far '
                          'the world moves meanwhile.',
    'action_blind': 'Whether imagined futures do not depend on the command.',
    'top1_regret': 'What the candidate the model likes best costs in the simulator above the best '
                   'one.',
    'top1_regret_share': 'The same over what a candidate picked at random would cost.',
    'ranking_spearman': 'Mean rank correlation of candidates scored by model and simulator.',
    'ranking_kendall': "The same by Kendall's tau-b.",
    'coverage90': 'Share of outcomes within the central 90 % predicted: above 0.9 the model is '
                  'not sure enough, below it is too sure.',
    'psnr': 'Peak signal-to-noise ratio of images decoded h steps ahead.',
    'ssim': 'Structural similarity of images decoded h steps ahead.',
}
#: all of them, by the name of the family
BEYOND = {**SWEEP, **FIDELITY}
