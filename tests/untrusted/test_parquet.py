"""Parquet files that other programs wrote."""

import resource
from contextlib import nullcontext

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from imbdet.untrusted.parquet import read_parquet

MAX_BYTES = 1 << 20
NUM_ROWS = 50_000_000


def constant(value, kind):
    """Many rows of one value, which take almost no space in a file."""
    index = pa.array(np.zeros(NUM_ROWS, dtype=np.int8))
    return pa.table({"x": pa.DictionaryArray.from_arrays(index, pa.array([value], kind))})


HOSTILE = {
    "many rows": (lambda: constant(1.0, pa.float64()), "unpacks to 400,000,000 bytes"),
    "many columns": (
        lambda: pa.table({f"{i}": [1.0] * 1000 for i in range(1000)}),
        "unpacks to 8,000,000 bytes",
    ),
    "a long text": (lambda: pa.table({"x": ["x" * 2_000_000]}), "unpacks to 2,000,"),
    "a long text in many rows": (
        lambda: pa.table({"x": ["x" * 1000] * 10_000}),
        "unpacks to 10,000,000 bytes",
    ),
    "lists": (lambda: pa.table({"x": [[1.0]]}), "its column 'x' is of type list"),
    "bytes": (lambda: pa.table({"x": [b"x"]}), "its column 'x' is of type binary"),
    "another column": (lambda: pa.table({"y": [1.0]}), "it has no column 'x'"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_no_table_of_ours_is_refused_before_it_is_unpacked(kind, tmp_path):
    make, message = HOSTILE[kind]
    pq.write_table(make(), tmp_path / "x.parquet", compression="zstd")
    assert (tmp_path / "x.parquet").stat().st_size < 500_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    columns = None if kind == "many columns" else ["x"]
    with pytest.raises(ValueError, match=message):
        read_parquet(tmp_path / "x.parquet", max_bytes=MAX_BYTES, columns=columns)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


@pytest.mark.parametrize("columns", [["x"], ["y"]], ids=["read", "refused"])
def test_a_file_is_closed_before_the_garbage_is_collected(columns, tmp_path, monkeypatch):
    kept = []

    class KeptFile(pq.ParquetFile):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            kept.append(self)

    monkeypatch.setattr(pq, "ParquetFile", KeptFile)
    pq.write_table(pa.table({"x": [1.0]}), tmp_path / "x.parquet")
    is_refused = pytest.raises(ValueError, match="it has no column 'y'")
    with is_refused if columns == ["y"] else nullcontext():
        read_parquet(tmp_path / "x.parquet", max_bytes=MAX_BYTES, columns=columns)
    assert [file.closed for file in kept] == [True]


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1\xff\xff\xff\x7fPAR1", b"x" * 100])
def test_a_damaged_file_is_refused(content, tmp_path):
    (tmp_path / "x.parquet").write_bytes(content)
    with pytest.raises(ValueError, match="it is damaged"):
        read_parquet(tmp_path / "x.parquet", max_bytes=MAX_BYTES)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(IsADirectoryError):
        read_parquet(tmp_path, max_bytes=MAX_BYTES)


def test_a_table_of_numbers_and_texts(tmp_path):
    content = {"n": [1, None, 3], "x": [0.5, 1.5, None], "b": [True, False, None]}
    content["t"] = ["a", None, "c"]
    (tmp_path / "k=1").mkdir()  # no column, though other readers make one of it
    path = tmp_path / "k=1" / "x.parquet"
    pq.write_table(pa.table(content), path)
    table = read_parquet(path, max_bytes=MAX_BYTES)
    assert table.to_pydict() == content
    found = read_parquet(path, max_bytes=MAX_BYTES, columns=["t"], where=pc.field("n") == 3)
    assert found.to_pydict() == {"t": ["c"]}
