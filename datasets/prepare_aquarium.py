#!/usr/bin/env python
"""Bring a copy of the aquarium data set into COCO's form, for the configs in configs/Aquarium.

SOURCE is a folder of yours, nothing is downloaded: Roboflow's "Aquarium, raw-1024" in YOLO's form,
with `train`, `valid` and `test` that hold `images` and `labels`. The images and the annotations of
three splits are written to `$DETECTRON2_DATASETS/aquarium`, by default `datasets/aquarium`. Of the
two small splits the larger one, `valid`, becomes the test split: fewer images would decide less.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from imbdet.errors import UserError
from imbdet.formats.conversion import AnnotatedImage, measure
from imbdet.formats.folders import datasets_root, list_images
from imbdet.formats.prepared import prepare
from imbdet.formats.yolo import read_labels
from imbdet.programs.program import run_program

CLASSES = ("fish", "jellyfish", "penguin", "puffin", "shark", "starfish", "stingray")
FOLDERS = {"train": "train", "val": "test", "test": "valid"}


def main(argv: Sequence[str] | None = None) -> int:
    """Convert, or report a user's mistake in a sentence, and return the exit status."""
    target = datasets_root() / "aquarium"

    def run() -> None:
        prepare("Aquarium", CLASSES, read, parse_args(argv).source, target)

    return run_program(run, output=str(target))


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, metavar="SOURCE", help="folder with the data set")
    return parser.parse_args(argv)


def read(source: Path) -> dict[str, Iterator[AnnotatedImage]]:
    """The images of each split.

    Raises:
        UserError: a folder is missing, or something in it is malformed.
    """
    return {split: _read(source / folder) for split, folder in FOLDERS.items()}


def _read(folder: Path) -> Iterator[AnnotatedImage]:
    images = list_images(folder / "images")
    if not images:
        raise UserError(f"'{folder / 'images'}' has no images: name the folder of the data set.")
    for path in images:
        _, size = measure(path)
        objects = read_labels(folder / "labels" / f"{path.stem}.txt", size, CLASSES)
        yield AnnotatedImage(path, path.name, size, objects)


if __name__ == "__main__":
    sys.exit(main())
