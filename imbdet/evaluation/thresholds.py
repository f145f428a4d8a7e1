"""The lowest scores of detections that are shown.

A ranking loss may shift all scores up or down, so that no fixed threshold suits all detectors. The
best threshold of each class is known after an evaluation: that of optimal LRP.
"""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imbdet.evaluation.lrp import OptimalLRP
from imbdet.untrusted.reading import read_json
from imbdet.wording import counted

# Used if no evaluation provides a better one.
FALLBACK = 0.3
# The entry of metrics.json that has the thresholds.
ENTRY = "optimal_lrp"
# Largest number of classes that a sentence names.
_MAX_NAMED = 10


@dataclass(frozen=True)
class ScoreThresholds:
    """The lowest score of a detection that is shown.

    Attributes:
        by_class: lowest score by name of the class; infinity shows no detection of it.
        other: lowest score of classes that are not in ``by_class``.
    """

    by_class: Mapping[str, float]
    other: float

    @classmethod
    def fixed(cls, score: float) -> "ScoreThresholds":
        """One threshold for all classes."""
        return cls({}, score)

    @classmethod
    def best(cls, values: Mapping[str, OptimalLRP]) -> "ScoreThresholds":
        """Thresholds of optimal LRP by class; classes without objects get the median of the others.

        No detection is shown of a class of which it is best to keep none.
        """
        known = {
            name: math.inf if math.isnan(value.threshold) else value.threshold
            for name, value in values.items()
            if not math.isnan(value.olrp)
        }
        finite = [score for score in known.values() if score < math.inf]
        return cls(known, statistics.median(finite) if finite else FALLBACK)

    def shows(self, name: str, score: float) -> bool:
        """Whether a detection of the class ``name`` is shown."""
        return score >= self.by_class.get(name, self.other)

    @property
    def shows_nothing(self) -> bool:
        """Whether it is best to keep no detection of any class."""
        return bool(self.by_class) and min(self.by_class.values()) == math.inf

    def __str__(self) -> str:
        """The thresholds in a few words, for a title."""
        if not self.by_class:
            return f"≥ {self.other:g}"
        if self.shows_nothing:
            return "of no class"
        scores = [s for s in self.by_class.values() if s < math.inf]
        low, high = f"{min(scores):.2f}", f"{max(scores):.2f}"
        return f"≥ {low}" if low == high else f"≥ {low} to {high}, by class"

    def describe(self) -> str:
        """The end of a sentence "shown are detections ..."."""
        if not self.by_class:
            return f"with a score of {self.other:g} or more"
        if len(self.by_class) > _MAX_NAMED:
            num_none = sum(score == math.inf for score in self.by_class.values())
            none = f", none of {counted(num_none, 'class', 'classes')}" if num_none else ""
            return f"from the best threshold of each class on ({self}{none})"
        names = ", ".join(
            f"{name} {'none' if score == math.inf else f'{score:.2f}'}"
            for name, score in self.by_class.items()
        )
        return f"from the best threshold of each class on ({names})"


def read_thresholds(path: Path) -> ScoreThresholds:
    """Read the best thresholds of an evaluation.

    Args:
        path: path of its ``metrics.json``.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file has no thresholds, or is damaged.
    """
    evaluation = read_json(path)
    values = evaluation.get(ENTRY) if isinstance(evaluation, dict) else None
    if not isinstance(values, dict):
        raise ValueError(f"it has no '{ENTRY}', which an evaluation of today writes")
    return ScoreThresholds.best({name: _restore(name, value) for name, value in values.items()})


def _restore(name: str, value: Any) -> OptimalLRP:
    try:
        numbers = {key: math.nan if v is None else float(v) for key, v in value.items()}
        return OptimalLRP(**numbers)
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"'{ENTRY}' of '{name}' is damaged") from error
