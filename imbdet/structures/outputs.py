"""Outputs of a head.

Shape shorthand: see :mod:`imbdet.structures`.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Protocol

from torch import Tensor

from imbdet.ops.precision import at_least_float32
from imbdet.structures.classifiers import SIGMOID, Classifier


class BoxTransform(Protocol):
    """Encodes boxes as deltas and decodes them, such as detectron2's ``Box2BoxTransform``."""

    def get_deltas(self, boxes: Tensor, gt_boxes: Tensor, /) -> Tensor:
        """(R, 4) deltas that lead from boxes, (R, 4), to the ground truth, (R, 4)."""
        ...

    def apply_deltas(self, deltas: Tensor, boxes: Tensor, /) -> Tensor:
        """(R, 4) boxes to which deltas, (R, 4), lead from boxes, (R, 4)."""
        ...


@dataclass(frozen=True, eq=False)
class Outputs:
    """Outputs of a head for M rows; those that it lacks are None.

    Attributes:
        logits: (M, C) logits of the classes, with the columns that the classifier needs.
        boxes: (M, 4) decoded predictions, for assigners that need them.
        deltas: (M, 4) deltas or, for each class, (M, 4 K).
        side_logits: (M, 4, n + 1) logits of the distributions over 0..n whose means the deltas are.
        quality_logits: (M,) logits of the quality that a branch of the head predicts.
        box2box_transform: transform that encodes and decodes the deltas.
        classifier: meaning of the logits.
    """

    logits: Tensor
    boxes: Tensor | None = None
    deltas: Tensor | None = None
    side_logits: Tensor | None = None
    quality_logits: Tensor | None = None
    box2box_transform: BoxTransform | None = None
    classifier: Classifier = SIGMOID

    def __post_init__(self) -> None:
        """Widen the boxes."""
        if self.boxes is not None:
            object.__setattr__(self, "boxes", at_least_float32(self.boxes))

    def __len__(self) -> int:
        return len(self.logits)

    @cached_property
    def scores(self) -> Tensor:
        """(M, K) scores of the classes, in [0, 1], float32 at least."""
        return self.classifier.scores(self.logits)

    def take(self, idxs: Tensor | slice) -> "Outputs":
        """The outputs of some rows."""
        return self._with_each(lambda tensor: tensor[idxs])

    def detach(self) -> "Outputs":
        """The outputs, detached."""
        return self._with_each(Tensor.detach)

    def _with_each(self, change: Callable[[Tensor], Tensor]) -> "Outputs":
        """The outputs with each tensor changed."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        tensors = {name: value for name, value in values if isinstance(value, Tensor)}
        changed: Any = {name: change(tensor) for name, tensor in tensors.items()}
        return replace(self, **changed)

    def require_boxes(self) -> Tensor:
        """``boxes``, for an assigner that needs them.

        Raises:
            ValueError: the boxes were not decoded.
        """
        if self.boxes is None:
            raise ValueError("this assigner looks at decoded boxes, which the outputs lack")
        return self.boxes

    def deltas_of(self, rows: Tensor, classes: Tensor) -> Tensor:
        """(S, 4) deltas of one class, (S,) int64, in each of some rows, (S,) int64.

        Raises:
            ValueError: the head has no deltas.
        """
        if self.deltas is None:
            raise ValueError("these outputs have no deltas")
        if self.deltas.shape[1] == 4:
            return self.deltas[rows]
        by_class: Tensor = self.deltas.unflatten(1, (-1, 4))
        return by_class[rows, classes]

    def require_transform(self) -> BoxTransform:
        """``box2box_transform``.

        Raises:
            ValueError: there is no transform.
        """
        if self.box2box_transform is None:
            raise ValueError("these outputs have no box2box_transform")
        return self.box2box_transform
