"""What the ledger of a training says against annotations."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from imbdet.ledger_tables import read_table
from imbdet.parquet import columns_of
from imbdet.suspects import WrongClass
from imbdet.suspects.doubt import doubts_of_classes

# Mean score of what is far from all objects from which on it is likely to be an object.
CONFIDENT = 0.5
_OBJECT_COLUMNS = ("is_ignored", "judged", "learnt", "rival_mean", "class", "id", "image_id")
_IMAGE_COLUMNS = ("image_id", "background_mean")


class LedgerDoubts(NamedTuple):
    """What a detector said of its training data.

    Attributes:
        objects: number of objects that were judged.
        other_class: ids of those that ``imbdet clean`` suspects of another class, and of their
            images.
        never_learnt: share of the objects that were never learnt, by class number.
        images: number of images with background that was judged.
        forgotten: ids of those with confident background, where objects may not be annotated.
    """

    objects: int
    other_class: Sequence[tuple[str, str]]
    never_learnt: dict[int, float]
    images: int
    forgotten: Sequence[str]


def read_ledger_doubts(run: str) -> LedgerDoubts:
    """Ask the ledger of a run.

    Args:
        run: OUTPUT_DIR of a training with ``LEDGER.ENABLED``.

    Raises:
        UserError: it has no ledger, or one that cannot be read.
    """
    objects = read_table(Path(run), "objects", _OBJECT_COLUMNS)
    images = read_table(Path(run), "images", _IMAGE_COLUMNS)
    judged = objects.filter((~pc.field("is_ignored")) & (pc.field("judged") > 0))
    arrays = columns_of(judged)
    doubts = doubts_of_classes(arrays["judged"], arrays["rival_mean"], arrays["class"])
    wrong = judged.filter(pa.array(doubts >= WrongClass.threshold))
    counts: dict[int, list[int]] = {}
    for label, learnt in zip(*_columns(judged, "class", "learnt"), strict=True):
        counts.setdefault(label, []).append(learnt == 0)
    known = images.filter(pc.is_valid(pc.field("background_mean")))
    forgotten = known.filter(pc.field("background_mean") >= CONFIDENT)
    return LedgerDoubts(
        objects=judged.num_rows,
        other_class=list(zip(*_columns(wrong, "id", "image_id"), strict=True)),
        never_learnt={label: sum(flags) / len(flags) for label, flags in counts.items()},
        images=known.num_rows,
        forgotten=_columns(forgotten, "image_id")[0],
    )


def _columns(table: pa.Table, *names: str) -> list[list[Any]]:
    return [table[name].to_pylist() for name in names]
