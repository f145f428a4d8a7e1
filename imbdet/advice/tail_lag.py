"""Whether objects of rare classes are learnt less than others."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from imbdet.advice.class_tail import ClassTail
from imbdet.advice.ledger_doubts import LedgerDoubts

# The quantile of the normal distribution for an interval of 95 %.
_Z = 1.96


class Learnt(NamedTuple):
    """Numbers of objects of some classes that were judged, and of these that were not learnt."""

    judged: int
    not_learnt: int

    @property
    def share(self) -> float:
        """Share of the judged objects that were not learnt."""
        return self.not_learnt / self.judged


@dataclass(frozen=True)
class TailLag:
    """Rare classes compared with all others.

    Attributes:
        classes: names of the rare classes.
        rare: objects of the rare classes, at least one of them judged.
        others: objects of the other classes, at least one of them judged.
    """

    classes: Sequence[str]
    rare: Learnt
    others: Learnt

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the share of rare objects that are not learnt minus that of others.

        A success and a failure are added to each: Agresti and Caffo, "Simple and Effective
        Confidence Intervals for Proportions and Differences of Proportions Result from Adding Two
        Successes and Two Failures", The American Statistician 54, 2000.
        """
        m, n = self.rare.judged + 2, self.others.judged + 2
        p, q = (self.rare.not_learnt + 1) / m, (self.others.not_learnt + 1) / n
        difference, reach = p - q, _Z * math.sqrt(p * (1 - p) / m + q * (1 - q) / n)
        return difference - reach, difference + reach

    @property
    def is_behind(self) -> bool:
        """Whether chance alone hardly explains that fewer of the rare objects are learnt."""
        return self.interval[0] > 0


def tail_lag(tail: ClassTail, num_images: int, ledger: LedgerDoubts) -> TailLag | None:
    """Compare rare classes with the others.

    Args:
        tail: numbers of objects and images of the classes of the training data.
        num_images: largest number of images with a rare class.
        ledger: doubts about these data.

    Returns:
        The comparison; None where no object of a rare class was judged, or none of another.
    """
    is_rare = tail.is_rare(num_images)
    rare, others = _learnt(ledger, is_rare), _learnt(ledger, ~is_rare)
    if not (rare.judged and others.judged):
        return None
    return TailLag([tail.classes[k] for k in np.flatnonzero(is_rare).tolist()], rare, others)


def _learnt(ledger: LedgerDoubts, is_meant: np.ndarray) -> Learnt:
    labels = np.flatnonzero(is_meant).tolist()
    return Learnt(*(sum(of.get(k, 0) for k in labels) for of in (ledger.judged, ledger.not_learnt)))
