"""Loads a registered data set, and reports, drops or refuses its defects."""

import logging
import math
import os
from collections import defaultdict
from collections.abc import Collection

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode
from detectron2.utils.logger import log_first_n

from imbdet.config_files.keys import get_key
from imbdet.data.augmentation import require_polygon_cropping
from imbdet.data.coco import CocoDataset, describe_origin, evaluator_type_of
from imbdet.data.coco_records import optional_fields
from imbdet.data.keypoints import require_keypoints
from imbdet.data.objects import objects_of
from imbdet.data.plausibility import describe_box, find_implausible
from imbdet.errors import UserError
from imbdet.formats.annotation_files import READERS
from imbdet.formats.coco_boxes import COORDINATE_PROBLEMS, find_coordinate_problem
from imbdet.modeling.detector_kind import num_classes_key
from imbdet.wording import counted, printable

logger = logging.getLogger(__name__)


def load_dataset(cfg: CfgNode, name: str, *, training: bool = False) -> list[dict]:
    """Load and check a registered data set.

    Args:
        cfg: config with NUM_CLASSES of the detector and, for training, the policies
            ``DATASETS.INVALID_BOXES`` and ``DATASETS.BROKEN_IMAGES``.
        name: name in DATASETS.TRAIN or DATASETS.TEST.
        training: whether boxes and images are dropped or refused by the policies. Otherwise every
            image must be there, and boxes of four numbers stay as they are, with a warning, since
            an evaluation reads the annotation file.

    Returns:
        Detectron2's dicts, one per image.

    Raises:
        UserError: a record is wrong; the message names it, the data set and the file.
    """
    records = read_dataset(name, optional=optional_fields(cfg))
    check_classes(cfg, name, records)
    present, missing = _split_by_existence(records)
    if missing:
        _report_missing(cfg, name, missing, len(records), training)
    if training:
        present = valid = _remove_invalid_boxes(cfg, name, present)
        if cfg.MODEL.MASK_ON:
            _require_masks(cfg, name, present)
        if cfg.MODEL.KEYPOINT_ON:
            require_keypoints(cfg, name, present)
    else:
        valid = _report_invalid_boxes(name, present)
    if not present:
        raise UserError(f"Data set '{name}' has no images. {describe_origin(name)}")
    for sentence in find_implausible(valid):  # invalid boxes are reported already
        message = f"Data set '{name}': {sentence}"
        if training:
            logger.warning(message)
        else:
            log_first_n(logging.WARNING, message, key="message")  # each evaluation loads it again
    return present


def read_policy(cfg: CfgNode, key: str, options: tuple[str, str]) -> str:
    """The value of ``DATASETS.<key>``.

    Raises:
        UserError: the value is none of the ``options``.
    """
    value = cfg.DATASETS[key]
    if value not in options:
        raise UserError(f"DATASETS.{key} is {value!r}; it can be '{options[0]}' or '{options[1]}'.")
    return value


def skips_broken_images(cfg: CfgNode) -> bool:
    """Whether training skips images that are missing or cannot be decoded."""
    return read_policy(cfg, "BROKEN_IMAGES", ("refuse", "skip")) == "skip"


def drops_invalid_boxes(cfg: CfgNode) -> bool:
    """Whether training drops invalid boxes."""
    return read_policy(cfg, "INVALID_BOXES", ("drop", "refuse")) == "drop"


def read_dataset(name: str, *, optional: Collection[str] = ()) -> list[dict]:
    """The records of a registered data set, unchanged; UserError if it does not load.

    Args:
        name: name in detectron2's catalogs.
        optional: see :func:`imbdet.data.coco_records.optional_fields`.
    """
    read = READERS.get(evaluator_type_of(name))
    if read and not _is_own(name):
        # It is unknown what its loader does with the file, which is therefore checked separately.
        read(MetadataCatalog.get(name).json_file, optional=optional)
    try:
        return DatasetCatalog.get(name)
    except UserError:
        raise
    except Exception as error:
        hint = describe_origin(name) if isinstance(error, OSError) else ""
        raise UserError(
            f"Data set '{name}' does not load ({type(error).__name__}: {error}). {hint}".rstrip()
        ) from error


def _is_own(name: str) -> bool:
    """Whether the data set's loader is imbdet's, which checks the file that it reads."""
    return name.startswith("shapes_") or isinstance(DatasetCatalog[name], CocoDataset)


def check_classes(cfg: CfgNode, name: str, records: list[dict]) -> None:
    """Refuse a data set that the detector has too few classes for, and warn of too many.

    Raises:
        UserError: there are too few classes, or those of the data set are wrong.
    """
    classes = MetadataCatalog.get(name).get("thing_classes")
    if classes is None:
        raise UserError(f"Data set '{name}' has no 'thing_classes': it is not for detection.")
    for class_name in classes:
        # Names of annotation files are escaped where they are read.
        if printable(class_name) != class_name:
            raise UserError(
                f"Data set '{name}' has a class {class_name!r}, whose name has control characters: "
                "register it by another name."
            )
    _check_category_ids(name, records, len(classes))
    message = describe_class_numbers(cfg, name)
    if len(classes) > get_key(cfg, num_classes_key(cfg)):
        raise UserError(message)
    if message:
        # It is logged once, although each evaluation during a training loads its data set again.
        log_first_n(logging.WARNING, message, key="message")


def describe_class_numbers(cfg: CfgNode, name: str) -> str:
    """The key to set if the detector has more or fewer classes than a data set; else ""."""
    number, key = len(MetadataCatalog.get(name).thing_classes), num_classes_key(cfg)
    if number == get_key(cfg, key):
        return ""
    return (
        f"Data set '{name}' has {counted(number, 'class', 'classes')}, but {key} is "
        f"{get_key(cfg, key)}: set it to {number}."
    )


def _check_category_ids(name: str, records: list[dict], num_classes: int) -> None:
    # Only data sets of other programs can fail: detectron2 maps the ids of COCO-format ones.
    category_ids = {
        annotation["category_id"] for record in records for annotation in _annotations(record)
    }
    strays = category_ids.difference(range(num_classes))
    if strays:
        raise UserError(
            f"Data set '{name}' has {counted(num_classes, 'class', 'classes')}, but an annotation "
            f"with category_id {min(strays)}; it must be at least 0 and less than {num_classes}."
        )


def _split_by_existence(records: list[dict]) -> tuple[list[dict], list[dict]]:
    # Each folder is listed once: checks of single files take minutes on a network drive.
    listings: dict[str, set[str]] = {}
    present, missing = [], []
    for record in records:
        path = record["file_name"]
        folder, file_name = os.path.split(path)
        if folder not in listings:
            listings[folder] = set(os.listdir(folder)) if os.path.isdir(folder) else set()
        # Some file systems find a name that is spelled differently.
        exists = file_name in listings[folder] or os.path.exists(path)
        (present if exists else missing).append(record)
    return present, missing


def _report_missing(
    cfg: CfgNode, name: str, missing: list[dict], num_images: int, training: bool
) -> None:
    folder, file_name = os.path.split(os.path.abspath(missing[0]["file_name"]))
    message = (
        f"Data set '{name}' misses {len(missing):,} of its {counted(num_images, 'image')}: the "
        f"first, '{file_name}', is not in folder '{folder}'"
        f"{'' if os.path.isdir(folder) else ', which does not exist'}. {describe_origin(name)}"
    )
    if not training or len(missing) == num_images:
        raise UserError(message)
    if not skips_broken_images(cfg):
        raise UserError(f"{message} To train without them, set DATASETS.BROKEN_IMAGES to 'skip'.")
    logger.warning(f"{message} They are skipped.")


def _remove_invalid_boxes(cfg: CfgNode, name: str, records: list[dict]) -> list[dict]:
    refuse = not drops_invalid_boxes(cfg)
    cleaned, found = split_by_validity(records)
    if found:
        message = describe_invalid(name, found)
        if refuse:
            raise UserError(f"{message} To train without, set DATASETS.INVALID_BOXES to 'drop'.")
        logger.warning(f"{message} They are dropped.")
    return cleaned


def _report_invalid_boxes(name: str, records: list[dict]) -> list[dict]:
    """Refuse or report invalid boxes, and return the records without them."""
    valid, found = split_by_validity(records)
    for problem in found.keys() & COORDINATE_PROBLEMS:
        raise UserError(
            f"Data set '{name}' has a box {problem}: {found[problem][0]}. Correct it or remove its "
            "annotation."
        )
    if found:
        message = (
            f"{describe_invalid(name, found)} They stay, as objects that no detection matches."
        )
        log_first_n(logging.WARNING, message, key="message")  # as each evaluation loads them again
    return valid


def split_by_validity(records: list[dict]) -> tuple[list[dict], dict[str, list[str]]]:
    """The records without invalid boxes, and where these are, by kind of problem."""
    found = defaultdict(list)
    cleaned = []
    for record in records:
        valid = []
        for annotation in _annotations(record):
            problem = _find_box_problem(annotation, record)
            if problem is None:
                valid.append(annotation)
            else:
                found[problem].append(describe_box(annotation, record))
        # A copy: the catalog's records may be shared with an evaluation.
        cleaned.append({**record, "annotations": valid})
    return cleaned, found


def describe_invalid(name: str, found: dict[str, list[str]]) -> str:
    """A sentence on what :func:`split_by_validity` found in a data set."""
    kinds = [f"{len(where):,} {kind} (first: {where[0]})" for kind, where in found.items()]
    return f"Data set '{name}' has invalid boxes: {'; '.join(kinds)}."


def _require_masks(cfg: CfgNode, name: str, records: list[dict]) -> None:
    has_polygons = False
    for record in records:
        for annotation in objects_of(record):
            problem, remedy = _find_mask_problem(cfg, annotation.get("segmentation"), record)
            if problem:
                raise UserError(
                    f"MODEL.MASK_ON is True, but data set '{name}' has objects {problem} (first: "
                    f"in '{os.path.basename(record['file_name'])}'). {remedy}"
                )
            has_polygons |= isinstance(annotation["segmentation"], list)
    if has_polygons:
        require_polygon_cropping(cfg)


def _find_mask_problem(cfg: CfgNode, mask: list | dict | None, record: dict) -> tuple[str, str]:
    """The problem of an object's mask, and the remedy; both "" if there is none."""
    if not mask:
        return "without a 'segmentation'", "Set MODEL.MASK_ON to False."
    if isinstance(mask, dict):  # run lengths
        if cfg.INPUT.MASK_FORMAT == "polygon":
            return "whose mask is in run lengths", "Set INPUT.MASK_FORMAT to 'bitmask'."
        height, width = mask["size"]
        if (height, width) != (record.get("height", height), record.get("width", width)):
            return "whose mask has another size than their image", "Correct or remove them."
    return "", ""


def _find_box_problem(annotation: dict, record: dict) -> str | None:
    problem = find_coordinate_problem(annotation.get("bbox"))
    if problem:
        return problem
    x0, y0, x1, y1 = annotation["bbox"]
    if annotation["bbox_mode"] == BoxMode.XYWH_ABS:
        x1, y1 = x0 + x1, y0 + y1
    if x1 <= x0 or y1 <= y0:
        return "whose width or height is not above 0"
    # Only data sets of other programs may lack the size.
    width, height = record.get("width", math.inf), record.get("height", math.inf)
    if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
        return "outside the image"
    return None


def _annotations(record: dict) -> list[dict]:
    return record.get("annotations", [])
