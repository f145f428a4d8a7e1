"""``imbdet predict``: from a config, weights and images to the folder of a prediction."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from imbdet.engine import setup_frozen
from imbdet.errors import UserError
from imbdet.evaluation.detection_pictures import find_earlier_pictures, name_pictures
from imbdet.prediction.detector import TrainedDetector
from imbdet.prediction.images import find_images, map_images
from imbdet.prediction.results import PICTURES, ResultWriter
from imbdet.prediction.thresholds import choose_thresholds
from imbdet.wording import counted

logger = logging.getLogger(__name__)


def predict(args: argparse.Namespace) -> None:
    """Detect objects on images.

    Writes, in the folder ``output``, in place of what an earlier call wrote there:

    - ``detections.json``: a data set in COCO format whose annotations are the detections, with
      "score" (and "segmentation" of a detector of masks);
    - ``pictures/*.png``: each image with the detections that :func:`choose_thresholds` shows.

    Args:
        args: arguments ``config_file``, ``weights``, ``images`` (files and folders), ``output`` and
            ``opts`` of ``imbdet predict``.

    Raises:
        UserError: the config or the weights cannot be used, there are no images, their pictures
            would replace them, or some of them could not be read, which is raised after the others
            are done.
    """
    paths = find_images(args.images)
    _refuse_replacing(paths, args.output)
    output = Path(args.output)
    earlier = find_earlier_pictures(output)
    cfg = setup_frozen(args, "prediction")
    detector = TrainedDetector(cfg)
    thresholds, origin = choose_thresholds(cfg)
    images = [{"id": i, "file_name": str(path)} for i, path in enumerate(paths, start=1)]
    writer = ResultWriter(output, detector.categories, thresholds, earlier)
    for item, name in zip(map_images(cfg, images), name_pictures(images), strict=True):
        if "problem" in item:
            logger.warning(f"{item['problem']}. It is left out.")
        else:
            writer.add(item, detector.detect(item), name)
    if writer.num_images == 0:
        raise UserError("None of the images could be used (above): nothing is written.")
    writer.write_file()
    logger.info(f"{writer}: {origin}.")
    num_left_out = len(images) - writer.num_images
    if num_left_out:
        raise UserError(
            f"{num_left_out:,} of {counted(len(images), 'image')} could not be used (above); the "
            "others are done."
        )


def _refuse_replacing(paths: Sequence[Path], output: str) -> None:
    folder = Path(output, PICTURES)
    if any(path.resolve().parent == folder.resolve() for path in paths):
        raise UserError(
            f"--output '{output}': its pictures would replace images that are to be read, in "
            f"'{folder}'. Choose another one."
        )
