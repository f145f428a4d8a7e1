"""Rows that are assigned to objects, and the choice of a sampler among them.

Shape shorthand: see :mod:`imbdet.structures`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from imbdet.ops.image_rows import consecutive_rows, image_of_rows
from imbdet.ops.masks import true_idxs
from imbdet.structures.outputs import Outputs
from imbdet.structures.priors import Levels, Priors
from imbdet.structures.targets import Targets


@dataclass(frozen=True, eq=False)
class Assignment:
    """The object of each prior, in every image of the batch.

    Attributes:
        gt_idxs: (M,) int64, index in [0, G) of a positive's object; -1 background, -2 ignored.
        ious: (M,) float in [0, 1], overlap of a positive with its object as the assigner measures
            it; 0 for other rows, unless the assigner's docstring differs.
        max_ious: (M,) float in [0, 1], highest IoU of each prior with any object of its image; None
            if the assigner did not need it.
        quality: (M,) float in [0, 1], quality of a positive, 0 for other rows; None if the assigner
            does not grade positives.
    """

    gt_idxs: Tensor
    ious: Tensor
    quality: Tensor | None = None
    max_ious: Tensor | None = None

    def labels(self, classes: Tensor, num_classes: int) -> Tensor:
        """(M,) int64, [0, K) foreground, K background, -1 ignored.

        Args:
            classes: (G,) classes of the objects.
            num_classes: K.
        """
        # The index -1 is that of the last entry, -2 that of the one before.
        of_idxs = F.pad(classes, (0, 2), value=num_classes)
        of_idxs[-2] = -1
        return of_idxs[self.gt_idxs]


class Choice(NamedTuple):
    """The choice of a sampler among candidates.

    Attributes:
        idxs: (S,) int64 indices into the M candidates, image after image; ``slice(None)`` = all.
        num_per_image: number of chosen candidates of each image.
        importance: (S,) float in (0, 1], 1 = most important, as the sampler ranks them (1 for those
            it does not rank); or None.
        num_positives: number of positives of each image, if these are its first ones and the others
            negative; None if that is not known.
    """

    idxs: Tensor | slice
    num_per_image: Sequence[int]
    importance: Tensor | None = None
    num_positives: Sequence[int] | None = None


@dataclass(frozen=True, eq=False)
class Candidates:
    """Rows of a batch, assigned to objects: those that a sampler chooses from, or that it chose.

    Attributes:
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        gt_idxs: (M,) int64, index in [0, G) of a positive's object; -1 for all others.
        ious: (M,) float in [0, 1], highest IoU of the prior with any object of its image, whatever
            the assigner measures.
        num_per_image: number of rows of each image.
        num_classes: K.
        priors: the priors of the batch.
        targets: the objects of the batch.
        rows: (M,) int64 indices of these rows in the batch; ``slice(None)`` = all.
        quality: (M,) float in [0, 1], see :class:`Assignment`.
        outputs: outputs of the head for these rows, detached, if a part of the learner needs them.
        cls_losses: (M,) classification losses, before weights and normalizer, >= 0, detached, if a
            part of the learner needs them.
        importance: see :class:`Choice`.
        num_positives: see :class:`Choice`; where it is known, ``pos_idxs`` need not wait for the
            device.
        is_in_region: (M,) bool, whether a row is ignored as it lies in an ignored region; None
            without regions.
    """

    gt_labels: Tensor
    gt_idxs: Tensor
    ious: Tensor
    num_per_image: Sequence[int]
    num_classes: int
    priors: Priors
    targets: Targets
    rows: Tensor | slice = field(default_factory=lambda: slice(None))
    quality: Tensor | None = None
    outputs: Outputs | None = None
    cls_losses: Tensor | None = None
    importance: Tensor | None = None
    num_positives: Sequence[int] | None = None
    is_in_region: Tensor | None = None

    def __len__(self) -> int:
        return len(self.gt_labels)

    @cached_property
    def is_positive(self) -> Tensor:
        """(M,) bool, whether a row is positive."""
        return (self.gt_labels >= 0) & ~self.is_negative

    @cached_property
    def is_negative(self) -> Tensor:
        """(M,) bool, whether a row is negative; ignored rows are neither positive nor negative."""
        return self.gt_labels == self.num_classes

    @cached_property
    def pos_idxs(self) -> Tensor:
        """(P,) int64, rows of the positives, ascending."""
        if self.num_positives is None:
            return true_idxs(self.is_positive)
        return consecutive_rows(self._starts, self.num_positives, self.gt_labels.device)

    @cached_property
    def neg_idxs(self) -> Tensor:
        """(N,) int64, rows of the negatives, ascending."""
        if self.num_positives is None:
            return true_idxs(self.is_negative)
        pairs = list(zip(self.num_per_image, self.num_positives, strict=True))
        starts = [start + num for start, (_, num) in zip(self._starts, pairs, strict=True)]
        counts = [number - num for number, num in pairs]
        return consecutive_rows(starts, counts, self.gt_labels.device)

    @property
    def _starts(self) -> list[int]:
        """The first row of each image."""
        return list(accumulate(self.num_per_image, initial=0))[:-1]

    @cached_property
    def image_idxs(self) -> Tensor:
        """(M,) int64, the image of each row."""
        return image_of_rows(self.num_per_image, self.gt_labels.device)

    @cached_property
    def weights(self) -> Tensor | None:
        """(M,) factors >= 0 of the losses: those of a row's object, if any, and image multiplied.

        None is 1 for all.
        """
        of_objects, of_images = self.targets.weights, self.targets.image_weights
        if of_objects is None and of_images is None:
            return None
        weights = self.ious.new_ones(len(self))
        if of_images is not None:
            weights = of_images.to(weights)[self.image_idxs]
        if of_objects is not None:
            factors = of_objects.to(weights)[self.gt_idxs[self.pos_idxs]]
            weights = weights.index_put((self.pos_idxs,), factors * weights[self.pos_idxs])
        return weights

    @property
    def boxes(self) -> Tensor:
        """(M, 4) boxes of the priors."""
        return self.boxes_of(torch.arange(len(self), device=self.gt_labels.device))

    @property
    def levels(self) -> Levels | None:
        """Levels of all rows; None for proposals, which have none."""
        return self.levels_of(torch.arange(len(self), device=self.gt_labels.device))

    def boxes_of(self, idxs: Tensor) -> Tensor:
        """(S, 4) boxes of the priors of some rows, (S,) int64."""
        return self.priors.boxes_at(self._rows_of_batch(idxs))

    def levels_of(self, idxs: Tensor) -> Levels | None:
        """Levels of some rows, (S,) int64."""
        return self.priors.levels_at(self._rows_of_batch(idxs))

    def gt_boxes_of(self, idxs: Tensor) -> Tensor:
        """(S, 4) boxes of the objects of some positives, (S,) int64."""
        return self.targets.boxes[self.gt_idxs[idxs]]

    def decode(self, idxs: Tensor, classes: Tensor) -> Tensor:
        """(S, 4) boxes of some rows, (S,) int64, after the regression for ``classes``, (S,).

        Raises:
            ValueError: the outputs or their transform are not known.
        """
        outputs = self.require_outputs()
        return outputs.require_transform().apply_deltas(
            outputs.deltas_of(idxs, classes), self.boxes_of(idxs)
        )

    def require_outputs(self) -> Outputs:
        """``outputs``, for a sampler that declares that it ``needs`` them.

        Raises:
            ValueError: the outputs are not known.
        """
        if self.outputs is None:
            raise ValueError(
                "the sampler needs outputs that the candidates lack: "
                "its `needs` must have 'outputs'"
            )
        return self.outputs

    def require_losses(self) -> Tensor:
        """``cls_losses``, for a sampler that declares that it ``needs`` them.

        Raises:
            ValueError: the losses are not known.
        """
        if self.cls_losses is None:
            raise ValueError(
                "the sampler needs losses that the candidates lack: its `needs` must have 'losses'"
            )
        return self.cls_losses

    def take(self, choice: Choice) -> "Candidates":
        """The chosen rows, without outputs and losses."""
        return Candidates(
            gt_labels=self.gt_labels[choice.idxs],
            gt_idxs=self.gt_idxs[choice.idxs],
            ious=self.ious[choice.idxs],
            num_per_image=choice.num_per_image,
            num_classes=self.num_classes,
            priors=self.priors,
            targets=self.targets,
            rows=self.rows if isinstance(choice.idxs, slice) else self._rows_of_batch(choice.idxs),
            quality=None if self.quality is None else self.quality[choice.idxs],
            importance=choice.importance,
            num_positives=choice.num_positives,
            is_in_region=None if self.is_in_region is None else self.is_in_region[choice.idxs],
        )

    def _rows_of_batch(self, idxs: Tensor) -> Tensor:
        return idxs if isinstance(self.rows, slice) else self.rows[idxs]


def needs_of(part: object) -> frozenset[str]:
    """The needs of an assigner or a sampler beside priors and objects.

    Its attribute ``needs`` is a frozenset of "outputs", those of the head for every prior, and
    "losses", the classification loss of each prior. A part without the attribute needs none; a
    function whose options are bound by ``functools.partial`` needs the same as without.
    """
    while isinstance(part, partial):
        part = part.func
    return getattr(part, "needs", frozenset())
