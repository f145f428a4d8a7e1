from dataclasses import replace

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances

from imbdet.analysis.candidate_rows import (
    candidate_rows,
    image_row,
    object_rows,
    region_rows,
)
from imbdet.analysis.frozen_detector import ImageCandidates
from imbdet.figures.candidate_columns import IMAGES, OBJECTS, REGIONS, candidate_schema
from imbdet.figures.part_files import PartReader, PartWriter
from imbdet.structures import Regions
from tests.analysis.problems import worked_example

IMAGE = {"image_id": 3, "file_name": "3.png", "width": 1200, "height": 30}


@pytest.fixture
def found():
    candidates = worked_example()
    targets = Instances((10, 600))
    targets.gt_boxes = Boxes(candidates.targets.boxes)
    targets.gt_classes = torch.zeros(2, dtype=torch.int64)
    return ImageCandidates(candidates, targets, 1, 0, scale=(2.0, 3.0))


@pytest.fixture
def reader(found, tmp_path):
    chosen = {"random": torch.arange(10) % 2 == 0}
    with PartWriter(tmp_path, candidate_schema(["random"], ["random"])) as writer:
        writer.add(candidate_rows(IMAGE, found, chosen, torch.tensor([5, 8, 6, 7]), {}))  # G K H I
    return PartReader(tmp_path)


def read(reader, name, where=("label", 1)):
    (chunk,) = reader.chunks([name], where)
    return chunk[name].tolist()


def test_positives(reader):
    assert read(reader, "local_rank") == [1, 2, 0, 0, 1]  # A B C D E
    assert read(reader, "hierarchical_rank") == [2, 4, 1, 0, 3]
    assert read(reader, "pred_iou") == pytest.approx([0.8, 0.55, 0.9, 0.92, 0.7])
    assert read(reader, "gt_id") == [0, 0, 0, 1, 1]
    assert read(reader, "class") == [0] * 5
    # Negative entries are 0.9, 0.8, 0.7, 0.3, 0.01 and zeros.
    assert read(reader, "negatives_above") == [3, 4, 2, 1, 4]
    assert read(reader, "error_dw") == [0] * 5


def test_all_candidates(reader, found):
    assert read(reader, "label", None) == [1] * 5 + [0] * 5
    assert read(reader, "score", None) == pytest.approx(
        [0.5, 0.1, 0.8, 0.9, 0.2, 0.9, 0.8, 0.7, 0.3, 0.01]
    )
    losses = found.candidates.cls_losses
    assert read(reader, "cls_loss", None) == pytest.approx(losses.tolist())
    assert read(reader, "is_gt", None) == [False] * 9 + [True]
    assert read(reader, "chosen_by_random", None) == [True, False] * 5
    assert np.isnan(read(reader, "pred_iou", ("label", 0))).all()  # null
    ranks = read(reader, "hierarchical_rank", ("label", 0))  # G H I K L
    assert ranks == pytest.approx([0, 2, 3, 1, np.nan], nan_ok=True)
    # Boxes are in pixels of the image, which is twice as wide and three times as high.
    assert read(reader, "x1", None)[:2] == [160, 110]
    assert set(read(reader, "y1", None)) == {30}


def test_ignored_candidates_are_neither(found):
    gt_labels = found.candidates.gt_labels.clone()
    gt_labels[-1] = -1
    ignoring = replace(found, candidates=replace(found.candidates, gt_labels=gt_labels))
    rows = candidate_rows(IMAGE, ignoring, {}, torch.tensor([5]), {})
    assert rows["label"].tolist() == [1] * 5 + [0] * 4 + [-1]


def test_without_weights_and_regions_all_rows_weigh_1_and_lie_in_none(reader, found):
    assert read(reader, "weight", None) == [1.0] * 10
    assert read(reader, "is_in_region", None) == [False] * 10
    assert region_rows(IMAGE, found)["image_id"] == []


def test_weights_and_regions_of_the_data(found, tmp_path):
    of_image, region = torch.tensor([0.5]), torch.tensor([[200.0, 0.0, 300.0, 10.0]])
    targets = replace(
        found.candidates.targets,
        weights=torch.tensor([3.0, 1.0]),
        image_weights=of_image,
        regions=Regions(region, [1]),
    )
    is_in_region = torch.arange(10) == 9
    candidates = replace(
        found.candidates,
        targets=targets,
        is_in_region=is_in_region,
        gt_labels=found.candidates.gt_labels.masked_fill(is_in_region, -1),
    )
    known = replace(found, candidates=candidates)
    rows = candidate_rows(IMAGE, known, {}, torch.tensor([5]), {})
    # Weights are the object's times the image's: A B C of the first object, D E of the second, then
    # background.
    assert rows["weight"].tolist() == [1.5] * 3 + [0.5] * 2 + [0.5] * 5
    assert rows["is_in_region"].tolist() == [False] * 9 + [True]
    with PartWriter(tmp_path, REGIONS) as writer:
        writer.add(region_rows(IMAGE, known))
    regions = PartReader(tmp_path)
    assert [read(regions, name, None) for name in ("x0", "y0", "x1", "y1")] == [
        [400.0],
        [0.0],
        [600.0],
        [30.0],
    ]


def test_objects_and_image(found, tmp_path):
    with PartWriter(tmp_path / "objects", OBJECTS) as writer:
        writer.add(object_rows(IMAGE, found))
    with PartWriter(tmp_path / "images", IMAGES) as writer:
        writer.add(image_row(IMAGE, found))
    objects = PartReader(tmp_path / "objects")
    assert read(objects, "num_positives", None) == [3, 2]
    assert read(objects, "area", None) == [200 * 30] * 2
    assert read(PartReader(tmp_path / "images"), "num_candidates", None) == [10]
