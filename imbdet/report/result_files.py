"""Reads the files of a run; a missing or damaged one is a sentence on the page, not an error."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from imbdet.untrusted.npz import read_npz
from imbdet.untrusted.parquet import read_parquet
from imbdet.untrusted.plain_yaml import load_yaml
from imbdet.untrusted.reading import TooLarge, parse_json, read_text, require_file

# Size limit of a table on a page: a million rows of eight numbers.
_MAX_BYTES = 1 << 26

# Arrays of one length by the names of a table's columns.
Columns = Mapping[str, np.ndarray]


class CannotShow(Exception):  # noqa: N818  (no error: an answer)
    """A piece of the page is missing or damaged; the message says in one sentence why."""


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn errors that a missing, damaged or foreign file causes in the block into a sentence.

    Raises:
        CannotShow: the file cannot be used; the message names it.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise CannotShow(f"There is no '{path.name}'.") from error
    except OSError as error:
        # Arrow reports damaged files by an OSError without a number.
        cause = error.strerror or "it is damaged or incomplete"
        raise CannotShow(f"'{path.name}' cannot be read: {cause}.") from error
    except TooLarge as error:
        raise CannotShow(f"'{path.name}' is too large for the page: {error}.") from error
    except (ValueError, EOFError, pa.ArrowException) as error:
        raise CannotShow(f"'{path.name}' is damaged or incomplete.") from error
    except (LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise CannotShow(f"'{path.name}' is not as imbdet writes it ({error!r}).") from error


def read_json(path: Path) -> Any:
    """The content of a JSON file; NaN is read as such."""
    with reading(path):
        return parse_json(read_text(path))


def read_yaml(path: Path) -> Any:
    """The content of a YAML file."""
    with reading(path):
        return load_yaml(read_text(path))


def read_table(path: Path) -> Columns:
    """The columns of a Parquet file, with at least one row.

    Nulls become NaN among numbers, and empty among texts.
    """
    with reading(path):
        table = read_parquet(path, max_bytes=_MAX_BYTES)
        if not len(table):
            raise CannotShow(f"'{path.name}' has no rows.")
        return {name: _to_array(table[name]) for name in table.column_names}


def _to_array(column: pa.ChunkedArray) -> np.ndarray:
    nothing = "" if pa.types.is_string(column.type) else np.nan
    # Arrow's own conversion imports pandas where it is installed, which takes seconds.
    return np.array([nothing if value is None else value for value in column.to_pylist()])


def split(table: Columns, by: str) -> dict[str, Columns]:
    """The rows of each value of a column, in the order in which the values first occur."""
    return {
        str(value): {name: column[table[by] == value] for name, column in table.items()}
        for value in dict.fromkeys(table[by])
    }


def count_rows(path: Path) -> int:
    """The number of rows of a Parquet file, without reading them."""
    with reading(path):
        require_file(path)
        return pq.read_metadata(path).num_rows


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an npz file."""
    with reading(path):
        return read_npz(path)
