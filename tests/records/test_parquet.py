import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import imbdet
from imbdet.records import NegativeStrata, draw_negatives
from imbdet.records.record_columns import SCHEMA, Batch, to_parquet, to_rows
from imbdet.structures import Priors
from tests.records.factories import NUM_CLASSES, make_record

BATCH = Batch(iteration=7, image_ids=["12", "a.png", "5"], num_objects=[2, 2, 2])
CORNERS = {"x0", "y0", "x1", "y1"}
POSITIVES_ONLY = {
    *("class", "gt_id", "pred_iou", "box_loss", "box_weight"),
    *("local_rank", "hierarchical_rank"),
}


def with_candidates(record, **changes):
    """The record with changed candidates."""
    candidates = replace(record.samples.candidates, **changes)
    return replace(record, samples=replace(record.samples, candidates=candidates))


def written_and_read(record, strata, batch=BATCH):
    rows = to_rows(record, strata, batch, site="rpn", chosen_by=("iou_hlr", "ohem"))
    return pq.read_table(io.BytesIO(to_parquet([rows, rows[:0]])))


def test_rows_are_the_record():
    record = make_record(weighted=True)
    level_sizes = [13] * 5
    priors = Priors(record.samples.candidates.boxes, level_sizes=level_sizes)
    record = with_candidates(record, priors=priors, importance=torch.rand(65))
    strata = draw_negatives(record, 3, 4)
    table = written_and_read(record, strata)
    num_positives = len(record.samples.pos_idxs)
    rows = torch.cat([record.samples.pos_idxs, strata.rows])
    of_all = {
        "level": torch.arange(65) // 13,
        "iou": record.samples.ious,
        "score": record.scores,
        "pred_class": record.samples.pred_logits[:, :NUM_CLASSES].argmax(dim=1),
        "grad_norm": record.grad_norms,
        "cls_loss": record.cls_losses,
        "cls_weight": record.cls_weights,
        "importance": record.samples.candidates.importance,
    }
    for name, values in of_all.items():
        np.testing.assert_array_equal(table[name], values[rows], err_msg=name)
    of_positives = {
        "class": record.samples.gt_labels[record.samples.pos_idxs],
        "gt_id": record.samples.gt_idxs[record.samples.pos_idxs] % 2,
        "pred_iou": record.samples.positives.pred_ious,
        "box_loss": record.box_losses,
        "box_weight": record.box_weights,
        "local_rank": record.local_ranks,
        "hierarchical_rank": record.hierarchical_ranks,
    }
    assert of_positives.keys() == POSITIVES_ONLY
    for name, values in of_positives.items():
        np.testing.assert_array_equal(table[name][:num_positives], values, err_msg=name)
        assert table[name][num_positives:].null_count == len(strata.rows)
    images = record.samples.image_idxs[rows].tolist()
    assert table["image_id"].to_pylist() == [BATCH.image_ids[image] for image in images]
    assert table["is_positive"].to_pylist() == [i < num_positives for i in range(len(rows))]
    assert set(table["chosen_by"][:num_positives].to_pylist()) == {"iou_hlr"}
    assert set(table["chosen_by"][num_positives:].to_pylist()) == {"ohem"}
    weights = [1.0] * num_positives + strata.weights.tolist()
    assert table["stratum_weight"].to_pylist() == weights
    assert set(table["iteration"].to_pylist()) == {7}
    assert set(table["site"].to_pylist()) == {"rpn"}


def test_what_does_not_exist_is_null_and_no_weight_is_1():
    record = make_record(pointwise=False)
    table = written_and_read(record, draw_negatives(record, 3, 4))
    is_null = {name for name in table.column_names if table[name].null_count == len(table)}
    assert is_null == {"cls_loss", "importance", *CORNERS}
    assert set(table["cls_weight"].to_pylist()) == {1.0}
    assert set(table["box_weight"].drop_null().to_pylist()) == {1.0}
    assert set(table["level"].to_pylist()) == {-1}


def test_boxes_are_in_pixels_of_the_files():
    # Images as they are; half as large and flipped, 300 wide; cut out at (20, 30).
    to_file = [[[1.0, 1], [0, 0]], [[-2, 2], [300, 0]], [[1, 1], [20, 30]]]
    record = make_record((4, 3, 2))
    priors = Priors(torch.tensor([10.0, 5, 40, 25]).repeat(9, 1), num_per_image=[4, 3, 2])
    record = with_candidates(record, priors=priors)
    batch = replace(BATCH, to_file=torch.tensor(to_file))
    table = written_and_read(record, draw_negatives(record, 3, 4), batch)
    boxes = {"12": (10, 5, 40, 25), "a.png": (220, 10, 280, 50), "5": (30, 35, 60, 55)}
    found = {
        tuple(row.values()) for row in table.select(["image_id", *sorted(CORNERS)]).to_pylist()
    }
    assert found == {(image, x0, x1, y0, y1) for image, (x0, y0, x1, y1) in boxes.items()}


@pytest.mark.parametrize("located", [2, 1], ids=["all", "not all"])
def test_a_batch_of_images(located):
    images = [{"image_id": 5, "instances": [0, 0]}, {"image_id": "a", "instances": []}]
    for image in images[:located]:
        image["to_file"] = torch.eye(2)
    batch = Batch.of(3, images)
    assert (batch.iteration, batch.image_ids, batch.num_objects) == (3, ["5", "a"], [2, 0])
    assert (batch.to_file is None) == (located == 1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types(dtype):
    record = make_record()
    record = replace(record, box_losses=record.box_losses.to(dtype))
    table = written_and_read(record, draw_negatives(record, 3, 4))
    box_losses = table["box_loss"].drop_null().to_numpy()
    np.testing.assert_allclose(box_losses, record.box_losses.double(), rtol=1e-6)


def test_no_samples():
    none = NegativeStrata(torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.float64))
    assert len(written_and_read(make_record((0, 0, 0)), none)) == 0


def test_a_file_explains_itself():
    record = make_record()
    schema = written_and_read(record, draw_negatives(record, 3, 4)).schema
    assert schema.equals(SCHEMA, check_metadata=True)
    assert schema.metadata[b"version"] == b"1"
    assert all(field.metadata[b"meaning"] for field in schema)


def test_the_page_explains_every_column():
    page = (Path(imbdet.__file__).parents[1] / "docs" / "records.md").read_text()
    rows = re.findall(r"^\| (`.*?`) \|.*", page.partition("## Rows")[2], re.MULTILINE)
    assert re.findall(r"`(\w+)`", " ".join(rows)) == SCHEMA.names
