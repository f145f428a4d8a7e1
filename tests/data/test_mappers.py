import numpy as np
import pycocotools.mask as mask_util
import pytest

from imbdet.data.augmentation import build_train_mapper
from imbdet.data.mappers import CentreMapper
from tests.data.test_augmentation import make_cfg, make_record, mapped

from detectron2.data import transforms as T  # isort: skip  (after imbdet)
from detectron2.structures import BoxMode  # isort: skip
from fvcore.transforms.transform import CropTransform, NoOpTransform  # isort: skip


def test_shows_augmentations_the_boxes_without_crowds(tmp_path):
    seen = []

    class Spy(T.Augmentation):
        def get_transform(self, image, boxes):
            seen.extend(boxes.tolist())
            return NoOpTransform()

    record = make_record(tmp_path, [(5, 5, 45, 35), (0, 0, 9, 9)])
    record["annotations"][1]["iscrowd"] = 1
    record["annotations"][0].update(bbox=[5, 5, 40, 30], bbox_mode=BoxMode.XYWH_ABS)
    CentreMapper(make_cfg(), is_train=True, augmentations=[Spy()])(record)
    assert seen == [[5, 5, 45, 35]]


def test_keeps_the_objects_centred_in_the_crop(tmp_path):
    boxes = [(0, 0, 30, 30), (0, 0, 20, 30), (12, 22, 58, 30), (0, 0, 8, 8), (12, 12, 20, 20)]
    record = make_record(tmp_path, boxes)
    record["annotations"][-1]["iscrowd"] = 1
    window = T.TransformList([CropTransform(10, 10, 30, 20), T.HFlipTransform(30)])
    mapper = CentreMapper(make_cfg(), is_train=True, augmentations=window.transforms)
    instances = mapper(record)["instances"]
    # Centres are (15, 15), (10, 15) on the edge, (35, 26), (4, 4), and that of the crowd.
    assert instances.gt_classes.tolist() == [0, 2]
    assert instances.gt_boxes.tensor.tolist() == [[10, 0, 30, 20], [0, 12, 28, 20]]


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("box", [None, (5, 5, 45, 35)])
def test_masks_are_cropped_also_where_no_object_has_one(tmp_path, box, is_weighted):
    record = make_record(tmp_path, [box] if box else [])
    for note in record["annotations"]:
        mask = np.zeros((40, 60), dtype=np.uint8, order="F")
        mask[5:35, 5:45] = 1
        note["segmentation"] = mask_util.encode(mask)
        note["weight"] = 1.0
    record |= {"weight": 1.0} if is_weighted else {}
    keys = ("MODEL.MASK_ON", True, "INPUT.MASK_FORMAT", "bitmask", "INPUT.CROP.ENABLED", True)
    mapper = build_train_mapper(make_cfg("INPUT.AUGMENTATION", "", *keys))
    for seed in range(5):
        instances = mapped(mapper, record, seed)["instances"]
        assert len(instances) == len(record["annotations"])
        if box:
            tight = instances.gt_masks.get_bounding_boxes().tensor
            assert instances.gt_boxes.tensor.tolist() == tight.tolist()


@pytest.mark.parametrize("augmentation", ["", "ssd"])
def test_tells_the_way_back_to_the_file(tmp_path, augmentation):
    box = (5, 10, 45, 35)
    record = make_record(tmp_path, [box])
    mapper = build_train_mapper(make_cfg("INPUT.AUGMENTATION", augmentation))
    flipped, cut = set(), set()
    for seed in range(40):
        item = mapped(mapper, record, seed)
        factors, shifts = item["to_file"]
        corners = item["instances"].gt_boxes.tensor.view(2, 2) * factors + shifts
        found = [*corners.amin(dim=0).tolist(), *corners.amax(dim=0).tolist()]
        inside = np.array(found) * [1, 1, -1, -1] - np.array(box) * [1, 1, -1, -1]
        assert (inside > -1e-3).all()
        flipped.add(bool(factors[0] < 0))
        cut.add(bool(inside.max() > 1e-3))
    assert flipped == {False, True}
    assert cut == ({False, True} if augmentation == "ssd" else {False})
