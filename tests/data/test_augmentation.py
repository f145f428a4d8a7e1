import itertools
import re

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from PIL import Image

from imbdet.config import add_imbdet_config
from imbdet.data import build_train_loader, register_datasets
from imbdet.data.augmentation import build_train_mapper
from tests.messages import error_of

from detectron2.config import get_cfg  # isort: skip  (after imbdet)
from detectron2.data import DatasetCatalog, DatasetMapper, MetadataCatalog  # isort: skip
from detectron2.structures import BoxMode  # isort: skip

# The colours as they are, black around them.
NO_DISTORTION = (
    *("INPUT.SSD.BRIGHTNESS_DELTA", 0.0, "INPUT.SSD.HUE_DELTA", 0.0),
    *("INPUT.SSD.CONTRAST", (1.0, 1.0), "INPUT.SSD.SATURATION", (1.0, 1.0)),
    *("MODEL.PIXEL_MEAN", [0.0, 0.0, 0.0]),
)


def make_cfg(*overrides):
    cfg = get_cfg()
    add_imbdet_config(cfg)
    cfg.INPUT.AUGMENTATION = "ssd"
    cfg.INPUT.SSD.SIZE = 96
    cfg.merge_from_list(list(overrides))
    return cfg


def make_record(folder, boxes, size=(60, 40), **fields):
    """An image, of ``size`` (width, height), of white boxes on black."""
    pixels = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    for x0, y0, x1, y1 in boxes:
        pixels[y0:y1, x0:x1] = 255
    path = folder / "boxes.png"
    Image.fromarray(pixels).save(path)
    annotations = [
        {"bbox": list(map(float, box)), "bbox_mode": BoxMode.XYXY_ABS, "category_id": i, **fields}
        for i, box in enumerate(boxes)
    ]
    return {"file_name": str(path), "annotations": annotations}


def mapped(mapper, record, seed):
    np.random.seed(seed)
    return mapper(record)


def extent(mask):
    """The box around the pixels of a mask."""
    y, x = np.nonzero(np.asarray(mask))
    return [x.min(), y.min(), x.max() + 1, y.max() + 1]


@pytest.mark.parametrize(
    ("mask_format", "is_polygon"), [("polygon", True), ("bitmask", True), ("bitmask", False)]
)
def test_moves_boxes_masks_and_pixels_together(tmp_path, mask_format, is_polygon):
    x0, y0, x1, y1 = box = (20, 10, 50, 30)
    mask = np.zeros((40, 60), dtype=np.uint8, order="F")
    mask[y0:y1, x0:x1] = 1
    polygon = [float(x) for x in (x0, y0, x1, y0, x1, y1, x0, y1)]
    segmentation = [polygon] if is_polygon else mask_util.encode(mask)
    record = make_record(tmp_path, [box], segmentation=segmentation)
    overrides = (*NO_DISTORTION, "MODEL.MASK_ON", True, "INPUT.MASK_FORMAT", mask_format)
    mapper = build_train_mapper(make_cfg(*overrides))
    found = set()
    for seed in range(60):
        item = mapped(mapper, record, seed)
        instances = item["instances"]
        (gt_box,) = instances.gt_boxes.tensor.tolist()
        found.add(tuple(gt_box))
        assert extent(item["image"][0] > 127) == pytest.approx(gt_box, abs=1)
        if mask_format == "polygon":
            corners = instances.gt_masks.polygons[0][0].reshape(4, 2).clip(0, 96)
            assert [*corners.min(0), *corners.max(0)] == pytest.approx(gt_box, abs=1e-4)
            # What the mask head learns from: the whole box, which the object fills.
            assert instances.gt_masks.crop_and_resize(instances.gt_boxes.tensor, 14).all()
        else:
            assert extent(instances.gt_masks.tensor[0]) == pytest.approx(gt_box, abs=1.5)
    assert len(found) > 40  # some of the others are whole images


def test_moves_keypoints_with_their_box(tmp_path):
    MetadataCatalog.get("two_sides").set(
        keypoint_names=["left", "right"], keypoint_flip_map=[("left", "right")]
    )
    record = make_record(tmp_path, [(20, 10, 50, 30)], keypoints=[20.0, 20.0, 2, 50.0, 20.0, 2])
    cfg = make_cfg("MODEL.KEYPOINT_ON", True, "DATASETS.TRAIN", ("two_sides",))
    mapper = build_train_mapper(cfg)
    MetadataCatalog.pop("two_sides")
    for seed in range(30):
        instances = mapped(mapper, record, seed)["instances"]
        x0, _, x1, _ = instances.gt_boxes.tensor[0].tolist()
        left, right = instances.gt_keypoints.tensor[0]
        for point, edge in ((left, x0), (right, x1)):
            is_visible = point[2] > 0
            assert point[0].item() == pytest.approx(edge if is_visible else 0, abs=1e-3)
            assert is_visible or edge in (0, 96)


@pytest.mark.parametrize("size", [(60, 40), (40, 1), (1, 40), (1, 1)])
@pytest.mark.parametrize("boxes", [[], [(0, 0, 1, 1)]])
@pytest.mark.parametrize("iscrowd", [0, 1])
def test_returns_squares_of_a_fixed_size(tmp_path, size, boxes, iscrowd):
    record = make_record(tmp_path, boxes, size, iscrowd=iscrowd)
    mapper = build_train_mapper(make_cfg())
    for seed in range(10):
        item = mapped(mapper, record, seed)
        assert item["image"].shape == (3, 96, 96)
        assert item["image"].dtype == torch.uint8
        assert len(item["instances"]) == len(boxes) * (1 - iscrowd)


def test_images_without_annotations_are_augmented(tmp_path):
    record = make_record(tmp_path, [])
    del record["annotations"]
    assert mapped(build_train_mapper(make_cfg()), record, 0)["image"].shape == (3, 96, 96)


def test_same_seed_same_image(tmp_path):
    record = make_record(tmp_path, [(5, 5, 45, 35)])
    mapper = build_train_mapper(make_cfg())
    items = [mapped(mapper, record, seed) for seed in (1, 1, 2)]
    assert torch.equal(items[0]["image"], items[1]["image"])
    assert torch.equal(items[0]["instances"].gt_boxes.tensor, items[1]["instances"].gt_boxes.tensor)
    assert not torch.equal(items[0]["image"], items[2]["image"])


@pytest.mark.parametrize(
    ("flip", "flipped"), [("none", []), ("horizontal", [0]), ("vertical", [1])]
)
def test_flips_as_told(tmp_path, flip, flipped):
    record = make_record(tmp_path, [(0, 0, 10, 10)])
    still = ("INPUT.SSD.MIN_CROP_SIZE", 1.0, "INPUT.SSD.EXPAND_RATIO", 1.0, "INPUT.RANDOM_FLIP")
    mapper = build_train_mapper(make_cfg(*still, flip))
    starts = [
        mapped(mapper, record, seed)["instances"].gt_boxes.tensor[0, :2].tolist()
        for seed in range(40)
    ]
    assert [axis for axis in (0, 1) if any(start[axis] > 0 for start in starts)] == flipped
    assert starts.count([0, 0]) >= 10


def test_default_is_detectron2s_mapper_that_knows_the_way_back(tmp_path):
    record = make_record(tmp_path, [(5, 5, 45, 35)])
    cfg = make_cfg("INPUT.AUGMENTATION", "")
    ours, theirs = build_train_mapper(cfg), DatasetMapper(cfg, is_train=True)
    for seed in range(5):
        item = mapped(ours, record, seed)
        assert item.pop("to_file").shape == (2, 2)
        assert str(item) == str(mapped(theirs, record, seed))


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("INPUT.AUGMENTATION", "sdd"), "INPUT.AUGMENTATION is 'sdd'; it can be '' .* or 'ssd'"),
        (("INPUT.FORMAT", "L"), "INPUT.FORMAT is 'L'; .* it can be 'BGR' or 'RGB'"),
        (("INPUT.CROP.ENABLED", True), "INPUT.CROP.ENABLED is True, but .* set it to False"),
        (("INPUT.SSD.SIZE", 0), "SIZE is 0: it must be at least 1"),
        (("INPUT.SSD.BRIGHTNESS_DELTA", -1.0), "BRIGHTNESS_DELTA is -1.0: it must be from"),
        (("INPUT.SSD.CONTRAST", (1.5, 0.5)), "CONTRAST is .*: it must be"),
        (("INPUT.SSD.SATURATION", (1.0,)), "SATURATION is .*: it must be"),
        (("INPUT.SSD.HUE_DELTA", 181.0), "HUE_DELTA is 181.0: it must be from"),
        (("INPUT.SSD.EXPAND_RATIO", 0.5), "EXPAND_RATIO is 0.5: it must be at least 1"),
        (("INPUT.SSD.EXPAND_PROB", 1.5), "EXPAND_PROB is 1.5: it must be from"),
        (("INPUT.SSD.MIN_IOUS", (0.1, 1.1)), "MIN_IOUS is .*: it must be from"),
        (("INPUT.SSD.MIN_CROP_SIZE", 0.0), "MIN_CROP_SIZE is 0.0: it must be above 0"),
    ],
)
def test_refuses_a_key(overrides, words):
    assert re.search(words, error_of(build_train_mapper, make_cfg(*overrides)))


@pytest.fixture
def shapes(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    yield
    for name in ("shapes_train", "shapes_val"):
        DatasetCatalog.pop(name, None)
        MetadataCatalog.pop(name, None)


@pytest.mark.parametrize("workers", [0, 2])
def test_loads_shapes(shapes, workers):
    cfg = make_cfg(
        *("DATASETS.TRAIN", ("shapes_train",), "DATASETS.TEST", ()),
        *("DATASETS.SHAPES.NUM_TRAIN", 4, "MODEL.ROI_HEADS.NUM_CLASSES", 3),
        *("MODEL.MASK_ON", True, "INPUT.MASK_FORMAT", "bitmask"),
        *("SOLVER.IMS_PER_BATCH", 2, "DATALOADER.NUM_WORKERS", workers),
    )
    register_datasets(cfg)
    for batch in itertools.islice(build_train_loader(cfg), 10):
        for item in batch:
            instances = item["instances"]
            assert item["image"].shape == (3, 96, 96)
            assert len(instances) > 0
            boxes = instances.gt_boxes.tensor
            assert (boxes >= 0).all()
            assert (boxes <= 96).all()
            assert instances.gt_masks.tensor.shape[1:] == (96, 96)
