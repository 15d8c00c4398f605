"""A comparison as a value: who was compared, on what, and what the evidence says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from wm_eval_ros.records import MetricValue, NameEnum, Verdict
from wm_eval_ros.scoring.scorecard import canonical, clean, EpisodeResult, value_json

#: layout of compare.json; raised whenever a reader of the old layout would misread the new
COMPARISON_SCHEMA = 1


class Better(NameEnum):
    """Which side the evidence speaks for."""

    FIRST = 'first_better'
    SECOND = 'second_better'
    #: neither is shown to be better: not the same as equal
    NEITHER = 'no_difference_shown'
    #: the two were not run under one condition, or a side has no evidence
    INCOMPARABLE = 'not_comparable'


class Rule(NameEnum):
    """Which test decides on success; the others are shown beside it."""

    #: exact McNemar, Boschloo where unpaired: the number of episodes was fixed beforehand
    BATCH = 'batch'
    #: the sign e-test over the pairs in the order of their seeds: valid under peeking
    SEQUENTIAL = 'sequential'


@dataclass(frozen=True, slots=True)
class Side:
    """One of the systems compared: one or more runs under one manifest."""

    #: A, B, C ... in the order given
    letter: str
    #: planner and model in words, such as `cem, model reacher`
    title: str
    #: the manifest's fields that say what was run; equal over all runs of the side
    manifest: dict[str, Any]
    #: runs it is made of, sorted
    run_ids: tuple[str, ...]
    #: the figures compared, over all episodes of the side, paired or not
    figures: tuple[MetricValue, ...]
    #: by seed, then by outcome; `episode` numbers are those of the runs
    episodes: tuple[EpisodeResult, ...]
    #: what this side cannot give and why, such as `only its scorecard is there: ...`
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HypothesisTest:
    """One test of the hypothesis that neither side is better."""

    #: `exact McNemar`, `Boschloo`, `sign e-test`
    name: str
    #: p-value, or e-value of the sequential test; None where there is nothing to test
    value: float | None
    #: a p-value at most, an e-value at least this speaks for a difference
    threshold: float
    #: pairs or episodes that say something about the question, such as discordant pairs
    n: int
    shown: bool
    #: the p-value of the deciding test among several comparisons (Holm); None of one alone
    adjusted: float | None = None
    why: str = ''


@dataclass(frozen=True, slots=True)
class Effect:
    """The difference of one figure between two sides."""

    name: str
    unit: str
    higher_is_better: bool
    #: the figure of either side, over the episodes that are compared
    first: MetricValue
    second: MetricValue
    #: first - second with its interval; None with the reason where it cannot be given
    difference: MetricValue
    better: Better
    tests: tuple[HypothesisTest, ...] = ()


@dataclass(frozen=True, slots=True)
class Discordance:
    """Paired outcomes of two sides."""

    both: int
    only_first: int
    only_second: int
    neither: int

    @property
    def pairs(self) -> int:
        """Return the number of pairs."""
        return self.both + self.only_first + self.only_second + self.neither


@dataclass(frozen=True, slots=True)
class EvidencePoint:
    """The sequential test after one more pair."""

    #: seed of the pair; pairs are taken in the order of their seeds
    seed: int
    #: pairs so far in which only the first, only the second side succeeded
    only_first: int
    only_second: int
    #: two-sided e-value so far; None beyond what a float holds
    e_value: float | None


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two sides held against each other."""

    #: letters of the sides
    first: str
    second: str
    #: episodes are paired by seed; otherwise the tests are those of independent samples
    paired: bool
    #: in one sentence: how many pairs, what was left out and why
    pairing: str
    #: None where unpaired
    table: Discordance | None
    #: what decides
    success: Effect
    #: latencies, misses, time to success, prediction; they decide nothing
    others: tuple[Effect, ...]
    #: the sequential test along the pairs; empty where unpaired
    path: tuple[EvidencePoint, ...]
    better: Better
    sentence: str
    #: pairs (or episodes a side) about which a difference like the one seen would be shown
    needed: int | None = None
    needed_why: str = ''


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything `wm-eval compare` says."""

    sides: tuple[Side, ...]
    #: every two sides, in the order of their letters; one where two are compared
    contrasts: tuple[Contrast, ...]
    rule: Rule
    alpha: float
    #: PASS: the first side is shown to be better (than every other); FAIL: another is shown to be
    #: better than the first; else INCONCLUSIVE
    verdict: Verdict
    sentence: str
    #: compact letter display over success: sides that share a letter are not shown to differ;
    #: empty for two sides
    letters: dict[str, str] = field(default_factory=dict)
    #: success(oracle dynamics) - success(learned); None where not exactly one side is an oracle
    planning_gap: MetricValue | None = None
    #: conditions in which the sides differ, and other things to know before believing it
    notes: tuple[str, ...] = ()
    schema_version: int = COMPARISON_SCHEMA

    def side(self, letter: str) -> Side:
        """
        Return the side of that letter.

        :raises KeyError: there is none
        """
        for side in self.sides:
            if side.letter == letter:
                return side
        raise KeyError(letter)

    def to_dict(self) -> dict[str, Any]:
        """Return it in JSON's own types."""
        found: dict[str, Any] = _plain(self)
        return found

    def to_json(self) -> str:
        """Return canonical JSON, ending in a newline: equal inputs give equal bytes."""
        return canonical(self.to_dict()) + '\n'


def _plain(value: Any) -> Any:
    if isinstance(value, MetricValue):
        return value_json(value)
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if hasattr(value, '__dataclass_fields__'):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return clean(value)
