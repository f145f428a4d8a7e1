"""Small problems of assigning: priors of a pyramid, objects of a batch, what a head predicts."""

import torch
from hypothesis import strategies as st

from imbdet.assigners import Outputs, Priors, Targets

NUM_CLASSES = 3


def pyramid(height, width, strides=(8, 16, 32), anchor_scale=4, num_per_point=1):
    """Square anchors on each cell of each level, three to an octave as RetinaNet's."""
    scales = anchor_scale * 2 ** (torch.arange(num_per_point) / 3)
    boxes, all_strides, sizes = [], [], []
    for stride in strides:
        ys, xs = torch.meshgrid(
            torch.arange(0, height, stride) + stride / 2,
            torch.arange(0, width, stride) + stride / 2,
            indexing="ij",
        )
        centers = torch.stack([xs, ys], dim=-1).flatten(0, 1)
        half = (scales * stride / 2).repeat(len(centers))[:, None]
        centers = centers.repeat_interleave(num_per_point, dim=0)
        boxes.append(torch.cat([centers - half, centers + half], dim=1))
        all_strides.append(torch.full((len(centers),), float(stride)))
        sizes.append(len(centers))
    return Priors(
        torch.cat(boxes),
        strides=torch.cat(all_strides),
        level_sizes=sizes,
        num_per_point=num_per_point,
    )


def random_targets(generator, num_per_image, height, width):
    """Objects of all sizes, some of which reach out of the image."""
    number = sum(num_per_image)
    centers = torch.rand(number, 2, generator=generator) * torch.tensor([width, height])
    sizes = 2 + (torch.rand(number, 2, generator=generator) ** 2) * max(height, width)
    classes = torch.randint(NUM_CLASSES, (number,), generator=generator)
    boxes = torch.cat([centers - sizes / 2, centers + sizes / 2], dim=1)
    return Targets(boxes, classes, num_per_image, [(height, width)] * len(num_per_image))


def random_outputs(generator, priors, targets):
    """Logits around 0 and boxes around the priors."""
    num_rows = targets.num_images * len(priors)
    logits = 2 * torch.randn(num_rows, NUM_CLASSES, generator=generator)
    boxes = priors.boxes.repeat(targets.num_images, 1)
    shifts = torch.rand(num_rows, 2, generator=generator) * 16 - 8
    return Outputs(logits, boxes + shifts.repeat(1, 2))


@st.composite
def scenes(draw, height=32, width=48):
    """Priors, targets and outputs of a batch, also with images without objects, and with twins."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    num_per_image = draw(st.lists(st.integers(0, 3), min_size=1, max_size=2))
    priors = pyramid(height, width, num_per_point=draw(st.integers(1, 2)))
    targets = random_targets(generator, num_per_image, height, width)
    if len(targets) > 1 and draw(st.booleans()):
        targets.boxes[1] = targets.boxes[0]  # twins
    return priors, targets, random_outputs(generator, priors, targets)
