"""Writes the data set `shapes` to disk: images, and annotations in COCO's layout."""

import json
import logging
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2

from imbdet.data.shapes.annotations import describe
from imbdet.data.shapes.drawing import Drawing, draw_image
from imbdet.data.shapes.faults import plant_faults
from imbdet.data.shapes.shapes_options import ShapesOptions
from imbdet.errors import UserError
from imbdet.files import drafting
from imbdet.wording import counted

SPLITS = ("train", "val")

# Ratio of items without a place to objects above which a warning is logged.
_MANY_LEFT_OUT = 0.05

logger = logging.getLogger(__name__)


def json_path(folder: Path, split: str) -> Path:
    """The annotation file of a split, "train" or "val"."""
    return folder / "annotations" / f"{split}.json"


def ensure_generated(options: ShapesOptions, folder: Path) -> None:
    """Generate the data set in ``folder`` unless it exists.

    The folder appears at once when it is complete, so that an interruption leaves no part of it and
    several processes may call this at the same time.

    Raises:
        UserError: ``folder`` cannot be written, or exists without annotations.
    """
    if folder.exists():
        if not _is_complete(folder):
            raise UserError(f"'{folder}' is incomplete. Delete it to generate the data set anew.")
        return
    start = time.perf_counter()
    num_images = sum(options.num_images(split) for split in SPLITS)
    logger.info(f"Generating {counted(num_images, 'image')} of the data set 'shapes' in '{folder}'")
    try:
        with drafting(folder) as draft:
            _generate(options, draft)
            _move(draft, folder)
    except OSError as error:
        raise UserError(
            f"The data set 'shapes' cannot be written to '{folder}' ({error.strerror or error}). "
            "Set the environment variable DETECTRON2_DATASETS to a folder with space that you may "
            "write to."
        ) from error
    logger.info(f"Generated the data set 'shapes' in {time.perf_counter() - start:.1f} seconds")


def _is_complete(folder: Path) -> bool:
    return all(json_path(folder, split).is_file() for split in SPLITS)


def _move(draft: Path, folder: Path) -> None:
    try:
        draft.replace(folder)
    except OSError:
        # Another process was faster, with the same content.
        if not _is_complete(folder):
            raise


def _generate(options: ShapesOptions, folder: Path) -> None:
    (folder / "annotations").mkdir(parents=True)
    (folder / "options.json").write_text(options.as_json() + "\n")
    for split in SPLITS:
        (folder / split).mkdir()
        drawings = _draw_and_save(options, split, folder / split)
        content = coco_content(options, split, drawings)
        json_path(folder, split).write_text(json.dumps(content))


def _draw_and_save(options: ShapesOptions, split: str, folder: Path) -> Iterator[Drawing]:
    for index in range(options.num_images(split)):
        drawing = draw_image(options, split, index)
        # OpenCV expects BGR. Its `imwrite` would not report a full disk.
        png = cv2.imencode(".png", drawing.pixels[:, :, ::-1])[1]
        (folder / _file_name(index)).write_bytes(png.tobytes())
        yield drawing


def _file_name(index: int) -> str:
    return f"{index + 1:06d}.png"


def coco_content(options: ShapesOptions, split: str, drawings: Iterable[Drawing]) -> dict:
    """The content of a split's annotation file, from the drawings of its images in order.

    Beyond COCO's own keys, an image has ``num_clutter`` and an annotation ``true_category_id``. The
    training split has the faults of ``options``; ids are the same as without faults, and copies
    come last. See :class:`FaultyImage` for the keys with the truth; missing annotations are in the
    image's ``missing``.
    """
    images, annotations, copies = [], [], []
    num_objects = num_left_out = 0
    for index, drawing in enumerate(drawings):
        notes = [
            {"id": num_objects + k + 1, **note} for k, note in enumerate(_annotate(index, drawing))
        ]
        num_objects += len(notes)
        num_left_out += drawing.num_left_out
        image = _image_record(index, drawing)
        if split == "train":
            faulty = plant_faults(options, index, notes)
            notes = faulty.annotations
            copies += faulty.copies
            if options.missing_fraction > 0:
                image["missing"] = faulty.missing
        images.append(image)
        annotations += notes
    annotations += [{"id": num_objects + k + 1, **copy} for k, copy in enumerate(copies)]
    _warn_of_left_out(split, num_left_out, num_drawn=num_objects)
    categories = [
        {"id": k + 1, "name": name, "supercategory": "shape"}
        for k, name in enumerate(options.class_names)
    ]
    return {
        "info": {"description": f"imbdet shapes, {split}"},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": categories,
    }


def _image_record(index: int, drawing: Drawing) -> dict:
    height, width = drawing.pixels.shape[:2]
    return {
        "id": index + 1,
        "file_name": _file_name(index),
        "height": height,
        "width": width,
        "num_clutter": drawing.num_clutter,
    }


def _annotate(index: int, drawing: Drawing) -> Iterator[dict]:
    for item in drawing.objects:
        yield {
            "image_id": index + 1,
            "category_id": item.category + 1,
            "true_category_id": item.category + 1,
            **describe(item.mask, item.is_crowd),
        }


def _warn_of_left_out(split: str, num_left_out: int, num_drawn: int) -> None:
    if num_left_out > _MANY_LEFT_OUT * num_drawn:
        logger.warning(
            f"Objects and clutter of '{split}' that found no place, left out: {num_left_out:,}. "
            "Lower DATASETS.SHAPES.OBJECTS_PER_IMAGE, CLUTTER_RATIO or OBJECT_SIZE, or raise "
            "IMAGE_SIZE."
        )
