#!/usr/bin/env python
"""Bring a copy of the blood cell data set BCCD into COCO's form, for the configs in configs/BCCD.

SOURCE is a folder of yours, nothing is downloaded: the public repository BCCD_Dataset (with
`BCCD/JPEGImages`, `BCCD/Annotations` and `BCCD/ImageSets/Main`, in Pascal VOC's form), or a folder
in COCO's form (with `annotations/train.json`, `val.json`, `test.json` and `images`). The images and
the annotations of the three splits are written to `$DETECTRON2_DATASETS/bccd`, by default
`datasets/bccd`. What is wrong in the annotations is put right or left out, and said.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from imbdet.data.coco_json import check_coco_json
from imbdet.errors import UserError, run_program

CLASSES = ("RBC", "WBC", "Platelets")
SPLITS = ("train", "val", "test")

DEFECTS = {
    "size": "Images of another size than annotated, of which that of the file counts",
    "class": f"Boxes of no class among {', '.join(CLASSES)}, left out",
    # The public annotations have boxes of a single pixel, which nobody meant.
    "area": "Boxes without area, of one pixel, or outside their image, left out",
    "edge": "Boxes that reach beyond their image, cut at its edge",
}


class Picture(NamedTuple):
    """An image file and what is annotated: width and height, classes and boxes, XYXY in pixels."""

    path: Path
    size: tuple[int, int]
    objects: list[tuple[str, list[float]]]


def main(argv: Sequence[str] | None = None) -> int:
    """Convert, and tell a user's mistake in a sentence. Returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, metavar="SOURCE", help="folder with BCCD")
    source = parser.parse_args(argv).source
    target = Path(os.getenv("DETECTRON2_DATASETS", "datasets")) / "bccd"
    return run_program(lambda: prepare(source, target), output=str(target))


def prepare(source: Path, target: Path) -> None:
    """Write the data set to ``target``, where it appears when it is complete.

    Raises:
        UserError: the source is not BCCD, or the target is something else or cannot be written.
    """
    if all((target / "annotations" / f"{split}.json").is_file() for split in SPLITS):
        print(f"'{target}' is there already: nothing to do. Delete it to prepare it anew.")
        return
    if target.exists():
        raise UserError(f"'{target}' exists and is not a prepared BCCD: delete or rename it.")
    splits = {split: list(read(source, split)) for split in SPLITS}
    pictures = [picture for split in SPLITS for picture in splits[split]]
    name, count = Counter(picture.path.name for picture in pictures).most_common(1)[0]
    if count > 1:
        raise UserError(f"The splits of '{source}' name the image '{name}' {count} times.")
    found: Counter[str] = Counter()
    contents = {split: to_coco(splits[split], found) for split in SPLITS}
    try:
        _write(target, contents, [picture.path for picture in pictures])
    except OSError as error:
        raise UserError(f"'{target}' cannot be written: {error.strerror or error}.") from error
    for split, content in contents.items():
        counts = Counter(CLASSES[a["category_id"] - 1] for a in content["annotations"])
        numbers = ", ".join(f"{counts[name]} {name}" for name in CLASSES)
        print(f"{split}: {len(content['images'])} images, {numbers}")
    for defect, count in (+found).items():
        print(f"{DEFECTS[defect]}: {count}")
    print(f"'{target}' is ready: train with configs/BCCD/.")


def read(source: Path, split: str) -> Iterator[Picture]:
    """The images of a split, from either form.

    Raises:
        UserError: the folder has neither form, or something in it is missing or malformed.
    """
    for folder in (source / "BCCD", source):
        if (folder / "ImageSets" / "Main").is_dir():
            return _read_voc(folder, split)
    if (source / "annotations").is_dir():
        return _read_coco(source, split)
    raise UserError(
        f"'{source}' is not BCCD: it has neither 'BCCD/ImageSets/Main', as the repository "
        f"BCCD_Dataset, nor 'annotations/train.json', as a data set in COCO's form."
    )


def to_coco(pictures: Sequence[Picture], found: Counter[str]) -> dict:
    """The content of an annotation file; ``found`` counts the defects."""
    images, annotations = [], []
    for image_id, picture in enumerate(pictures, start=1):
        width, height = size = _measure(picture.path)
        found["size"] += size != picture.size
        name = picture.path.name
        images.append({"id": image_id, "file_name": name, "width": width, "height": height})
        for class_name, box in picture.objects:
            x0, y0, x1, y1 = cut = np.clip(box, 0, [width, height] * 2).tolist()
            if class_name not in CLASSES:
                found["class"] += 1
            elif not (x1 - x0 > 1 and y1 - y0 > 1):  # also of NaN
                found["area"] += 1
            else:
                found["edge"] += cut != box
                annotation = {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": CLASSES.index(class_name) + 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": (x1 - x0) * (y1 - y0),
                    "iscrowd": 0,
                }
                annotations.append(annotation)
    categories = [{"id": i, "name": name} for i, name in enumerate(CLASSES, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _measure(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            return image.size
    except OSError as error:
        raise UserError(f"The image '{path}' cannot be read: {error}.") from error


def _write(target: Path, contents: dict[str, dict], images: Sequence[Path]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".bccd-", dir=target.parent) as workplace:
        # One level down, as the temporary folder itself is readable by its owner only.
        draft = Path(workplace) / target.name
        for name in ("annotations", "images"):
            (draft / name).mkdir(parents=True)
        for split, content in contents.items():
            (draft / "annotations" / f"{split}.json").write_text(json.dumps(content))
        for path in images:
            shutil.copyfile(path, draft / "images" / path.name)
        draft.rename(target)


def _read_voc(folder: Path, split: str) -> Iterator[Picture]:
    names = folder / "ImageSets" / "Main" / f"{split}.txt"
    if not names.is_file():
        raise UserError(f"There is no list of images '{names}'.")
    for name in names.read_text().split():
        path = folder / "Annotations" / f"{name}.xml"
        try:
            root = ElementTree.parse(path).getroot()
            size = (int(root.findtext("size/width", "0")), int(root.findtext("size/height", "0")))
            objects = [_parse_object(node) for node in root.iter("object")]
        except (OSError, ElementTree.ParseError, ValueError) as error:
            raise UserError(f"The annotation '{path}' cannot be read: {error}.") from error
        yield Picture(folder / "JPEGImages" / f"{name}.jpg", size, objects)


def _parse_object(node: ElementTree.Element) -> tuple[str, list[float]]:
    edges = [node.findtext(f"bndbox/{edge}", "") for edge in ("xmin", "ymin", "xmax", "ymax")]
    x0, y0, x1, y1 = map(float, edges)
    # Pascal VOC counts pixels from 1, and the last one is inside.
    return node.findtext("name", ""), [x0 - 1, y0 - 1, x1, y1]


def _read_coco(folder: Path, split: str) -> Iterator[Picture]:
    path = folder / "annotations" / f"{split}.json"
    check_coco_json(str(path))
    content = json.loads(path.read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    for image in content["images"]:
        objects = []
        for note in content["annotations"]:
            if note["image_id"] == image["id"]:
                if len(note["bbox"]) != 4:
                    raise UserError(f"Annotation {note['id']} of '{path}' has no four numbers.")
                x, y, width, height = note["bbox"]
                objects.append((names[note["category_id"]], [x, y, x + width, y + height]))
        size = (image["width"], image["height"])
        yield Picture(folder / "images" / image["file_name"], size, objects)


if __name__ == "__main__":
    sys.exit(main())
