"""The choice of units, images or objects: enough of each class, the rest over the whole range.

Shape shorthand: N units. Pairs say which unit has which class.
"""

from typing import NamedTuple

import numpy as np

# Number of ranges of scores: Zheng et al., section 4.
NUM_STRATA = 50

Pairs = tuple[np.ndarray, np.ndarray]


class Selection(NamedTuple):
    """What became of each unit.

    Attributes:
        is_kept: (N,) bool.
        needed_by: (N,) int64, the class for whose sake a unit is kept, -1 for none.
        strata: (N,) int64, the range of scores of the other units, from 0, -1 for none.
    """

    is_kept: np.ndarray
    needed_by: np.ndarray
    strata: np.ndarray


def select(
    scores: np.ndarray, number: int, pairs: Pairs, *, floor: int, generator: np.random.Generator
) -> Selection:
    """Keep units: first the ``floor`` highest ones of each class, from the rarest class on.

    The others are drawn in :data:`NUM_STRATA` ranges of equal width between the lowest and the
    highest score: all ranges keep the same number of units, or all that they have. At high rates of
    pruning, the hardest alone, without typical ones, teach less than a random part: Sorscher et
    al., "Beyond Neural Scaling Laws: Beating Power Law Scaling via Data Pruning", NeurIPS 2022,
    https://arxiv.org/abs/2206.14486. Sampling in strata: Zheng et al., "Coverage-centric Coreset
    Selection for High Pruning Rates", ICLR 2023, https://arxiv.org/abs/2210.15809, algorithm 1.

    Args:
        scores: (N,) finite scores.
        number: number of units to keep, in [0, N].
        pairs: units and classes, each pair once.
        floor: least number of units to keep of each class, or all that it has.
        generator: source of randomness, also for the order of equal scores.

    Raises:
        ValueError: ``number`` is less than the classes need; its only argument is the number that
            they need.
    """
    needed_by = _needed(scores, pairs, floor, generator)
    left = number - int((needed_by >= 0).sum())
    if left < 0:
        raise ValueError(number - left)
    strata = np.full(len(scores), -1)
    others = np.flatnonzero(needed_by < 0)
    strata[others] = _strata_of(scores[others])
    is_kept = needed_by >= 0
    is_kept[_drawn(strata, left, generator)] = True
    return Selection(is_kept, needed_by, strata)


def _needed(
    scores: np.ndarray, pairs: Pairs, floor: int, generator: np.random.Generator
) -> np.ndarray:
    units, classes = pairs
    needed_by = np.full(len(scores), -1)
    ranks = np.empty(len(scores), dtype=np.int64)
    ranks[np.lexsort((generator.random(len(scores)), -scores))] = np.arange(len(scores))
    numbers, counts = np.unique(classes, return_counts=True)
    for number in numbers[np.argsort(counts, kind="stable")]:
        own = units[classes == number]
        missing = min(floor, len(own)) - int((needed_by[own] >= 0).sum())
        free = own[needed_by[own] < 0]
        needed_by[free[np.argsort(ranks[free])][: max(missing, 0)]] = number
    return needed_by


def _strata_of(scores: np.ndarray) -> np.ndarray:
    if len(scores) == 0:
        return np.zeros(0, dtype=np.int64)
    width = (scores.max() - scores.min()) / NUM_STRATA
    if width == 0:
        return np.zeros(len(scores), dtype=np.int64)
    places = np.floor((scores - scores.min()) / width).astype(np.int64)
    return np.minimum(places, NUM_STRATA - 1)


def _drawn(strata: np.ndarray, number: int, generator: np.random.Generator) -> np.ndarray:
    """Draw ``number`` units that have a stratum, from the smallest strata on."""
    found, sizes = np.unique(strata[strata >= 0], return_counts=True)
    drawn = [np.zeros(0, dtype=np.int64)]
    order = np.argsort(sizes, kind="stable")
    for position, place in enumerate(order):
        share = min(int(sizes[place]), number // (len(order) - position))
        members = np.flatnonzero(strata == found[place])
        drawn.append(generator.choice(members, share, replace=False))
        number -= share
    return np.concatenate(drawn)
