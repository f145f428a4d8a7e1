"""Tables in Parquet files: written in parts, read in chunks, so that memory stays bounded."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from imbdet.analysis.columns import BOX, SIGNS, chosen_by
from imbdet.errors import UserError
from imbdet.files import replacing
from imbdet.parquet import read_parquet
from imbdet.reading import require_file

# Rows of a part. A part and one image are in memory at a time: about 30 MB of candidates.
ROWS_PER_PART = 1 << 18
# Of a part and its last image in memory: 30 columns of four million rows.
_MAX_BYTES = 1 << 30

IMAGES = pa.schema(
    [
        ("image_id", pa.string()),
        ("file_name", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("num_candidates", pa.int32()),
        ("num_not_finite", pa.int32()),
    ]
)

# Boxes are in pixels of the original image.
_BOX = [(name, pa.float32()) for name in BOX]

OBJECTS = pa.schema(
    [
        ("image_id", pa.string()),
        ("gt_id", pa.int32()),
        ("class", pa.int32()),
        *_BOX,
        ("area", pa.float32()),
        ("num_positives", pa.int32()),
    ]
)

DETECTIONS = pa.schema(
    [
        ("variant", pa.string()),
        ("image_id", pa.string()),
        ("class", pa.int32()),
        ("score", pa.float32()),
        *_BOX,
    ]
)

_CANDIDATES = [
    pa.field("image_id", pa.string()),
    *(pa.field(name, kind) for name, kind in _BOX),
    pa.field("label", pa.int8(), metadata={"meaning": "1 positive, 0 negative, -1 ignored"}),
    pa.field("is_gt", pa.bool_(), metadata={"meaning": "a ground-truth box, as in training"}),
    pa.field("iou", pa.float32(), metadata={"meaning": "highest with any object"}),
    pa.field("cls_loss", pa.float32(), metadata={"meaning": "before weights"}),
    pa.field("score", pa.float32(), metadata={"meaning": "of its class; negatives: the highest"}),
    pa.field(
        "hierarchical_rank",
        pa.int32(),
        metadata={
            "meaning": "positives: IoU-HLR in image and class; negatives: Score-HLR in image"
        },
    ),
    # Of the positives; null for all others.
    pa.field("class", pa.int32()),
    pa.field("gt_id", pa.int32(), metadata={"meaning": "the object's place in the image"}),
    pa.field("pred_iou", pa.float32(), metadata={"meaning": "IoU after regression"}),
    pa.field("local_rank", pa.int32(), metadata={"meaning": "by pred_iou, of its object"}),
    pa.field("negatives_above", pa.int32(), metadata={"meaning": "entries at or above its score"}),
    *(
        pa.field(f"error_d{name}", pa.float32(), metadata={"meaning": "predicted - target delta"})
        for name in "xywh"
    ),
]
_TYPES = {field.name: field.type for field in (*IMAGES, *OBJECTS, *DETECTIONS, *_CANDIDATES)}


def candidate_schema(positive: Sequence[str], negative: Sequence[str]) -> pa.Schema:
    """Columns of the candidates, with one for each sampler of positives or negatives."""
    choices = []
    for name in dict.fromkeys([*positive, *negative]):
        signs = [
            sign for sign, names in zip(SIGNS, (positive, negative), strict=True) if name in names
        ]
        choices.append(pa.field(chosen_by(name), pa.bool_(), metadata={"picks": " ".join(signs)}))
    return pa.schema([*_CANDIDATES, *choices])


def remove_parts(folder: Path) -> None:
    """Remove the parts of an earlier run, which would mix with new ones."""
    for path in folder.glob("part-*.parquet"):
        path.unlink()


class PartWriter:
    """Writes rows to ``part-00000.parquet``, ``part-00001.parquet``, ... in a folder.

    As a context manager it writes the last part at the end.
    """

    def __init__(self, folder: Path, schema: pa.Schema, rows_per_part: int = ROWS_PER_PART):
        """Remove the parts of an earlier run; nothing is written yet."""
        remove_parts(folder)
        self.folder = folder
        self.schema = schema
        self.rows_per_part = rows_per_part
        self._rows: list[pa.RecordBatch] = []
        self._num_rows = self._num_parts = 0

    def __enter__(self) -> "PartWriter":
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # At least one, so that the columns are known of an empty table, too.
        if error is None and (self._rows or self._num_parts == 0):
            self._write()

    def add(self, columns: dict[str, object]) -> None:
        """Add rows by column, as arrays or lists of one length."""
        arrays = [pa.array(columns[field.name], field.type) for field in self.schema]
        self._rows.append(pa.record_batch(arrays, schema=self.schema))
        self._num_rows += len(self._rows[-1])
        if self._num_rows >= self.rows_per_part:
            self._write()

    def _write(self) -> None:
        table = pa.Table.from_batches(self._rows, self.schema)
        write_table(table, self.folder / f"part-{self._num_parts:05d}.parquet")
        self._rows, self._num_rows = [], 0
        self._num_parts += 1


def write_table(table: pa.Table, path: Path) -> None:
    """Write a whole table, complete or not at all."""
    with replacing(path) as draft:
        pq.write_table(table, draft, compression="zstd")


class PartReader:
    """Reads what a :class:`PartWriter` wrote."""

    def __init__(self, folder: Path):
        """Find the parts.

        Raises:
            UserError: the first one cannot be read.
        """
        self.paths = sorted(folder.glob("part-*.parquet"))
        with _reading(self.paths[0]):
            require_file(self.paths[0])
            self.schema = pq.read_schema(self.paths[0])

    def samplers(self, sign: str) -> list[str]:
        """Names of the samplers that pick "positives" or "negatives"."""
        return [
            field.name.removeprefix(chosen_by(""))
            for field in self.schema
            if sign in (field.metadata or {}).get(b"picks", b"").decode().split()
        ]

    def chunks(
        self, columns: Sequence[str], where: tuple[str, object] | None = None
    ) -> Iterator[dict[str, np.ndarray]]:
        """The rows of each part.

        Args:
            columns: to read; those of samplers that the table does not know are left out.
            where: a column and the value of it that the rows shall have; None is all rows.

        Raises:
            UserError: a part cannot be read or has other columns.
        """
        known = set(self.schema.names)
        names = [x for x in columns if x in known or not x.startswith(chosen_by(""))]
        wanted = None if where is None else pc.field(where[0]) == where[1]
        for path in self.paths:
            with _reading(path):
                table = read_parquet(path, max_bytes=_MAX_BYTES, columns=names, where=wanted)
                _require_types(table.schema)
                chunk = {name: table[name].to_numpy() for name in names}
            yield chunk


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Tells of a file that cannot be read.

    Raises:
        UserError: names ``path``.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"'{path}' cannot be read ({reason}): analyse again.") from error


def _require_types(schema: pa.Schema) -> None:
    for name, kind in zip(schema.names, schema.types, strict=True):
        if kind != _TYPES.get(name, kind):
            raise ValueError(f"its column '{name}' is of type {kind}, not {_TYPES[name]}")
