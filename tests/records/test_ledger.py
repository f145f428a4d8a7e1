"""The ledger against its definition: lists of sights, object after object, in plain Python."""

import itertools
import math
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imbdet.records.ledger import Ledger
from imbdet.records.sights import LEARNT_IOU, Sights
from tests.records.factories import make_record

NUM_PER_IMAGE = (40, 0, 25)
NUM_IMAGES, NUM_OBJECTS = 5, 10
# Augmentations of the images: none, a flip, and twice the size with a crop.
TO_FILE = torch.tensor([[[1.0, 1], [0, 0]], [[-1, 1], [60, 0]], [[0.5, 0.5], [3, 7]]])


def sights_of(iteration, **options):
    """Sights of a batch of three of the images, in another order each time, and its record."""
    record = make_record(NUM_PER_IMAGE, seed=iteration, **options)
    generator = torch.Generator().manual_seed(iteration)
    images = torch.randperm(NUM_IMAGES, generator=generator)[: len(NUM_PER_IMAGE)]
    # The two objects of each image, in any order.
    objects = (2 * images[:, None] + torch.randperm(2, generator=generator)).flatten()
    sights = Sights.of(record, iteration=iteration, objects=objects, images=images, to_file=TO_FILE)
    return record, sights


def look_slowly(record, sights):
    """The row and the positives of each object of the batch, as dicts."""
    samples = record.samples
    positives = [[] for _ in sights.objects["row"]]
    for place, row in enumerate(samples.pos_idxs.tolist()):
        weight = 1.0 if record.cls_weights is None else record.cls_weights[row].item()
        label, scores = samples.gt_labels[row].item(), samples.outputs.scores[row].tolist()
        factors, _ = TO_FILE[samples.image_idxs[row]]
        box = samples.positives.pred_boxes[place] - samples.positives.gt_boxes[place]
        x0, y0, x1, y1 = (box * factors.repeat(2)).tolist()
        other = max(scores[:label] + scores[label + 1 :])
        positives[samples.gt_idxs[row]].append(
            {
                "score": record.scores[row].item(),
                "iou": samples.positives.pred_ious[place].item(),
                "gradient": record.grad_norms[row].item() * weight,
                "cls_loss": math.nan
                if record.cls_losses is None
                else record.cls_losses[row].item(),
                "box_loss": record.box_losses[place].item(),
                "said": record.pred_classes[row].item(),
                "class": label,
                "rival": other / (other + scores[label]),
                "shift": [x0, y0, x1, y1] if factors[0] > 0 else [x1, y0, x0, y1],
            }
        )
    return zip(sights.objects["row"].tolist(), positives, strict=True)


def keep_slowly(batches):
    """The columns of each object in the ledger of all batches."""
    seen = {row: [] for row in range(NUM_OBJECTS)}
    for iteration, (record, sights) in enumerate(batches):
        for row, positives in look_slowly(record, sights):
            seen[row].append((iteration, positives))
    return [of_object(seen[row]) for row in range(NUM_OBJECTS)]


def of_object(sights):
    judged = [(i, max(found, key=lambda p: p["score"])) for i, found in sights if found]
    right = [(i, p["said"] == p["class"] and p["iou"] >= LEARNT_IOU) for i, p in judged]
    everything = [p for _, found in sights for p in found]
    wrong = Counter(p["said"] for _, p in judged if p["said"] != p["class"])
    row = {
        "seen": len(sights),
        "positives": len(everything),
        "judged": len(judged),
        "learnt": sum(is_right for _, is_right in right),
        "first_learnt": next((i for i, is_right in right if is_right), -1),
        "forgotten": sum(a and not b for (_, a), (_, b) in itertools.pairwise(right)),
        "is_learnt": bool(right) and right[-1][1],
        "wrong": wrong.total(),
        "best_score": max((p["score"] for p in everything), default=-1),
        "best_iou": max((p["iou"] for p in everything), default=-1),
        "rival": sum(p["rival"] for _, p in judged),
        "shift_square": sum(p["score"] * x**2 / 4 for p in everything for x in p["shift"]),
    }
    for name in ("score", "iou", "gradient", "cls_loss", "box_loss"):
        row[name] = sum(p[name] for p in everything)
    for name in ("cls_loss", "box_loss"):
        row[f"{name}_square"] = sum(p[name] ** 2 for p in everything)
    shift = [sum(p["score"] * p["shift"][side] for p in everything) for side in range(4)]
    return row, shift, wrong


def ledger_of(sights):
    ledger = Ledger(NUM_OBJECTS, NUM_IMAGES)
    ledger.add(sights)
    return ledger


def assert_same(one, other):
    for table in ("objects", "images"):
        expected = getattr(other, table)
        for name, values in getattr(one, table).items():
            torch.testing.assert_close(values, expected[name], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    "options", [{}, {"softmax": True}, {"weighted": True}, {"pointwise": False}], ids=str
)
def test_is_its_definition(options):
    batches = [sights_of(i, **options) for i in range(12)]
    ledger = ledger_of(Sights.together(sights for _, sights in batches))
    for row, (expected, shift, wrong) in enumerate(keep_slowly(batches)):
        assert ledger.objects["shift"][row].tolist() == pytest.approx(shift, rel=1e-5)
        found = {name: ledger.objects[name][row].item() for name in expected}
        assert found == pytest.approx(expected, rel=1e-5, nan_ok=True)
        (most,) = wrong.most_common(1) or [(None, 0)]
        if most[1] > wrong.total() / 2:
            leader, lead = (ledger.objects[f"wrong_{name}"][row] for name in ("class", "lead"))
            assert leader == most[0]
            assert 0 < lead <= most[1]


@pytest.mark.parametrize("weighted", [False, True])
def test_images_are_their_definition(weighted):
    batches = [sights_of(i, weighted=weighted) for i in range(6)]
    # Some negatives overlap no object.
    for record, _ in batches:
        record.samples.candidates.ious[::3] = 0
    sights = [
        Sights.of(
            record,
            iteration=i,
            objects=seen.objects["row"],
            images=seen.images["row"],
            to_file=TO_FILE,
        )
        for i, (record, seen) in enumerate(batches)
    ]
    ledger = ledger_of(Sights.together(sights))
    highest, losses = ([[] for _ in range(NUM_IMAGES)] for _ in range(2))
    for (record, _), seen in zip(batches, sights, strict=True):
        samples = record.samples
        of_positives = {row: p for p, row in enumerate(samples.pos_idxs.tolist())}
        for place, image in enumerate(seen.images["row"].tolist()):
            rows = (samples.image_idxs == place).nonzero().flatten().tolist()
            labels = samples.gt_labels
            far = [r for r in rows if labels[r] == samples.num_classes and samples.ious[r] == 0]
            highest[image].append(max((record.scores[r].item() for r in far), default=-1))
            total = 0.0
            for row in (r for r in rows if labels[r] >= 0):
                weight = record.cls_weights[row].item() if weighted else 1.0
                total += record.cls_losses[row].item() * weight
                if row in of_positives:
                    p = of_positives[row]
                    weight = record.box_weights[p].item() if weighted else 1.0
                    total += record.box_losses[p].item() * weight
            losses[image].append(total)
    for row in range(NUM_IMAGES):
        known = [score for score in highest[row] if score >= 0]
        expected = {
            "seen": len(highest[row]),
            "loss": sum(losses[row]),
            "best_background": max(known, default=-1),
            "background": sum(known),
            "background_sights": len(known),
        }
        found = {name: ledger.images[name][row].item() for name in expected}
        assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("size", [1, 3, 7])
def test_the_parts_in_which_sights_come_make_no_difference(size):
    sights = [sights_of(i)[1] for i in range(12)]
    ledger = Ledger(NUM_OBJECTS, NUM_IMAGES)
    for start in range(0, 12, size):
        ledger.add(Sights.together(sights[start : start + size]))
    assert_same(ledger, ledger_of(Sights.together(sights)))


def test_processes_are_as_one():
    """Each process has some sights of each iteration, and the iterations come in any order."""
    sights = [sights_of(i)[1] for i in range(10)]
    parts = [Sights.together(sights[rank::2]) for rank in range(2)]
    assert_same(ledger_of(Sights.together(parts)), ledger_of(Sights.together(sights)))


def test_goes_on_from_its_state():
    sights = [sights_of(i)[1] for i in range(8)]
    first = ledger_of(Sights.together(sights[:5]))
    second = Ledger(NUM_OBJECTS, NUM_IMAGES)
    second.load_state_dict(first.state_dict())
    second.add(Sights.together(sights[5:]))
    assert_same(second, ledger_of(Sights.together(sights)))
    with pytest.raises(ValueError, match="of another ledger"):
        Ledger(NUM_OBJECTS + 1, NUM_IMAGES).load_state_dict(first.state_dict())
    of_earlier_version = {**first.objects}
    del of_earlier_version["rival"]
    with pytest.raises(KeyError, match="rival"):
        second.load_state_dict({"objects": of_earlier_version, "images": first.images})


@given(st.lists(st.integers(0, 3), max_size=40))
def test_a_class_with_most_of_the_votes_leads(said):
    ledger = Ledger(1, 0)
    for vote in said:
        ledger._vote(torch.tensor([0]), torch.tensor([vote], dtype=torch.int32))
    lead, leader = ledger.objects["wrong_lead"].item(), ledger.objects["wrong_class"].item()
    votes = Counter(said)
    for vote, number in votes.items():
        if number > len(said) / 2:
            assert leader == vote
    assert lead <= votes[leader]
