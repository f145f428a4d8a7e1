"""Tables from untrusted Parquet files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from imbdet.untrusted.reading import TooLarge, require_file

# Bytes in memory; a text counts as the characters of the longest one in its column.
_BYTES_OF_NUMBER = 8


def read_parquet(
    path: Path,
    *,
    max_bytes: int,
    columns: Sequence[str] | None = None,
    where: pc.Expression | None = None,
) -> pa.Table:
    """The rows of a file, whose columns are numbers and texts.

    A few bytes may stand for any number of equal rows, so the unpacked size is computed before
    reading.

    Args:
        path: path of the file.
        max_bytes: size limit of the table in memory, eight bytes for a number.
        columns: names of the columns to read; None = all.
        where: condition that the rows must meet; None = all rows.

    Raises:
        OSError: the path is no file or cannot be read.
        TooLarge: the table is larger than ``max_bytes``.
        ValueError: the file is damaged, lacks a column or has other values.
    """
    require_file(path)
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names if columns is None else list(columns)
            if missing := sorted(set(names) - set(file.schema_arrow.names)):
                raise ValueError(f"it has no column '{missing[0]}'")
            texts = [name for name in names if _is_text(file.schema_arrow.field(name))]
            num_rows, groups = file.metadata.num_rows, range(file.num_row_groups)
            packed = sum(file.metadata.row_group(i).total_byte_size for i in groups)
        _require_bytes(max(packed, num_rows * len(names) * _BYTES_OF_NUMBER), max_bytes)
        # Texts are read as dictionaries, since one long text may stand for many rows.
        table = pq.read_table(
            path, columns=names, filters=where, read_dictionary=texts, partitioning=None
        )
        for name in texts:
            _require_bytes(num_rows * _longest(table[name]), max_bytes)
            text = table[name].cast(pa.string())
            table = table.set_column(table.schema.get_field_index(name), name, text)
        return table
    except (OSError, pa.ArrowException) as error:
        if getattr(error, "errno", None):
            raise
        raise ValueError("it is damaged") from error  # Arrow's own have no number


def columns_of(table: pa.Table) -> dict[str, np.ndarray]:
    """The columns of a table by name, each an array of its own.

    Texts are objects; integers and booleans keep their type where none is null; all others are
    float64, with NaN for null.
    """
    arrays = {}
    for name in table.column_names:
        column = table[name]
        is_exact = column.null_count == 0 and not pa.types.is_floating(column.type)
        keeps_type = is_exact or pa.types.is_string(column.type)
        arrays[name] = np.array((column if keeps_type else column.cast(pa.float64())).to_numpy())
    return arrays


def _is_text(field: pa.Field) -> bool:
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return True
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise ValueError(f"its column '{field.name}' is of type {kind}")
    return False


def _longest(column: pa.ChunkedArray) -> int:
    """Characters of the longest text in a column of dictionaries."""
    lengths = [pc.max(pc.utf8_length(chunk.dictionary)).as_py() for chunk in column.chunks]
    return max((length or 0 for length in lengths), default=0)


def _require_bytes(number: int, max_bytes: int) -> None:
    if number > max_bytes:
        raise TooLarge(f"it unpacks to {number:,} bytes")
