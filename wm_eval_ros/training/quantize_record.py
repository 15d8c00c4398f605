"""What is found of a model with fewer bits: one record a cell, and what they say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wm_eval_ros.stats.estimate import Estimate
from wm_eval_ros.stats.paired import Difference, paired_difference
from wm_eval_ros.stats.proportion import Proportion

#: layout of report.json; raised whenever a reader of the old layout would misread the new
QUANTIZE_SCHEMA = 1
#: the cell that all others are held against
REFERENCE = 'fp32'
#: all modules at once
ALL = 'all'


@dataclass(frozen=True)
class Cell:
    """Which weights have how many bits, and how many share a scale."""

    #: fp32, bf16, or int2 to int8
    bits: str
    #: encoder, dynamics, read_out or all
    module: str = ALL
    #: tensor, channel or group; empty: bf16 and fp32 have no scales
    granularity: str = ''

    @property
    def name(self) -> str:
        """How it is asked for, such as ``int4/all/group``."""
        if self.bits == REFERENCE:
            return REFERENCE
        return '/'.join(part for part in (self.bits, self.module, self.granularity) if part)


@dataclass(frozen=True)
class EngineTime:
    """Time of one batch of candidates on an engine that really runs the precision."""

    #: value of ``planner.engine``
    engine: str
    #: value of ``planner.precision``
    precision: str
    #: median over the batches [ms]
    batch_ms: float
    #: over that of torch in fp32 beside it, median over the batches
    time_ratio: float


@dataclass(frozen=True)
class Imagined:
    """How a cell imagines, on states and episodes of the reference."""

    #: Spearman's correlation of the costs of candidates with those of the reference, median and
    #: smallest over the states; None: in no state are there two that differ and are finite
    rank: float | None
    rank_min: float | None
    #: states of which there is one
    states: int
    #: root mean square error after one step and after ten (or ``steps``), in standard deviations
    #: of the features in training; None: no episode is that long, or the model knows no deviations
    error_first: float | None
    error_last: float | None
    #: what persistence, that nothing changes, errs by
    still_first: float | None
    still_last: float | None
    #: steps of ``error_last``
    steps: int


@dataclass(frozen=True)
class Driven:
    """How a cell did closed loop."""

    #: whether each episode was solved, in the order of the seeds
    solved: tuple[bool, ...]
    #: time to success, or to the episode's end where there was none, to the slot [s]
    time_s: tuple[float, ...]
    #: mean over slots of what the executed plans were to cost; NaN where none was finite
    cost: tuple[float, ...]
    #: candidates whose rollout was not finite, over all episodes
    nonfinite: int
    #: Clopper-Pearson
    success: Proportion
    #: Spearman's correlation over episodes of the mean cost with failure, and with the time to
    #: success, failures last: above 0 where what the model finds dear goes wrong
    cost_failure: Estimate
    cost_time: Estimate
    #: the first of them over the slots alone that every episode of the cell has, and how many: a
    #: failure lasts longer, and its late slots may be cheap because it lingers near the goal
    early_failure: Estimate
    early_slots: int


@dataclass(frozen=True)
class CellResult:
    """One cell of the grid."""

    cell: Cell
    #: of all numbers the model stores, scales among them, at the bits of the cell
    size_bytes: int
    #: scales among them
    scales: int
    driven: Driven
    #: success beside the reference on the same starts, Tango's interval
    difference: Difference
    #: episodes that only this cell solved, and only the reference
    gained: int
    lost: int
    imagined: Imagined
    #: empty: no engine runs it, ``why_no_latency`` says why
    latency: tuple[EngineTime, ...] = ()
    why_no_latency: str = ''

    @property
    def falls(self) -> bool:
        """Whether success is shown to be below the reference's."""
        return self.difference.high < 0


@dataclass(frozen=True)
class Trial:
    """A whole grid; the first result is the reference."""

    results: tuple[CellResult, ...]
    #: least rank correlation that counts as the same order
    least_rank: float

    @property
    def reference(self) -> CellResult:
        """Return fp32."""
        return self.results[0]

    @property
    def others(self) -> tuple[CellResult, ...]:
        """Return the cells with fewer bits."""
        return self.results[1:]

    @property
    def episodes(self) -> int:
        """Return the number of episodes of each cell."""
        return len(self.reference.driven.solved)

    @property
    def fell_though_ranked(self) -> tuple[CellResult, ...]:
        """Return the cells that lost success although they order candidates as fp32 does."""
        return tuple(r for r in self.others if r.falls and self._ranked(r))

    @property
    def held_though_misranked(self) -> tuple[CellResult, ...]:
        """Return the cells not shown to lose success although they order candidates otherwise."""
        return tuple(r for r in self.others if not r.falls and not self._ranked(r)
                     and r.imagined.rank is not None)

    @property
    def smallest(self) -> CellResult | None:
        """
        Return the smallest cell whose success is not shown to be below the reference's.

        None where no fall would be shown, however many of its episodes were lost.
        """
        return self._smallest([r for r in self.results if not r.falls])

    @property
    def smallest_ranked(self) -> CellResult | None:
        """Return the smallest of those that order candidates as the reference does, too."""
        return self._smallest([r for r in self.results if not r.falls and self._ranked(r)])

    @property
    def least_shown(self) -> int | None:
        """Return how many episodes a cell must lose for a fall to be shown; None: all are few."""
        won, n = sum(self.reference.driven.solved), self.episodes
        return next((c for c in range(1, won + 1) if paired_difference(0, c, n).high < 0), None)

    def _smallest(self, results: Sequence[CellResult]) -> CellResult | None:
        if self.least_shown is None:
            return None
        return min(results, key=lambda r: r.size_bytes, default=None)

    def _ranked(self, result: CellResult) -> bool:
        rank = result.imagined.rank
        return rank is not None and rank >= self.least_rank
