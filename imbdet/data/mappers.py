"""Mappers of training records, which transform annotations with the images."""

import copy
import functools
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import DatasetMapper
from detectron2.data import detection_utils as utils
from detectron2.data import transforms as T
from detectron2.structures import Boxes, BoxMode, Instances

from imbdet.data.objects import is_object, objects_of
from imbdet.data.ssd import has_centre_inside
from imbdet.modeling.ground_truth import GroundTruth


class TrainMapper(DatasetMapper):
    """Detectron2's mapper of training records, with weights, ignored regions and places of objects.

    For a record with weights or ignored regions, "instances" is a :class:`GroundTruth`. With
    ``tells_places`` it has the field "gt_places", (G,) int64, the place of each object's annotation
    among those of its record.

    The key "to_file" of the result is a (2, 2) tensor that maps pixels of the augmented image to
    those of the file (turned by its EXIF orientation): the factors of x and y, then their offsets.
    Augmentations keep the axes: they resize, crop, expand and flip.
    """

    @configurable
    def __init__(
        self,
        *args: Any,
        ignores_crowds: bool = False,
        min_overlap: float = 0.5,
        tells_places: bool = False,
        **kwargs: Any,
    ):
        """Store the options.

        Args:
            args: see :class:`DatasetMapper`.
            ignores_crowds: whether crowds are ignored regions, as ignored objects are; otherwise
                they are dropped, so that they are background.
            min_overlap: see :class:`imbdet.structures.Regions`.
            tells_places: whether objects have the field "gt_places".
            kwargs: see :class:`DatasetMapper`.
        """
        super().__init__(*args, **kwargs)
        self.ignores_crowds = ignores_crowds
        self.min_overlap = min_overlap
        self.tells_places = tells_places

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict:
        """Read ``DATASETS.IGNORED`` and ``LEDGER.ENABLED`` beside :class:`DatasetMapper`'s keys."""
        return {
            **super().from_config(cfg, is_train),
            "ignores_crowds": cfg.DATASETS.IGNORED.CROWDS,
            "min_overlap": cfg.DATASETS.IGNORED.MIN_OVERLAP,
            "tells_places": cfg.LEDGER.ENABLED,
        }

    def __call__(self, dataset_dict: dict) -> dict:
        """See :class:`DatasetMapper`."""
        if self.tells_places and "annotations" in dataset_dict:
            notes = dataset_dict["annotations"]
            placed = [{**note, "place": place} for place, note in enumerate(notes)]
            dataset_dict = {**dataset_dict, "annotations": placed}
        return super().__call__(dataset_dict)

    def _transform_annotations(
        self, dataset_dict: dict, transforms: T.TransformList, image_shape: tuple[int, int]
    ) -> None:
        start, end = torch.as_tensor(transforms.apply_coords(np.array([[0.0, 0.0], [1.0, 1.0]])))
        factors = 1 / (end - start)
        dataset_dict["to_file"] = torch.stack([factors, -start * factors]).float()
        regions = [note for note in dataset_dict["annotations"] if self._is_region(note)]
        objects = self._transform_objects(dataset_dict, transforms, image_shape)
        if "weight" not in dataset_dict and not regions and not self.tells_places:
            dataset_dict["instances"] = objects
            return
        boxes = transforms.apply_box(_xyxy_boxes(regions))
        found = Boxes(torch.as_tensor(boxes, dtype=torch.float32))
        found.clip(image_shape)
        dataset_dict["instances"] = GroundTruth(
            objects.image_size,
            regions=found[found.nonempty()],
            min_overlap=self.min_overlap,
            image_weight=dataset_dict.get("weight"),
            **objects.get_fields(),
        )

    def _is_region(self, note: dict) -> bool:
        return bool(note.get("ignore")) or (self.ignores_crowds and bool(note.get("iscrowd")))

    def _transform_objects(
        self, dataset_dict: dict, transforms: T.TransformList, image_shape: tuple[int, int]
    ) -> Instances:
        """The objects with "gt_weights", if the record has weights, and "gt_places", if asked for.

        These are the steps of Detectron2's method, which drops empty objects without saying which,
        and fails where masks are cropped in an image without objects.
        """
        notes = objects_of(dataset_dict)
        del dataset_dict["annotations"]
        for note in notes:
            if not self.use_instance_mask:
                note.pop("segmentation", None)
            if not self.use_keypoint:
                note.pop("keypoints", None)
            utils.transform_instance_annotations(
                note, transforms, image_shape, keypoint_hflip_indices=self.keypoint_hflip_indices
            )
        objects = utils.annotations_to_instances(
            notes, image_shape, mask_format=self.instance_mask_format
        )
        if "weight" in dataset_dict:
            objects.gt_weights = torch.tensor([note["weight"] for note in notes]).float()
        if self.tells_places:
            objects.gt_places = torch.tensor([note["place"] for note in notes], dtype=torch.int64)
        if self.recompute_boxes and objects.has("gt_masks"):  # missing without objects
            objects.gt_boxes = objects.gt_masks.get_bounding_boxes()
        return utils.filter_empty_instances(objects)


class CentreMapper(TrainMapper):
    """A mapper for crops that depend on the boxes of the objects and keep those centred inside.

    It passes the boxes of the objects to the augmentations as ``AugInput.boxes``, and drops the
    objects whose box has its centre outside the augmented image; of the others, and of crowds and
    ignored regions, it keeps the part inside, as detectron2 does.
    """

    def __call__(self, dataset_dict: dict) -> dict:
        """See :class:`DatasetMapper`."""
        # DatasetMapper makes the AugInput itself, without boxes: they are added before the
        # augmentations. The mapper is copied, so that it keeps no boxes.
        mapper = copy.copy(self)
        mapper.augmentations = functools.partial(
            self._augment, boxes=_xyxy_boxes(objects_of(dataset_dict))
        )
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
        is_kept |= np.array([not is_object(note) for note in annotations], dtype=bool)
        dataset_dict["annotations"] = [annotations[i] for i in np.flatnonzero(is_kept)]
        super()._transform_annotations(dataset_dict, transforms, image_shape)


def _xyxy_boxes(annotations: list[dict]) -> np.ndarray:
    """(N, 4) float64 boxes, XYXY in pixels."""
    boxes = [BoxMode.convert(a["bbox"], a["bbox_mode"], BoxMode.XYXY_ABS) for a in annotations]
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)
