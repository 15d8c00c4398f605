"""Checks on the evidence, in the form every output shows them in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from wm_eval_ros.records import Verdict
from wm_eval_ros.scoring.gates import GateReport, worst
from wm_eval_ros.scoring.scorecard import Scorecard

#: group of the checks that hold the system under test against bounds
GATE = 'gate'


@dataclass(frozen=True, slots=True)
class Check:
    """One question put to the evidence, and the answer."""

    name: str
    verdict: Verdict
    #: what was found, in one sentence
    text: str
    #: `preflight`: of the bag; `evidence`: of the run; `gate`: of the system under test
    group: str = 'evidence'


def overall(checks: Iterable[Check]) -> Verdict:
    """
    Return the worst verdict; PASS where there is none.

    Where gates were held they decide, and beside them only evidence that is broken.
    """
    every = tuple(checks)
    if any(check.group == GATE for check in every):
        every = tuple(c for c in every if c.group == GATE or c.verdict is Verdict.ERROR)
    return worst(check.verdict for check in every)


def gate_checks(report: GateReport) -> tuple[Check, ...]:
    """Return a profile's gates and conditions as checks."""
    return tuple(Check(r.name, r.verdict, r.sentence, GATE) for r in report.results)


def evidence(card: Scorecard) -> tuple[Check, ...]:
    """Ask of a scorecard what any reader should know before believing it."""
    return (_manifest(card), _episodes(card), _slots(card))


def _manifest(card: Scorecard) -> Check:
    count = card.counts.get('manifests', 0)
    if count == 1:
        text = f'one manifest: {card.manifest.get("scenario", "")}, {card.manifest.get("clock")}'
        return Check('manifest', Verdict.PASS, text)
    if count == 0:
        text = 'no manifest was recorded: what ran is not known'
        return Check('manifest', Verdict.INCONCLUSIVE, text)
    return Check('manifest', Verdict.ERROR, f'{count} different manifests in one record')


def _episodes(card: Scorecard) -> Check:
    success = card['success_rate']
    if success.value is None:
        return Check('episodes', Verdict.INCONCLUSIVE, success.why)
    return Check('episodes', Verdict.PASS, f'{success.n} of {len(card.episodes)} were decided')


def _slots(card: Scorecard) -> Check:
    rate = card['deadline_miss_rate']
    if rate.value is None:
        return Check('slots', Verdict.INCONCLUSIVE, rate.why)
    lost = card['slots.unrecorded'].value
    if lost:
        text = f'{lost:g} of {rate.n} due slots have no record; they count as missed'
        return Check('slots', Verdict.INCONCLUSIVE, text)
    return Check('slots', Verdict.PASS, f'each of {rate.n} due slots has its record')
