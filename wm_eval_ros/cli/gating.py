"""Gates on a scored bag, for the verbs that score one."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
import sys
from typing import TYPE_CHECKING

from wm_eval_ros.cli.outputs import write_files
from wm_eval_ros.config.gate import GateProfile, load_gates
from wm_eval_ros.config.scenario import Scenario
from wm_eval_ros.errors import (
    ConfigError,
    EXIT_BAD_INPUT,
    EXIT_FAIL,
    EXIT_INCONCLUSIVE,
    EXIT_PASS,
)
from wm_eval_ros.records import Verdict

if TYPE_CHECKING:
    from wm_eval_ros.cli.reading import Scored
    from wm_eval_ros.scoring.gates import GateReport

#: what a verdict ends a command with
EXIT_CODES = {Verdict.PASS: EXIT_PASS, Verdict.FAIL: EXIT_FAIL,
              Verdict.INCONCLUSIVE: EXIT_INCONCLUSIVE, Verdict.ERROR: EXIT_BAD_INPUT}
_MS_TO_NS = 1e6


def add_gates(parser: argparse.ArgumentParser) -> None:
    """Declare the option."""
    parser.add_argument('--gates', metavar='PROFILE',
                        help='gate profile, a shipped name or a YAML file; decides the exit code')


def profile_of(args: argparse.Namespace) -> GateProfile | None:
    """
    Return the profile asked for; None where none is.

    :raises ConfigError: there is none of that name, it does not fit, or it gates what no run has
    """
    if not args.gates:
        return None
    from wm_eval_ros.scoring.gates import check_families
    profile = load_gates(args.gates)
    check_families(profile)
    return profile


def require_conditions(profile: GateProfile, scenario: Scenario) -> None:
    """
    Refuse a run that could not meet the conditions of its own gates.

    :raises ConfigError: naming the condition
    """
    from wm_eval_ros.config.schema import to_plain
    from wm_eval_ros.scoring.gates import hold_conditions
    planner = scenario.planner
    facts = {'clock': scenario.clock, 'deadline_ns': round(planner.deadline_ms * _MS_TO_NS),
             'period_ns': round(planner.period_ms * _MS_TO_NS),
             'settings': {'plant': to_plain(scenario.plant),
                          'replay': to_plain(scenario.replay)}}
    for condition in hold_conditions(profile, facts):
        if condition.verdict is not Verdict.PASS:
            raise ConfigError(f'--gates {profile.name}: {condition.name}: {condition.sentence}')


def judge(found: Scored, profile: GateProfile) -> tuple[Scored, GateReport]:
    """Hold a scored bag against a profile; the gates join its checks."""
    from wm_eval_ros.report.checks import gate_checks
    from wm_eval_ros.scoring.gates import evaluate
    report = evaluate(profile, found.card)
    return replace(found, checks=(*found.checks, *gate_checks(report))), report


def conclude(found: Scored, report: GateReport, folder: Path, *, as_json: bool) -> int:
    """
    Print scorecard and gates, write gates.json and return the exit code of the verdict.

    :param found: the judged bag
    :raises RecordingError: the folder cannot be written
    """
    from wm_eval_ros.report.checks import overall
    from wm_eval_ros.report.text import table
    from wm_eval_ros.scoring.scorecard import canonical
    verdict = overall(found.checks)
    gates = {**report.to_dict(), 'verdict': verdict}
    if as_json:
        sys.stdout.write(canonical({**found.card.to_dict(), 'gates': gates}) + '\n')
    else:
        sys.stdout.write(f'{table(found.card)}\n{_table(found, report)}'
                         f'gates {report.profile.name}: {verdict.value.upper()}\n')
    write_files(folder, {'gates.json': canonical(gates) + '\n'})
    return EXIT_CODES[verdict]


def _table(found: Scored, report: GateReport) -> str:
    from wm_eval_ros.report.checks import GATE
    from wm_eval_ros.report.text import aligned
    rows = [['verdict', 'gate', 'evidence'],
            *([r.verdict.value.upper(), r.name, r.sentence] for r in report.results),
            *(['ERROR', f'{c.group}: {c.name}', c.text] for c in found.checks
              if c.verdict is Verdict.ERROR and c.group != GATE)]
    return aligned(rows) + '\n'


def write_broken(folder: Path, why: str) -> None:
    """
    Write a JUnit file of one error for a bag that cannot be scored at all.

    :raises RecordingError: the folder cannot be written
    """
    from wm_eval_ros.report.checks import Check
    from wm_eval_ros.report.files import junit
    from wm_eval_ros.scoring.scorecard import Scorecard
    check = Check('bag', Verdict.ERROR, why, 'preflight')
    write_files(folder, {'junit.xml': junit(Scorecard({}, {}, (), ()), [check])})
