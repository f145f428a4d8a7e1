"""The targets on a GPU, called marks, and which of them benchmarks/on_gpu.py reaches."""

import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from detectors import LOSSES, SPEEDS
from head_to_head import GOAL_POSITIVES, GOAL_RATIO, GOALS

# Columns that distinguish the rows of a table.
_NAMES = ("loss", "method", "state", "positives")


class Mark(NamedTuple):
    """A limit for a figure measured on a GPU.

    Attributes:
        figure: name of the figure.
        limit: largest value that it should have, or with ``is_least`` the smallest.
        part: part of benchmarks/on_gpu.py whose results have it.
        section: section of the part's benchmark.
        having: allowed values of other columns, which select the rows.
        columns: column of the figure and, if it has one, those of its interval.
        is_least: whether more is better.
        is_one_enough: whether the best of the rows counts, instead of the worst.
    """

    figure: str
    limit: float
    part: str
    section: str
    having: Mapping[str, Sequence[Any]]
    columns: Sequence[str]
    is_least: bool = False
    is_one_enough: bool = False

    def judge(self, results: Mapping[str, Any]) -> dict[str, Any]:
        """Value and interval of the row that decides, and whether it reaches the mark.

        Args:
            results: results of each part that was measured.
        """
        sign, is_reached = (">=", operator.ge) if self.is_least else ("<=", operator.le)
        judged = {"figure": self.figure, "of": None, "value": None, "low": None, "high": None}
        judged["mark"] = f"{sign} {self.limit:g}"
        rows = list(self._rows(results.get(self.part, {})))
        if not rows:
            return {**judged, "reached": "not measured"}
        decide = min if self.is_least != self.is_one_enough else max
        row = decide(rows, key=lambda row: row[self.columns[0]])
        values = (row[column] for column in self.columns)
        judged |= zip(("value", "low", "high"), values, strict=False)
        judged["of"] = ", ".join(str(row[name]) for name in _NAMES if name in row)
        return {**judged, "reached": "yes" if is_reached(judged["value"], self.limit) else "no"}

    def _rows(self, results: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The rows that have the figure: what does not fit the memory has none."""
        for row in results.get(self.section, []):
            is_meant = all(row[name] in values for name, values in self.having.items())
            if is_meant and row.get(self.columns[0]) is not None:
                yield row


def _of_losses() -> Iterator[Mark]:
    """Marks of the losses on many logits, by kernels, for any state and number of positives."""
    place = ("losses", "losses")
    for loss, goal in GOALS.items():
        ours = {"loss": (loss,), "by": ("triton",)}
        # Sorting grows with the positives: the goals in milliseconds are for the smaller number.
        few = {**ours, "positives": GOAL_POSITIVES[:1]}
        yield Mark(f"{loss} [ms]", goal.milliseconds, *place, few, ("ms", "from", "to"))
        if goal.memory < float("inf"):
            yield Mark(f"{loss}, memory / logits", goal.memory, *place, few, ("memory",))
    ours = {"by": ("triton",), "positives": GOAL_POSITIVES}
    columns = ("bucketed over it", "at least", "at most")
    yield Mark("bucketed / ours", GOAL_RATIO, *place, ours, columns, is_least=True)


def _of_iterations() -> Iterator[Mark]:
    """Marks of whole iterations over others of the same turns."""

    def ratio(figure: str, limit: float, place: str, methods: Sequence[str] = (), **how: Any):
        having = {"method": methods} if methods else {}
        return Mark(figure, limit, *place.split(), having, ("ratio", "low", "high"), **how)

    losses = list(LOSSES["retinanet"])
    yield ratio("RetinaNet, any loss / focal", 1.03, "retinanet methods", losses)
    yield ratio("RetinaNet / Detectron2's", 0.95, "retinanet pairs")
    yield ratio("Faster R-CNN / Detectron2's", 1.0, "faster_rcnn pairs")
    yield ratio("PISA / plain Faster R-CNN", 1.08, "faster_rcnn methods", ["PISA"])
    figure = "RetinaNet with MODEL.SPEED / Detectron2's with AMP"
    place = "retinanet_speed amp"
    yield ratio(figure, 0.75, place, list(SPEEDS), is_one_enough=True)


MARKS = [*_of_losses(), *_of_iterations()]
