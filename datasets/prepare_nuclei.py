#!/usr/bin/env python
"""Bring a copy of the nuclei data set into COCO's form, for the configs in configs/Nuclei.

SOURCE is a folder of yours, nothing is downloaded: `stage1_train` of the 2018 Data Science Bowl, as
Kaggle has it or with corrected masks, where each image has a folder with `images` and `masks`, a
mask for each nucleus. Boxes are those of the masks. Images and annotations are written to
`$DETECTRON2_DATASETS/nuclei`, by default `datasets/nuclei`.

The images are of several kinds of microscopy, which are told apart by their size, whether they have
colours and whether their background is bright. Of each kind 60 % of the images are for training,
15 % for validation and 25 % for the test, in the order of their names, which are random.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from imbdet.errors import UserError
from imbdet.formats.conversion import AnnotatedImage, Object
from imbdet.formats.folders import datasets_root, list_images
from imbdet.formats.prepared import SPLITS, prepare
from imbdet.programs.program import run_program

NUCLEUS = "nucleus"
# Where the splits end, as shares of each kind of images.
ENDS = {"train": 0.6, "val": 0.75, "test": 1.0}
# Mean difference between channels, of 255, above which an image has colours.
COLOURED = 2


class Kind(NamedTuple):
    """Kind of microscopy, as far as an image shows it."""

    size: tuple[int, int]
    is_coloured: bool
    is_bright: bool


def main(argv: Sequence[str] | None = None) -> int:
    """Convert, or report a user's mistake in a sentence, and return the exit status."""
    target = datasets_root() / "nuclei"

    def run() -> None:
        prepare("Nuclei", [NUCLEUS], read, parse_args(argv).source, target)

    return run_program(run, output=str(target))


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, metavar="SOURCE", help="folder stage1_train")
    return parser.parse_args(argv)


def read(source: Path) -> dict[str, list[AnnotatedImage]]:
    """The images of each split.

    Raises:
        UserError: the folder has no images, an image has no masks, or a file cannot be read.
    """
    paths = [path for folder in sorted(source.iterdir()) for path in list_images(folder / "images")]
    if not paths:
        raise UserError(f"'{source}' has no folders with 'images': name the folder stage1_train.")
    return split_kinds(map(_read, paths))


def split_kinds(
    images: Iterable[tuple[Kind, AnnotatedImage]],
) -> dict[str, list[AnnotatedImage]]:
    """Cut each kind of images, in their order, into the splits."""
    kinds: defaultdict[Kind, list[AnnotatedImage]] = defaultdict(list)
    for kind, image in images:
        kinds[kind].append(image)
    splits: dict[str, list[AnnotatedImage]] = {split: [] for split in SPLITS}
    for group in kinds.values():
        start = 0
        for split, share in ENDS.items():
            end = round(share * len(group))
            splits[split] += group[start:end]
            start = end
    return splits


def _read(path: Path) -> tuple[Kind, AnnotatedImage]:
    pixels = _pixels(path, "RGB").astype(int)
    height, width, _ = pixels.shape
    masks = list_images(path.parent.parent / "masks")
    if not masks:
        raise UserError(
            f"'{path.parent.parent}' has no masks of '{path.name}': restore or remove it."
        )
    boxes = [_box(_pixels(mask, "L")) for mask in masks]
    objects = [Object(NUCLEUS, box) for box in boxes if box]
    spread = (pixels.max(axis=2) - pixels.min(axis=2)).mean()
    kind = Kind((width, height), spread > COLOURED, pixels.mean() > 127)
    return kind, AnnotatedImage(path, path.name, (width, height), objects)


def _pixels(path: Path, mode: str) -> np.ndarray:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert(mode))
    except OSError as error:
        raise UserError(f"The image '{path}' cannot be read: {error}.") from error


def _box(mask: np.ndarray) -> list[float]:
    """XYXY around all pixels that are not 0; empty where there are none."""
    ys, xs = np.nonzero(mask)
    return [float(x) for x in (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)] if len(xs) else []


if __name__ == "__main__":
    sys.exit(main())
