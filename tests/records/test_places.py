"""Places of images against their definitions, in plain Python."""

import math

import pytest
import torch

from imbdet.records import SampleRecord
from imbdet.records.file_boxes import boxes_in_files
from imbdet.records.places import (
    EMPTY,
    NUM_PLACES,
    add_places,
    look_at_places,
    mean_boxes,
)
from imbdet.structures import Candidates, Priors, Targets
from tests.flow import GivenScores, make_samples
from tests.records.factories import Shift

NUM_CLASSES = 3
TO_FILE = torch.tensor([[[1.0, 1], [0, 0]], [[-0.5, 0.5], [60, 4]], [[2.0, 2], [0, 0]]])


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    inside = max(width, 0) * max(height, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inside
    return inside / union if union > 0 else 0.0


def random_boxes(number, generator, size=20.0):
    corners = 100 * torch.rand(number, 2, generator=generator)
    sides = size * (0.5 + torch.rand(number, 2, generator=generator))
    return torch.cat([corners, corners + sides], dim=1)


def make_record(seed, num_per_image=(150, 0, 90)):
    """A record of images with some objects; most rows are negatives, and scores are given."""
    generator = torch.Generator().manual_seed(seed)
    total, num_objects = sum(num_per_image), [3, 0, 2]
    labels = torch.randint(-1, 3 * NUM_CLASSES, (total,), generator=generator)
    labels = labels.clamp(max=NUM_CLASSES)
    candidates = Candidates(
        gt_labels=labels,
        gt_idxs=torch.zeros(total, dtype=torch.int64).where(labels < NUM_CLASSES, -1),
        ious=0.2 * torch.rand(total, generator=generator),
        num_per_image=list(num_per_image),
        num_classes=NUM_CLASSES,
        priors=Priors(random_boxes(total, generator), num_per_image=list(num_per_image)),
        targets=Targets(
            random_boxes(5, generator, size=60.0), torch.zeros(5, dtype=torch.int64), num_objects
        ),
    )
    # A few values, so that some are equal.
    scores = torch.randint(0, 1000, (total, NUM_CLASSES), generator=generator) / 1000
    deltas = torch.rand(total, 4, generator=generator)
    samples = make_samples(candidates, scores, deltas, Shift(), classifier=GivenScores())
    num_positives = len(candidates.pos_idxs)
    return SampleRecord.of(samples, box_losses=torch.zeros(num_positives))


def look_slowly(record):
    """The places of each image: (score, class, box in the file)."""
    samples = record.samples
    candidates, targets = samples.candidates, samples.candidates.targets
    for image in range(3):
        gt_boxes = targets.boxes[targets.image_idxs == image].tolist()
        rows = []
        for row in (candidates.image_idxs == image).nonzero().flatten().tolist():
            if candidates.gt_labels[row] != NUM_CLASSES or candidates.ious[row] >= 0.1:
                continue
            scores = samples.pred_logits[row].tolist()
            box = (candidates.boxes[row] + samples.outputs.deltas[row]).tolist()
            rows.append((max(scores), scores.index(max(scores)), box))
        rows.sort(key=lambda found: -found[0])
        places = []
        for found in rows[:100]:
            if any(iou(found[2], box) >= 0.1 for box in gt_boxes):
                continue
            if all(iou(found[2], other[2]) < 0.5 for other in places):
                places.append(found)
        yield [
            (score, label, to_file(box, *TO_FILE[image].tolist()))
            for score, label, box in places[:NUM_PLACES]
        ]


def to_file(box, factors, shifts):
    xs = sorted(factors[0] * x + shifts[0] for x in box[::2])
    ys = sorted(factors[1] * y + shifts[1] for y in box[1::2])
    return [xs[0], ys[0], xs[1], ys[1]]


@pytest.mark.parametrize("seed", range(4))
def test_a_sight_is_its_definition(seed):
    record = make_record(seed)
    found = look_at_places(record, TO_FILE)
    for image, places in enumerate(look_slowly(record)):
        number = int((found["place_class"][image] >= 0).sum())
        assert number == len(places)
        scores = found["place_score"][image, :number].tolist()
        assert scores == pytest.approx([place[0] for place in places])
        for slot, (score, label, box) in enumerate(places):
            if scores.count(pytest.approx(score)) == 1:
                assert found["place_class"][image, slot] == label
                assert found["place_box"][image, slot].tolist() == pytest.approx(box, abs=1e-4)
    assert (found["place_class"][1] == -1).all()


def test_what_is_not_finite_is_no_place():
    record = make_record(0)
    record.samples.pred_logits[:] = math.nan
    assert (look_at_places(record, TO_FILE)["place_class"] == -1).all()


class SlowPlaces:
    """The places of one image, each a list of what it was said to be."""

    def __init__(self):
        self.slots = []

    def add(self, places):
        joined = []
        for score, label, box in places:
            vote = score**2
            same = [slot for slot in self.slots if iou(self.mean(slot), box) >= 0.5]
            if same:
                slot = max(same, key=lambda slot: iou(self.mean(slot), box))
                if any(slot is other for other in joined):
                    continue
                slot["lead"] += vote
            else:
                rest = vote
                if len(self.slots) == NUM_PLACES:
                    against = min(vote, *(slot["lead"] for slot in self.slots))
                    for slot in self.slots:
                        slot["lead"] -= against
                    rest -= against
                    weakest = min(self.slots, key=lambda slot: slot["lead"])
                    if rest <= 0:
                        continue
                    self.slots = [slot for slot in self.slots if slot is not weakest]
                slot = {"lead": rest, "said": []}
                self.slots.append(slot)
            slot["said"].append((vote, label, box))
            joined.append(slot)

    @staticmethod
    def mean(slot):
        total = sum(vote for vote, _, _ in slot["said"])
        return [sum(v * box[side] for v, _, box in slot["said"]) / total for side in range(4)]

    @staticmethod
    def leader(slot):
        leader, lead = None, 0.0
        for vote, label, _ in slot["said"]:
            lead += vote if label == leader else -vote
            if lead < 0:
                leader, lead = label, -lead
        return leader

    def as_sorted(self):
        return sorted(
            (self.leader(slot), len(slot["said"]), slot["lead"], *self.mean(slot))
            for slot in self.slots
        )


def as_columns(places):
    """Columns of the places of a sight of one image."""
    columns = {
        "place_class": torch.full((1, NUM_PLACES), -1),
        "place_score": torch.zeros(1, NUM_PLACES),
        "place_box": torch.zeros(1, NUM_PLACES, 4),
    }
    for slot, (score, label, box) in enumerate(places):
        columns["place_class"][0, slot] = label
        columns["place_score"][0, slot] = score
        columns["place_box"][0, slot] = torch.tensor(box)
    return columns


def keep(sights):
    own = {name: value[None].clone() for name, value in EMPTY.items()}
    for places in sights:
        add_places(own, as_columns(places), torch.tensor([0]))
    return own


def as_sorted(own):
    columns = [own[f"place_{name}"][0].tolist() for name in ("class", "sights", "lead")]
    rows = zip(*columns, *mean_boxes(own)[0].T.tolist(), strict=True)
    return sorted(row for row in rows if row[0] >= 0)


@pytest.mark.parametrize("seed", range(8))
def test_random_places_are_their_definition(seed):
    generator = torch.Generator().manual_seed(seed)
    spots = random_boxes(7, generator)
    sights = []
    for _ in range(30):
        number = int(torch.randint(NUM_PLACES + 1, (), generator=generator))
        moved = spots + 2 * torch.rand(7, 4, generator=generator)
        chosen = torch.randperm(7, generator=generator)[:number].tolist()
        labels = torch.randint(NUM_CLASSES, (number,), generator=generator).tolist()
        scores = torch.rand(number, generator=generator).tolist()
        sights.append(list(zip(scores, labels, moved[chosen].tolist(), strict=True)))
    slow = SlowPlaces()
    for of_sight in sights:
        slow.add(of_sight)
    found, expected = as_sorted(keep(sights)), slow.as_sorted()
    assert len(found) == len(expected) == NUM_PLACES
    for row, expected_row in zip(found, expected, strict=True):
        assert row == pytest.approx(expected_row, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("start", [0, 30, 60])
def test_a_place_with_enough_of_the_scores_is_kept_whenever_it_is_said(start):
    """Other places, each at a sight of its own, come before, after and with it."""
    sights = []
    for i in range(90):
        is_there = start <= i < start + 30
        other = (0.3, 1, [50.0 * i, 90.0, 50.0 * i + 9, 99.0])
        sights.append([(0.6, 0, [5.0, 5.0, 30.0, 30.0])] * is_there + [other])
    assert (0, 30) in [row[:2] for row in as_sorted(keep(sights))]


def test_boxes_come_back_to_the_file():
    boxes = torch.tensor([[1.0, 2, 3, 4], [10, 20, 30, 40]])
    there = boxes_in_files(boxes, TO_FILE[:2])
    assert there.tolist() == [[1, 2, 3, 4], [45, 14, 55, 24]]
