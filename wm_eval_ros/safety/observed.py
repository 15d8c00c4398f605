"""The newest observed features by name, as far as they are fresh."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import math

from wm_eval_ros.errors import ConfigError


class Observed:
    """What the gate knows of the plant's state."""

    def __init__(self, names: Sequence[str], stale_ns: int) -> None:
        """
        Know nothing yet.

        :param names: names of the features in the order of the interface, shape (F,)
        :param stale_ns: a value older than this is unknown again [ns]
        """
        self.names = tuple(names)
        self._stale_ns = stale_ns
        self._known: dict[str, tuple[float, int]] = {}

    def require(self, features: Iterable[str], who: str) -> None:
        """
        Check that the interface observes what is needed.

        :param who: the setting that needs it, for the message
        :raises ConfigError: a feature is not observed
        """
        for name in features:
            if name not in self.names:
                raise ConfigError(f'supervisor.{who}: {name!r} is not observed; the interface '
                                  f'has {", ".join(self.names)}')

    def update(self, first: int, values: Sequence[float], now_ns: int) -> None:
        """Take in the features of one stream, beginning at an index of the names."""
        for name, value in zip(self.names[first:], values, strict=False):
            self._known[name] = (value, now_ns)

    def value(self, name: str, now_ns: int) -> float | None:
        """Return a feature in physical units; None where unknown, not finite or stale."""
        value, known_ns = self._known.get(name, (math.nan, now_ns))
        fresh = math.isfinite(value) and now_ns - known_ns <= self._stale_ns
        return value if fresh else None
