import json
from pathlib import Path

import numpy as np
import pytest

SAMPLE_FILE = Path(__file__).parents[1] / "assets" / "coco_sample.json"


@pytest.fixture
def sample():
    """Real annotations: boxes of many sizes, crowds, images without objects, gaps in the ids."""
    return json.loads(SAMPLE_FILE.read_text())


def imperfect_detections(ground_truth, seed, decimals=None):
    """Perturbed ground truth, found up to twice, sometimes as another class, and boxes on nothing.

    Scores are random, and with few ``decimals`` many of them are equal.
    """
    rng = np.random.default_rng(seed)
    category_ids = [category["id"] for category in ground_truth["categories"]]
    found = []
    for note in ground_truth["annotations"]:
        for _ in range(rng.integers(3)):
            category_id = note["category_id"] if rng.random() < 0.85 else rng.choice(category_ids)
            found.append((note["image_id"], category_id, _perturb(note["bbox"], rng)))
    for image in ground_truth["images"]:
        for box in rng.uniform(5, 200, size=(5, 4)).tolist():
            found.append((image["id"], rng.choice(category_ids), box))
    scores = rng.random(len(found))
    return [
        {"image_id": image_id, "category_id": int(category_id), "bbox": box, "score": score}
        for (image_id, category_id, box), score in zip(
            found, (scores if decimals is None else scores.round(decimals)).tolist(), strict=True
        )
    ]


def _perturb(box, rng):
    left, top, width, height = box
    dx, dy, dw, dh = rng.normal(scale=0.1, size=4).tolist()
    return [left + dx * width, top + dy * height, width * np.exp(dw), height * np.exp(dh)]
