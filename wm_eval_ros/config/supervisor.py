"""Settings of the supervisor: what passes the command gate, and what is commanded instead."""

from __future__ import annotations

from dataclasses import dataclass

from wm_eval_ros.config.schema import setting


@dataclass(frozen=True, kw_only=True)
class SupervisorSettings:
    """The command gate, last before the plant."""

    stale_periods: float = setting(2.0, doc='no fresh command for this many periods: fallback',
                                   low=1.0)
    stop_ms: float = setting(500.0, doc='no fresh command for this long: stopped', unit='ms',
                             low=1.0)
    fallback: str = setting('zero', doc='command of the fallback: zero, or hold the last one',
                            choices=('zero', 'hold'))
