"""Tables of ledgers that were damaged or edited by hand."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from imbdet.errors import UserError
from imbdet.records.ledger_columns import SCHEMAS
from imbdet.run_files.ledger_tables import read_table
from tests.messages import assert_says
from tests.suspects.factories import make_tables


@pytest.fixture
def run(tmp_path):
    for name, table in make_tables({}).items():
        (tmp_path / "ledger").mkdir(exist_ok=True)
        pq.write_table(table, tmp_path / "ledger" / f"{name}.parquet")
    return tmp_path


def replace(run, name, column, values):
    path = run / "ledger" / f"{name}.parquet"
    table = pq.read_table(path)
    place = table.schema.get_field_index(column)
    pq.write_table(table.set_column(place, column, values(table[column].to_pylist())), path)


@pytest.mark.parametrize("name", SCHEMAS)
def test_what_is_written_is_read(run, name):
    table = read_table(run, name, SCHEMAS[name])
    assert table.num_rows > 0
    assert table == make_tables({})[name].replace_schema_metadata()


@pytest.mark.parametrize(
    ("name", "column"), [(name, field.name) for name in SCHEMAS for field in SCHEMAS[name]]
)
def test_what_may_be_null_is_told_by_the_schema(run, name, column):
    field = SCHEMAS[name].field(column)
    replace(run, name, column, lambda values: pa.array([None, *values[1:]], field.type))
    if field.nullable:
        assert read_table(run, name, SCHEMAS[name])[column][0].as_py() is None
        return
    with pytest.raises(UserError) as caught:
        read_table(run, name, SCHEMAS[name])
    assert_says(str(caught.value), f"{name}.parquet", f"its column '{column}' lacks a value")


def test_other_types_are_refused_if_values_would_change(run):
    replace(run, "objects", "class", lambda values: pa.array(values, pa.int64()))
    assert read_table(run, "objects", SCHEMAS["objects"])["class"].type == pa.int32()
    for values in (lambda values: pa.array(["cat"] * len(values)), half):
        replace(run, "objects", "class", values)
        with pytest.raises(UserError) as caught:
            read_table(run, "objects", SCHEMAS["objects"])
        assert_says(str(caught.value), "objects.parquet", "'class' is not of type int32")


def half(values):
    return pa.array([0.5] * len(values))
