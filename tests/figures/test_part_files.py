import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from imbdet.errors import UserError
from imbdet.figures.candidate_columns import OBJECTS, candidate_schema
from imbdet.figures.columns import chosen_by
from imbdet.figures.part_files import PartReader, PartWriter


def object_rows(ids, image_id="a"):
    ids = np.array(ids)
    floats = {name: ids.astype(np.float32) for name in ("x0", "y0", "x1", "y1", "area")}
    ints = {name: ids for name in ("gt_id", "class", "num_positives")}
    return {"image_id": [image_id] * len(ids), **floats, **ints}


def write(folder, images, rows_per_part=5):
    with PartWriter(folder, OBJECTS, rows_per_part) as writer:
        for i, ids in enumerate(images):
            writer.add(object_rows(ids, str(i)))


def test_parts_are_small_and_complete(tmp_path):
    write(tmp_path, [range(3), range(3, 7), [], range(7, 9)])
    sizes = [pq.read_metadata(path).num_rows for path in sorted(tmp_path.iterdir())]
    assert sizes == [7, 2]
    chunks = list(PartReader(tmp_path).chunks(["gt_id", chosen_by("unknown")]))
    assert np.concatenate([chunk["gt_id"] for chunk in chunks]).tolist() == list(range(9))
    assert set(chunks[0]) == {"gt_id"}


def test_an_empty_table_has_columns(tmp_path):
    write(tmp_path, [])
    (chunk,) = PartReader(tmp_path).chunks(["gt_id", "area", "image_id"])
    assert [len(chunk[name]) for name in ("gt_id", "area", "image_id")] == [0, 0, 0]
    assert chunk["gt_id"].dtype == np.int32


def test_rows_are_chosen_by_value(tmp_path):
    write(tmp_path, [range(3), range(3, 7)])
    (chunk,) = PartReader(tmp_path).chunks(["gt_id"], ("image_id", "1"))
    assert chunk["gt_id"].tolist() == [3, 4, 5, 6]


def test_an_earlier_run_leaves_nothing(tmp_path):
    write(tmp_path, [range(20), range(20), range(20)])
    write(tmp_path, [range(2)])
    assert len(list(tmp_path.iterdir())) == 1


def images_until_ctrl_c():
    yield [1]
    raise KeyboardInterrupt


def test_an_interrupted_run_writes_no_part(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, images_until_ctrl_c())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "tables").write_text("a file")
    with pytest.raises(UserError, match="cannot be written"):
        write(tmp_path / "tables", [[1]])


def test_the_schema_knows_what_a_sampler_picks(tmp_path):
    schema = candidate_schema(["random", "iou_hlr"], ["random", "score_hlr"])
    with PartWriter(tmp_path, schema):
        pass
    reader = PartReader(tmp_path)
    assert reader.samplers("positives") == ["random", "iou_hlr"]
    assert reader.samplers("negatives") == ["random", "score_hlr"]


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda path: path.write_bytes(b"PAR1"), "it is damaged"),
        (lambda path: pq.write_table(pa.table({"area": ["x"]}), path), "'area' is of type string"),
        (lambda path: pq.write_table(pa.table({"gt_id": [1]}), path), "it has no column 'area'"),
    ],
)
def test_a_part_of_somebody_else_is_said(tmp_path, write, reason):
    path = tmp_path / "part-00001.parquet"
    with PartWriter(tmp_path, OBJECTS):
        pass
    write(path)
    with pytest.raises(UserError, match=f"'{path}' cannot be read.*{reason}.*analyse again"):
        list(PartReader(tmp_path).chunks(["area"]))
