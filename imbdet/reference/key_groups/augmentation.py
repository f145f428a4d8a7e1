"""Keys of the augmentation of training images."""

from typing import Annotated

from imbdet.methods.options import Count, Range, Share


class Input:
    """Augmentation.

    Attributes:
        augmentation: how training images are augmented: "" resizes the short edge and flips, as
            detectron2 does by MIN_SIZE_TRAIN and the keys beside it; "ssd" distorts colours,
            expands, crops by IoU, resizes to a square and flips. RANDOM_FLIP rules the flip of
            both.
    """

    augmentation: str = ""


class SSD:
    """The augmentation "ssd".

    Attributes:
        size: side of the square, in pixels.
        brightness_delta: largest change of brightness; 0 is none.
        contrast: lowest and highest factor of the contrast; (1.0, 1.0) is no change.
        saturation: lowest and highest factor of the saturation; (1.0, 1.0) is no change.
        hue_delta: largest turn of the hue, in degrees; 0 is none.
        expand_prob: share of the images that are put on a larger canvas.
        expand_ratio: largest ratio of the canvas's sides to the image's; 1 is no canvas.
        min_ious: minimum IoUs of the crop with an object, one drawn for each image, or no crop, or
            any.
        min_crop_size: shortest sides of the crop, relative to the image's; 1 is no crop.
    """

    size: Count = 512
    brightness_delta: Annotated[float, Range(0, 255)] = 32.0
    contrast: Annotated[tuple[float, float], Range(0)] = (0.5, 1.5)
    saturation: Annotated[tuple[float, float], Range(0)] = (0.5, 1.5)
    hue_delta: Annotated[float, Range(0, 180)] = 18.0
    expand_prob: Share = 0.5
    expand_ratio: Annotated[float, Range(1)] = 4.0
    min_ious: Annotated[tuple[float, ...], Range(0, 1)] = (0.1, 0.3, 0.5, 0.7, 0.9)
    min_crop_size: Annotated[float, Range(0, 1, above=True)] = 0.3
