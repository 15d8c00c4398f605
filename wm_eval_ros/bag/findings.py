"""What is worth knowing about a bag, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wm_eval_ros.records import NameEnum, Verdict

NS_PER_MS = 1e6
NS_PER_S = 1e9
_NS_PER_DAY = 86_400 * NS_PER_S
#: of many names so many are told
_NAMED = 4


class Severity(NameEnum):
    """How much a finding weighs."""

    INFO = 'info'
    WARNING = 'warning'
    #: the bag cannot be scored
    ERROR = 'error'


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing worth knowing about a bag."""

    severity: Severity
    #: what kind of thing: count, order, gap, lost, clock, repeats, unreadable, run_info, ...
    kind: str
    #: topic it is about, empty: the whole bag
    topic: str
    #: one sentence
    what: str
    #: the figure behind it, in the unit the sentence names
    value: float | None = None
    #: when it began [ns, system]; None where it has no one time
    at_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Preflight:
    """What was found."""

    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """ERROR where the bag is broken for scoring, else PASS: never FAIL."""
        broken = any(f.severity is Severity.ERROR for f in self.findings)
        return Verdict.ERROR if broken else Verdict.PASS


def info(kind: str, topic: str, what: str, value: float | None = None,
         at_ns: int | None = None) -> Finding:
    """Return a finding that is only told."""
    return Finding(Severity.INFO, kind, topic, what, value, at_ns)


def warning(kind: str, topic: str, what: str, value: float | None = None,
            at_ns: int | None = None) -> Finding:
    """Return a finding that a reader of the figures has to know."""
    return Finding(Severity.WARNING, kind, topic, what, value, at_ns)


def error(kind: str, topic: str, what: str, value: float | None = None,
          at_ns: int | None = None) -> Finding:
    """Return a finding that keeps the bag from being scored."""
    return Finding(Severity.ERROR, kind, topic, what, value, at_ns)


def duration(span_ns: float) -> str:
    """
    Return the size of a time span in a unit that suits it.

    >>> duration(-1_500_000), duration(32.6e9), duration(5.7e15)
    ('1.5 ms', '32.6 s', '66.0 days')
    """
    span_ns = abs(span_ns)
    if span_ns < NS_PER_S:
        ms = span_ns / NS_PER_MS
        return f'{ms:.0f} ms' if ms >= 100 else f'{ms:.1f} ms'
    if span_ns < 2 * _NS_PER_DAY:
        return f'{span_ns / NS_PER_S:.1f} s'
    return f'{span_ns / _NS_PER_DAY:.1f} days'


def named(names: Sequence[str]) -> str:
    """
    Return names as text, of many the first.

    >>> named(['/a', '/b']), named(['/a', '/b', '/c', '/d', '/e', '/f'])
    ('/a, /b', '/a, /b, /c, /d and 2 more')
    """
    more = len(names) - _NAMED
    return ', '.join(names[:_NAMED]) + (f' and {more} more' if more > 0 else '')


def into_bag(at_ns: int, start_ns: int) -> str:
    """Return where in a bag an instant lies."""
    return f'{(at_ns - start_ns) / NS_PER_S:.1f} s into the bag'
