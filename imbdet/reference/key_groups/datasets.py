"""Keys of the data sets in files, and of their faults."""

from typing import Any


class Datasets:
    """Data sets in COCO's and LVIS's formats, and what becomes of their faults.

    Attributes:
        coco: data sets in COCO format, to be named in DATASETS.TRAIN and DATASETS.TEST: a list of
            {NAME: ..., JSON: annotation file, IMAGES: folder of the images}. Relative paths start
            at the working directory; "~" and "$VARIABLES" are expanded.
        lvis: data sets in LVIS's format, in the same form. They are evaluated as LVIS is: where it
            is not known whether an object of a class is there, its detections do not count.
        train_repeat_factor: how often an epoch shows each image of a data set with
            WeightedTrainingSampler, or in relation to others with WeightedCategoryTrainingSampler:
            a list of (NAME, factor), others 1.
        invalid_boxes: boxes whose width or height is not above 0, outside their image or with NaN:
            "drop" them with a warning, or "refuse" the data set.
        broken_images: images that are missing or cannot be decoded, in training: "refuse" them, or
            "skip" with a warning.
    """

    coco: list[dict[str, str]] = []  # noqa: RUF012  (copied into each config)
    lvis: list[dict[str, str]] = []  # noqa: RUF012
    train_repeat_factor: list[Any] = []  # noqa: RUF012
    invalid_boxes: str = "drop"
    broken_images: str = "refuse"
