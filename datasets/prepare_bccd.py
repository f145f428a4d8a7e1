#!/usr/bin/env python
"""Bring a copy of the blood cell data set BCCD into COCO's form, for the configs in configs/BCCD.

SOURCE is a folder of yours, nothing is downloaded: the public repository BCCD_Dataset (with
`BCCD/JPEGImages`, `BCCD/Annotations` and `BCCD/ImageSets/Main`, in Pascal VOC's form), or a folder
in COCO's form (with `annotations/train.json`, `val.json`, `test.json` and `images`). The images and
the annotations of the three splits are written to `$DETECTRON2_DATASETS/bccd`, by default
`datasets/bccd`. What is wrong in the annotations is corrected or left out, and reported.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from imbdet.errors import UserError
from imbdet.formats.coco_json import read_coco_json
from imbdet.formats.conversion import AnnotatedImage, Object
from imbdet.formats.folders import datasets_root
from imbdet.formats.pascal_voc import read_annotation, read_image_list
from imbdet.formats.prepared import SPLITS, prepare
from imbdet.programs.program import run_program

CLASSES = ("RBC", "WBC", "Platelets")


def main(argv: Sequence[str] | None = None) -> int:
    """Convert, or report a user's mistake in a sentence, and return the exit status."""
    target = datasets_root() / "bccd"

    def run() -> None:
        prepare("BCCD", CLASSES, read, parse_args(argv).source, target)

    return run_program(run, output=str(target))


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, metavar="SOURCE", help="folder with BCCD")
    return parser.parse_args(argv)


def read(source: Path) -> dict[str, Iterator[AnnotatedImage]]:
    """The images of each split, from either form.

    Raises:
        UserError: the folder has neither form, or something in it is missing or malformed.
    """
    for folder in (source / "BCCD", source):
        if (folder / "ImageSets" / "Main").is_dir():
            return {split: _read_voc(folder, split) for split in SPLITS}
    if (source / "annotations").is_dir():
        return {split: _read_coco(source, split) for split in SPLITS}
    raise UserError(
        f"'{source}' is not BCCD: it has neither 'BCCD/ImageSets/Main', as the repository "
        f"BCCD_Dataset, nor 'annotations/train.json', as a data set in COCO's form."
    )


def _read_voc(folder: Path, split: str) -> Iterator[AnnotatedImage]:
    for name in read_image_list(folder / "ImageSets" / "Main" / f"{split}.txt"):
        size, objects = read_annotation(folder / "Annotations" / f"{name}.xml")
        path = folder / "JPEGImages" / f"{name}.jpg"
        yield AnnotatedImage(path, path.name, size, objects)


def _read_coco(folder: Path, split: str) -> Iterator[AnnotatedImage]:
    path = folder / "annotations" / f"{split}.json"
    content = read_coco_json(str(path))
    names = {category["id"]: category["name"] for category in content["categories"]}
    for image in content["images"]:
        objects = []
        for note in content["annotations"]:
            if note["image_id"] == image["id"]:
                if len(note["bbox"]) != 4:
                    raise UserError(f"Annotation {note['id']} of '{path}' has no four numbers.")
                x, y, width, height = note["bbox"]
                box = [x, y, x + width, y + height]
                is_crowd = bool(note.get("iscrowd", 0))
                objects.append(Object(names[note["category_id"]], box, is_crowd))
        size = (image["width"], image["height"])
        image_path = folder / "images" / image["file_name"]
        yield AnnotatedImage(image_path, image_path.name, size, objects)


if __name__ == "__main__":
    sys.exit(main())
