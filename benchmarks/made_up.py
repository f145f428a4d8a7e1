"""Ground truth and detections that are made up, for measurements of evaluations and comparisons."""

from collections.abc import Mapping
from typing import Any

import numpy as np

WIDTH, HEIGHT = 640, 480
CROWD_SHARE = 0.01


def make_ground_truth(
    num_images: int, num_classes: int, objects_per_image: float, seed: int = 0
) -> dict[str, Any]:
    """The content of a COCO annotation file.

    Args:
        num_images: number of images, each with a random number of objects.
        num_classes: number of classes, whose frequencies follow Zipf's law: the first is the most
            frequent.
        objects_per_image: mean number of objects in an image. Of a hundred objects one is a crowd.
        seed: seed of the random numbers.
    """
    rng = np.random.default_rng(seed)
    num_objects = rng.poisson(objects_per_image, num_images)
    total = num_objects.sum()
    shares = 1 / np.arange(1, num_classes + 1)
    sides = np.exp(rng.normal(4, 0.8, (total, 1)) + rng.normal(0, 0.3, (total, 2)))
    sides = np.minimum(sides, [WIDTH, HEIGHT])
    corners = rng.random((total, 2)) * ([WIDTH, HEIGHT] - sides)
    boxes = np.concatenate([corners, sides], axis=1).round(2)
    columns = zip(
        np.repeat(np.arange(1, num_images + 1), num_objects).tolist(),
        rng.choice(num_classes, total, p=shares / shares.sum()).tolist(),
        boxes.tolist(),
        (rng.random(total) < CROWD_SHARE).astype(int).tolist(),
        strict=True,
    )
    return {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "width": WIDTH, "height": HEIGHT}
            for i in range(1, num_images + 1)
        ],
        "categories": [{"id": i, "name": f"class {i}"} for i in range(1, num_classes + 1)],
        "annotations": [
            {
                "id": i,
                "image_id": image_id,
                "category_id": category + 1,
                "bbox": box,
                "area": 0.6 * box[2] * box[3],
                "iscrowd": is_crowd,
            }
            for i, (image_id, category, box, is_crowd) in enumerate(columns, 1)
        ],
    }


def make_detections(
    ground_truth: Mapping[str, Any], misfit: float, detections_per_image: int, seed: int
) -> list[dict[str, Any]]:
    """Records of COCO's result format: boxes on objects, some of another class, and on nothing.

    Args:
        ground_truth: content that :func:`make_ground_truth` returned.
        misfit: standard deviation of a box's place and size, relative to its object's sides.
        detections_per_image: number of detections in an image; at most half of them are on objects,
            up to three on one.
        seed: seed of the random numbers.
    """
    rng = np.random.default_rng(seed)
    by_image: dict[int, list[Mapping]] = {image["id"]: [] for image in ground_truth["images"]}
    for note in ground_truth["annotations"]:
        by_image[note["image_id"]].append(note)
    num_classes = len(ground_truth["categories"])
    num = detections_per_image
    found = []
    for image_id, notes in by_image.items():
        sources = np.repeat(np.arange(len(notes)), rng.integers(0, 4, len(notes)))[: num // 2]
        sides = np.exp(rng.normal(4, 0.8, (num, 2)))
        boxes = np.concatenate([rng.random((num, 2)) * [WIDTH, HEIGHT], sides], axis=1)
        classes = rng.integers(1, num_classes + 1, num)
        scores = rng.beta(1, 8, num)
        on_objects = slice(0, len(sources))
        if len(sources):
            of_objects = np.array([note["bbox"] for note in notes])[sources]
            moves = rng.normal(0, misfit, (len(sources), 4)) * of_objects[:, [2, 3, 2, 3]]
            boxes[on_objects] = of_objects + moves
            own = np.array([note["category_id"] for note in notes])[sources]
            classes[on_objects] = np.where(rng.random(len(sources)) < 0.8, own, classes[on_objects])
            scores[on_objects] = rng.beta(2, 2, len(sources))
        boxes[:, 2:] = np.maximum(boxes[:, 2:], 1)
        columns = (classes.tolist(), boxes.round(2).tolist(), scores.round(4).tolist())
        found += [
            {"image_id": image_id, "category_id": category, "bbox": box, "score": score}
            for category, box, score in zip(*columns, strict=True)
        ]
    return found
