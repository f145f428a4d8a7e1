"""Values of detectron2's keys that it would meet with a traceback, perhaps after hours."""

import torch
from detectron2.config import CfgNode
from PIL import ImageMode

from imbdet.errors import UserError
from imbdet.keys import leaves

_LOWEST = {
    "SOLVER.MAX_ITER": 1,
    "SOLVER.CHECKPOINT_PERIOD": 1,
    "DATALOADER.NUM_WORKERS": 0,
    "MODEL.FPN.OUT_CHANNELS": 1,
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": 1,
    "MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION": 1,
}
_POOLERS = ("ROIAlign", "ROIAlignV2", "ROIPool", "ROIAlignRotated")
_OPTIONS = {
    "INPUT.RANDOM_FLIP": ("none", "horizontal", "vertical"),
    "INPUT.MIN_SIZE_TRAIN_SAMPLING": ("choice", "range"),
    "INPUT.MASK_FORMAT": ("polygon", "bitmask"),
    "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": ("value", "norm"),
    "MODEL.RESNETS.DEPTH": (18, 34, 50, 101, 152),
    "MODEL.FPN.FUSE_TYPE": ("sum", "avg"),
    "MODEL.ROI_BOX_HEAD.POOLER_TYPE": _POOLERS,
    "MODEL.ROI_MASK_HEAD.POOLER_TYPE": _POOLERS,
}


def refuse_values(cfg: CfgNode) -> None:
    """Look at the values that each config has, whatever its model.

    Raises:
        UserError: one is out of range or does not exist.
    """
    values = dict(leaves(cfg))
    for key, lowest in _LOWEST.items():
        if values[key] < lowest:
            raise UserError(f"{key} is {values[key]}: it must be at least {lowest}.")
    for key, options in _OPTIONS.items():
        if values[key] not in options:
            raise UserError(f"{key} is {values[key]!r}; it can be {', '.join(map(repr, options))}.")
    try:
        torch.device(cfg.MODEL.DEVICE)
    except RuntimeError as error:
        raise UserError(
            f"MODEL.DEVICE is {cfg.MODEL.DEVICE!r}; it can be 'cuda' or 'cpu'."
        ) from error
    _refuse_channels(cfg)


def _refuse_channels(cfg: CfgNode) -> None:
    channels = _num_channels(cfg.INPUT.FORMAT)
    for key in ("PIXEL_MEAN", "PIXEL_STD"):
        if len(cfg.MODEL[key]) != channels:
            raise UserError(
                f"MODEL.{key} has {len(cfg.MODEL[key])} numbers, but images in "
                f"INPUT.FORMAT {cfg.INPUT.FORMAT!r} have {channels} channels."
            )


def _num_channels(image_format: str) -> int:
    """Of images as detectron2 reads them: its own formats, or a mode of Pillow."""
    if image_format in ("BGR", "YUV-BT.601"):
        return 3
    try:
        return len(ImageMode.getmode(image_format).bands)
    except KeyError as error:
        raise UserError(
            f"INPUT.FORMAT is {image_format!r}; it can be 'BGR', 'RGB', 'L' or 'YUV-BT.601'."
        ) from error
