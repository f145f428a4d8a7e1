"""Checks of the data of a detector of keypoints: MODEL.KEYPOINT_ON."""

import os
from collections.abc import Iterable, Mapping

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog

from imbdet.data.objects import objects_of
from imbdet.errors import UserError
from imbdet.wording import counted


def check_keypoint_names(cfg: CfgNode) -> None:
    """Refuse MODEL.KEYPOINT_ON if DATASETS.TRAIN does not define the keypoints.

    Detectron2's mappers read their names there, also for tests.

    Raises:
        UserError: the keypoints are not defined or differ; the message names the data set or the
            key.
    """
    if not cfg.MODEL.KEYPOINT_ON:
        return
    names = cfg.DATASETS.TRAIN
    if not names:
        raise UserError(
            "MODEL.KEYPOINT_ON is True, but DATASETS.TRAIN is empty: name the data set that the "
            "detector learned from, which says what its keypoints are called."
        )
    keypoints = _keypoints_of(names[0])
    for name in names[1:]:
        if _keypoints_of(name) != keypoints:
            raise UserError(
                f"MODEL.KEYPOINT_ON is True, but '{name}' has other keypoints than '{names[0]}': "
                "train on one of them."
            )
    number, known = cfg.MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS, len(keypoints[0])
    if number != known:
        raise UserError(
            f"MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS is {number}, but an object of '{names[0]}' has "
            f"{counted(known, 'keypoint')}: set it to {known}."
        )


def require_keypoints(cfg: CfgNode, name: str, records: Iterable[Mapping]) -> None:
    """Refuse a data set unless each of its objects has all keypoints.

    Args:
        cfg: config of a detector of keypoints.
        name: name of the data set.
        records: detectron2's dicts.

    Raises:
        UserError: an object lacks keypoints; the message names its image.
    """
    number = cfg.MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS
    for record in records:
        for note in objects_of(record):
            if np.size(note.get("keypoints", ())) != 3 * number:
                raise UserError(
                    f"MODEL.KEYPOINT_ON is True, but data set '{name}' has objects without "
                    f"'keypoints', three numbers for each of {number} (first: in "
                    f"'{os.path.basename(record['file_name'])}'). Write zeros for those that are "
                    "not known, or set MODEL.KEYPOINT_ON to False."
                )


def _keypoints_of(name: str) -> tuple[list[str], list[tuple[str, str]]]:
    """The names of the keypoints, and the pairs that are exchanged where an image is mirrored."""
    metadata = MetadataCatalog.get(name)
    names, exchanged = metadata.get("keypoint_names"), metadata.get("keypoint_flip_map")
    if names is None or exchanged is None:
        raise UserError(
            f"MODEL.KEYPOINT_ON is True, but data set '{name}' does not say what its keypoints are "
            "called, as only detectron2's own do: set it to False, or train on one of these."
        )
    return names, exchanged
