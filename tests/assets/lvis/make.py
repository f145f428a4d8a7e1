"""Make this folder's files, in an environment with lvis 0.5.3 and pycocotools; run it here.

One image has more than 300 detections, whose limit comes before all else; many scores are equal;
masks are no rectangles; one class has no object, another no detection.
"""

import json

import numpy as np
import pycocotools.mask
from lvis import LVIS, LVISEval, LVISResults

WIDTH, HEIGHT = 240, 180
FREQUENCIES = {2: "f", 3: "f", 5: "f", 7: "c", 8: "c", 11: "c", 12: "r", 13: "r", 17: "r", 19: "r"}
WITHOUT_OBJECTS, WITHOUT_DETECTIONS = 13, 17
NUM_IMAGES, CROWDED = 12, 5


def make_box(rng: np.random.Generator) -> list[float]:
    size = np.exp(rng.uniform(np.log(12), np.log(178), 2)).round()
    corner = (rng.random(2) * ([WIDTH, HEIGHT] - size)).round()
    return [*corner.tolist(), *size.tolist()]


def make_polygon(box: list[float]) -> list[float]:
    left, top, width, height = box
    right, bottom = left + width, top + height
    return [left, top, right, top + height / 4, right, bottom, left + width / 3, bottom]


def find(box: list[float], rng: np.random.Generator) -> list[float]:
    """The box as a detector might find it."""
    left, top, width, height = np.array(box) + rng.normal(scale=0.06, size=4) * [*box[2:], *box[2:]]
    left, top = np.clip([left, top], 0, [WIDTH - 9, HEIGHT - 9])
    width, height = np.clip([width, height], 8, [WIDTH - left, HEIGHT - top])
    return [round(float(value), 1) for value in (left, top, width, height)]


def make_annotations(rng: np.random.Generator) -> dict:
    images, notes = [], []
    common = [key for key in FREQUENCIES if key != WITHOUT_OBJECTS]
    for image_id in range(1, NUM_IMAGES + 1):
        present = rng.choice(common, 3, replace=False).tolist()
        others = [key for key in FREQUENCIES if key not in present]
        images.append(
            {
                "id": image_id,
                "width": WIDTH,
                "height": HEIGHT,
                "coco_url": f"http://images.cocodataset.org/val2017/{image_id:012}.jpg",
                "neg_category_ids": sorted(rng.choice(others, 3, replace=False).tolist()),
                "not_exhaustive_category_ids": [present[0]] if image_id % 2 else [],
            }
        )
        for category_id in present:
            for _ in range(rng.integers(1, 4)):
                box = make_box(rng)
                polygon = make_polygon(box)
                rle = pycocotools.mask.frPyObjects([polygon], HEIGHT, WIDTH)
                note = {"id": len(notes) + 1, "image_id": image_id, "category_id": category_id}
                area = float(pycocotools.mask.area(rle)[0])
                notes.append({**note, "bbox": box, "area": area, "segmentation": [polygon]})
    categories = [
        {"id": key, "name": f"class {key}", "synset": f"class_{key}.n.01", "frequency": frequency}
        for key, frequency in FREQUENCIES.items()
    ]
    return {"images": images, "categories": categories, "annotations": notes}


def make_detections(annotations: dict, rng: np.random.Generator) -> list[dict]:
    found = []
    for note in annotations["annotations"]:
        found += [
            (note["image_id"], note["category_id"], find(note["bbox"], rng))
            for _ in range(rng.integers(4))
        ]
    for image in annotations["images"]:
        num = 360 if image["id"] == CROWDED else 12
        found += [
            (image["id"], int(rng.choice(list(FREQUENCIES))), make_box(rng)) for _ in range(num)
        ]
    detections = []
    for place in rng.permutation(len(found)):
        image_id, category_id, box = found[place]
        if category_id == WITHOUT_DETECTIONS:
            continue
        (mask,) = pycocotools.mask.frPyObjects([make_polygon(box)], HEIGHT, WIDTH)
        mask["counts"] = mask["counts"].decode()
        record = {"image_id": image_id, "category_id": category_id, "bbox": box}
        score = round(float(rng.random()), 2)
        detections.append({**record, "score": score, "segmentation": mask})
    return detections


def evaluate(detections: list[dict], iou_type: str) -> dict:
    """Metrics in percent; AP by class is null without objects."""
    records = [dict(record) for record in detections]
    if iou_type == "segm":
        for record in records:
            del record["bbox"]  # whose area would count, not the mask's; detectron2 does so
    truth = LVIS("annotations.json")
    evaluation = LVISEval(truth, LVISResults(truth, records), iou_type)
    evaluation.run()
    precision = evaluation.eval["precision"][..., 0]
    return {
        "overall": {key: 100 * float(value) for key, value in evaluation.get_results().items()},
        "per_class": {
            f"class {key}": 100 * float(of_class.mean()) if of_class.min() >= 0 else None
            for key, of_class in zip(FREQUENCIES, np.moveaxis(precision, 2, 0), strict=True)
        },
    }


def write(name: str, content: object) -> None:
    with open(name, "w") as file:
        json.dump(content, file)


if __name__ == "__main__":
    np.float = float  # type: ignore[attr-defined]  # lvis uses what numpy 1.24 removed
    rng = np.random.default_rng(0)
    annotations = make_annotations(rng)
    detections = make_detections(annotations, rng)
    write("annotations.json", annotations)
    write("detections.json", detections)
    write("results.json", {kind: evaluate(detections, kind) for kind in ("bbox", "segm")})
