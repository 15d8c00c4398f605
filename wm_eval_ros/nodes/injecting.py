"""The service that begins a perturbation now, as the plant and the relays answer it."""

from __future__ import annotations

from typing import Any

from wm_eval_ros.errors import WmEvalError
from wm_eval_ros.perturb.injector import Change, Injector, Outcome
from wm_eval_ros.perturb.request import requested


def answer(injector: Injector, task_ns: int | None, asked: Any, response: Any) -> Change | None:
    """
    Carry a request out, fill the response in, and return what is to be told as an event.

    :param task_ns: time since the episode's start [ns]; None: no episode is running
    """
    if task_ns is None:
        response.outcome, response.message = str(Outcome.SKIPPED), 'no episode is running'
        return None
    try:
        plan = requested(asked.name, asked.severity, asked.duration_s, int(asked.seed),
                         asked.parameters, task_ns)
        change = injector.inject(plan, task_ns)
    except WmEvalError as error:
        response.outcome, response.message = str(Outcome.UNSUPPORTED), str(error)
        return None
    response.outcome, response.message = str(change.outcome), change.why
    return change
