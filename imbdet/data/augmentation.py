"""The augmentation of training images: ``INPUT.AUGMENTATION``."""

import importlib.util

from detectron2.config import CfgNode
from detectron2.data import DatasetMapper
from detectron2.data import transforms as T

from imbdet.config.values import refuse_declared_values
from imbdet.data.mappers import CentreMapper, TrainMapper
from imbdet.data.ssd import MinIoURandomCrop, PhotometricDistortion, RandomExpand
from imbdet.errors import UserError


def build_train_mapper(cfg: CfgNode) -> DatasetMapper:
    """Detectron2's mapper of training records, with the augmentation ``INPUT.AUGMENTATION``.

    Raises:
        UserError: the key, or one of ``INPUT.SSD``, has an invalid value; or polygons cannot be
            cropped.
    """
    if cfg.MODEL.MASK_ON and cfg.INPUT.MASK_FORMAT == "polygon":
        require_polygon_cropping(cfg)
    if cfg.INPUT.AUGMENTATION == "":
        return TrainMapper(cfg, is_train=True)
    if cfg.INPUT.AUGMENTATION == "ssd":
        _check_ssd(cfg)
        return CentreMapper(cfg, is_train=True, augmentations=_build_ssd(cfg))
    raise UserError(
        f"INPUT.AUGMENTATION is {cfg.INPUT.AUGMENTATION!r}; it can be '' (resize the short edge "
        "and flip, as detectron2) or 'ssd'."
    )


def require_polygon_cropping(cfg: CfgNode) -> None:
    """Refuse ``INPUT.CROP`` where the polygons of masks cannot be cropped.

    Raises:
        UserError: the library by which fvcore crops polygons is not installed.
    """
    if cfg.INPUT.CROP.ENABLED and importlib.util.find_spec("shapely") is None:
        raise UserError(
            "INPUT.CROP.ENABLED is True, but masks are polygons, and 'shapely', which crops these, "
            "is not installed: install it by `pip install shapely`, or set the key to False."
        )


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
    refuse_declared_values(cfg, "INPUT.SSD.")
    for key in ("CONTRAST", "SATURATION"):
        factors = cfg.INPUT.SSD[key]
        if len(factors) != 2 or factors[0] > factors[1]:
            raise UserError(f"INPUT.SSD.{key} is {factors!r}: it must be (lowest, highest).")
