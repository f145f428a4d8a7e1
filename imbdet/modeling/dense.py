"""A dense head and its anchors as the priors and outputs of a learner."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from detectron2.layers import ShapeSpec
from detectron2.structures import Boxes
from torch import Tensor, nn

from imbdet.errors import UserError
from imbdet.ops.image_rows import repeat_each
from imbdet.ops.transfer import to_device
from imbdet.structures import BoxTransform, Outputs, Priors, Targets
from imbdet.structures.classifiers import SIGMOID


@dataclass(frozen=True, eq=False)
class DenseView:
    """The batch of a dense head: R anchors, shared by N images.

    Attributes:
        priors: the anchors.
        targets: the objects.
        outputs: outputs for the N R rows, image after image.
        by_level: (N, R_l, ...) predictions of each level by their descriptions.
    """

    priors: Priors
    targets: Targets
    outputs: Outputs
    by_level: Mapping[str, Tensor]


def view_dense_head(
    levels: Sequence[str],
    anchors: Sequence[Boxes],
    anchor_generator: nn.Module,
    predictions: Mapping[str, Sequence[Tensor]],
    targets: Targets,
    box2box_transform: BoxTransform,
) -> DenseView:
    """Join the levels of a feature pyramid.

    Args:
        levels: names of the levels.
        anchors: R_l anchors of each level.
        anchor_generator: generator of the anchors.
        predictions: predictions of each level: "logits" (N, R_l, K), "box deltas" (N, R_l, 4) and,
            of some heads, "sides" (N, R_l, 4, n + 1), the logits of the distributions whose means
            the deltas are, and "quality" (N, R_l, 1).
        targets: the objects of the batch.
        box2box_transform: transform that encodes and decodes deltas.
    """
    rows = {kind: torch.cat(list(of), dim=1).flatten(0, 1) for kind, of in predictions.items()}
    outputs = Outputs(
        rows["logits"],
        deltas=rows["box deltas"],
        side_logits=rows.get("sides"),
        quality_logits=rows["quality"].squeeze(1) if "quality" in rows else None,
        box2box_transform=box2box_transform,
        classifier=SIGMOID,
    )
    by_level = {
        f"{kind} of {level}": values
        for kind, per_level in predictions.items()
        for level, values in zip(levels, per_level, strict=True)
    }
    return DenseView(priors_of(anchors, anchor_generator), targets, outputs, by_level)


def priors_of(anchors: Sequence[Boxes], anchor_generator: nn.Module) -> Priors:
    """The anchors of all levels.

    Args:
        anchors: anchors of each level.
        anchor_generator: generator of the anchors.
    """
    boxes, level_sizes = Boxes.cat(anchors).tensor, [len(of_level) for of_level in anchors]
    strides = strides_of(anchor_generator)
    of_rows = None
    if strides is not None:  # in the precision of the boxes
        of_rows = repeat_each(to_device(strides, boxes.device, boxes.dtype), level_sizes)
    return Priors(
        boxes,
        strides=of_rows,
        level_sizes=level_sizes,
        num_per_point=num_per_point(anchor_generator),
    )


def strides_of(anchor_generator: nn.Module) -> Sequence[int] | None:
    """Distances between neighbouring anchors on each level, in pixels; None if unknown."""
    return getattr(anchor_generator, "strides", None)


def num_per_point(anchor_generator: nn.Module) -> int:
    """Number of anchors at each place of a feature map, the same on all levels."""
    return int(anchor_generator.num_anchors[0])


def refuse_other_strides(anchor_generator: nn.Module, features: Sequence[ShapeSpec]) -> None:
    """Raise UserError if the strides of anchors are not those of the features of their level."""
    strides, own = strides_of(anchor_generator), [feature.stride for feature in features]
    if strides is not None and list(strides) != own:
        raise UserError(
            f"{type(anchor_generator).__name__} has anchors with strides of {list(strides)} "
            f"pixels, but the features of its levels have {own}: give it the strides of the "
            "features."
        )
