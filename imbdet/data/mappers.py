"""Mappers of training records: the annotations of augmented images."""

import copy
import functools

import numpy as np
import torch
from detectron2.data import DatasetMapper
from detectron2.data import transforms as T
from detectron2.structures import BoxMode

from imbdet.data.ssd import has_centre_inside


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
        # augmentations. The mapper is copied, so that it keeps no boxes.
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
