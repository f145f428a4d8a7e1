"""Candidates and tables with known contents."""

import numpy as np
import torch

from imbdet.structures import Outputs
from tests.flow import GivenScores, make_candidates

SAMPLERS = ("random", "ohem", "iou_hlr", "score_hlr", "instance_balanced")


class NoRegression:
    """A box transform that leaves every box where it is."""

    def apply_deltas(self, deltas, boxes):
        return boxes

    def get_deltas(self, boxes, gt_boxes):
        return torch.zeros_like(boxes)


def strip(width, left=0.0):
    """A box whose IoU with the strip of width 100 at the same place is its width in percent."""
    return [left, 0.0, left + width, 10.0]


def worked_example():
    """Five positives of two objects, of one class, and five negatives, in one image.

    IoU-HLR: D C A E B, since C > A > B around one object, D > E around another, A > E. Score-HLR: G
    K H I, since G, H and I lie on each other, K elsewhere, and the score of L is too low.
    """
    boxes = [strip(80), strip(55), strip(90), strip(92, 500), strip(70, 500)]  # A B C D E
    boxes += [strip(10, 200), strip(9.8, 200), strip(9.6, 200), strip(10, 300), strip(10, 400)]
    scores = torch.zeros(10, 2)
    scores[:5, 0] = torch.tensor([0.5, 0.1, 0.8, 0.9, 0.2])
    scores[5:, 1] = torch.tensor([0.9, 0.8, 0.7, 0.3, 0.01])  # G H I K L
    losses = torch.tensor([0.7, 2.3, 0.2, 0.1, 1.6, 1.5, 2.0, 1.0, 3.0, 0.1])
    return make_candidates(
        torch.tensor([0] * 5 + [2] * 5),
        torch.tensor([0, 0, 0, 1, 1] + [-1] * 5),
        num_classes=2,
        ious=torch.tensor([0.8, 0.55, 0.9, 0.92, 0.7, 0.0, 0.1, 0.2, 0.04, 0.06]),
        boxes=torch.tensor(boxes),
        gt_boxes=torch.tensor([strip(100), strip(100, 500)]),
        outputs=Outputs(
            scores,
            deltas=torch.zeros(10, 4),
            box2box_transform=NoRegression(),
            classifier=GivenScores(),
        ),
        cls_losses=losses,
    )


def random_table(num_rows, seed=0, positive_share=0.3):
    """Columns of candidates, as in a chunk of the table."""
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(num_rows) < positive_share, 1, 0).astype(np.int8)
    labels[rng.random(num_rows) < 0.1] = -1
    ious = rng.random(num_rows) * 0.5 + np.where(labels == 1, 0.5, 0)
    chunk = {
        "label": labels,
        "iou": ious.astype(np.float32),
        "cls_loss": (10 ** rng.uniform(-8, 3, num_rows)).astype(np.float32),
    }
    for name in SAMPLERS:
        chosen = (rng.random(num_rows) < 0.5) & (labels >= 0)
        if name in ("iou_hlr", "instance_balanced"):
            chosen &= labels == 1
        if name == "score_hlr":
            chosen &= labels == 0
        chunk[f"chosen_by_{name}"] = chosen
    return chunk


def split(chunk, *places):
    """The same rows in several chunks."""
    columns = {name: np.split(values, places) for name, values in chunk.items()}
    return [{name: parts[i] for name, parts in columns.items()} for i in range(len(places) + 1)]
