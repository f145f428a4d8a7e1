"""Doubts about annotations by a ledger: that of a training, or of one pass over its images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imbdet.records.ledger_columns import IMAGES, OBJECTS
from imbdet.run_files.ledger_tables import read_table
from imbdet.suspects.doubt import DOUBTFUL, doubts_of_classes
from imbdet.untrusted.parquet import columns_of

# Mean score of an image's background from which on it likely has an object without annotation.
CONFIDENT = 0.5
_OBJECT_COLUMNS = ("is_ignored", "judged", "learnt", "rival_mean", "class", "id", "image_id")
_IMAGE_COLUMNS = ("image_id", "background_mean")


class LedgerDoubts(NamedTuple):
    """What a detector said of its training data.

    Attributes:
        source: description of the ledger.
        judged: number of judged objects, by class number.
        not_learnt: number of judged objects that were learnt at no sight, by class number.
        other_class: ids of the objects whose class is in doubt, see docs/ledger.md, and of their
            images.
        images: number of images with background that was judged.
        forgotten: ids of the images with confident background, where objects may not be annotated.
    """

    source: str
    judged: Mapping[int, int]
    not_learnt: Mapping[int, int]
    other_class: Sequence[tuple[str, str]]
    images: int
    forgotten: Sequence[str]

    @property
    def objects(self) -> int:
        """Number of judged objects."""
        return sum(self.judged.values())

    def worst_classes(self) -> list[int]:
        """Numbers of the classes with objects that were not learnt, the highest shares first."""
        return sorted(
            self.not_learnt,
            key=lambda label: (self.not_learnt[label] / self.judged[label], self.judged[label]),
            reverse=True,
        )


def read_ledger_doubts(run: Path) -> LedgerDoubts:
    """Read the doubts from the ledger of a run.

    Args:
        run: OUTPUT_DIR of a training with ``LEDGER.ENABLED``.

    Raises:
        UserError: the run has no ledger, or one that cannot be read.
    """
    return ledger_doubts(
        read_table(run, "objects", pa.schema(map(OBJECTS.field, _OBJECT_COLUMNS))),
        read_table(run, "images", pa.schema(map(IMAGES.field, _IMAGE_COLUMNS))),
        f"the ledger of '{run}', which has all sights of the training",
    )


def ledger_doubts(objects: pa.Table, images: pa.Table, source: str) -> LedgerDoubts:
    """Find the doubts in the tables of a ledger.

    Args:
        objects: the table of objects; see docs/ledger.md.
        images: the table of images.
        source: description of the ledger.
    """
    judged = objects.filter((~pc.field("is_ignored")) & (pc.field("judged") > 0))
    arrays = columns_of(judged.select(_OBJECT_COLUMNS))
    classes = arrays["class"]
    doubts = doubts_of_classes(arrays["judged"], arrays["rival_mean"], classes)
    wrong = judged.filter(pa.array(doubts >= DOUBTFUL))
    known = images.filter(pc.is_valid(pc.field("background_mean")))
    forgotten = known.filter(pc.field("background_mean") >= CONFIDENT)
    return LedgerDoubts(
        source=source,
        judged=_counts(classes),
        not_learnt=_counts(classes[arrays["learnt"] == 0]),
        other_class=list(zip(*_columns(wrong, "id", "image_id"), strict=True)),
        images=known.num_rows,
        forgotten=_columns(forgotten, "image_id")[0],
    )


def _counts(classes: np.ndarray) -> dict[int, int]:
    labels, numbers = np.unique(classes, return_counts=True)
    return dict(zip(labels.tolist(), numbers.tolist(), strict=True))


def _columns(table: pa.Table, *names: str) -> list[list[Any]]:
    return [table[name].to_pylist() for name in names]
