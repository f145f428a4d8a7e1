"""Random samples and candidates, and the box coder that they need, without a detector."""

from dataclasses import dataclass, replace

import torch

from imbdet.structures import Outputs
from tests.flow import GivenScores, make_candidates, make_samples


@dataclass(frozen=True)
class BoxCoder:
    """R-CNN's deltas: shifts of the centre relative to the size, logarithms of the scale."""

    weights: tuple = (1.0, 1.0, 1.0, 1.0)

    def get_deltas(self, boxes, gt_boxes):
        centres, sizes = to_centres(boxes)
        gt_centres, gt_sizes = to_centres(gt_boxes)
        deltas = torch.cat([(gt_centres - centres) / sizes, (gt_sizes / sizes).log()], dim=1)
        return deltas * deltas.new_tensor(self.weights)

    def apply_deltas(self, deltas, boxes):
        deltas, boxes = deltas.float(), boxes.float()
        shifts, scales = (deltas / deltas.new_tensor(self.weights)).split(2, dim=1)
        centres, sizes = to_centres(boxes)
        centres, sizes = centres + shifts * sizes, sizes * scales.exp()
        return torch.cat([centres - sizes / 2, centres + sizes / 2], dim=1)


def to_centres(boxes):
    top_left, bottom_right = boxes.split(2, dim=1)
    return (top_left + bottom_right) / 2, bottom_right - top_left


def random_boxes(num_boxes, generator, extent=100):
    top_left = torch.rand(num_boxes, 2, generator=generator) * extent
    return torch.cat(
        [top_left, top_left + 20 + 20 * torch.rand(num_boxes, 2, generator=generator)], dim=1
    )


def random_candidates(labels_per_image, *, num_classes=3, seed=0, dtype=torch.float32):
    """Candidates with these labels and predictions; an image has two objects of each class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor([x for image in labels_per_image for x in image], dtype=torch.int64)
    counts = [len(image) for image in labels_per_image]
    image_idxs = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    objects = (image_idxs * num_classes + labels) * 2
    objects += torch.randint(2, objects.shape, generator=generator)
    is_positive = (labels >= 0) & (labels < num_classes)
    boxes = random_boxes(len(labels), generator)
    gt_boxes = random_boxes(2 * num_classes * len(counts), generator)
    boxes[is_positive] = gt_boxes[objects[is_positive]]
    cls_losses = torch.rand(len(labels), generator=generator).to(dtype)
    outputs = Outputs(
        # Cubed, so that some samples have no score above 0.05.
        torch.rand(len(labels), num_classes, generator=generator).pow(3).to(dtype),
        deltas=(0.2 * torch.randn(len(labels), 4 * num_classes, generator=generator)).to(dtype),
        box2box_transform=BoxCoder(),
        classifier=GivenScores(),
    )
    return make_candidates(
        labels,
        torch.where(is_positive, objects, -1),
        ious=torch.rand(len(labels), generator=generator).to(dtype),
        num_per_image=counts,
        num_classes=num_classes,
        boxes=boxes.to(dtype),
        gt_boxes=gt_boxes.to(dtype),
        outputs=outputs,
        cls_losses=cls_losses,
    )


def samples_of(candidates, *, num_columns=None, importance=None, seed=0):
    """All candidates as samples, with random logits for each column (default: class)."""
    generator = torch.Generator().manual_seed(seed)
    dtype = candidates.ious.dtype
    shape = (len(candidates), num_columns or candidates.num_classes)
    pred_logits = torch.randn(shape, generator=generator).to(dtype)
    deltas = candidates.outputs.deltas[:, :4].clone().requires_grad_()
    chosen = replace(candidates, importance=importance)
    return make_samples(chosen, pred_logits.requires_grad_(), deltas, BoxCoder())
