"""Pictures of ground truth beside detections, for a quick check of a detector."""

import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from detectron2.data.detection_utils import read_image
from PIL import Image

from imbdet.evaluation.marked_images import Color, Mark, class_color, draw_panel, join_panels
from imbdet.evaluation.thresholds import ScoreThresholds
from imbdet.files import replacing


def draw_detections(
    ground_truth: Mapping,
    detections: Iterable[Mapping],
    *,
    image_root: str | os.PathLike,
    output_dir: Path,
    num_pictures: int,
    thresholds: ScoreThresholds,
) -> list[Path]:
    """Draw images of a data set with their ground truth on the left, detections on the right.

    The images are spread evenly over the data set and are the same every time; images without
    objects are drawn only when there are too few others. A class has one color on both sides;
    crowds are dashed. Images are turned by their EXIF orientation, and small ones are enlarged.

    Args:
        ground_truth: the content of a COCO-format annotation file; "annotations" may be missing.
        detections: records of COCO's result format.
        image_root: folder of the images.
        output_dir: folder of the pictures, one ``<name of the image>.png`` each.
        num_pictures: highest number of images to draw.
        thresholds: lowest scores of the detections that are drawn.

    Returns:
        The files of the pictures.

    Raises:
        UserError: a picture cannot be written.
    """
    annotations = _group_by_image(ground_truth.get("annotations", ()))
    classes = describe_classes(ground_truth["categories"])
    detections = _group_by_image(show(detections, classes, thresholds))
    images = _choose_images(ground_truth["images"], annotations, num_pictures)
    paths = [output_dir / f"{name}.png" for name in name_pictures(images)]
    for image, path in zip(images, paths, strict=True):
        sides = {
            "ground truth": mark_objects(annotations[image["id"]], classes),
            f"detections {thresholds}": mark_detections(detections[image["id"]], classes),
        }
        pixels = read_image(os.path.join(image_root, image["file_name"]), "RGB")
        panels = [
            draw_panel(pixels, marks, f"{title} ({len(marks)})") for title, marks in sides.items()
        ]
        save_picture(join_panels(panels), path)
    return paths


def _group_by_image(records: Iterable[Mapping]) -> defaultdict[Any, list[Mapping]]:
    groups = defaultdict(list)
    for record in records:
        groups[record["image_id"]].append(record)
    return groups


def _choose_images(images: Sequence[Mapping], annotations: Mapping, number: int) -> list[Mapping]:
    with_objects = [image for image in images if image["id"] in annotations]
    without = [image for image in images if image["id"] not in annotations]
    chosen = spread(with_objects, number)
    return chosen + spread(without, number - len(chosen))


def spread(items: Sequence[Any], number: int) -> list[Any]:
    """The middle items of ``number`` equal parts of a sequence, or all if it is shorter."""
    number = min(number, len(items))
    return [items[(2 * i + 1) * len(items) // (2 * number)] for i in range(number)]


def name_pictures(images: Sequence[Mapping]) -> list[str]:
    """Unique names for the pictures of some images: the stems of their files, if possible."""
    stems = [Path(image["file_name"]).stem for image in images]
    with_ids = [f"{stem}_{image['id']}" for image, stem in zip(images, stems, strict=True)]
    # Folders of video frames, for example, repeat the same file names.
    counts = Counter(stems)
    names = [name if counts[stem] > 1 else stem for name, stem in zip(with_ids, stems, strict=True)]
    return names if len(set(names)) == len(names) else with_ids


def find_earlier_pictures(output: Path) -> list[Path]:
    """The pictures of an earlier call, possibly of other weights, in ``output/pictures``.

    Call it before the log starts: a folder without a log may be that of another program, whose
    pictures are not returned.
    """
    if not (output / "log.txt").exists():
        return []
    return [path for path in (output / "pictures").glob("*") if path.suffix in (".png", ".pdf")]


def describe_classes(categories: Iterable[Mapping]) -> dict[Any, tuple[str, Color]]:
    """Names and colors of categories by id."""
    ordered = sorted(categories, key=lambda category: category["id"])
    return {
        category["id"]: (category["name"], class_color(i)) for i, category in enumerate(ordered)
    }


def mark_objects(annotations: Iterable[Mapping], classes: Mapping) -> list[Mark]:
    """Annotations to draw, crowds dashed; for ``classes`` see :func:`describe_classes`."""
    # An annotation file may contain NaN. Small boxes come first, to be drawn over large ones.
    finite = [note for note in annotations if all(map(math.isfinite, note["bbox"]))]
    marks = []
    for note in sorted(finite, key=lambda note: note["bbox"][2] * note["bbox"][3]):
        name, color = classes[note["category_id"]]
        is_crowd = bool(note.get("iscrowd", 0))
        marks.append(Mark(note["bbox"], f"{name} (crowd)" if is_crowd else name, color, is_crowd))
    return marks


def show(
    detections: Iterable[Mapping], classes: Mapping, thresholds: ScoreThresholds
) -> list[Mapping]:
    """The detections that are drawn; for ``classes`` see :func:`describe_classes`."""
    return [
        record
        for record in detections
        if thresholds.shows(classes[record["category_id"]][0], record["score"])
    ]


def mark_detections(detections: Iterable[Mapping], classes: Mapping) -> list[Mark]:
    """Detections to draw, the highest score first; for ``classes`` see :func:`describe_classes`."""
    marks = []
    for record in sorted(detections, key=lambda record: -record["score"]):
        name, color = classes[record["category_id"]]
        marks.append(Mark(record["bbox"], f"{name} {record['score']:.2f}", color))
    return marks


def save_picture(picture: Image.Image, path: Path) -> None:
    """Save as PNG, complete or not at all."""
    with replacing(path) as draft:
        picture.save(draft, format="PNG")
