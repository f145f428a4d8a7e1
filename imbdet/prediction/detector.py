"""A trained detector, and what it finds in an image."""

from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.evaluation.coco_evaluation import instances_to_coco_json

from imbdet.engine.checkpoint import SafeCheckpointer
from imbdet.errors import UserError
from imbdet.evaluation.coco_evaluator import drop_non_finite
from imbdet.modeling import build_model
from imbdet.modeling.augmented_tests import augment_tests
from imbdet.prediction.categories import find_categories


class TrainedDetector:
    """A detector with the weights of a checkpoint.

    Attributes:
        categories: its classes, in their order; see :func:`find_categories`.
    """

    def __init__(self, cfg: CfgNode) -> None:
        """Build it, and load its weights.

        Raises:
            UserError: there are no weights, they cannot be loaded, or the detector needs proposals.
        """
        if cfg.MODEL.LOAD_PROPOSALS:
            raise UserError(
                "MODEL.LOAD_PROPOSALS is True: the detector has proposals of its data sets alone, "
                "and finds none in other images."
            )
        if not cfg.MODEL.WEIGHTS:
            raise UserError("There are no weights: name a checkpoint by --weights.")
        model = build_model(cfg).eval()
        checkpointer = SafeCheckpointer(model, strict=True)
        checkpointer.load(cfg.MODEL.WEIGHTS)
        self.categories = find_categories(cfg, checkpointer.learned)
        self._model = augment_tests(cfg, model)

    @torch.no_grad()
    def detect(self, item: dict[str, Any]) -> list[dict[str, Any]]:
        """The detections on an image, as COCO's annotations without ids, highest score first.

        Args:
            item: what :func:`imbdet.prediction.images.map_images` yields.
        """
        (output,) = self._model([item])
        instances = drop_non_finite(output["instances"].to("cpu"))
        notes = instances_to_coco_json(instances, item["image_id"])
        for note in notes:
            note["category_id"] = self.categories[note["category_id"]]["id"]
            note["area"] = note["bbox"][2] * note["bbox"][3]
            note["iscrowd"] = 0
        return sorted(notes, key=lambda note: -note["score"])
