"""Runs a trained detector on any images: pictures and a file of detections."""

import argparse
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import imbdet.compat  # noqa: F401  (before detectron2)

# isort: split
import torch
from detectron2.config import CfgNode
from detectron2.data import (
    DatasetCatalog,
    DatasetFromList,
    DatasetMapper,
    MetadataCatalog,
    build_detection_test_loader,
)
from detectron2.data.detection_utils import read_image
from detectron2.evaluation.coco_evaluation import instances_to_coco_json

from imbdet.data.broken_images import ImageError, map_image
from imbdet.data.summary import DataSummary, category_ids_of
from imbdet.engine import setup_frozen
from imbdet.engine.checkpoint import SafeCheckpointer
from imbdet.engine.progress import with_progress
from imbdet.errors import UserError
from imbdet.evaluation.coco_evaluator import drop_non_finite
from imbdet.evaluation.detection_pictures import (
    describe_classes,
    find_earlier_pictures,
    mark_detections,
    name_pictures,
    save_picture,
    show,
)
from imbdet.evaluation.marked_images import draw_panel
from imbdet.evaluation.thresholds import FALLBACK, ScoreThresholds, read_thresholds
from imbdet.files import replacing
from imbdet.formats.folders import list_images
from imbdet.keys import get_key
from imbdet.modeling import build_model
from imbdet.modeling.augmented_tests import augment_tests
from imbdet.modeling.detector_kind import num_classes_key
from imbdet.wording import counted

logger = logging.getLogger(__name__)


def predict(args: argparse.Namespace) -> None:
    """Detect objects on images.

    Writes, in the folder ``output``, in place of what an earlier call wrote there:

    - ``detections.json``: a data set in COCO format whose annotations are the detections, with
      "score" (and "segmentation" of a detector of masks);
    - ``pictures/*.png``: each image with the detections that :func:`choose_thresholds` shows.

    Args:
        args: with ``config_file``, ``weights``, ``images`` (files and folders), ``output`` and
            ``opts``, as ``imbdet predict`` parses them.

    Raises:
        UserError: the config or the weights cannot be used, there are no images, their pictures
            would replace them, or some of them could not be read, which is said after the others
            are done.
    """
    paths = find_images(args.images)
    folder = Path(args.output, "pictures")
    if any(path.resolve().parent == folder.resolve() for path in paths):
        raise UserError(
            f"--output '{args.output}': its pictures would replace images that are to be read, in "
            f"'{folder}'. Choose another one."
        )
    earlier = find_earlier_pictures(Path(args.output))
    cfg = setup_frozen(args, "prediction")
    if cfg.MODEL.LOAD_PROPOSALS:
        raise UserError(
            "MODEL.LOAD_PROPOSALS is True: the detector has proposals of its data sets alone, and "
            "finds none in other images."
        )
    if not cfg.MODEL.WEIGHTS:
        raise UserError("There are no weights: name a checkpoint by --weights.")
    model = build_model(cfg).eval()
    checkpointer = SafeCheckpointer(model, strict=True)
    checkpointer.load(cfg.MODEL.WEIGHTS)
    categories = find_categories(cfg, checkpointer.learned)
    classes = describe_classes(categories)
    model = augment_tests(cfg, model)
    thresholds, origin = choose_thresholds(cfg)
    images = [{"id": i, "file_name": str(path)} for i, path in enumerate(paths, start=1)]
    pictures = [folder / f"{name}.png" for name in name_pictures(images)]
    file = Path(cfg.OUTPUT_DIR, "detections.json")
    found: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": []}
    num_drawn = 0
    for item, picture in zip(_map_images(cfg, images), pictures, strict=True):
        if "problem" in item:
            logger.warning(f"{item['problem']}. It is left out.")
            continue
        if not found["images"]:  # the first one
            for path in (file, *earlier):
                path.unlink(missing_ok=True)
        detections = _detect(model, item, categories)
        image = {key: item[key] for key in ("file_name", "width", "height")}
        found["images"].append({"id": item["image_id"], **image})
        found["annotations"] += detections
        shown = show(detections, classes, thresholds)
        num_drawn += len(shown)
        title = f"detections {thresholds} ({len(shown)})"
        pixels = read_image(item["file_name"], "RGB")
        save_picture(draw_panel(pixels, mark_detections(shown, classes), title), picture)
    if not found["images"]:
        raise UserError("None of the images could be used (above): nothing is written.")
    for note_id, note in enumerate(found["annotations"], start=1):
        note["id"] = note_id
    with replacing(file) as draft:
        draft.write_text(json.dumps({**found, "categories": categories}))
    num_read = len(found["images"])
    logger.info(
        f"'{file}' has {counted(len(found['annotations']), 'detection')} on "
        f"{counted(num_read, 'image')}; pictures in '{folder}' show those "
        f"{thresholds.describe()}, {num_drawn:,}: {origin}."
    )
    if num_read < len(images):
        raise UserError(
            f"{len(images) - num_read:,} of {counted(len(images), 'image')} could not be used "
            "(above); the others are done."
        )


def find_images(places: Sequence[str]) -> list[Path]:
    """Files, and all image files of folders and of the folders in them, in the order of names.

    Raises:
        UserError: one does not exist, or a folder has no image.
    """
    paths: list[Path] = []
    for place in map(Path, places):
        if not place.exists():
            raise UserError(f"--images '{place}' does not exist.")
        if place.is_dir():
            inside = list_images(place)
            if not inside:
                raise UserError(f"--images '{place}' has no image in it.")
            paths += inside
        else:
            paths.append(place)
    return paths


def find_categories(cfg: CfgNode, learned: DataSummary | None) -> list[dict[str, Any]]:
    """What the detector's classes are, in their order: COCO's dicts of "id" and "name".

    As the weights know, or else as the data sets of the config tell; with a warning, just numbers
    from 1 where none is there.
    """
    number = get_key(cfg, num_classes_key(cfg))
    if learned is not None and len(learned.classes) == number:
        return _as_categories(learned.category_ids, learned.classes)
    for dataset in (*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN):
        metadata = MetadataCatalog.get(dataset)
        if metadata.get("thing_classes") is None:
            try:
                DatasetCatalog.get(dataset)  # reads the names into the metadata
            except UserError:
                continue
        names = metadata.get("thing_classes", [])
        if len(names) == number:
            return _as_categories(category_ids_of(dataset, number), names)
    logger.warning(
        "Neither the weights nor the data sets of the config can tell what the classes are called: "
        "they get numbers."
    )
    numbers = range(1, number + 1)
    return _as_categories(numbers, map(str, numbers))


def _as_categories(ids: Iterable[Any], names: Iterable[str]) -> list[dict[str, Any]]:
    return [{"id": i, "name": name} for i, name in zip(ids, names, strict=True)]


def choose_thresholds(cfg: CfgNode) -> tuple[ScoreThresholds, str]:
    """Which detections are shown, and where that is from.

    ``TEST.PICTURE_SCORE_THRESH`` if it is not below 0, or else what the evaluation found that lies
    beside the weights, on the first of ``DATASETS.TEST`` that has one.
    """
    key = "TEST.PICTURE_SCORE_THRESH"
    if cfg.TEST.PICTURE_SCORE_THRESH >= 0:
        return ScoreThresholds.fixed(cfg.TEST.PICTURE_SCORE_THRESH), f"as {key} says"
    inference = Path(cfg.MODEL.WEIGHTS).parent / "inference"
    paths = [inference / dataset / "metrics.json" for dataset in cfg.DATASETS.TEST]
    for path in filter(Path.exists, (*paths, *sorted(inference.glob("*/metrics.json")))):
        try:
            return read_thresholds(path), f"the best ones, by optimal LRP, of '{path}'"
        except (OSError, ValueError) as error:
            logger.warning(f"'{path}' cannot tell from which score on to show detections: {error}.")
    origin = f"no evaluation beside the weights tells a better one; {key} sets another"
    return ScoreThresholds.fixed(FALLBACK), origin


class _TolerantMapper:
    """What ``mapper`` returns, or the record with the "problem" of its image."""

    def __init__(self, mapper: DatasetMapper) -> None:
        self._mapper = mapper

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        try:
            return map_image(self._mapper, record)
        except ImageError as error:
            return {**record, "problem": str(error)}


def _map_images(cfg: CfgNode, images: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    records = [{"image_id": image["id"], "file_name": image["file_name"]} for image in images]
    loader = build_detection_test_loader(
        DatasetFromList(records),
        mapper=_TolerantMapper(DatasetMapper(cfg, is_train=False)),
        num_workers=cfg.DATALOADER.NUM_WORKERS,
    )
    for (item,) in with_progress(loader, "detecting"):
        yield item


def _detect(
    model: torch.nn.Module, item: dict[str, Any], categories: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """COCO's annotations but for their ids, the highest score first."""
    with torch.no_grad():
        (output,) = model([item])
    instances = drop_non_finite(output["instances"].to("cpu"))
    notes = instances_to_coco_json(instances, item["image_id"])
    for note in notes:
        note["category_id"] = categories[note["category_id"]]["id"]
        note["area"] = note["bbox"][2] * note["bbox"][3]
        note["iscrowd"] = 0
    return sorted(notes, key=lambda note: -note["score"])
