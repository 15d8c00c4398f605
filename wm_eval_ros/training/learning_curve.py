"""A learning curve: one recipe's models on ever more of its own data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from wm_eval_ros.errors import ConfigError
from wm_eval_ros.training.recipe import Recipe
from wm_eval_ros.training.settings import Progress
from wm_eval_ros.training.trainer import train, TrainResult
from wm_eval_ros.training.trajectory import Dataset

#: training and validation need an episode each
LEAST_EPISODES = 2


@dataclass(frozen=True)
class Lesson:
    """One model of a learning curve."""

    #: names its folder
    label: str
    #: episodes it was trained on, its held-out ones among them
    episodes: int
    #: seed of split, initialisation and batches
    seed: int


def halvings(total: int, points: int) -> tuple[int, ...]:
    """
    Return amounts of episodes in ascending order: all of them, half of them, and so on.

    >>> halvings(80, 4), halvings(5, 9)
    ((10, 20, 40, 80), (2, 5))
    """
    found = {total >> i for i in range(points)}
    return tuple(sorted(n for n in found if n >= LEAST_EPISODES))


def episodes_of(recipe: Recipe) -> int:
    """Return the number of episodes a recipe collects."""
    return sum(stage.episodes for stage in recipe.rounds)


def lessons(total: int, amounts: Sequence[int], seeds: int, base: int) -> tuple[Lesson, ...]:
    """
    Return what is to be trained, in ascending order of the amount.

    :param total: episodes there are
    :param seeds: training seeds per amount, counted up from ``base``
    :raises ConfigError: an amount is below 2, above the total, or there twice
    """
    for amount in amounts:
        if not LEAST_EPISODES <= amount <= total:
            raise ConfigError(f'--amounts: {amount} episodes; give {LEAST_EPISODES} to {total}, '
                              'as many as the recipe collects')
    if len(set(amounts)) != len(amounts) or not amounts:
        raise ConfigError('--amounts: give each amount once')
    width = len(str(max(amounts)))
    return tuple(Lesson(f'e{amount:0{width}d}_s{base + i}', amount, base + i)
                 for amount in sorted(amounts) for i in range(seeds))


def prefix(data: Dataset, episodes: int, name: str) -> Dataset:
    """
    Return the first episodes of a recipe, in the order in which they were collected.

    What a learner that stopped there would have had: the models that drove later rounds were
    trained on earlier ones only, so no prefix holds what a longer one has taught.

    :param episodes: how many, 1 to the number there are
    :param name: of the recipe, for the card
    """
    kept = sorted({t.episode for t in data.trajectories})[:episodes]
    chosen = tuple(t for t in data.trajectories if t.episode in set(kept))
    first = f'the first {len(kept)} of {data.episodes} episodes of recipe {name}:'
    return replace(data, trajectories=chosen, sources=(first, *data.sources))


def learn(
    recipe: Recipe, name: str, data: Dataset, wanted: Sequence[Lesson],
    say: Callable[[str], Progress],
) -> Iterator[tuple[Lesson, TrainResult]]:
    """
    Train the models of a learning curve, one after the other.

    All have the recipe's settings but the seed; ``provenance.transitions`` of each is the number
    of environment steps it was given.

    :param say: makes the progress function of a phase from its name
    """
    for i, lesson in enumerate(wanted):
        part = prefix(data, lesson.episodes, name)
        settings = replace(recipe.train, seed=lesson.seed)
        title = f'training on {lesson.episodes} episodes ({i + 1} of {len(wanted)})'
        yield lesson, train(part, settings, lesson.label, say(title))
