"""Matches and runs with known contents."""

import json

import numpy as np
from PIL import Image

from imbdet.config import load_config
from imbdet.evaluation.matches import match

# Objects of a class stand in a row, 100 x 100 pixels each.
SIZE = 100


def place(image_id, column, category_id=1, shift=0.0, **fields):
    """A record whose IoU with the object of its column is (100 - shift) / (100 + shift)."""
    box = [column * 3 * SIZE + shift, 0.0, SIZE, SIZE]
    return {"image_id": image_id, "category_id": category_id, "bbox": box, **fields}


def ground_truth(objects, num_images=2, classes=("a", "b")):
    """A COCO annotation file of boxes, (image, column, class); a fourth entry makes a crowd."""
    annotations = []
    for number, (image_id, column, category_id, *crowd) in enumerate(objects, 1):
        note = place(image_id, column, category_id, iscrowd=len(crowd))
        annotations.append({**note, "id": number, "area": float(SIZE**2)})
    return {
        "images": [
            {"id": i, "file_name": f"{i}.png", "width": 900, "height": SIZE}
            for i in range(1, num_images + 1)
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(classes, 1)],
        "annotations": annotations,
    }


# Class a: objects in columns 0 and 1 of image 1 and 0 of image 2, a crowd in column 2. Class b: one
# object, which nothing finds. IoU of 20 pixels: 2/3; of 10: 9/11.
OBJECTS = [(1, 0, 1), (1, 1, 1), (2, 0, 1), (1, 2, 1, "crowd"), (2, 1, 2)]
RESULTS = [
    place(1, 0, score=0.9),  # right, IoU 1
    place(2, 2, score=0.8),  # wrong: nothing there
    place(2, 0, score=0.7, shift=20.0),  # right at 0.5 to 0.65
    place(1, 2, score=0.6),  # on a crowd: does not count
    place(1, 0, score=0.5, shift=10.0),  # wrong: the second one
    place(2, 2, category_id=2, score=0.4),  # wrong, of b
]


def worked_example():
    return match(ground_truth(OBJECTS), RESULTS)


def write_run(
    folder, truth_file, *, results=RESULTS, losses=(2.0, 1.0), ap=None, dataset="tiny", opts=()
):
    """Write what ``train_net.py`` leaves behind."""
    folder.mkdir(parents=True)
    images = str(truth_file.parent)
    entry = {"NAME": dataset, "JSON": str(truth_file), "IMAGES": images}
    cfg = load_config(opts=opts)
    cfg.DATASETS.COCO, cfg.DATASETS.TEST = [entry], [dataset]
    (folder / "config.yaml").write_text(cfg.dump())
    lines = [
        {"iteration": 20 * i + 19, "total_loss": loss, "loss_cls": loss / 2, "lr": 0.1}
        for i, loss in enumerate(losses)
    ]
    if ap is not None:
        lines.append({"iteration": 20 * len(losses), "bbox/AP": ap})
    if lines:
        (folder / "metrics.json").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    if results is not None:
        file = folder / "inference" / dataset / "coco_instances_results.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(results))
    return folder


def write_truth(folder, objects=OBJECTS, **options):
    """Write an annotation file with its images."""
    folder.mkdir(parents=True, exist_ok=True)
    truth = ground_truth(objects, **options)
    for image in truth["images"]:
        pixels = np.full((image["height"], image["width"], 3), 90, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / image["file_name"])
    file = folder / "truth.json"
    file.write_text(json.dumps(truth))
    return file
