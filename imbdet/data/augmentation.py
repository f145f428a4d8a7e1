"""Which augmentation a training image gets: ``INPUT.AUGMENTATION``."""

import copy
import functools

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetMapper
from detectron2.data import transforms as T
from detectron2.structures import BoxMode

from imbdet.data.ssd import (
    MinIoURandomCrop,
    PhotometricDistortion,
    RandomExpand,
    has_centre_inside,
)
from imbdet.errors import UserError

_FACTORS = (lambda value: len(value) == 2 and 0 <= value[0] <= value[1], "(lowest, highest), >= 0")
# What the values of INPUT.SSD must be.
SSD_RULES = {
    "SIZE": (lambda value: value >= 1, "at least 1"),
    "BRIGHTNESS_DELTA": (lambda value: 0 <= value <= 255, "in [0, 255]"),
    "CONTRAST": _FACTORS,
    "SATURATION": _FACTORS,
    "HUE_DELTA": (lambda value: 0 <= value <= 180, "in [0, 180]"),
    "EXPAND_RATIO": (lambda value: value >= 1, "at least 1"),
    "EXPAND_PROB": (lambda value: 0 <= value <= 1, "in [0, 1]"),
    "MIN_IOUS": (lambda value: all(0 <= iou <= 1 for iou in value), "numbers in [0, 1]"),
    "MIN_CROP_SIZE": (lambda value: 0 < value <= 1, "above 0 and at most 1"),
}


def build_train_mapper(cfg: CfgNode) -> DatasetMapper:
    """Detectron2's mapper of training records, with the augmentation ``INPUT.AUGMENTATION``.

    Raises:
        UserError: the key, or one of ``INPUT.SSD``, has a value that does not exist or fit.
    """
    if cfg.INPUT.AUGMENTATION == "":
        return LocatingMapper(cfg, is_train=True)
    if cfg.INPUT.AUGMENTATION == "ssd":
        _check_ssd(cfg)
        return CentreMapper(cfg, is_train=True, augmentations=_build_ssd(cfg))
    raise UserError(
        f"INPUT.AUGMENTATION is {cfg.INPUT.AUGMENTATION!r}; it can be '' (resize the short edge "
        "and flip, as detectron2) or 'ssd'."
    )


class LocatingMapper(DatasetMapper):
    """Detectron2's mapper of training records, which also tells the way back to the image file.

    The key "to_file" of what it returns is (2, 2): the factors of x and y, then what is
    added, by which pixels of the augmented image become pixels of the file (turned by its EXIF
    orientation). Augmentations keep the axes: they resize, crop, expand and flip.
    """

    def _transform_annotations(
        self, dataset_dict: dict, transforms: T.TransformList, image_shape: tuple[int, int]
    ) -> None:
        start, end = torch.as_tensor(transforms.apply_coords(np.array([[0.0, 0.0], [1.0, 1.0]])))
        factors = 1 / (end - start)
        dataset_dict["to_file"] = torch.stack([factors, -start * factors]).float()
        super()._transform_annotations(dataset_dict, transforms, image_shape)


class CentreMapper(LocatingMapper):
    """A mapper for crops that look at the objects and keep those centred inside.

    It shows the augmentations the boxes of the objects (crowds aside) as ``AugInput.boxes``, and
    drops the objects whose box has its centre outside the augmented image; of the others it keeps
    the part inside, as detectron2 does.
    """

    def __call__(self, dataset_dict: dict) -> dict:
        """See :class:`DatasetMapper`."""
        annotations = dataset_dict.get("annotations", [])
        objects = [annotation for annotation in annotations if not annotation.get("iscrowd", 0)]
        # DatasetMapper makes the AugInput itself, without boxes: they join it on its way to the
        # augmentations. A copy, so that no boxes are left behind.
        mapper = copy.copy(self)
        mapper.augmentations = functools.partial(self._augment, boxes=_xyxy_boxes(objects))
        return super(CentreMapper, mapper).__call__(dataset_dict)

    def _augment(self, aug_input: T.AugInput, boxes: np.ndarray) -> T.TransformList:
        aug_input.boxes = boxes
        return self.augmentations(aug_input)

    def _transform_annotations(
        self, dataset_dict: dict, transforms: T.TransformList, image_shape: tuple[int, int]
    ) -> None:
        annotations = dataset_dict["annotations"]
        height, width = image_shape
        boxes = transforms.apply_box(_xyxy_boxes(annotations))
        is_kept = has_centre_inside(boxes, np.array([0, 0, width, height]))
        dataset_dict["annotations"] = [annotations[i] for i in np.flatnonzero(is_kept)]
        super()._transform_annotations(dataset_dict, transforms, image_shape)


def _xyxy_boxes(annotations: list[dict]) -> np.ndarray:
    """(N, 4) float64."""
    boxes = [BoxMode.convert(a["bbox"], a["bbox_mode"], BoxMode.XYXY_ABS) for a in annotations]
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)


def _build_ssd(cfg: CfgNode) -> list[T.Augmentation]:
    ssd, flip = cfg.INPUT.SSD, cfg.INPUT.RANDOM_FLIP
    augmentations = [
        PhotometricDistortion(ssd.BRIGHTNESS_DELTA, ssd.CONTRAST, ssd.SATURATION, ssd.HUE_DELTA),
        RandomExpand(ssd.EXPAND_RATIO, ssd.EXPAND_PROB, fill=cfg.MODEL.PIXEL_MEAN),
        MinIoURandomCrop(ssd.MIN_IOUS, ssd.MIN_CROP_SIZE),
        T.Resize(ssd.SIZE),
    ]
    if flip != "none":
        augmentations.append(
            T.RandomFlip(horizontal=flip == "horizontal", vertical=flip == "vertical")
        )
    return augmentations


def _check_ssd(cfg: CfgNode) -> None:
    if cfg.INPUT.FORMAT not in ("BGR", "RGB"):
        raise UserError(
            f"INPUT.FORMAT is {cfg.INPUT.FORMAT!r}; with INPUT.AUGMENTATION 'ssd' it can be 'BGR' "
            "or 'RGB'."
        )
    if cfg.INPUT.CROP.ENABLED:
        raise UserError(
            "INPUT.CROP.ENABLED is True, but INPUT.AUGMENTATION 'ssd' has a crop of its own: set "
            "it to False."
        )
    for key, (is_valid, expectation) in SSD_RULES.items():
        value = cfg.INPUT.SSD[key]
        if not is_valid(value):
            raise UserError(f"INPUT.SSD.{key} is {value!r}; it must be {expectation}.")
