"""Statistics of data against definitions in plain Python."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imbdet.advice.anchor_fit import NUM_OBJECTS, anchor_fit
from imbdet.advice.class_tail import class_tail
from imbdet.advice.crowding import beyond_limits, crowding
from imbdet.advice.doubtful_boxes import doubtful_boxes
from imbdet.advice.ledger_doubts import read_ledger_doubts
from imbdet.advice.overlaps import find_overlaps
from imbdet.advice.sizes import size_shares
from imbdet.assigners import max_iou, simota
from imbdet.structures import Priors
from tests.advice.scenes import scene
from tests.messages import assert_says, error_of

NOTES = st.tuples(
    st.integers(0, 2), st.integers(0, 8), st.integers(0, 8), st.integers(1, 6), st.integers(1, 6)
)
IMAGES = st.lists(st.lists(NOTES, max_size=5), min_size=1, max_size=4)


def iou(a, b):
    """IoU of two boxes (label, x, y, width, height)."""
    shared = 1
    for i in (1, 2):
        shared *= max(min(a[i] + a[i + 2], b[i] + b[i + 2]) - max(a[i], b[i]), 0)
    return shared / (a[3] * a[4] + b[3] * b[4] - shared)


@given(IMAGES)
def test_classes_are_counted(images):
    tail = class_tail(scene(*images))
    labels = [[note[0] for note in image] for image in images]
    assert tail.objects.tolist() == [sum(own.count(k) for own in labels) for k in range(3)]
    assert tail.images.tolist() == [sum(k in own for own in labels) for k in range(3)]
    present = [n for n in tail.objects.tolist() if n]
    assert tail.ratio == (max(present) / min(present) if present else 1)
    assert tail.in_at_most(1) == tail.images.tolist().count(1)


@given(IMAGES, st.sampled_from([0.0, 0.5, 0.9]))
def test_overlaps_are_pairs_of_an_image(images, above):
    expected, start = [], 0
    for image in images:
        for i, a in enumerate(image):
            for j, b in enumerate(image[:i]):
                if iou(a, b) > above:
                    expected.append((start + j, start + i))
        start += len(image)
    found = find_overlaps(scene(*images), above)
    pairs = list(zip(found.first.tolist(), found.second.tolist(), strict=True))
    assert sorted(pairs) == sorted(expected)


def test_sizes_are_those_after_resizing():
    objects = scene([(0, 0, 0, 16, 16), (0, 0, 0, 31, 31)], [(0, 0, 0, 48, 48)])
    shares = size_shares(objects, np.array([[1.0, 1.0], [2.0, 2.0]]))
    assert shares == pytest.approx((2 / 3, 0, 1 / 3, 31))
    assert size_shares(scene([]), np.ones((1, 2))) is None


def test_suppression_loses_one_of_a_pair_of_a_class():
    images = scene(
        [(0, 0, 0, 10, 10), (0, 0, 0, 10, 9), (1, 0, 0, 10, 10)], [(1, 0, 0, 9, 9, "crowd")], []
    )
    objects = images.objects()
    found = crowding(images, objects, find_overlaps(objects, 0.5), nms_threshold=0.5)
    assert found == (1.0, 3, 1 / 3, 1, 1)
    assert beyond_limits(objects, 2, 2) == pytest.approx(1 / 3)
    assert beyond_limits(objects, 3, 1) == pytest.approx(1 / 3)
    assert beyond_limits(objects, 3, 2) == 0
    assert beyond_limits(scene([]), 2, 2) == 0


def test_a_box_that_is_lost_itself_takes_no_other_with_it():
    objects = scene([(0, x, 0, 10, 10) for x in (0, 2.5, 5)])  # the outer ones have an IoU of 1/3
    found = crowding(objects, objects, find_overlaps(objects, 0.5), nms_threshold=0.5)
    assert found.suppressed == pytest.approx(1 / 3)


def test_doubtful_boxes_are_told_by_kind():
    objects = scene(
        [
            (0, 0, 0, 10, 10),
            (0, 0, 0, 10, 10),
            (1, 0, 0, 10, 10),
            (0, 40, 0, 1, 9),
            (0, 0, 40, 50, 2),
            (0, 50, 50, 10, 10),
        ]
    )
    outside = np.arange(6) == 5
    found = doubtful_boxes(objects, find_overlaps(objects, 0.5), outside)
    rows = (found.duplicates, found.contradictions, found.tiny, found.elongated, found.outside)
    assert [kind.tolist() for kind in rows] == [[1], [2], [3], [4], [5]]


def grid(width, height):
    """Squares of 16 pixels, 8 pixels apart."""
    y, x = torch.meshgrid(torch.arange(0, height, 8), torch.arange(0, width, 8), indexing="ij")
    corners = torch.stack([x, y], dim=-1).flatten(0, 1).float()
    return Priors(torch.cat([corners, corners + 16], dim=1), strides=torch.full((x.numel(),), 8.0))


def test_anchors_meet_resized_objects():
    objects = scene([(0, 8, 8, 8, 8), (0, 40, 40, 4, 4)], [])
    fit = anchor_fit(objects, np.full((2, 2), 2.0), grid, max_iou)
    assert fit.num_images == 1
    assert fit.best_ious == pytest.approx([1, 0.25])
    assert fit.share_below(0.4) == fit.share_too_small(0.4) == 0.5
    # The second object has the anchors that contain it, by the rule that each object has some.
    assert fit.num_positives.tolist() == [1, 4]
    size = grid(200, 160).boxes
    ious = [[iou((0, *a[:2], 16, 16), b) for b in OBJECTS] for a in size.tolist()]
    assert fit.num_negatives == sum(max(own) < 0.4 for own in ious) - 4
    assert fit.negatives_per_positive == fit.num_negatives / 5


OBJECTS = [(0, 16, 16, 16, 16), (0, 80, 80, 8, 8)]


def test_an_assigner_that_looks_at_predictions_tells_no_positives():
    fit = anchor_fit(scene([(0, 8, 8, 16, 16)]), np.ones((1, 2)), grid, simota)
    assert fit.best_ious == pytest.approx([1])
    assert fit.num_positives is None
    assert fit.negatives_per_positive is None
    assert anchor_fit(scene([], []), np.ones((2, 2)), grid, max_iou) is None


def test_few_images_are_looked_at_where_each_has_many_objects():
    image = [(0, 8, 8, 16, 16)] * (NUM_OBJECTS // 2)
    fit = anchor_fit(scene(image, image, image), np.ones((3, 2)), grid, max_iou)
    assert fit.num_images == 2


def write_ledger(folder, classes):
    """Write a ledger of four objects, the last of them a crowd, in two of three images."""
    objects = {
        "is_ignored": [False, False, False, True],
        "judged": [10, 10, 4, 10],
        "learnt": [0, 9, 0, 0],
        "rival_mean": [0.9, 0.05, 0.6, 1.0],
        "class": pa.array(classes, pa.int32()),
        "id": ["1", "2", "3", "4"],
        "image_id": ["a", "a", "b", "b"],
    }
    images = {"image_id": ["a", "b", "c"], "background_mean": [0.6, 0.1, None]}
    for name, columns in (("objects", objects), ("images", images)):
        (folder / "ledger").mkdir(exist_ok=True)
        pq.write_table(pa.table(columns), folder / "ledger" / f"{name}.parquet")


def test_a_ledger_is_asked(tmp_path):
    write_ledger(tmp_path, classes=[1, 1, 0, 0])
    doubts = read_ledger_doubts(tmp_path)
    assert str(tmp_path) in doubts.source
    assert doubts[1:] == ({0: 1, 1: 2}, {0: 1, 1: 1}, [("1", "a")], 2, ["a"])
    assert doubts.objects == 3
    assert doubts.worst_classes() == [0, 1]
    assert "LEDGER.ENABLED" in error_of(read_ledger_doubts, tmp_path / "nowhere")
    (tmp_path / "ledger" / "images.parquet").write_text("no")
    assert "cannot be read" in error_of(read_ledger_doubts, tmp_path)


def test_a_ledger_of_an_earlier_version_is_refused(tmp_path):
    write_ledger(tmp_path, classes=[1, 1, 0, 0])
    path = tmp_path / "ledger" / "objects.parquet"
    pq.write_table(pq.read_table(path).drop_columns("rival_mean"), path)
    error = error_of(read_ledger_doubts, tmp_path)
    assert_says(error, str(path), "no column 'rival_mean'", "earlier version", "train again")
