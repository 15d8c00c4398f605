"""Audit records of slots as JSON lines, each of which stands alone."""

from __future__ import annotations

from hashlib import sha256
import json
from typing import Any

from wm_eval_ros.records import CycleRecord, RunInfo
from wm_eval_ros.report.exports.jsonl import line

#: layout of a line; raised whenever a reader of the old layout would misread the new
AUDIT_SCHEMA = 1


def run_facts(info: RunInfo | None) -> dict[str, Any]:
    """Return what every line says of its run: which one, of what version, under which model."""
    if info is None:
        return {'run_id': '', 'package_version': '', 'git_commit': '', 'planner': '', 'model': {}}
    model = {name: info.model[name] for name in ('name', 'version', 'sha256', 'family')
             if name in info.model}
    return {'run_id': info.run_id, 'package_version': info.package_version,
            'git_commit': info.git_commit, 'planner': info.planner, 'model': model}


def audit_line(record: CycleRecord, data: bytes, log_ns: int, facts: dict[str, Any]) -> str:
    """
    Return a slot's record as one line.

    :param data: its CDR bytes, the form that the chain of the bag is made of
    :param log_ns: arrival at the recorder [ns, system]
    :param facts: of the run, see `run_facts`
    """
    slot = json.loads(line(record))
    return json.dumps({'schema_version': AUDIT_SCHEMA, 'run': facts, 'log_ns': log_ns,
                       'cdr_sha256': sha256(data).hexdigest(), **slot},
                      ensure_ascii=False, allow_nan=False) + '\n'
