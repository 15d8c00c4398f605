"""Which episodes of two systems are held against each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wm_eval_ros.scoring.evidence import EpisodeEvidence

Episodes = tuple[EpisodeEvidence, ...]
#: pairs are used where they are at least this share of the smaller side's episodes
_WORTH_PAIRING = 0.5


@dataclass(frozen=True)
class Matched:
    """Episodes of two systems: pairs of one seed each, or two independent samples."""

    first: Episodes
    second: Episodes
    #: episode i of both is one pair, in the order of the seeds
    paired: bool
    #: how they were matched, in one sentence
    text: str = ''

    def where(self, keep: Callable[[EpisodeEvidence], bool]) -> Matched:
        """Keep episodes; of pairs, those both of whose episodes are kept."""
        if not self.paired:
            return Matched(tuple(filter(keep, self.first)), tuple(filter(keep, self.second)),
                           False, self.text)
        kept = [(a, b) for a, b in zip(self.first, self.second, strict=True)
                if keep(a) and keep(b)]
        return Matched(tuple(a for a, _ in kept), tuple(b for _, b in kept), True, self.text)

    @property
    def n(self) -> int:
        """Return the number of pairs, or of all episodes where unpaired."""
        return len(self.first) + (0 if self.paired else len(self.second))


def match(first: Sequence[EpisodeEvidence], second: Sequence[EpisodeEvidence]) -> Matched:
    """
    Pair episodes by seed.

    A seed that a side has twice names no pair. Where fewer than half of the smaller side's
    episodes find a partner all episodes are taken, as independent samples.
    """
    seeds = [_by_seed(side) for side in (first, second)]
    common = sorted(seeds[0].keys() & seeds[1].keys())
    if not worth_pairing(len(common), len(first), len(second)):
        return Matched(tuple(first), tuple(second), False, _unpaired_text(
            len(common), len(first), len(second)))
    left = tuple(len(side) - len(common) for side in (first, second))
    return Matched(tuple(seeds[0][s] for s in common), tuple(seeds[1][s] for s in common), True,
                   _paired_text(len(common), left))


def worth_pairing(common: int, first: int, second: int) -> bool:
    """
    Say whether two samples are taken as pairs: at half of the smaller one's episodes or more.

    Fewer pairs would leave most of the evidence out.

    :param common: seeds that both have
    """
    return common > 0 and common >= _WORTH_PAIRING * min(first, second)


def _by_seed(side: Sequence[EpisodeEvidence]) -> dict[int, EpisodeEvidence]:
    counts = Counter(e.result.seed for e in side)
    return {e.result.seed: e for e in side
            if e.result.seed is not None and counts[e.result.seed] == 1}


def _paired_text(pairs: int, left: tuple[int, ...]) -> str:
    text = f'{pairs} pairs of one seed each'
    if any(left):
        text += (f'; left out, for want of a partner of that seed: {left[0]} of the first, '
                 f'{left[1]} of the second')
    return text


def _unpaired_text(common: int, first: int, second: int) -> str:
    why = 'no seed is common' if not common else f'only {common} seeds are common'
    return f'{why}: {first} and {second} episodes as independent samples'
