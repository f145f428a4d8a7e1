"""Small data sets as columns."""

import numpy as np

from imbdet.advice.annotated_images import AnnotatedImages

SIZE = (100.0, 80.0)


def scene(*images, num_classes=3, size=SIZE):
    """A data set of images, each a list of annotations (label, x, y, width, height[, "crowd"]).

    Behind "crowd" may stand "ignored".
    """
    notes = [note for image in images for note in image]
    boxes = np.array([note[1:5] for note in notes], dtype=float).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return AnnotatedImages(
        sizes=np.tile(np.array(size), (len(images), 1)),
        image_idxs=np.arange(len(images)).repeat([len(image) for image in images]),
        boxes=boxes,
        labels=np.array([note[0] for note in notes], dtype=np.int64),
        is_region=np.array(["crowd" in note for note in notes], dtype=bool),
        is_ignored=np.array(["ignored" in note for note in notes], dtype=bool),
        classes=[f"class {k}" for k in range(num_classes)],
        file_names=[f"{i}.png" for i in range(len(images))],
        ids=list(range(1, len(notes) + 1)),
    )
