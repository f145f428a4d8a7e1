"""Gradients of the last layer by rules and validation losses, summed over groups of images.

Shape shorthand: U groups of training images, V groups of validation images, C columns of logits,
Q parameters of the layer for each.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from detectron2.utils.events import EventStorage
from torch import Tensor

from imbdet.alignment.entries import find_entries
from imbdet.alignment.validation_losses import VALIDATION_LOSSES, of_objects
from imbdet.analysis.frozen_detector import FrozenDetector
from imbdet.data.seeding import seed_sequence, seeded_globals
from imbdet.errors import UserError
from imbdet.evaluation.matching import AREA_RANGES
from imbdet.forecast.last_layer import FrozenBatch, look
from imbdet.forecast.rules import Rule

# Number of groups of training images, and of validation images.
NUM_GROUPS = 10
# Ranges of the areas of objects by COCO's metrics, in pixels.
SIZES = dict(zip(("small", "medium", "large"), AREA_RANGES[1:].tolist(), strict=True))
ALL = "all"


def batches_of(images: Iterable[list[dict]], size: int) -> Iterator[list[dict]]:
    """Whole batches of the images that a loader yields one by one."""
    one_by_one = itertools.chain.from_iterable(images)
    while len(batch := list(itertools.islice(one_by_one, size))) == size:
        yield batch


def update_gradients(
    rules: Sequence[Rule], detector: FrozenDetector, batches: Iterable[list[dict]], seed: int
) -> dict[str, Tensor]:
    """(U, C, Q) gradient of the loss of each rule on the training images, by the rule's name.

    Args:
        rules: see :func:`imbdet.forecast.rules.build_rules`.
        detector: the frozen detector.
        batches: batches of training images, the same number for each group.
        seed: seed of the samplers that draw, the same for all rules.

    Raises:
        UserError: a loss or a gradient is not finite.
    """
    sums: dict[str, Tensor] = {}
    with EventStorage():
        for i, batch in enumerate(batches):
            seen = look(detector, batch)
            for rule in rules:
                with seeded_globals(seed_sequence(seed, i)):
                    loss = _pay(rule, seen, detector.loss_weights)
                _add(sums, rule.name, i, seen.gradient(loss))
    return sums


def validation_gradients(
    detector: FrozenDetector, batches: Iterable[list[dict]]
) -> dict[str, dict[str, Tensor]]:
    """(V, C, Q) gradients of each validation loss, by its name, for all objects and each size.

    Args:
        detector: the frozen detector.
        batches: batches of validation images, the same number for each group.

    Raises:
        UserError: a gradient is not finite.
    """
    sums: dict[str, dict[str, Tensor]] = {name: {} for name in VALIDATION_LOSSES}
    for i, batch in enumerate(batches):
        seen = look(detector, batch, append_gt=False)
        sight = seen.sight
        candidates = detector.learner.candidates(sight.priors, sight.targets, sight.outputs)
        entries = find_entries(sight.outputs, sight.priors, sight.targets, candidates.is_in_region)
        parts = {ALL: entries}
        for size, is_meant in _sizes(seen).items():
            parts[size] = of_objects(entries, is_meant)
        for name, loss in VALIDATION_LOSSES.items():
            for part, meant in parts.items():
                _add(sums[name], part, i, seen.gradient(loss(meant)))
    return sums


def _pay(rule: Rule, seen: FrozenBatch, weights: Mapping[str, float]) -> Tensor:
    """The loss of a batch, with that of boxes, which may depend on scores."""
    sight = seen.sight
    try:
        chosen = rule.learner.choose(sight.priors, sight.targets, sight.outputs.detach())
        outputs = sight.outputs.take(chosen.rows)
        losses = rule.learner.pay(chosen, outputs, {"logits": sight.outputs.logits})
    except UserError as error:
        raise UserError(f"The rule '{rule.name}': {error}") from error
    return torch.stack([weights.get(name, 1.0) * loss for name, loss in losses.items()]).sum()


def _sizes(seen: FrozenBatch) -> dict[str, Tensor]:
    """(G,) bool by size: which objects have it, by their areas in pixels of the image file."""
    targets = seen.sight.targets
    factors = targets.boxes.new_tensor([x * y for x, y in seen.sight.scales])
    width, height = (targets.boxes[:, 2:] - targets.boxes[:, :2]).unbind(dim=1)
    areas = width * height * factors[targets.image_idxs]
    return {name: (areas >= low) & (areas < high) for name, (low, high) in SIZES.items()}


def _add(sums: dict[str, Tensor], name: str, batch: int, gradient: Tensor) -> None:
    if not gradient.isfinite().all():
        raise UserError(
            f"The gradient of '{name}' is not finite: the weights, or the features that they make "
            "of these images, are not of a detector that can go on learning."
        )
    if name not in sums:
        sums[name] = gradient.new_zeros(NUM_GROUPS, *gradient.shape)
    sums[name][batch % NUM_GROUPS] += gradient
