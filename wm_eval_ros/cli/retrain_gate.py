"""The gate of a retraining: two models, each run under both conditions on the same starts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TYPE_CHECKING

from wm_eval_ros.errors import BagError
from wm_eval_ros.records import Verdict
from wm_eval_ros.scoring.contrast import Question
from wm_eval_ros.scoring.evidence import Evidence
from wm_eval_ros.scoring.promotion import Condition, judge, Promotion
from wm_eval_ros.scoring.ranking import compare
from wm_eval_ros.stats.proportion import clopper_pearson

if TYPE_CHECKING:
    from wm_eval_ros.training.case import Case

#: chance that the gate errs, over all that are judged on the same starts
ALPHA = 0.05
#: the success under the shift is held against that without it
_ACROSS = frozenset({'perturbations'})


@dataclass(frozen=True)
class Outcomes:
    """What one model did under both conditions."""

    nominal: Evidence
    shifted: Evidence


def gate(new: Outcomes, old: Outcomes, case: Case,
         looks: int) -> tuple[Promotion, dict[str, Any]]:
    """
    Judge a retrained model against the one it was made of; return that, and what is told of it.

    :param looks: how many candidates are judged on these starts at most; the error allowed is
        shared among them (Bonferroni), so that more rounds are no more chances to pass by luck
    """
    asked = Question(alpha=ALPHA / looks)
    kept = compare([new.nominal, old.nominal], asked)
    gained = compare([new.shifted, old.shifted], asked)
    regained = compare([new.shifted, old.nominal], replace(asked, waived=_ACROSS))
    found = judge(gained.contrasts[0], kept.contrasts[0], regained.contrasts[0],
                  margin=case.margin, back_margin=case.back_margin)
    return found, {
        'success': {'nominal': rate_of(new.nominal), 'shifted': rate_of(new.shifted)},
        'alpha': asked.alpha, 'old_condition': kept.to_dict(), 'new_condition': gained.to_dict(),
        'regained': regained.to_dict(), 'verdict': found.verdict.value, 'back': found.back,
        'conditions': _told(found)}


def turned_down(found: Promotion, told: dict[str, Any]) -> Promotion:
    """
    Turn down a candidate that training made nothing better of: it is no retrained model.

    :param found: what it did, as :func:`gate` judged it
    :param told: what is told of that; verdict and conditions are amended
    """
    why = Condition('training', Verdict.FAIL, 'nothing better came of it; these are the weights '
                    'that it began with')
    found = Promotion(Verdict.FAIL, (*found.conditions, why), back=False)
    told |= {'verdict': found.verdict.value, 'back': found.back, 'conditions': _told(found)}
    return found


def _told(found: Promotion) -> list[dict[str, str]]:
    return [{'name': c.name, 'verdict': c.verdict.value, 'sentence': c.sentence}
            for c in found.conditions]


def rate_of(evidence: Evidence) -> dict[str, Any]:
    """
    Return the success of a run with its Clopper-Pearson interval.

    :raises BagError: no episode was decided
    """
    counted = [e for e in evidence.episodes if e.decided]
    if not counted:
        raise BagError(f'{", ".join(evidence.run_ids)}: no episode was decided; look at its bag '
                       'with `wm-eval score`')
    good = sum(e.succeeded for e in counted)
    found = clopper_pearson(good, len(counted))
    return {'successes': good, 'episodes': len(counted), 'value': found.value,
            'low': found.low, 'high': found.high}
