"""What reads the annotation file of a data set."""

from imbdet.formats.coco_json import read_coco_json
from imbdet.formats.lvis_json import read_lvis_json

# By detectron2's ``evaluator_type`` of the data set.
READERS = {"coco": read_coco_json, "lvis": read_lvis_json}
