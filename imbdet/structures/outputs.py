"""What a head says.

Shape shorthand: see :mod:`imbdet.structures`.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from imbdet.classifiers import SIGMOID, Classifier


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

    def require_transform(self) -> BoxTransform:
        """``box2box_transform``.

        Raises:
            ValueError: there is none.
        """
        if self.box2box_transform is None:
            raise ValueError("these outputs have no box2box_transform")
        return self.box2box_transform
