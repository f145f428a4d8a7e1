"""What flows from room to room: priors are assigned and sampled, samples are weighted and pay.

Shape shorthand: B images of a batch; R priors; M rows, candidates or samples of the whole batch
(image after image), P positives and N negatives among them; G objects of the batch; K classes.
Boxes are XYXY in pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from imbdet.classifiers import SIGMOID, Classifier
from imbdet.ops.boxes import paired_iou


class Levels(NamedTuple):
    """Levels of the feature pyramid.

    Attributes:
        idxs: (M,) int64 in [0, number), the level of each row.
        number: how many there are, with or without rows.
    """

    idxs: Tensor
    number: int

    def rows(self) -> list[Tensor]:
        """int64 rows of each level, ascending."""
        return [(self.idxs == level).nonzero().squeeze(1) for level in range(self.number)]

    def take(self, idxs: Tensor) -> "Levels":
        """Those of some rows."""
        return Levels(self.idxs[idxs], self.number)


class Priors:
    """The boxes or points at which a head predicts: of a dense head the same for every image.

    Attributes:
        boxes: (R, 4) anchors or proposals; of points without anchors, squares as wide as their
            strides.
        points: (R, 2) xy, centres of the boxes.
        strides: (R,) distances between neighbours, in pixels; None if unknown.
        level_sizes: number of priors on each level of the feature pyramid, in the order of rows;
            None if they belong to no level.
        num_per_image: number of proposals of each image, R in all; None if the images of a batch
            share the R priors, so that a batch has B R rows.
    """

    def __init__(
        self,
        boxes: Tensor | None = None,
        *,
        points: Tensor | None = None,
        strides: Tensor | None = None,
        level_sizes: Sequence[int] | None = None,
        num_per_image: Sequence[int] | None = None,
    ):
        """Describe anchors or proposals by ``boxes``, or points by ``points`` and ``strides``.

        Args:
            boxes: see the attributes.
            points: see the attributes; None takes the centres of ``boxes``.
            strides: see the attributes.
            level_sizes: see the attributes.
            num_per_image: see the attributes.

        Raises:
            ValueError: there are neither boxes nor points with strides, or their numbers differ.
        """
        if boxes is None:
            if points is None or strides is None:
                raise ValueError("priors need boxes, or points and their strides")
            half = strides[:, None] / 2
            boxes = torch.cat([points - half, points + half], dim=1)
        self.boxes = boxes
        self._points = points
        self.strides = strides
        self.level_sizes = None if level_sizes is None else list(level_sizes)
        self.num_per_image = None if num_per_image is None else list(num_per_image)
        for name, sizes in (("levels", level_sizes), ("images", num_per_image)):
            if sizes is not None and sum(sizes) != len(boxes):
                raise ValueError(
                    f"{name} of {list(sizes)} priors do not add up to {len(boxes)} priors"
                )
        for name, column in (("points", points), ("strides", strides)):
            if column is not None and len(column) != len(boxes):
                raise ValueError(f"{len(boxes)} priors have {len(column)} {name}")

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def points(self) -> Tensor:
        """See the attributes."""
        if self._points is None:
            return (self.boxes[:, :2] + self.boxes[:, 2:]) / 2
        return self._points

    def require_strides(self) -> Tensor:
        """``strides``, for an assigner that needs them.

        Raises:
            ValueError: they are unknown.
        """
        if self.strides is None:
            raise ValueError("this assigner measures in strides, which the priors lack")
        return self.strides

    def require_level_sizes(self) -> list[int]:
        """``level_sizes``; priors that belong to no level are of one."""
        return [len(self)] if self.level_sizes is None else self.level_sizes

    def counts(self, num_images: int) -> list[int]:
        """Number of rows of each image."""
        return [len(self)] * num_images if self.num_per_image is None else self.num_per_image

    def boxes_at(self, rows: Tensor) -> Tensor:
        """(S, 4) boxes of some rows, (S,) int64, of the batch."""
        return self.boxes[rows if self.num_per_image is not None else rows % max(len(self), 1)]

    def levels_at(self, rows: Tensor) -> Levels | None:
        """Levels of some rows, (S,) int64, of the batch; None if priors belong to no level."""
        if self.level_sizes is None:
            return None
        ends = torch.tensor(self.level_sizes, device=rows.device).cumsum(dim=0)
        idxs = torch.bucketize(rows % max(len(self), 1), ends, right=True)
        return Levels(idxs, len(self.level_sizes))

    def by_image(self, num_images: int) -> Iterator["Priors"]:
        """The priors of each image, as if it were a batch."""
        if self.num_per_image is None:
            yield from [self] * num_images
        else:
            for boxes in self.boxes.split(self.num_per_image):
                yield Priors(boxes)


@dataclass(frozen=True, eq=False)
class Targets:
    """The objects of an image or of a batch, image after image.

    Attributes:
        boxes: (G, 4) ground truth.
        classes: (G,) int64 in [0, K).
        num_per_image: number of objects of each image; None is one image.
        image_sizes: (height, width) of each image in pixels; None if they are not needed.
    """

    boxes: Tensor
    classes: Tensor
    num_per_image: Sequence[int] | None = None
    image_sizes: Sequence[tuple[int, int]] | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def num_images(self) -> int:
        """B."""
        return 1 if self.num_per_image is None else len(self.num_per_image)

    @cached_property
    def image_idxs(self) -> Tensor:
        """(G,) int64, the image of each object."""
        counts = torch.tensor(self.num_per_image or [len(self)], device=self.boxes.device)
        images = torch.arange(len(counts), device=counts.device)
        return images.repeat_interleave(counts, output_size=len(self))

    def by_image(self) -> Iterator["Targets"]:
        """The objects of each image, as if it were a batch."""
        counts = [len(self)] if self.num_per_image is None else list(self.num_per_image)
        yield from map(Targets, self.boxes.split(counts), self.classes.split(counts))


class BoxTransform(Protocol):
    """How boxes become deltas and deltas boxes, such as detectron2's ``Box2BoxTransform``."""

    def get_deltas(self, boxes: Tensor, gt_boxes: Tensor, /) -> Tensor:
        """(R, 4) deltas that lead from boxes, (R, 4), to the ground truth, (R, 4)."""
        ...

    def apply_deltas(self, deltas: Tensor, boxes: Tensor, /) -> Tensor:
        """(R, 4) boxes to which deltas, (R, 4), lead from boxes, (R, 4)."""
        ...


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a head says of M rows. What a head does not have is None.

    Attributes:
        logits: (M, C) of the classes, with the columns that the classifier asks for.
        boxes: (M, 4) decoded predictions, for assigners that look at them.
        deltas: (M, 4) or, for each class, (M, 4 K).
        box2box_transform: encodes and decodes the deltas.
        classifier: what the logits mean.
    """

    logits: Tensor
    boxes: Tensor | None = None
    deltas: Tensor | None = None
    box2box_transform: BoxTransform | None = None
    classifier: Classifier = SIGMOID

    def __len__(self) -> int:
        return len(self.logits)

    @cached_property
    def scores(self) -> Tensor:
        """(M, K) scores of the classes, in [0, 1]."""
        return self.classifier.scores(self.logits)

    def take(self, idxs: Tensor | slice) -> "Outputs":
        """Those of some rows."""
        return replace(
            self,
            logits=self.logits[idxs],
            boxes=None if self.boxes is None else self.boxes[idxs],
            deltas=None if self.deltas is None else self.deltas[idxs],
        )

    def detach(self) -> "Outputs":
        """The same as constants."""
        return replace(
            self,
            logits=self.logits.detach(),
            boxes=None if self.boxes is None else self.boxes.detach(),
            deltas=None if self.deltas is None else self.deltas.detach(),
        )

    def require_boxes(self) -> Tensor:
        """``boxes``, for an assigner that needs them.

        Raises:
            ValueError: they were not decoded.
        """
        if self.boxes is None:
            raise ValueError("this assigner looks at decoded boxes, which the outputs lack")
        return self.boxes

    def deltas_of(self, rows: Tensor, classes: Tensor) -> Tensor:
        """(S, 4) deltas of one class, (S,) int64, in each of some rows, (S,) int64.

        Raises:
            ValueError: the head has none.
        """
        if self.deltas is None:
            raise ValueError("these outputs have no deltas")
        deltas = self.deltas[rows]
        if deltas.shape[1] == 4:
            return deltas
        by_class: Tensor = deltas.unflatten(1, (-1, 4))
        return by_class[torch.arange(len(rows), device=rows.device), classes]

    def transform(self) -> BoxTransform:
        """``box2box_transform``.

        Raises:
            ValueError: there is none.
        """
        if self.box2box_transform is None:
            raise ValueError("these outputs have no box2box_transform")
        return self.box2box_transform


@dataclass(frozen=True, eq=False)
class Assignment:
    """The object of each prior, in every image of the batch.

    Attributes:
        gt_idxs: (M,) int64, index in [0, G) of a positive's object; -1 background, -2 ignored.
        ious: (M,) float in [0, 1], overlap of a positive with its object as the assigner measures
            it; 0 for other rows, unless the assigner says otherwise.
        quality: (M,) float in [0, 1], quality of a positive, 0 for other rows; None if the assigner
            does not grade positives.
    """

    gt_idxs: Tensor
    ious: Tensor
    quality: Tensor | None = None

    def labels(self, classes: Tensor, num_classes: int) -> Tensor:
        """(M,) int64, [0, K) foreground, K background, -1 ignored.

        Args:
            classes: (G,) of the objects.
            num_classes: K.
        """
        # The index -1 is that of the last entry, -2 that of the one before.
        return torch.cat([classes, classes.new_tensor([-1, num_classes])])[self.gt_idxs]


class Choice(NamedTuple):
    """What a sampler chose from candidates.

    Attributes:
        idxs: (S,) int64 indices into the M candidates, image after image; ``slice(None)`` = all.
        num_per_image: how many of each image.
        importance: (S,) float in (0, 1], 1 = most important, as the sampler ranks them (1 for those
            it does not rank); or None.
    """

    idxs: Tensor | slice
    num_per_image: Sequence[int]
    importance: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Candidates:
    """Rows of a batch, assigned to objects: those that a sampler chooses from, or that it chose.

    Attributes:
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        gt_idxs: (M,) int64, index in [0, G) of a positive's object; -1 for all others.
        ious: (M,) float in [0, 1], highest IoU of the box with any object of its image, or what the
            assigner gives in its place.
        num_per_image: number of rows of each image.
        num_classes: K.
        priors: the priors of the batch.
        targets: the objects of the batch.
        rows: (M,) int64, which of the batch's rows these are; ``slice(None)`` = all.
        outputs: what the head says of them, detached, if a part of the learner needs it.
        cls_losses: (M,) their classification losses, before weights and normalizer, >= 0,
            detached, if a part of the learner needs them.
        importance: see :class:`Choice`.
    """

    gt_labels: Tensor
    gt_idxs: Tensor
    ious: Tensor
    num_per_image: Sequence[int]
    num_classes: int
    priors: Priors
    targets: Targets
    rows: Tensor | slice = field(default_factory=lambda: slice(None))
    outputs: Outputs | None = None
    cls_losses: Tensor | None = None
    importance: Tensor | None = None

    def __len__(self) -> int:
        return len(self.gt_labels)

    @cached_property
    def is_positive(self) -> Tensor:
        """(M,) bool."""
        return (self.gt_labels >= 0) & ~self.is_negative

    @cached_property
    def is_negative(self) -> Tensor:
        """(M,) bool; ignored rows are neither positive nor negative."""
        return self.gt_labels == self.num_classes

    @cached_property
    def pos_idxs(self) -> Tensor:
        """(P,) int64, rows of the positives, ascending."""
        return self.is_positive.nonzero().squeeze(1)

    @cached_property
    def neg_idxs(self) -> Tensor:
        """(N,) int64, rows of the negatives, ascending."""
        return self.is_negative.nonzero().squeeze(1)

    @cached_property
    def image_idxs(self) -> Tensor:
        """(M,) int64, the image of each row."""
        counts = torch.tensor(self.num_per_image, device=self.gt_labels.device)
        return torch.arange(len(counts), device=counts.device).repeat_interleave(counts)

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
            ValueError: the outputs are not known.
        """
        outputs = self.require_outputs()
        return outputs.transform().apply_deltas(
            outputs.deltas_of(idxs, classes), self.boxes_of(idxs)
        )

    def require_outputs(self) -> Outputs:
        """``outputs``, for a sampler that says that it ``needs`` them.

        Raises:
            ValueError: they are not known.
        """
        if self.outputs is None:
            raise ValueError(
                "the sampler needs outputs that the candidates lack: "
                "its `needs` must have 'outputs'"
            )
        return self.outputs

    def require_losses(self) -> Tensor:
        """``cls_losses``, for a sampler that says that it ``needs`` them.

        Raises:
            ValueError: they are not known.
        """
        if self.cls_losses is None:
            raise ValueError(
                "the sampler needs losses that the candidates lack: its `needs` must have 'losses'"
            )
        return self.cls_losses

    def take(self, choice: Choice) -> "Candidates":
        """The chosen rows, without outputs and losses, which are those of the candidates."""
        return Candidates(
            gt_labels=self.gt_labels[choice.idxs],
            gt_idxs=self.gt_idxs[choice.idxs],
            ious=self.ious[choice.idxs],
            num_per_image=choice.num_per_image,
            num_classes=self.num_classes,
            priors=self.priors,
            targets=self.targets,
            rows=self.rows if isinstance(choice.idxs, slice) else self._rows_of_batch(choice.idxs),
            importance=choice.importance,
        )

    def _rows_of_batch(self, idxs: Tensor) -> Tensor:
        return idxs if isinstance(self.rows, slice) else self.rows[idxs]


@dataclass(frozen=True, eq=False)
class Positives:
    """The boxes of the positive samples. Boxes are XYXY in pixels.

    Attributes:
        boxes: (P, 4) anchors or proposals.
        gt_boxes: (P, 4) their ground truth.
        pred_deltas: (P, 4) predicted deltas, of the ground-truth class where they are per class.
            With gradient.
        box2box_transform: encodes and decodes deltas.
        levels: of anchors; None for proposals.
    """

    boxes: Tensor
    gt_boxes: Tensor
    pred_deltas: Tensor
    box2box_transform: BoxTransform
    levels: Levels | None = None

    @cached_property
    def gt_deltas(self) -> Tensor:
        """(P, 4) deltas that lead from the boxes to the ground truth."""
        return self.box2box_transform.get_deltas(self.boxes, self.gt_boxes)

    @cached_property
    def pred_boxes(self) -> Tensor:
        """(P, 4) decoded predictions, with gradient."""
        return self.box2box_transform.apply_deltas(self.pred_deltas, self.boxes)

    @cached_property
    def pred_ious(self) -> Tensor:
        """(P,) IoU of the decoded prediction with its ground truth, in [0, 1], detached."""
        return paired_iou(self.pred_boxes.detach(), self.gt_boxes)


@dataclass(frozen=True, eq=False)
class Samples:
    """Chosen candidates and what the head says of them: all that weightings and criteria look at.

    Attributes:
        candidates: the chosen ones, M.
        outputs: of the same rows, with gradient.
    """

    candidates: Candidates
    outputs: Outputs

    def __len__(self) -> int:
        return len(self.candidates)

    @property
    def gt_labels(self) -> Tensor:
        """See :class:`Candidates`, also for all that follows."""
        return self.candidates.gt_labels

    @property
    def gt_idxs(self) -> Tensor:
        return self.candidates.gt_idxs

    @property
    def ious(self) -> Tensor:
        return self.candidates.ious

    @property
    def num_classes(self) -> int:
        return self.candidates.num_classes

    @property
    def num_per_image(self) -> Sequence[int]:
        return self.candidates.num_per_image

    @property
    def image_idxs(self) -> Tensor:
        return self.candidates.image_idxs

    @property
    def pos_idxs(self) -> Tensor:
        return self.candidates.pos_idxs

    @property
    def neg_idxs(self) -> Tensor:
        return self.candidates.neg_idxs

    @property
    def pred_logits(self) -> Tensor:
        """(M, K) for sigmoid losses, (M, K + 1) for softmax; with gradient."""
        return self.outputs.logits

    @cached_property
    def positives(self) -> Positives:
        """Boxes of the rows ``pos_idxs``."""
        rows = self.pos_idxs
        return Positives(
            boxes=self.candidates.boxes_of(rows),
            gt_boxes=self.candidates.gt_boxes_of(rows),
            pred_deltas=self.outputs.deltas_of(rows, self.gt_labels[rows]),
            box2box_transform=self.outputs.transform(),
            levels=self.candidates.levels_of(rows),
        )


def needs_of(part: object) -> frozenset[str]:
    """What an assigner or a sampler looks at beside priors and objects.

    Its attribute ``needs`` is a frozenset of "outputs", what the head says of every prior, and
    "losses", the classification loss that each would pay. A part without the attribute needs none.
    """
    return getattr(part, "needs", frozenset())
