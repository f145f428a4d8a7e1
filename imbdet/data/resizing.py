"""The factors by which training images are resized."""

import numpy as np
from detectron2.config import CfgNode


def training_scales(cfg: CfgNode, sizes: np.ndarray) -> tuple[np.ndarray, str]:
    """The factors of width and height, before crops and expansions.

    For several sizes or a range of them, the median counts.

    Args:
        cfg: the config.
        sizes: (I, 2) widths and heights in pixels.

    Returns:
        (I, 2) factors, and the size in words.
    """
    if cfg.INPUT.AUGMENTATION == "ssd":
        side = cfg.INPUT.SSD.SIZE
        return side / sizes, f"at {side} x {side} pixels"
    shortest, longest = np.median(cfg.INPUT.MIN_SIZE_TRAIN), cfg.INPUT.MAX_SIZE_TRAIN
    if shortest == 0:  # as detectron2's ResizeShortestEdge
        return np.ones_like(sizes), "as they are"
    scales = np.minimum(shortest / sizes.min(axis=1), longest / sizes.max(axis=1))
    words = f"at a short side of {shortest:g} pixels (long side: {longest} at most)"
    return np.stack([scales, scales], axis=1), words
