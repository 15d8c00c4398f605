"""The gate of a retraining asks two models on the same starts, and more of more looks."""

from __future__ import annotations

import pytest

from wm_eval_ros.cli.retrain_gate import gate, Outcomes
from wm_eval_ros.records import Verdict
from wm_eval_ros.scoring.evidence import EpisodeEvidence, Evidence
from wm_eval_ros.scoring.scorecard import EpisodeResult
from wm_eval_ros.training.case import load_case

CASE = load_case('reacher_friction', {'margin': 0.1, 'back_margin': 0.15})


def run(solved: str, *, shifted: bool = False) -> Evidence:
    """Return the evidence of a run, an `s` for every start that was solved."""
    settings = {'perturbations': [{'name': 'physical.friction'}]} if shifted else {}
    return Evidence(
        {'task': 't', 'settings': settings}, ('r',), (), tuple(
            EpisodeEvidence(EpisodeResult(e, 'success' if letter == 's' else 'timeout', 100 + e,
                                          False, 60, 3.0, 60, 0), 3.0)
            for e, letter in enumerate(solved)))


def outcomes(nominal: str, shifted: str) -> Outcomes:
    return Outcomes(run(nominal), run(shifted, shifted=True))


@pytest.mark.parametrize(('looks', 'verdict'), [(1, Verdict.PASS), (3, Verdict.INCONCLUSIVE)])
def test_what_one_look_shows_is_not_shown_when_three_may_look(looks: int,
                                                              verdict: Verdict) -> None:
    # under the shift six pairs of 60 for the new model and none against: p = 0.031
    old, new = outcomes('s' * 60, '-' * 60), outcomes('s' * 60, 's' * 6 + '-' * 54)
    found, told = gate(new, old, CASE, looks)
    assert found.conditions[0].verdict is verdict
    assert told['alpha'] == pytest.approx(0.05 / looks)


@pytest.mark.parametrize(('looks', 'verdict'), [(1, Verdict.PASS), (3, Verdict.INCONCLUSIVE)])
def test_the_loss_ruled_out_under_the_old_condition_is_wider_of_more_looks(
        looks: int, verdict: Verdict) -> None:
    # 0 - 0 of 49: Tango's interval begins at -z^2 / (n + z^2): -0.073 for z = 1.960, -0.105 for
    # z = 2.394
    old, new = outcomes('s' * 49, '-' * 49), outcomes('s' * 49, 's' * 49)
    found, _ = gate(new, old, CASE, looks)
    assert found.conditions[1].verdict is verdict


def test_back_is_held_against_the_old_model_under_the_old_condition() -> None:
    # as good as the old model under the shift ever was: neither better nor back
    old = outcomes('s' * 60, 's' * 30 + '-' * 30)
    same, told = gate(old, old, CASE, 1)
    assert (same.verdict, same.back) == (Verdict.INCONCLUSIVE, False)
    assert told['regained']['contrasts'][0]['success']['difference']['value'] == -0.5
    assert gate(outcomes('s' * 60, 's' * 60), old, CASE, 1)[0].back
