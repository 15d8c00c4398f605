"""The end of a retraining: what passed is tried again, on fresh starts, before it is in force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from wm_eval_ros.cli.outputs import copy_folder
from wm_eval_ros.cli.retrain_case import CALIBRATION, Model, Stages
from wm_eval_ros.cli.retrain_gate import gate, Outcomes, rate_of
from wm_eval_ros.cli.retrain_watch import watch_bag
from wm_eval_ros.cli.sides import evidence_of
from wm_eval_ros.errors import CheckpointError
from wm_eval_ros.models.checkpoint import load_spec
from wm_eval_ros.models.registry import Registry
from wm_eval_ros.records import Verdict
from wm_eval_ros.scoring.promotion import Promotion


@dataclass(frozen=True)
class Candidate:
    """A model that was trained and judged in a round."""

    model: Model
    promotion: Promotion
    #: what the report tells of its round
    entry: dict[str, Any]


def settle(stages: Stages, registry: Registry, tried: Sequence[Candidate],
           report: dict[str, Any]) -> Verdict:
    """
    Put all that was tried into the registry, and the last that passed in force.

    Not before it has passed the gate again, on starts by which nothing was chosen, and driven as
    deployed: what is in force until then is what was before the retraining, and stays so whatever
    ends this process, and when.

    :returns: PASS: a version was put in force
    :raises CheckpointError: another version came in force meanwhile, which nothing was compared
        with; it stays
    """
    chosen = next((c for c in reversed(tried) if c.promotion.verdict is Verdict.PASS), None)
    if chosen is not None:
        registry.use_starts(max(registry.versions()), stages.case.seeds().values())
    confirmed = None if chosen is None else _confirm(stages, chosen, report)
    for candidate in tried:
        version = registry.add(partial(copy_folder, candidate.model.folder), {})
        candidate.entry['version'] = version
        again = confirmed if candidate is chosen else None
        if again is None or again.verdict is not Verdict.PASS:
            registry.reject(version, _facts(candidate.promotion, again))
    if chosen is None or confirmed is None:
        return tried[-1].promotion.verdict
    if confirmed.verdict is not Verdict.PASS:
        return confirmed.verdict
    version, facts = chosen.entry['version'], _facts(chosen.promotion, confirmed)
    if (fault := _last_check(stages, registry, version, facts, report)) is not None:
        report['turned_down'] = fault
        registry.reject(version, {'verdict': Verdict.FAIL.value, 'why': [*facts['why'], fault]})
        return Verdict.FAIL
    _promote(stages, registry, version, facts)
    return Verdict.PASS


def _promote(stages: Stages, registry: Registry, version: int, facts: dict[str, Any]) -> None:
    """Put a version in force, unless what it was compared with no longer is."""
    now = registry.current()
    if now is None or load_spec(registry.path(now)).sha256 != stages.old.sha256:
        why = f'version {now} came in force meanwhile and was not compared with'
        registry.reject(version, {**facts, 'why': [*facts['why'], why]})
        raise CheckpointError(f'{registry.folder}: version {version} is not promoted: {why}; '
                              'retrain anew')
    registry.promote(version, facts)


def _confirm(stages: Stages, chosen: Candidate, report: dict[str, Any]) -> Promotion:
    """Calibrate on starts of its own, then run both models under both conditions on fresh ones."""
    bag = stages.run('calibrate_new',
                     stages.scenario(chosen.model, shifted=False, use='calibrate'),
                     'retrained model, old condition, to calibrate')
    chosen.entry['calibration'] = stages.calibrate(bag, chosen.model.folder / CALIBRATION)
    new, old = (Outcomes(*map(evidence_of, stages.both(f'confirm_{name}', model, 'confirm')))
                for name, model in (('new', chosen.model), ('old', stages.old)))
    found, told = gate(new, old, stages.case, looks=1)
    report['confirmed'] = told
    return found


def _facts(promotion: Promotion, confirmed: Promotion | None) -> dict[str, Any]:
    """Return what the history says of a decision and its grounds."""
    last = confirmed or promotion
    why = [f'{c.name}: {c.sentence}' for c in promotion.conditions]
    if confirmed is not None:
        why += [f'{c.name}, fresh starts: {c.sentence}' for c in confirmed.conditions]
    elif promotion.verdict is Verdict.PASS:
        why.append('a later round passed as well')
    return {'verdict': last.verdict.value, 'why': why}


def _last_check(stages: Stages, registry: Registry, version: int, facts: dict[str, Any],
                report: dict[str, Any]) -> str | None:
    """
    Run a version under the shift, as deployed: with its detector and the fallback.

    :returns: what speaks against it: success that is shown to lie below what the old model had
        under the old condition, and not above what that had under the shift; None: nothing
    """
    try:
        rate = _deployed(stages, registry, version, report)
    except BaseException as error:
        why = f'its last check did not finish: {str(error) or type(error).__name__}'
        registry.reject(version, {**facts, 'why': [*facts['why'], why]})
        raise
    old = report['success']
    if rate['high'] < old['nominal_old']['low'] and rate['low'] <= old['shifted_old']['high']:
        return f'success {rate["value"]:.2f} on fresh starts, with the fallback, is not back'
    return None


def _deployed(stages: Stages, registry: Registry, version: int,
              report: dict[str, Any]) -> dict[str, Any]:
    """Run a version with its own calibration; return its success."""
    folder = registry.path(version)
    scenario = stages.scenario(Model(folder, load_spec(folder).sha256), shifted=True,
                               calibration=folder / CALIBRATION, use='guard')
    bag = stages.run('guarded_new', scenario,
                     'retrained model, under the shift, with detector and fallback')
    rate = rate_of(evidence_of(bag))
    report['guarded'] = {**asdict(watch_bag(bag)), 'success': rate}
    return rate
