"""Annotations and their ledger, with known contents."""

import torch

from imbdet.records.ledger import Ledger
from imbdet.records.ledger_columns import TABLES
from imbdet.records.ledger_rows import LedgerRows

DATASET = "toy_train"
CLASSES = ["cat", "dog", "fish <b>"]
SIGHTS = 9

# Boxes XYWH with class and id, by image; the last one of the first image is a crowd.
NOTES = {
    1: [
        ((10, 10, 30, 30), 0, 11),
        ((60, 10, 30, 40), 1, 12),
        ((11, 10, 30, 31), 0, 13),
        ((5, 60, 50, 30), 2, 14),
        ((70, 70, 20, 20), 1, 15),
    ],
    2: [((20, 20, 40, 40), 2, 21), ((70, 70, 20, 20), 0, 22)],
    3: [],
}
CROWD = 14


def make_content():
    """The content in COCO's format, with category ids other than the classes' numbers."""
    return {
        "info": {"kept": True},
        "images": [
            {"id": i, "file_name": f"image {i}.png", "width": 100, "height": 100} for i in NOTES
        ],
        "categories": [{"id": 10 * (k + 1), "name": name} for k, name in enumerate(CLASSES)],
        "annotations": [
            {
                "id": note_id,
                "image_id": image,
                "category_id": 10 * (label + 1),
                "bbox": list(box),
                "area": box[2] * box[3],
                "iscrowd": int(note_id == CROWD),
                "extra": "stays",
            }
            for image, notes in NOTES.items()
            for box, label, note_id in notes
        ],
    }


def make_records():
    """The content as detectron2's dicts, with the necessary fields."""
    return [
        {
            "dataset_name": DATASET,
            "image_id": image,
            "file_name": f"image {image}.png",
            "annotations": [
                {"id": note_id, "category_id": label, "iscrowd": int(note_id == CROWD)}
                for _, label, note_id in notes
            ],
        }
        for image, notes in NOTES.items()
    ]


def make_tables(metadata=None):
    """Tables of the ledger of a training.

    11 and 15 are learnt, 12 is said to be a fish, 13 is a worse copy of 11, 21 is 10 pixels further
    right and 22 was never judged; image 3 has a dog that nobody annotated.
    """
    ledger = Ledger(7, 3)
    own = ledger.objects
    judged = torch.tensor([SIGHTS, SIGHTS, SIGHTS, 0, SIGHTS, SIGHTS, 0])
    own["seen"][:] = SIGHTS
    own["judged"][:] = judged
    own["positives"][:] = judged
    own["score"][:] = torch.tensor([0.9, 0.1, 0.5, 0, 0.8, 0.8, 0]) * judged
    own["rival"][:] = torch.tensor([0.1, 0.9, 0.1, 0, 0.1, 0.1, 0]) * judged
    own["wrong"][1], own["wrong_class"][1], own["wrong_lead"][1] = 8, 2, 7
    own["shift"][5] = own["score"][5] * torch.tensor([10.0, 0, 10, 0], dtype=torch.float64)
    own["shift_square"][5] = own["score"][5] * (50.0 + 2)
    images = ledger.images
    images["seen"][:] = SIGHTS
    add_place(images, 2, 0, label=1, sights=8, score=0.6, box=(30.0, 30, 60, 70))
    # Places on an annotated object, in the crowd, and on another place.
    add_place(images, 0, 0, label=1, sights=9, score=0.9, box=(12.0, 12, 40, 40))
    add_place(images, 0, 1, label=1, sights=9, score=0.8, box=(10.0, 65, 30, 85))
    add_place(images, 2, 1, label=0, sights=3, score=0.5, box=(32.0, 30, 61, 70))
    rows = LedgerRows(make_records())
    return {name: to_table(ledger, rows, metadata or {}) for name, to_table in TABLES.items()}


def add_place(images, image, slot, *, label, sights, score, box):
    images["place_class"][image, slot] = label
    images["place_sights"][image, slot] = sights
    images["place_lead"][image, slot] = 1.0
    images["place_votes"][image, slot] = sights * score**2
    images["place_box"][image, slot] = sights * score**2 * torch.tensor(box)
