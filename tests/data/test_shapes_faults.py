"""Faults that are planted in the training annotations of shapes, and the truth beside them."""

import hashlib
import json

import numpy as np
import pycocotools.mask as mask_util
import pytest

from imbdet.config import add_imbdet_config
from imbdet.data.coco_records import load_coco_records
from imbdet.data.shapes import ShapesOptions, generation
from imbdet.data.shapes.drawing import draw_image
from imbdet.errors import UserError

from detectron2.config import get_cfg  # isort: skip  (after imbdet)

SIZE = 96
ALL_KINDS = {
    "LABEL_NOISE": 0.2,
    "BOX_NOISE": 0.2,
    "MISSING_FRACTION": 0.2,
    "DUPLICATE_FRACTION": 0.2,
}
SHARES = list(ALL_KINDS)


def make_options(**changes):
    cfg = get_cfg()
    add_imbdet_config(cfg)
    small = {"NUM_TRAIN": 3, "NUM_VAL": 2, "IMAGE_SIZE": SIZE, "OBJECT_SIZE": (8, 32)}
    cfg.DATASETS.SHAPES.merge_from_other_cfg(type(cfg)({**small, **changes}))
    return ShapesOptions.from_config(cfg)


@pytest.fixture(scope="module")
def make_content():
    """Annotation files of the same 40 images with any faults; some objects are crowds."""
    scene = {"NUM_TRAIN": 40, "OBJECTS_PER_IMAGE": 8.0, "CROWD_FRACTION": 0.1}
    drawings = [draw_image(make_options(**scene), "train", k) for k in range(40)]

    def make(split="train", **faults):
        return generation.coco_content(make_options(**scene, **faults), split, drawings)

    return make


def missing_of(content):
    return [note for image in content["images"] for note in image.get("missing", [])]


def faulty_ids(content):
    """The ids of the objects with each kind of fault."""
    notes = [note for note in content["annotations"] if "duplicate_of" not in note]
    return {
        "LABEL_NOISE": {n["id"] for n in notes if n["category_id"] != n["true_category_id"]},
        "BOX_NOISE": {n["id"] for n in notes if "true_bbox" in n},
        "MISSING_FRACTION": {n["id"] for n in missing_of(content)},
        "DUPLICATE_FRACTION": {n.get("duplicate_of", 0) for n in content["annotations"]} - {0},
    }


def repair(content):
    """Classes and boxes by id, corrected by the truth in the file."""
    notes = [note for note in content["annotations"] if "duplicate_of" not in note]
    notes += missing_of(content)
    return {
        note["id"]: (
            note["image_id"],
            note["true_category_id"],
            note.get("true_bbox", note["bbox"]),
        )
        for note in notes
    }


def iou(box, other):
    corners = np.array([box, other], dtype=float)
    corners[:, 2:] += corners[:, :2]
    overlap = (corners[:, 2:].min(axis=0) - corners[:, :2].max(axis=0)).clip(0).prod()
    return overlap / (box[2] * box[3] + other[2] * other[3] - overlap)


# Files without other faults than wrong classes, and their names, must stay as they are.
@pytest.mark.parametrize(
    ("changes", "digest", "files"),
    [
        ({}, "9c349a64eb", ("5fea63d79377655d", "cd89aff69403131f")),
        (
            {"LABEL_NOISE": 0.3, "CROWD_FRACTION": 0.2},
            "79f0551cba",
            ("687d3515e4d6ff49", "e0abd298c6be8860"),
        ),
    ],
)
def test_data_without_new_faults_are_those_of_earlier_versions(changes, digest, files):
    options = make_options(**changes)
    assert options.digest() == digest
    for split, expected in zip(generation.SPLITS, files, strict=True):
        drawings = [draw_image(options, split, k) for k in range(options.num_images(split))]
        text = json.dumps(generation.coco_content(options, split, drawings))
        assert hashlib.sha256(text.encode()).hexdigest()[:16] == expected


def test_size_of_a_fault_counts_where_there_is_one():
    assert make_options(BOX_NOISE_IOU=(0.5, 0.6)).digest() == make_options().digest()
    digests = {
        make_options(BOX_NOISE=0.1).digest(),
        make_options(BOX_NOISE=0.1, BOX_NOISE_IOU=(0.5, 0.6)).digest(),
        make_options(DUPLICATE_FRACTION=0.1).digest(),
        make_options(DUPLICATE_FRACTION=0.1, DUPLICATE_IOU=(0.5, 0.6)).digest(),
        make_options(MISSING_FRACTION=0.1).digest(),
        make_options().digest(),
    }
    assert len(digests) == 6


def test_truth_is_what_is_generated_without_faults(make_content):
    clean = {n["id"]: n for n in make_content()["annotations"]}
    faulty = make_content(**ALL_KINDS)
    assert all(faulty_ids(faulty).values())
    assert repair(faulty) == {
        key: (note["image_id"], note["category_id"], note["bbox"]) for key, note in clean.items()
    }
    assert all(note == clean[note["id"]] for note in missing_of(faulty))
    ids = [note["id"] for note in faulty["annotations"]]
    assert ids == sorted(set(ids))


@pytest.mark.parametrize("kind", SHARES)
def test_share_is_the_asked_one(make_content, kind):
    objects = {n["id"] for n in make_content()["annotations"] if not n["iscrowd"]}
    faulty = faulty_ids(make_content(**{kind: 0.3}))
    # Of about 250 objects; the standard deviation is 0.03.
    assert abs(len(faulty.pop(kind)) / len(objects) - 0.3) < 0.1
    assert not any(faulty.values())
    # All objects have the fault, and no crowd has it.
    assert faulty_ids(make_content(**{kind: 1.0}))[kind] == objects


@pytest.mark.parametrize("kind", SHARES)
def test_kinds_do_not_depend_on_each_other(make_content, kind):
    alone = make_content(**{kind: 0.2})
    among = make_content(**{**dict.fromkeys(SHARES, 0.5), "MISSING_FRACTION": 0.0, kind: 0.2})
    assert faulty_ids(alone)[kind] == faulty_ids(among)[kind]


@pytest.mark.parametrize("kind", SHARES)
def test_more_faults_are_those_of_fewer_and_others(make_content, kind):
    few, many = make_content(**{kind: 0.1}), make_content(**{kind: 0.4})
    assert faulty_ids(few)[kind] < faulty_ids(many)[kind]
    if kind == "DUPLICATE_FRACTION":
        few, many = (
            {n["duplicate_of"]: n["bbox"] for n in content["annotations"] if "duplicate_of" in n}
            for content in (few, many)
        )
    else:
        few, many = (
            {n["id"]: (n["category_id"], n["bbox"]) for n in content["annotations"]}
            for content in (few, many)
        )
        few = {key: few[key] for key in faulty_ids(make_content(**{kind: 0.1}))[kind] & few.keys()}
    assert few == {key: many[key] for key in few}


def test_boxes_are_as_far_off_as_asked(make_content):
    notes = make_content(BOX_NOISE=1.0, BOX_NOISE_IOU=(0.4, 0.6))["annotations"]
    ious = [iou(note["bbox"], note["true_bbox"]) for note in notes if not note["iscrowd"]]
    assert min(ious) == pytest.approx(0.4, abs=0.01)
    assert max(ious) == pytest.approx(0.6, abs=0.01)
    assert min(ious) > 0.4 - 1e-9
    assert max(ious) < 0.6 + 1e-9
    assert np.mean(ious) == pytest.approx(0.5, abs=0.02)  # uniform
    for note in notes:
        x, y, width, height = note["bbox"]
        assert x >= 0
        assert y >= 0
        assert width > 0
        assert height > 0
        assert max(x + width, y + height) <= SIZE + 1e-9
    # In all directions: neither larger nor further right on the whole.
    changes = [np.subtract(n["bbox"], n["true_bbox"]) for n in notes if not n["iscrowd"]]
    assert (abs(np.mean(np.sign(changes), axis=0)) < 0.25).all()


def test_copies_differ_slightly_and_have_the_faults_of_their_original(make_content):
    notes = make_content(**{**ALL_KINDS, "DUPLICATE_IOU": (0.8, 0.9)})["annotations"]
    originals = {note["id"]: note for note in notes if "duplicate_of" not in note}
    copies = [note for note in notes if "duplicate_of" in note]
    for copy in copies:
        original = originals[copy["duplicate_of"]]
        assert 0.8 - 1e-9 < iou(copy["bbox"], original["bbox"]) < 0.9 + 1e-9
        for key in ("image_id", "category_id", "true_category_id", "true_bbox", "iscrowd"):
            assert copy.get(key) == original.get(key)
    assert any("true_bbox" in copy for copy in copies)


@pytest.mark.parametrize("kind", ["BOX_NOISE", "DUPLICATE"])
def test_an_iou_of_1_is_the_same_box(make_content, kind):
    share = {"BOX_NOISE": "BOX_NOISE", "DUPLICATE": "DUPLICATE_FRACTION"}[kind]
    content = make_content(**{share: 1.0, f"{kind}_IOU": (1.0, 1.0)})
    clean = {note["id"]: note for note in make_content()["annotations"]}
    for note in content["annotations"]:
        original = clean[note.get("duplicate_of", note["id"])]
        np.testing.assert_allclose(note["bbox"], original["bbox"], atol=1e-9)


def test_largest_objects_can_be_as_far_off():
    options = make_options(
        IMAGE_SIZE=32, OBJECT_SIZE=(16, 16), NUM_TRAIN=60, BOX_NOISE=1.0, BOX_NOISE_IOU=(0.3, 0.3)
    )
    drawings = [draw_image(options, "train", k) for k in range(60)]
    notes = generation.coco_content(options, "train", drawings)["annotations"]
    ious = [iou(note["bbox"], note["true_bbox"]) for note in notes if not note["iscrowd"]]
    assert len(ious) > 60
    np.testing.assert_allclose(ious, 0.3, atol=1e-9)


def test_masks_move_with_their_boxes(make_content):
    def decode(note):
        enlarged = [[8 * value for value in polygon] for polygon in note["segmentation"]]
        rles = mask_util.frPyObjects(enlarged, 8 * SIZE, 8 * SIZE)
        return mask_util.decode(mask_util.merge(rles)).astype(bool)

    clean = {note["id"]: note for note in make_content()["annotations"]}
    notes = make_content(BOX_NOISE=1.0)["annotations"][:60]
    for note in (note for note in notes if not note["iscrowd"]):
        mask = decode(note)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        start, end = [columns[0], rows[0]], [columns[-1] + 1, rows[-1] + 1]
        box = [*start, *np.subtract(end, start)]
        np.testing.assert_allclose(np.divide(box, 8), note["bbox"], atol=0.5)
        assert note["area"] == pytest.approx(mask.sum() / 64, rel=0.2, abs=4)
        before = clean[note["id"]]
        part = note["area"] / np.prod(note["bbox"][2:])
        assert part == pytest.approx(before["area"] / np.prod(before["bbox"][2:]))


def test_validation_and_images_have_no_faults(make_content):
    faults = dict.fromkeys(SHARES, 1.0)
    clean = make_content("val")
    assert make_content("val", **faults) == clean
    images = [dict(image) for image in make_content(**faults)["images"]]
    for image in images:
        del image["missing"]
    assert images == make_content()["images"]


def test_training_reads_the_faulty_annotations_alone(make_content, tmp_path):
    content = make_content(**ALL_KINDS)
    path = tmp_path / "train.json"
    path.write_text(json.dumps(content))
    records = load_coco_records(str(path), "", "faulty", optional=("segmentation",))
    read = {note["id"]: note for record in records for note in record["annotations"]}
    assert read.keys() == {note["id"] for note in content["annotations"]}
    assert all(read[note["id"]]["bbox"] == note["bbox"] for note in content["annotations"])
    known = {"bbox", "bbox_mode", "category_id", "id", "iscrowd", "segmentation"}
    assert all(note.keys() == known for note in read.values())
    assert not any("missing" in record for record in records)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("BOX_NOISE", 1.1),
        ("BOX_NOISE_IOU", (0.2, 0.5)),
        ("BOX_NOISE_IOU", (0.7, 0.5)),
        ("MISSING_FRACTION", -0.1),
        ("DUPLICATE_FRACTION", float("nan")),
        ("DUPLICATE_IOU", (0.5, 1.1)),
        ("DUPLICATE_IOU", (0.5, 0.6, 0.7)),
        ("DUPLICATE_IOU", (float("nan"), 0.6)),
    ],
)
def test_bad_option_is_named(key, value):
    with pytest.raises(UserError, match=rf"^DATASETS\.SHAPES\.{key} is .*, but has to be "):
        make_options(**{key: value})
