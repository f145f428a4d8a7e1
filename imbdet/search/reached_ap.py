"""The AP that a training has reached, and its values without groups of images."""

import dataclasses
import threading
from pathlib import Path

import numpy as np

from imbdet.compare.compared_data import find_protocol
from imbdet.compare.ground_truth import load_test_set
from imbdet.compare.jackknife import draw_groups, replicated_ap
from imbdet.compare.run_folders import RunFolder, open_run, read_results
from imbdet.engine.weight_average import SUFFIX
from imbdet.errors import UserError
from imbdet.figures.estimates import nan_mean

# detectron2 registers data sets by name for the whole process.
_lock = threading.Lock()


def reached_ap(folder: Path, dataset: str) -> tuple[np.ndarray, int]:
    """Read the last evaluation of a training: of the averaged weights, where it averages them.

    Args:
        folder: OUTPUT_DIR of the training.
        dataset: name of the data set that it was evaluated on.

    Returns:
        (1 + G,) AP in percent of all images, then without each group of them; and the number of
        images with objects.

    Raises:
        UserError: there is no evaluation, or the data set has no objects.
    """
    with _lock:
        run = _judged(open_run(folder, folder.name))
        truth = load_test_set([run], dataset)
        protocol = find_protocol([run], truth)
        classes = {category["id"] for category in truth.content["categories"]}
        matches = protocol.match(protocol.select(read_results(run, dataset, classes)))
    num_images = int(matches.images_of_area[0])
    if not num_images:
        raise UserError(f"The data set '{dataset}' has no objects: nothing can be compared on it.")
    values = replicated_ap(matches.by_class, draw_groups(len(matches.images)))
    return nan_mean(values[:, :, 0], axis=(1, 2)), num_images


def _judged(run: RunFolder) -> RunFolder:
    """The run with the evaluations of averaged weights, if its config averages them."""
    if not run.settings.get("MODEL_EMA", {}).get("ENABLED", False):
        return run
    return dataclasses.replace(run, evaluations=run.evaluations + SUFFIX)
