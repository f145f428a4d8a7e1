"""The readers of annotation files."""

from imbdet.formats.coco_json import read_coco_json
from imbdet.formats.lvis_json import read_lvis_json

# Readers by detectron2's ``evaluator_type`` of the data set.
READERS = {"coco": read_coco_json, "lvis": read_lvis_json}
