"""Read the tables of a ledger from the folder of a training; docs/ledger.md describes them."""

from pathlib import Path

import pyarrow as pa

from imbdet.errors import UserError
from imbdet.untrusted.parquet import read_parquet

# Size limit of a table in memory: the size of one of a hundred million annotations.
_MAX_BYTES = 1 << 36


def has_ledger(run: Path) -> bool:
    """Whether a training has left a ledger."""
    return _path(run, "objects").is_file()


def find_table(run: Path, name: str) -> Path:
    """The file of a table.

    Args:
        run: OUTPUT_DIR of the training.
        name: "objects", "images" or "places".

    Raises:
        UserError: the file does not exist.
    """
    path = _path(run, name)
    if path.is_file():
        return path
    if has_ledger(run):
        raise UserError(
            f"There is no '{path}', as in the ledger of an earlier version: train again."
        )
    raise UserError(
        f"'{run}' has no ledger ('{path}'): name the OUTPUT_DIR of a training with LEDGER.ENABLED "
        "True, after its first checkpoint."
    )


def _path(run: Path, name: str) -> Path:
    return run / "ledger" / f"{name}.parquet"


def read_table(run: Path, name: str, columns: pa.Schema) -> pa.Table:
    """The rows of a table.

    Args:
        run: OUTPUT_DIR of the training.
        name: "objects", "images" or "places".
        columns: schema of the columns to read.

    Raises:
        UserError: the table does not exist, is damaged, lacks a column or a value, or has values
            of other types.
    """
    path = find_table(run, name)
    try:
        table = read_parquet(path, max_bytes=_MAX_BYTES, columns=columns.names)
        return _of_schema(table, columns)
    except (OSError, ValueError) as error:
        raise UserError(
            f"'{path}' cannot be read ({error}): if it is damaged or edited, bring it back; if it "
            "is of an earlier version, train again."
        ) from error


def _of_schema(table: pa.Table, columns: pa.Schema) -> pa.Table:
    """Cast the columns of a table to the types of a schema.

    Raises:
        ValueError: a value is missing or of another type.
    """
    arrays = []
    for field in columns:
        array = table[field.name]
        if array.null_count and not field.nullable:
            raise ValueError(f"its column '{field.name}' lacks a value")
        try:
            arrays.append(array.cast(field.type))
        except pa.ArrowException as error:
            raise ValueError(f"its column '{field.name}' is not of type {field.type}") from error
    return pa.Table.from_arrays(arrays, schema=columns)
