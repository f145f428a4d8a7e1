import dataclasses
import json
import logging
import stat

import cv2
import numpy as np
import pycocotools.mask as mask_util
import pytest
from pycocotools.coco import COCO

from imbdet.config import add_imbdet_config
from imbdet.data.shapes import CLASS_NAMES, ShapesOptions, drawing, generation, register_shapes
from imbdet.data.shapes.drawing import draw_image, image_rng, plan_scene
from imbdet.errors import UserError

from detectron2.config import get_cfg  # isort: skip  (after imbdet)
from detectron2.data import DatasetCatalog, MetadataCatalog  # isort: skip

EIGHT_CLASSES = (1.0,) * 8


def make_cfg(**changes):
    cfg = get_cfg()
    add_imbdet_config(cfg)
    small = {"NUM_TRAIN": 3, "NUM_VAL": 2, "IMAGE_SIZE": 96, "OBJECT_SIZE": (8, 32)}
    for key, value in {**small, **changes}.items():
        cfg.DATASETS.SHAPES[key] = value
    return cfg


def make_options(**changes):
    return ShapesOptions.from_config(make_cfg(**changes))


def default_options(**changes):
    cfg = get_cfg()
    add_imbdet_config(cfg)
    return dataclasses.replace(ShapesOptions.from_config(cfg), **changes)


def make_content(options, split="train"):
    drawings = (draw_image(options, split, k) for k in range(options.num_images(split)))
    return generation.coco_content(options, split, drawings)


def files_of(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def decode(annotation, size):
    segmentation = annotation["segmentation"]
    rles = mask_util.frPyObjects(segmentation, size, size)
    return mask_util.decode(rles if isinstance(rles, dict) else mask_util.merge(rles)).astype(bool)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "datasets"))
    yield tmp_path / "datasets"
    for name in ("shapes_train", "shapes_val"):
        DatasetCatalog.pop(name, None)
        MetadataCatalog.pop(name, None)


@pytest.fixture(scope="module")
def eight_classes():
    """Crowded images with everything in them, as the content of an annotation file."""
    options = make_options(
        NUM_TRAIN=40,
        CLASS_FREQUENCIES=EIGHT_CLASSES,
        OBJECTS_PER_IMAGE=8.0,
        CROWD_FRACTION=0.1,
        EMPTY_FRACTION=0.2,
    )
    return make_content(options)


@pytest.fixture(scope="module")
def default_val():
    return make_content(default_options(), "val")


def test_registered_names_load_with_their_metadata(root):
    register_shapes(make_cfg())
    assert not root.exists()  # nothing is generated yet
    for split, num_images in (("train", 3), ("val", 2)):
        metadata = MetadataCatalog.get(f"shapes_{split}")
        assert metadata.thing_classes == ["circle", "square", "triangle"]
        assert metadata.evaluator_type == "coco"
        records = DatasetCatalog.get(f"shapes_{split}")
        assert len(records) == num_images
        image = cv2.imread(records[0]["file_name"])
        assert image.shape == (96, 96, 3)
        pixels = draw_image(make_options(), split, 0).pixels
        np.testing.assert_array_equal(image[:, :, ::-1], pixels)
        assert records[0]["file_name"].startswith(metadata.image_root)
        assert len(COCO(metadata.json_file).getImgIds()) == num_images


def test_generated_folder_has_the_documented_layout(root):
    register_shapes(make_cfg())
    DatasetCatalog.get("shapes_val")
    (folder,) = root.iterdir()
    assert folder.name == f"shapes-{make_options().digest()}"
    assert sorted(str(p) for p in files_of(folder)) == [
        "annotations/train.json",
        "annotations/val.json",
        "options.json",
        "train/000001.png",
        "train/000002.png",
        "train/000003.png",
        "val/000001.png",
        "val/000002.png",
    ]
    assert json.loads((folder / "options.json").read_text())["image_size"] == 96
    # The folder has the permissions of any other new folder.
    other = root / "other"
    other.mkdir()
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


def test_the_test_split_is_of_the_next_seed(root):
    register_shapes(make_cfg())
    records = {split: DatasetCatalog.get(f"shapes_{split}") for split in ("val", "test")}
    assert [len(found) for found in records.values()] == [2, 2]
    images = [cv2.imread(found[0]["file_name"]) for found in records.values()]
    assert (images[0] != images[1]).any()
    of_next = dataclasses.replace(make_options(), seed=make_options().seed + 1)
    pixels = draw_image(of_next, "val", 0).pixels
    np.testing.assert_array_equal(images[1][:, :, ::-1], pixels)


def test_each_split_is_loaded_under_its_own_name(root, caplog):
    register_shapes(make_cfg())
    for split in ("train", "val", "test"):
        caplog.clear()
        with caplog.at_level("INFO"):
            DatasetCatalog.get(f"shapes_{split}")
        assert f"Reading the annotations of 'shapes_{split}': " in caplog.text
        metadata = MetadataCatalog.get(f"shapes_{split}")
        assert metadata.thing_dataset_id_to_contiguous_id == {1: 0, 2: 1, 3: 2}


def test_registering_again_replaces_the_options(root):
    register_shapes(make_cfg())
    assert len(DatasetCatalog.get("shapes_train")) == 3
    register_shapes(make_cfg(NUM_TRAIN=2, CLASS_FREQUENCIES=(1.0, 1.0)))
    assert MetadataCatalog.get("shapes_train").thing_classes == ["circle", "square"]
    assert len(DatasetCatalog.get("shapes_train")) == 2
    assert len(list(root.iterdir())) == 2


def test_same_options_give_the_same_files(tmp_path):
    generation.ensure_generated(make_options(), tmp_path / "first")
    generation.ensure_generated(make_options(), tmp_path / "second")
    assert files_of(tmp_path / "first") == files_of(tmp_path / "second")


def test_fewer_images_are_the_first_ones_of_more():
    short, long = make_content(make_options(NUM_TRAIN=3)), make_content(make_options(NUM_TRAIN=6))
    assert long["images"][:3] == short["images"]
    assert long["annotations"][: len(short["annotations"])] == short["annotations"]
    assert len(long["annotations"]) > len(short["annotations"])


def test_another_seed_gives_other_images():
    first = draw_image(make_options(), "train", 0).pixels
    assert (first != draw_image(make_options(SEED=1), "train", 0).pixels).any()
    assert (first != draw_image(make_options(), "val", 0).pixels).any()


def test_digest_tells_options_apart_but_not_their_notation():
    options = make_options()
    assert options.digest() == make_options(CLASS_FREQUENCIES=[100, 10, 1]).digest()
    assert len({options.digest(), make_options(SEED=1).digest(), default_options().digest()}) == 3


def test_training_has_a_long_tail():
    options = default_options()
    counts = np.zeros(3)
    for index in range(options.num_train):
        items = plan_scene(options, "train", image_rng(options, "train", index, "scene"))
        counts += np.bincount([i.category for i in items if i.category is not None], minlength=3)
    # 800 images, 95 % with 8 objects each; the rarest class has a standard deviation of 7.4.
    expected = 800 * 0.95 * 8 * np.array([100, 10, 1]) / 111
    assert (abs(counts - expected) < [300, 100, 30]).all(), counts
    assert counts[2] > 0


def test_validation_is_balanced_with_a_hundred_of_the_rarest(default_val):
    labels = [a["category_id"] for a in default_val["annotations"] if not a["iscrowd"]]
    counts = np.bincount(labels, minlength=4)[1:]
    assert counts.min() >= 100
    assert counts.max() < 1.3 * counts.min()


def test_eight_classes_are_balanced_in_validation():
    options = default_options(class_frequencies=EIGHT_CLASSES)
    items = [
        item
        for index in range(options.num_val)
        for item in plan_scene(options, "val", image_rng(options, "val", index, "scene"))
    ]
    labels = [i.category for i in items if i.category is not None and not i.is_crowd]
    # 200 images, 95 % with 8 objects, 98 % of them no crowd, in 8 classes: 186 of each, and a
    # standard deviation of 12.
    assert (abs(np.bincount(labels, minlength=8) - 186) < 45).all()


def test_annotations_agree_with_their_segmentation(eight_classes):
    kinds = set()
    for annotation in eight_classes["annotations"]:
        mask = decode(annotation, 96)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        width, height = columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]
        assert annotation["bbox"] == [columns[0], rows[0], width, height]
        assert annotation["area"] == mask.sum()
        kinds.add((annotation["iscrowd"], type(annotation["segmentation"])))
    # Polygons for objects, run lengths for crowds.
    assert kinds == {(0, list), (1, dict)}


def test_objects_are_of_the_asked_size_and_inside_the_image(eight_classes):
    longer_sides = []
    for annotation in eight_classes["annotations"]:
        x, y, width, height = annotation["bbox"]
        assert x >= 0
        assert y >= 0
        assert x + width <= 96
        assert y + height <= 96
        if not annotation["iscrowd"]:
            longer_sides.append(max(width, height))
    # One pixel more where the object begins and ends within a pixel; less where it is covered.
    assert max(longer_sides) <= 33
    assert np.percentile(longer_sides, 5) >= 6


def test_objects_remain_visible(monkeypatch):
    canvases = []

    class RememberedCanvas(drawing._Canvas):
        def __init__(self, background):
            super().__init__(background)
            canvases.append(self)

    monkeypatch.setattr(drawing, "_Canvas", RememberedCanvas)
    make_content(make_options(NUM_TRAIN=20, OBJECTS_PER_IMAGE=8.0))
    shares = [
        canvas.visible_mask(k).sum() / num_pixels
        for canvas in canvases
        for k, num_pixels in enumerate(canvas._num_pixels)
        if num_pixels
    ]
    assert 0.7 <= min(shares) < 1  # some do overlap


@pytest.mark.parametrize("name", CLASS_NAMES)
def test_smallest_objects_have_pixels(name):
    frequencies = [1e-9] * 8
    frequencies[CLASS_NAMES.index(name)] = 1.0
    options = make_options(OBJECT_SIZE=(4, 4), CLASS_FREQUENCIES=frequencies, NUM_TRAIN=5)
    annotations = make_content(options)["annotations"]
    assert annotations
    assert all(a["area"] >= 2 for a in annotations)


def test_clutter_is_at_least_half_as_many_as_objects(default_val):
    num_clutter = sum(image["num_clutter"] for image in default_val["images"])
    assert num_clutter >= 0.5 * len(default_val["annotations"])


def test_no_clutter_without_a_ratio():
    images = make_content(make_options(CLUTTER_RATIO=0.0))["images"]
    assert [image["num_clutter"] for image in images] == [0, 0, 0]


def test_some_images_have_clutter_only(eight_classes):
    annotated = {a["image_id"] for a in eight_classes["annotations"]}
    empty = [image for image in eight_classes["images"] if image["id"] not in annotated]
    assert 2 <= len(empty) <= 16  # 8 of 40 are expected
    assert all(image["num_clutter"] > 0 for image in empty)


def test_all_images_may_be_empty(root):
    register_shapes(make_cfg(EMPTY_FRACTION=1.0))
    assert [len(r["annotations"]) for r in DatasetCatalog.get("shapes_train")] == [0, 0, 0]


def test_crowds_are_groups_under_one_box(eight_classes):
    crowds = [a for a in eight_classes["annotations"] if a["iscrowd"]]
    assert 0.03 < len(crowds) / len(eight_classes["annotations"]) < 0.2
    for crowd in crowds:
        assert min(crowd["bbox"][2:]) >= 8  # several objects of 8 pixels or more, some covered


def test_label_noise_replaces_the_asked_share():
    clean = make_content(make_options(NUM_TRAIN=80))["annotations"]
    noisy = make_content(make_options(NUM_TRAIN=80, LABEL_NOISE=0.3))["annotations"]
    assert all(a["category_id"] == a["true_category_id"] for a in clean)
    changed = [a["category_id"] != a["true_category_id"] for a in noisy]
    # Of about 400 objects; the standard deviation is 0.023.
    assert abs(np.mean(changed) - 0.3) < 0.1
    assert {a["category_id"] for a in noisy} == {1, 2, 3}
    # Nothing but the label differs.
    for before, after in zip(clean, noisy, strict=True):
        assert before == {**after, "category_id": after["true_category_id"]}


def test_validation_has_no_label_noise():
    annotations = make_content(make_options(NUM_VAL=10, LABEL_NOISE=1.0), "val")["annotations"]
    assert all(a["category_id"] == a["true_category_id"] for a in annotations)


@pytest.mark.parametrize("exception", [RuntimeError, KeyboardInterrupt])
def test_interruption_leaves_nothing(root, monkeypatch, exception):
    def interrupted(options, split, index):
        if split == "val":
            raise exception
        return draw_image(options, split, index)

    register_shapes(make_cfg())
    with monkeypatch.context() as patch:
        patch.setattr(generation, "draw_image", interrupted)
        with pytest.raises(exception):
            DatasetCatalog.get("shapes_train")
    assert list(root.iterdir()) == []
    assert len(DatasetCatalog.get("shapes_train")) == 3


def test_generates_once(root, monkeypatch, caplog):
    register_shapes(make_cfg())
    with caplog.at_level(logging.INFO, logger="imbdet"):
        DatasetCatalog.get("shapes_train")
    assert [r.message.split()[0] for r in caplog.records] == ["Generating", "Generated", "Reading"]
    monkeypatch.setattr(generation, "draw_image", None)
    assert len(DatasetCatalog.get("shapes_train")) == 3
    assert len(DatasetCatalog.get("shapes_val")) == 2


def test_faster_process_wins(tmp_path, monkeypatch):
    folder = tmp_path / "shapes"

    def overtaken(options, draft):
        generate(options, draft)
        generate(options, folder)

    generate = generation._generate
    monkeypatch.setattr(generation, "_generate", overtaken)
    generation.ensure_generated(make_options(), folder)
    assert list(tmp_path.iterdir()) == [folder]
    assert (folder / "annotations" / "val.json").is_file()


def test_incomplete_folder_is_refused(tmp_path):
    (tmp_path / "shapes").mkdir()
    with pytest.raises(UserError, match=r"shapes' is incomplete\. Delete it"):
        generation.ensure_generated(make_options(), tmp_path / "shapes")


def test_unwritable_folder_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "file"))
    register_shapes(make_cfg())
    with pytest.raises(UserError, match=r"file/shapes-.*DETECTRON2_DATASETS"):
        DatasetCatalog.get("shapes_train")


def test_warns_of_objects_without_a_place(caplog):
    make_content(make_options(NUM_TRAIN=1, OBJECT_SIZE=(40, 48), OBJECTS_PER_IMAGE=40.0))
    assert "found no place" in caplog.text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("NUM_TRAIN", 0),
        ("NUM_VAL", -1),
        ("NUM_VAL", 1.5),
        ("IMAGE_SIZE", 8),
        ("OBJECT_SIZE", (32, 8)),
        ("OBJECT_SIZE", (8,)),
        ("OBJECT_SIZE", (0, 8)),
        ("OBJECT_SIZE", (8, 64)),  # the images have 96 pixels
        ("OBJECT_SIZE", ("8", "16")),
        ("CLASS_FREQUENCIES", ()),
        ("CLASS_FREQUENCIES", (1.0, 0.0)),
        ("CLASS_FREQUENCIES", (1.0, float("nan"))),
        ("CLASS_FREQUENCIES", (1.0,) * 9),
        ("OBJECTS_PER_IMAGE", 0.5),
        ("OBJECTS_PER_IMAGE", float("inf")),
        ("CLUTTER_RATIO", -0.1),
        ("EMPTY_FRACTION", 1.1),
        ("CROWD_FRACTION", float("nan")),
        ("LABEL_NOISE", -0.5),
        ("SEED", -1),
        ("SEED", True),
    ],
)
def test_bad_option_is_named(key, value):
    with pytest.raises(UserError, match=rf"^DATASETS\.SHAPES\.{key} is .*, but has to be "):
        register_shapes(make_cfg(**{key: value}))


def test_label_noise_needs_two_classes():
    with pytest.raises(UserError, match=r"DATASETS\.SHAPES\.LABEL_NOISE"):
        make_options(CLASS_FREQUENCIES=(1.0,), LABEL_NOISE=0.1)
