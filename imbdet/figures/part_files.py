"""Tables in Parquet files: written in parts, read in chunks, so that memory stays bounded."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from imbdet.errors import UserError
from imbdet.figures.candidate_columns import TYPES
from imbdet.figures.columns import chosen_by, object_by
from imbdet.files import replacing
from imbdet.untrusted.parquet import read_parquet
from imbdet.untrusted.reading import require_file

# Rows of a part. A part and one image are in memory at a time: about 30 MB of candidates.
ROWS_PER_PART = 1 << 18
# Size limit of a part and its last image in memory: 30 columns of four million rows.
_MAX_BYTES = 1 << 30


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
        # At least one part, so that an empty table has its columns as well.
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
    """Reads the parts that a :class:`PartWriter` wrote."""

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

    @property
    def assigners(self) -> list[str]:
        """Names of the assigners that the table has columns of."""
        prefix = object_by("")
        return [x.removeprefix(prefix) for x in self.schema.names if x.startswith(prefix)]

    def chunks(
        self, columns: Sequence[str], where: tuple[str, object] | None = None
    ) -> Iterator[dict[str, np.ndarray]]:
        """The rows of each part.

        Args:
            columns: names of the columns to read; those of samplers that the table lacks are left
                out.
            where: a column and the value in it that the rows must have; None = all rows.

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
    """Turn an error of reading into one for the user.

    Raises:
        UserError: ``path`` cannot be read.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"'{path}' cannot be read ({reason}): analyse again.") from error


def _require_types(schema: pa.Schema) -> None:
    for name, kind in zip(schema.names, schema.types, strict=True):
        if kind != TYPES.get(name, kind):
            raise ValueError(f"its column '{name}' is of type {kind}, not {TYPES[name]}")
