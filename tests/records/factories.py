import torch

from imbdet.records import SampleRecord
from imbdet.weighting import Weights
from tests.flow import make_candidates, make_samples

NUM_CLASSES = 3


class Shift:
    """The simplest box transform, which adds deltas to the corners."""

    def apply_deltas(self, deltas, boxes):
        return boxes + deltas


def make_record(
    num_per_image=(40, 0, 25),
    *,
    seed=0,
    softmax=False,
    pointwise=True,
    weighted=False,
    dtype=torch.float32,
):
    """A record of random samples: positives of two objects of each image, negatives, ignored."""
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape):
        return torch.rand(*shape, generator=generator)

    total = sum(num_per_image)
    gt_labels = torch.randint(-1, NUM_CLASSES + 3, (total,), generator=generator)
    gt_labels = gt_labels.clamp(max=NUM_CLASSES)  # half of them are negatives
    images = torch.arange(len(num_per_image)).repeat_interleave(torch.tensor(num_per_image))
    is_positive = (gt_labels >= 0) & (gt_labels < NUM_CLASSES)
    objects = 2 * images + torch.randint(2, (total,), generator=generator)
    num_positives = int(is_positive.sum())
    box = torch.tensor([0.0, 0, 10, 10])
    candidates = make_candidates(
        gt_labels,
        objects.where(is_positive, -1),
        ious=rand(total),
        num_per_image=num_per_image,
        num_classes=NUM_CLASSES,
        boxes=box.expand(total, 4),
        gt_boxes=box.expand(2 * len(num_per_image), 4),
    )
    logits = 6 * rand(total, NUM_CLASSES + softmax) - 4
    samples = make_samples(
        candidates, logits.to(dtype).requires_grad_(), rand(total, 4).requires_grad_(), Shift()
    )
    weights = Weights(rand(total), rand(num_positives)) if weighted else None
    losses = 10 ** (10 * rand(total) - 7)
    return SampleRecord.of(
        samples,
        box_losses=rand(num_positives).requires_grad_(),
        cls_losses=losses.requires_grad_() if pointwise else None,
        weights=weights,
    )
