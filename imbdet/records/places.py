"""Places of an image that are background by the annotations and an object by the detector.

At a sight of an image they are its best predictions from negatives. Over a training a fixed number
of them is kept, those with the most votes.

Shape shorthand: B images, S places of an image, I images of a data set.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torchvision.ops import box_iou

from imbdet.ops.boxes import paired_iou
from imbdet.ops.overlap_limits import BACKGROUND_IOU, SAME_IOU
from imbdet.ops.precision import at_least_float32
from imbdet.records.file_boxes import boxes_in_files
from imbdet.records.sample_record import SampleRecord

# Number of places of an image, at a sight and in the ledger.
NUM_PLACES = 4

# Number of negatives of an image that are examined, as many as COCO takes detections.
_NUM_BEST = 100

# Initial values of the places of an image: a class of -1 is no place.
EMPTY: dict[str, Tensor] = {
    "place_class": torch.full((NUM_PLACES,), -1, dtype=torch.int32),
    "place_class_lead": torch.zeros(NUM_PLACES),
    "place_sights": torch.zeros(NUM_PLACES, dtype=torch.int32),
    "place_lead": torch.zeros(NUM_PLACES),
    "place_votes": torch.zeros(NUM_PLACES),
    "place_box": torch.zeros(NUM_PLACES, 4),
}
_OF_SIGHT = ("place_class", "place_score", "place_box")


def look_at_places(record: SampleRecord, to_file: Tensor) -> dict[str, Tensor]:
    """The best places of each image in a batch, the highest score first.

    They are predictions of negatives whose IoU with every object is below 0.1, before and after
    regression, and none overlaps a better one with an IoU of 0.5 or more. The 100 negatives with
    the highest scores are examined.

    Args:
        record: the samples.
        to_file: (B, 2, 2), see :func:`boxes_in_files`.

    Returns:
        Columns on the CPU: "place_class" (B, S) int64, -1 where an image has no more places;
        "place_score" (B, S) float32, the highest score; "place_box" (B, S, 4) float32, the box
        after regression, XYXY in pixels of the file.
    """
    counts = list(record.samples.num_per_image)
    rows = _best_negatives(record, counts)
    found = {
        "place_class": torch.full((len(counts), NUM_PLACES), -1),
        "place_score": torch.zeros(len(counts), NUM_PLACES),
        "place_box": torch.zeros(len(counts), NUM_PLACES, 4),
    }
    scores, classes, boxes, images = _predictions(record, rows)
    targets = record.samples.candidates.targets
    for image in images.unique().tolist():
        own = images == image
        gt_boxes = targets.boxes[targets.image_idxs == image].float().cpu()
        places = own.nonzero().squeeze(1)[_distinct(boxes[own], gt_boxes)]
        in_file = boxes_in_files(boxes[places], to_file[image].expand(len(places), 2, 2))
        found["place_class"][image, : len(places)] = classes[places]
        found["place_score"][image, : len(places)] = scores[places]
        found["place_box"][image, : len(places)] = in_file
    return found


def _best_negatives(record: SampleRecord, counts: list[int]) -> Tensor:
    """(R,) int64, rows of negatives that hardly overlap objects, image after image, best first."""
    candidates = record.samples.candidates
    is_far = candidates.is_negative & (candidates.ious < BACKGROUND_IOU) & record.scores.isfinite()
    scores = record.scores.masked_fill(~is_far, -1.0)
    starts = [sum(counts[:image]) for image in range(len(counts))]
    best = [
        start + of_image.topk(min(_NUM_BEST, len(of_image))).indices
        for start, of_image in zip(starts, scores.split(counts), strict=True)
    ]
    rows = torch.cat(best)
    return rows[is_far[rows]]


def _predictions(record: SampleRecord, rows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Scores, classes, boxes after regression and images of some rows, on the CPU."""
    samples = record.samples
    outputs, candidates = samples.outputs, samples.candidates
    classes = outputs.classifier.best_classes(outputs.logits[rows])
    deltas = at_least_float32(outputs.deltas_of(rows, classes))
    boxes = outputs.require_transform().apply_deltas(deltas, candidates.boxes_of(rows))
    columns = record.scores[rows].float(), classes, boxes.float(), candidates.image_idxs[rows]
    scores, classes, boxes, images = (column.cpu() for column in columns)
    return scores, classes, boxes, images


def _distinct(boxes: Tensor, gt_boxes: Tensor) -> list[int]:
    """Indices of the first places among the boxes of an image, (R, 4), best first."""
    is_left = (box_iou(boxes, gt_boxes) < BACKGROUND_IOU).all(dim=1)
    is_left &= boxes.isfinite().all(dim=1)
    places: list[int] = []
    while is_left.any() and len(places) < NUM_PLACES:
        place = int(is_left.int().argmax())
        places.append(place)
        is_left &= box_iou(boxes, boxes[place : place + 1]).squeeze(1) < SAME_IOU
        is_left[place] = False  # a box without area overlaps nothing
    return places


def add_places(own: dict[str, Tensor], now: Mapping[str, Tensor], rows: Tensor) -> None:
    """Add the places of one sight of each of some images to those that are kept.

    A place of the sight joins the kept one whose mean box it overlaps most, with an IoU of at least
    0.5, whatever its class: a detector learns positions before classes. A kept one is joined once
    at a sight. Others vote against the kept ones, as in Misra and Gries, "Finding repeated
    elements", 1982: a vote is subtracted from the leads of all kept places, and what is left of it
    when one of the leads reaches 0 is the lead of the new place, which is kept instead. Votes are
    squares of scores, so that a confident one outweighs several others. A place with more than
    1 / (S + 1) of all votes of its image is kept at the end, as far as its boxes are one place. Its
    class is the leader of the same votes (Boyer and Moore, "MJRTY", 1981): one that has more than
    half of them leads.

    Args:
        own: columns (I, S, ...) as :data:`EMPTY` has them, changed: of each place the class and
            its lead, the number of sights, the lead of the place, the sum of its votes and that of
            boxes times votes.
        now: columns of :func:`look_at_places`.
        rows: (B,) int64, rows of the images in ``own``, each once.
    """
    kept = {name: own[name][rows] for name in EMPTY}
    is_taken = torch.zeros_like(kept["place_class"], dtype=torch.bool)
    for k in range(NUM_PLACES):
        _add_place(kept, {name: now[name][:, k] for name in _OF_SIGHT}, is_taken)
    for name, values in kept.items():
        own[name][rows] = values


def _add_place(kept: dict[str, Tensor], place: dict[str, Tensor], is_taken: Tensor) -> None:
    """Add one place of each image; ``is_taken``, (B, S), marks those that this sight has joined."""
    classes = place["place_class"].int()[:, None]
    votes = place["place_score"].square()[:, None]
    is_place, ious = classes >= 0, _ious(kept, place["place_box"])
    is_same = (kept["place_class"] >= 0) & (ious >= SAME_IOU)
    is_known = is_same.any(dim=1, keepdim=True)
    is_other = is_place & ~is_known

    against = kept["place_lead"].amin(dim=1, keepdim=True).minimum(votes).where(is_other, 0.0)
    kept["place_lead"] -= against
    is_new = is_other & (votes > against)
    same = ious.where(is_same, -1.0).argmax(dim=1, keepdim=True)
    is_slot = torch.arange(NUM_PLACES) == same.where(
        is_known, kept["place_lead"].argmin(dim=1, keepdim=True)
    )
    for name, start in EMPTY.items():
        begins = (is_slot & is_new).view(is_slot.shape + (1,) * (start.dim() - 1))
        kept[name] = start.where(begins, kept[name])

    joins = is_slot & (is_new | (is_place & is_known & ~is_taken))
    _vote_for_class(kept, classes, votes * joins)
    kept["place_sights"] += joins.int()
    kept["place_lead"] += (votes - against) * joins
    kept["place_votes"] += votes * joins
    kept["place_box"] += (votes * joins)[..., None] * place["place_box"][:, None]
    is_taken |= joins


def _vote_for_class(kept: dict[str, Tensor], classes: Tensor, votes: Tensor) -> None:
    """Give votes, (B, S), to a class in each image, (B, 1)."""
    leader = kept["place_class"]
    lead = kept["place_class_lead"] + votes.where(leader == classes, -votes)
    kept["place_class"] = classes.where(lead < 0, leader)
    kept["place_class_lead"] = lead.abs()


def _ious(kept: dict[str, Tensor], boxes: Tensor) -> Tensor:
    """(B, S) IoU of the mean box of each kept place and a box of its image, (B, 4)."""
    means = mean_boxes(kept)
    pairs = paired_iou(means.flatten(0, 1), boxes.repeat_interleave(NUM_PLACES, dim=0))
    return pairs.view(-1, NUM_PLACES)


def mean_boxes(kept: Mapping[str, Tensor]) -> Tensor:
    """(I, S, 4) the mean boxes of places, XYXY in pixels of the file, weighted by their votes."""
    is_kept = (kept["place_class"] >= 0)[..., None]
    return (kept["place_box"] / kept["place_votes"][..., None]).where(is_kept, 0.0)
