"""Units that are kept or left out, images or objects, and what the ledger says of them.

Shape shorthand: A objects that are not ignored, I images, N units.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from imbdet.errors import UserError
from imbdet.pruning.scores import SCORES
from imbdet.pruning.selection import Pairs
from imbdet.suspects.doubt import DOUBTFUL, doubts_of_classes
from imbdet.untrusted.parquet import columns_of
from imbdet.wording import counted


@dataclass(frozen=True, eq=False)
class LedgerColumns:
    """The columns of a ledger, ignored objects left out.

    Attributes:
        objects: columns of the objects, (A,) each; see :func:`imbdet.untrusted.parquet.columns_of`.
        images: columns of the images, (I,) each.
        rows: (A,) the image of each object.
        doubts: (A,) doubts in [0, 1], see :func:`imbdet.suspects.doubt.doubts_of_classes`.
    """

    objects: Mapping[str, np.ndarray]
    images: Mapping[str, np.ndarray]
    rows: np.ndarray
    doubts: np.ndarray

    @classmethod
    def of(cls, of_objects: pa.Table, of_images: pa.Table) -> "LedgerColumns":
        """Take the columns of a ledger's tables."""
        images, everything = columns_of(of_images), columns_of(of_objects)
        rows = np.arange(len(images["annotations"])).repeat(images["annotations"].astype(int))
        is_object = everything["is_ignored"] == 0
        objects = {name: values[is_object] for name, values in everything.items()}
        doubts = doubts_of_classes(objects["judged"], objects["rival_mean"], objects["class"])
        return cls(objects, images, rows[is_object], doubts)

    def scores(self, by: str) -> np.ndarray:
        """(A,) finite: a score times 1 - doubt; where it is unknown, the mean of the others.

        By its score alone, a wrong label, which is hard to learn, would be kept first.

        Args:
            by: one of :data:`imbdet.pruning.scores.SCORES`.

        Raises:
            UserError: the score is known of no object.
        """
        scores = SCORES[by](self.objects) * (1 - self.doubts)
        is_known = ~np.isnan(scores)
        if not is_known.any():
            raise UserError(
                f"The ledger has no object of which '{by}' is known: train for longer, or choose "
                "another score by --by."
            )
        return np.where(is_known, scores, scores[is_known].mean())


@dataclass(frozen=True, eq=False)
class Units:
    """Images or objects that are kept or left out.

    Attributes:
        noun: "image" or "object".
        scores: (N,) how much each matters.
        pairs: units and classes, each pair once.
        facts: (N,) facts of the ledger about each, in words.
    """

    noun: str
    scores: np.ndarray
    pairs: Pairs
    facts: Sequence[str]


def units_of(columns: LedgerColumns, unit: str, by: str) -> Units:
    """The units of a ledger.

    Args:
        columns: columns of the ledger.
        unit: "images", whose score is the sum of those of their objects, or "objects".
        by: one of :data:`imbdet.pruning.scores.SCORES`.

    Raises:
        UserError: the score is known of no object.
    """
    scores, classes = columns.scores(by), columns.objects["class"].astype(np.int64)
    if unit == "objects":
        pairs = np.arange(len(scores)), classes
        return Units("object", scores, pairs, _facts_of_objects(columns))
    num_images = len(columns.images["seen"])
    sums = np.bincount(columns.rows, scores, minlength=num_images)
    together = np.unique(np.stack([columns.rows, classes]), axis=1)
    return Units("image", sums, (together[0], together[1]), _facts_of_images(columns))


def _facts_of_objects(columns: LedgerColumns) -> list[str]:
    names = ("judged", "learnt", "is_learnt", "forgotten")
    rows = zip(*(columns.objects[name] for name in names), columns.doubts, strict=True)
    return [_fact(*row) for row in rows]


def _fact(judged: float, learnt: float, is_learnt: float, forgotten: float, doubt: float) -> str:
    if not judged:
        return "never judged"
    fact = f"forgotten {counted(int(forgotten), 'time')}" if forgotten else "learnt for good"
    if not learnt:
        fact = "never learnt"
    elif not is_learnt:
        fact += ", last not learnt"
    return f"{fact}, its class in doubt ({doubt:.2f})" if doubt >= DOUBTFUL else fact


def _facts_of_images(columns: LedgerColumns) -> list[str]:
    judged = columns.objects["judged"] > 0
    learnt = columns.objects["learnt"] > 0
    kinds = {
        "never learnt": judged & ~learnt,
        "forgotten": columns.objects["forgotten"] > 0,
        "with a class in doubt": columns.doubts >= DOUBTFUL,
    }
    num_images = len(columns.images["seen"])
    counts = {
        kind: np.bincount(columns.rows[is_it], minlength=num_images)
        for kind, is_it in kinds.items()
    }
    numbers = np.bincount(columns.rows, minlength=num_images)
    return [
        ", ".join(
            [
                counted(int(numbers[k]), "object"),
                *(f"{of_kind[k]} {kind}" for kind, of_kind in counts.items() if of_kind[k]),
            ]
        )
        for k in range(num_images)
    ]
