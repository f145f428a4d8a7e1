"""Checks values of detectron2's keys that would end in a traceback, possibly after hours."""

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode, get_cfg
from PIL import ImageMode

from imbdet.config.added_keys import add_imbdet_config
from imbdet.config_files.keys import MAX_SEED, leaves
from imbdet.errors import UserError
from imbdet.methods import REGISTRIES
from imbdet.methods.options import Option, Range
from imbdet.reference.declared_keys import imbdet_keys
from imbdet.wording import shortened

# Ranges of detectron2's numbers; those of imbdet's are declared with their keys.
_RANGES = {
    "SEED": Range(highest=MAX_SEED),
    "SOLVER.MAX_ITER": Range(1),
    # The upper bounds are far above what fits into memory.
    "MODEL.RETINANET.NUM_CLASSES": Range(1, 100_000),
    "MODEL.ROI_HEADS.NUM_CLASSES": Range(1, 100_000),
    "MODEL.RESNETS.NUM_GROUPS": Range(1, 100_000),
    "MODEL.RESNETS.WIDTH_PER_GROUP": Range(1, 100_000),
    "MODEL.RESNETS.STEM_OUT_CHANNELS": Range(1, 100_000),
    "MODEL.RESNETS.RES2_OUT_CHANNELS": Range(1, 100_000),
    "SOLVER.CHECKPOINT_PERIOD": Range(1),
    "SOLVER.BASE_LR": Range(0),
    "SOLVER.GAMMA": Range(0),
    "SOLVER.WARMUP_ITERS": Range(0),
    "SOLVER.WARMUP_FACTOR": Range(0),
    "SOLVER.MOMENTUM": Range(0, 1),
    "SOLVER.WEIGHT_DECAY": Range(0),
    "SOLVER.CLIP_GRADIENTS.CLIP_VALUE": Range(0),
    "DATALOADER.NUM_WORKERS": Range(0),
    "INPUT.MAX_SIZE_TRAIN": Range(1),
    "INPUT.MIN_SIZE_TEST": Range(0),  # 0 leaves images as large as they are
    "INPUT.MAX_SIZE_TEST": Range(1),
    "TEST.AUG.MAX_SIZE": Range(1),
    "MODEL.ANCHOR_GENERATOR.OFFSET": Range(0, 1),
    "MODEL.RETINANET.PRIOR_PROB": Range(0, 1, above=True, below=True),
    "MODEL.FPN.OUT_CHANNELS": Range(1, 100_000),
    "MODEL.RETINANET.NUM_CONVS": Range(1),
    "MODEL.RETINANET.NMS_THRESH_TEST": Range(0, 1),
    "MODEL.RETINANET.SCORE_THRESH_TEST": Range(0, 1),
    "MODEL.ROI_HEADS.NMS_THRESH_TEST": Range(0, 1),
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST": Range(0, 1),
    "TEST.DETECTIONS_PER_IMAGE": Range(1),
    "MODEL.RPN.NMS_THRESH": Range(0, 1),
    "MODEL.RPN.PRE_NMS_TOPK_TRAIN": Range(1),
    "MODEL.RPN.PRE_NMS_TOPK_TEST": Range(1),
    "MODEL.RPN.POST_NMS_TOPK_TRAIN": Range(1),
    "MODEL.RPN.POST_NMS_TOPK_TEST": Range(1),
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": Range(1),
    "MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION": Range(1),
}
# Precisions of products and convolutions on a GPU, the exact one first.
FLOAT32_PRECISIONS = ("highest", "high", "medium")
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


def _above_0(at_least: int) -> Callable[[Sequence[float]], bool]:
    """A check that there are at least so many values, all above 0."""
    return lambda values: len(values) >= at_least and all(value > 0 for value in values)


_SIZES = (_above_0(1), "one or more numbers above 0")
_WEIGHTS = (_above_0(4), "four numbers above 0, or five of rotated boxes")


def _names(values: Sequence[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _are_factors(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) and value >= 0 for value in values)


def _are_weights_of_stages(values: Sequence[Any]) -> bool:
    is_valid = _above_0(4)
    return all(isinstance(weights, list | tuple) and is_valid(weights) for weights in values)


_READS_FEATURES = ("RPN.IN_FEATURES", "RETINANET.IN_FEATURES", "ROI_HEADS.IN_FEATURES")
_FEATURES = (lambda values: values and _names(values), "names of one or more features")
# Checks of other values, and what they expect.
_RULES = {
    "MODEL.FPN.IN_FEATURES": (_names, "names of features"),  # none where there is no FPN
    "MODEL.RESNETS.OUT_FEATURES": _FEATURES,
    **{f"MODEL.{key}": _FEATURES for key in _READS_FEATURES},
    "INPUT.MIN_SIZE_TRAIN": (
        lambda values: values and min(values) >= 0,
        "one or more numbers above 0, or 0 for images as they are",
    ),
    "TEST.AUG.MIN_SIZES": _SIZES,
    "MODEL.PIXEL_STD": _SIZES,
    "MODEL.RETINANET.BBOX_REG_WEIGHTS": _WEIGHTS,
    "MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS": _WEIGHTS,
    "MODEL.RPN.BBOX_REG_WEIGHTS": _WEIGHTS,
    "MODEL.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS": (
        _are_weights_of_stages,
        "a list of four numbers above 0 for each stage",
    ),
    "MODEL.ROI_BOX_CASCADE_HEAD.LOSS_WEIGHTS": (_are_factors, "numbers of at least 0"),
    "TEST.FREQUENCY_BOUNDS": (
        lambda values: len(values) == 2 and values[0] <= values[1],
        "two numbers in ascending order, the most images of a rare and of a common class",
    ),
    "SOLVER.STEPS": (lambda values: list(values) == sorted(values), "in ascending order"),
}


def refuse_values(cfg: CfgNode) -> None:
    """Refuse invalid values of the keys that each config has, whatever its model.

    Raises:
        UserError: a value is out of range or does not exist.
    """
    values = dict(leaves(cfg))
    for key, value in values.items():
        _refuse_parts(key, value)
    for key, range_ in _RANGES.items():
        refuse_out_of_range(Option(key, None, "", range_), values[key])
    refuse_declared_values(cfg)
    for key, (is_valid, expectation) in _RULES.items():
        if not is_valid(values[key]):
            raise UserError(f"{key} is {values[key]}: it must be {expectation}.")
    for key, options in _OPTIONS.items():
        if values[key] not in options:
            raise UserError(f"{key} is {values[key]!r}; it can be {', '.join(map(repr, options))}.")
    precision = values.get("FLOAT32_PRECISION", "")  # a key of the main branch
    if precision not in ("", *FLOAT32_PRECISIONS):
        options = ", ".join(map(repr, FLOAT32_PRECISIONS))
        raise UserError(f"FLOAT32_PRECISION is {precision!r}; it can be {options}, or ''.")
    try:
        torch.device(cfg.MODEL.DEVICE)
    except RuntimeError as error:
        raise UserError(
            f"MODEL.DEVICE is {cfg.MODEL.DEVICE!r}; it can be 'cuda' or 'cpu'."
        ) from error
    _refuse_channels(cfg)
    for name in ("RETINANET", "RPN", "ROI_HEADS"):
        _refuse_thresholds(values, f"MODEL.{name}")


def refuse_declared_values(cfg: CfgNode, group: str = "") -> None:
    """Refuse invalid numbers of imbdet's keys, or of a group of them such as "INPUT.SSD.".

    Raises:
        UserError: a number is out of range.
    """
    values = dict(leaves(cfg))
    for key in imbdet_keys(REGISTRIES):
        if key.name.startswith(group) and key.name in values:
            refuse_out_of_range(key, values[key.name])


def refuse_out_of_range(key: Option, value: Any) -> None:
    """Raise UserError if the value of a key is out of its range."""
    try:
        key.check(value)
    except ValueError as error:
        raise UserError(str(error)) from error


@functools.cache
def _kinds() -> dict[str, tuple[set[type], int]]:
    """The types in each default, by key, and its nesting depth; empty lists have no types."""
    defaults = get_cfg()
    add_imbdet_config(defaults)
    return {
        key: ({_kind(part) for part in _parts(value)}, _depth(value))
        for key, value in leaves(defaults)
    }


def _refuse_parts(key: str, value: Any) -> None:
    """Refuse lists unlike the default in type or depth, NaN, and integers above 64 bits."""
    kinds, depth = _kinds().get(key, (set(), 0))
    if kinds and depth and _depth(value) > depth:
        raise UserError(f"{key} is {shortened(value)}: its lists are nested too deep.")
    for part in _parts(value):
        if isinstance(part, float) and math.isnan(part):
            raise UserError(f"{key} is {shortened(value)}: NaN is no number.")
        if isinstance(part, int) and abs(part) >= 2**63:
            raise UserError(f"{key} has a whole number of more than 64 bits.")
        if isinstance(value, list | tuple) and (
            part is None or (kinds and _kind(part) not in kinds)
        ):
            names = " or ".join(sorted(_NAMES[kind] for kind in kinds)) or "values"
            raise UserError(f"{key} is {shortened(value)}: its parts must be {names}.")


_NAMES = {float: "numbers", str: "texts", bool: "True or False", dict: "groups", type(None): "None"}


def _kind(part: Any) -> type:
    return next((kind for kind in _NAMES if kind is type(part)), float)


def _depth(value: Any) -> int:
    """Nesting depth of lists; 0 of anything else."""
    if not isinstance(value, list | tuple):
        return 0
    return 1 + max(map(_depth, value), default=0)


def _parts(value: Any) -> Iterator[Any]:
    """The values in nested lists, or the value itself."""
    if isinstance(value, list | tuple):
        for part in value:
            yield from _parts(part)
    else:
        yield value


def _refuse_channels(cfg: CfgNode) -> None:
    channels = _num_channels(cfg.INPUT.FORMAT)
    for key in ("PIXEL_MEAN", "PIXEL_STD"):
        if len(cfg.MODEL[key]) != channels:
            raise UserError(
                f"MODEL.{key} has {len(cfg.MODEL[key])} numbers, but images in "
                f"INPUT.FORMAT {cfg.INPUT.FORMAT!r} have {channels} channels."
            )


def _num_channels(image_format: str) -> int:
    """Number of channels of an image format: one of detectron2's own, or a mode of Pillow."""
    if image_format in ("BGR", "YUV-BT.601"):
        return 3
    try:
        return len(ImageMode.getmode(image_format).bands)
    except KeyError as error:
        raise UserError(
            f"INPUT.FORMAT is {image_format!r}; it can be 'BGR', 'RGB', 'L' or 'YUV-BT.601'."
        ) from error


def _refuse_thresholds(values: Mapping[str, Any], node: str) -> None:
    """Refuse IoU thresholds of an assigner that do not ascend, and labels that do not fit them."""
    thresholds, labels = values[f"{node}.IOU_THRESHOLDS"], values[f"{node}.IOU_LABELS"]
    bounds = [0, *thresholds]
    if not all(lower < upper for lower, upper in itertools.pairwise(bounds)):
        raise UserError(
            f"{node}.IOU_THRESHOLDS is {thresholds}: they must be above 0, the lowest first."
        )
    if len(labels) != len(bounds) or not {*labels} <= {-1, 0, 1}:
        raise UserError(
            f"{node}.IOU_LABELS is {labels}: with IOU_THRESHOLDS {thresholds} there must be "
            f"{len(bounds)}, each 0 (negative), 1 (positive) or -1 (neither)."
        )
