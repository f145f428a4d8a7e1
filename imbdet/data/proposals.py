"""Loads precomputed proposals from detectron2's files: MODEL.LOAD_PROPOSALS."""

from typing import Any

import numpy as np
from detectron2.config import CfgNode
from detectron2.structures import BoxMode
from detectron2.utils.file_io import PathManager

from imbdet.errors import UserError
from imbdet.modeling.detector_kind import PRECOMPUTED, is_one_stage
from imbdet.untrusted.array_pickle import load_arrays
from imbdet.untrusted.reading import require_file

# Limit of a pickle, a minute of work. A file of COCO's training images has 4 million operations.
MAX_OPERATIONS = 20_000_000

_GENERATOR = "MODEL.PROPOSAL_GENERATOR.NAME"


def check_proposal_keys(cfg: CfgNode) -> None:
    """Raise UserError if keys of precomputed proposals contradict each other."""
    name = cfg.MODEL.PROPOSAL_GENERATOR.NAME
    if not cfg.MODEL.LOAD_PROPOSALS:
        if name == PRECOMPUTED and not is_one_stage(cfg):
            raise UserError(
                f"{_GENERATOR} is {name!r}, but MODEL.LOAD_PROPOSALS is False: set it to True."
            )
        return
    if is_one_stage(cfg):
        raise UserError(
            f"MODEL.LOAD_PROPOSALS is True, but {cfg.MODEL.META_ARCHITECTURE} takes no proposals: "
            "set it to False."
        )
    if name != PRECOMPUTED:
        raise UserError(
            f"MODEL.LOAD_PROPOSALS is True, but {_GENERATOR} is {name!r}, which finds proposals of "
            f"its own: set it to {PRECOMPUTED!r}."
        )
    for kind in ("TRAIN", "TEST"):
        names, files = cfg.DATASETS[kind], cfg.DATASETS[f"PROPOSAL_FILES_{kind}"]
        if len(names) != len(files):
            raise UserError(
                f"DATASETS.{kind} has {len(names)} data sets, but DATASETS.PROPOSAL_FILES_{kind} "
                f"has {len(files)} files: name one for each."
            )


def with_proposals(
    cfg: CfgNode, records: list[dict], name: str, *, training: bool = False
) -> list[dict]:
    """The records of a data set, with the proposals of each image if the config loads them.

    Args:
        cfg: config that passed :func:`check_proposal_keys`.
        records: detectron2's dicts.
        name: name of the data set in DATASETS.TRAIN or DATASETS.TEST.
        training: whether it is in DATASETS.TRAIN.

    Returns:
        The records, in the form of ``detectron2.data.load_proposals_into_dataset``.

    Raises:
        UserError: the file has no proposals, asks to run code, or lacks an image.
    """
    if not cfg.MODEL.LOAD_PROPOSALS:
        return records
    kind = "TRAIN" if training else "TEST"
    key = f"DATASETS.PROPOSAL_FILES_{kind}"
    path = cfg.DATASETS[f"PROPOSAL_FILES_{kind}"][list(cfg.DATASETS[kind]).index(name)]
    try:
        return _attach(records, _read(path))
    except UserError as error:
        raise UserError(f"{key}: '{path}' {error}") from error


def _read(path: str) -> dict[str, Any]:
    try:
        local_path = PathManager.get_local_path(path)
        require_file(local_path)
        content = load_arrays(local_path, max_operations=MAX_OPERATIONS)
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror or error}).") from error
    except Exception as error:  # a damaged pickle can raise anything
        raise UserError(f"is no pickle of proposals ({error}).") from error
    if not isinstance(content, dict):
        raise UserError(f"is no pickle of proposals: it holds a {type(content).__name__}.")
    # Detectron's files have other names.
    content = {
        {"indexes": "ids", "scores": "objectness_logits"}.get(k, k): content[k] for k in content
    }
    columns = [content.get(column) for column in ("ids", "boxes", "objectness_logits")]
    if not all(isinstance(column, list) for column in columns) or len(set(map(len, columns))) > 1:
        raise UserError("must hold lists 'ids', 'boxes' and 'objectness_logits' of one length.")
    return content


def _attach(records: list[dict], content: dict[str, Any]) -> list[dict]:
    rows = {str(image_id): row for row, image_id in enumerate(content["ids"])}
    mode = content.get("bbox_mode", BoxMode.XYXY_ABS)
    if mode not in (BoxMode.XYXY_ABS, BoxMode.XYWH_ABS):
        raise UserError(f"has a 'bbox_mode' of {mode!r}: it can be 0 (XYXY) or 1 (XYWH).")
    attached = []
    for record in records:
        row = rows.get(str(record["image_id"]))
        if row is None:
            raise UserError(
                f"has no proposals of the image {record['image_id']!r}, '{record['file_name']}'."
            )
        boxes, logits = (np.asarray(content[name][row]) for name in ("boxes", "objectness_logits"))
        if boxes.shape != (len(logits), 4) or not np.isfinite(boxes).all():
            raise UserError(
                f"has boxes of the image {record['image_id']!r} of shape {boxes.shape} beside "
                f"{len(logits)} scores: it must have four finite numbers for each score."
            )
        order = logits.argsort()[::-1]
        attached.append(
            {
                **record,
                "proposal_boxes": boxes[order],
                "proposal_objectness_logits": logits[order],
                "proposal_bbox_mode": BoxMode(int(mode)),
            }
        )
    return attached
