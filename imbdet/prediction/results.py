"""The results of a prediction: a picture of each image, and the file of all detections."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectron2.data.detection_utils import read_image

from imbdet.evaluation.detection_pictures import (
    describe_classes,
    mark_detections,
    save_picture,
    show,
)
from imbdet.evaluation.marked_images import draw_panel
from imbdet.evaluation.thresholds import ScoreThresholds
from imbdet.files import replacing
from imbdet.wording import counted

# Name of the folder of pictures in the output folder.
PICTURES = "pictures"


class ResultWriter:
    """Writes pictures image by image, and the file at the end.

    The first picture removes the results of an earlier call: they stay where no image can be used.

    Attributes:
        num_images: number of images that were added.
    """

    def __init__(
        self,
        output: Path,
        categories: Sequence[dict[str, Any]],
        thresholds: ScoreThresholds,
        earlier_pictures: Sequence[Path],
    ) -> None:
        """Write nothing yet.

        Args:
            output: the folder.
            categories: COCO's dicts of "id" and "name".
            thresholds: which detections the pictures show.
            earlier_pictures: pictures of an earlier call.
        """
        self._file, self._folder = output / "detections.json", output / PICTURES
        self._earlier = (self._file, *earlier_pictures)
        self._categories, self._classes = categories, describe_classes(categories)
        self._thresholds = thresholds
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._num_shown = 0

    @property
    def num_images(self) -> int:
        return len(self._images)

    def add(self, item: dict[str, Any], detections: list[dict[str, Any]], name: str) -> None:
        """Draw an image, and keep what was found in it.

        Args:
            item: the image, with "image_id", "file_name", "width" and "height".
            detections: see :meth:`imbdet.prediction.detector.TrainedDetector.detect`.
            name: name of the picture, without its ending.

        Raises:
            UserError: the picture cannot be written.
        """
        if not self._images:
            for path in self._earlier:
                path.unlink(missing_ok=True)
        image = {key: item[key] for key in ("file_name", "width", "height")}
        self._images.append({"id": item["image_id"], **image})
        self._annotations += detections
        shown = show(detections, self._classes, self._thresholds)
        self._num_shown += len(shown)
        title = f"detections {self._thresholds} ({len(shown)})"
        pixels = read_image(item["file_name"], "RGB")
        picture = draw_panel(pixels, mark_detections(shown, self._classes), title)
        save_picture(picture, self._folder / f"{name}.png")

    def write_file(self) -> None:
        """Write all detections as a data set in COCO's format.

        Raises:
            UserError: the file cannot be written.
        """
        for note_id, note in enumerate(self._annotations, start=1):
            note["id"] = note_id
        content = {
            "images": self._images,
            "annotations": self._annotations,
            "categories": self._categories,
        }
        with replacing(self._file) as draft:
            draft.write_text(json.dumps(content))

    def __str__(self) -> str:
        """What was written, and where."""
        return (
            f"'{self._file}' has {counted(len(self._annotations), 'detection')} on "
            f"{counted(self.num_images, 'image')}; pictures in '{self._folder}' show those "
            f"{self._thresholds.describe()}, {self._num_shown:,}"
        )
