"""What the ledger of a training says against annotations."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from imbdet.errors import UserError
from imbdet.parquet import read_parquet

# Judged sights of an object from which on it counts, and the share of them at which it must have
# been said to be the same other class.
LEAST_JUDGED = 3
WRONG_SHARE = 0.8
# Mean score of what is far from all objects from which on it is likely to be an object.
CONFIDENT = 0.5
# Of a ledger, in memory.
_MAX_BYTES = 1 << 32
_OBJECT_COLUMNS = ("is_ignored", "judged", "learnt", "wrong_class_least", "class", "id", "image_id")
_IMAGE_COLUMNS = ("image_id", "background_mean")


class LedgerDoubts(NamedTuple):
    """What a detector said of its training data.

    Attributes:
        objects: number of objects that were judged often enough.
        other_class: ids of those that were nearly always said to be the same other class, and of
            their images.
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
    folder = Path(run) / "ledger"
    objects = _read(folder / "objects.parquet", _OBJECT_COLUMNS)
    images = _read(folder / "images.parquet", _IMAGE_COLUMNS)
    judged = objects.filter(
        (~pc.field("is_ignored")) & (pc.field("judged") >= LEAST_JUDGED),
    )
    wrong = judged.filter(pc.field("wrong_class_least") > pc.field("judged") * WRONG_SHARE)
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


def _read(path: Path, columns: Sequence[str]) -> pa.Table:
    if not path.exists():
        raise UserError(
            f"There is no ledger '{path}': name the OUTPUT_DIR of a training with LEDGER.ENABLED "
            "True."
        )
    try:
        return read_parquet(path, max_bytes=_MAX_BYTES, columns=columns)
    except (OSError, ValueError) as error:
        raise UserError(f"The ledger '{path}' cannot be read: {error}.") from error
