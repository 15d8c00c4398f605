"""Settings of the recorder."""

from __future__ import annotations

from dataclasses import dataclass

from wm_eval_ros.config.schema import setting


@dataclass(frozen=True, kw_only=True)
class RecorderSettings:
    """The recorder."""

    exclude: tuple[str, ...] = setting((), doc='topics of the interface that are not recorded')
