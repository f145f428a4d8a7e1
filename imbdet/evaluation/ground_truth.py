"""Loads what detections are compared with: the content of a data set's annotation file."""

import logging

from detectron2.data import Metadata
from detectron2.data.datasets.coco import convert_to_coco_dict
from detectron2.utils.logger import log_first_n

from imbdet.formats.annotation_files import READERS
from imbdet.formats.coco_boxes import fill_areas, require_boxes
from imbdet.formats.coco_json import read_coco_json
from imbdet.wording import counted


def load_ground_truth(metadata: Metadata, *, masks: bool = False) -> dict:
    """The content of a data set's annotation file, or the same made of registered dicts.

    All comparisons of detections use it: files are checked, and each annotation has an area.

    Args:
        metadata: metadata of the data set in detectron2's catalogs.
        masks: whether masks are compared; otherwise annotations have none.

    Raises:
        UserError: the file cannot be read or is invalid.
    """
    path = metadata.get("json_file")
    if path is None:
        return convert_to_coco_dict(metadata.name)
    read = READERS.get(metadata.get("evaluator_type"), read_coco_json)
    content = read(path, optional=("segmentation",) if masks else ())
    _name_categories(content, metadata)
    require_boxes(path, content)
    count, first = fill_areas(content)
    if count:
        message = (
            f"{counted(count, 'annotation')} of '{path}' {'has' if count == 1 else 'have'} an "
            f"'area' that cannot be (first: {first}): that of the box counts, by which APs, APm "
            "and APl tell objects apart."
        )
        log_first_n(logging.WARNING, message, key="message")  # as each evaluation reads it again
    return content


def _name_categories(content: dict, metadata: Metadata) -> None:
    """Give categories the names by which a detector knows them."""
    # The names in LVIS's files differ where detectron2 has names of its own.
    class_of = metadata.get("thing_dataset_id_to_contiguous_id", {})
    for category in content["categories"]:
        if category["id"] in class_of:
            category["name"] = metadata.thing_classes[class_of[category["id"]]]
