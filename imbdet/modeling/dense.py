"""Samples of a dense head, whose anchors are the same for every image."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from imbdet.samplers import sample_all
from imbdet.structures import (
    BoxTransform,
    Candidates,
    Choice,
    Levels,
    Positives,
    Predictions,
    Samples,
)


@dataclass(frozen=True)
class DenseOutputs:
    """What a dense head says of the R anchors of N images, and what it should say.

    Attributes:
        pred_logits: (N, R, K).
        pred_deltas: (N, R, 4).
        anchors: the R anchors of all levels.
        level_sizes: number of anchors of each level.
        gt_instances: ground truth of each image, as it was assigned.
        box2box_transform: encodes and decodes deltas.
    """

    pred_logits: Tensor
    pred_deltas: Tensor
    anchors: Boxes
    level_sizes: Sequence[int]
    gt_instances: Sequence[Instances]
    box2box_transform: BoxTransform

    @property
    def gt_boxes(self) -> Tensor:
        """(G, 4) ground truth of all images."""
        return Boxes.cat([instances.gt_boxes for instances in self.gt_instances]).tensor

    @torch.no_grad()
    def preview(
        self, candidates: Candidates, criterion: nn.Module, needs: frozenset[str]
    ) -> Candidates:
        """The candidates with the predictions that their sampler needs, if it needs any.

        Args:
            candidates: N * R anchors, image after image.
            criterion: what the samples will pay to.
            needs: see :class:`PoolSampler`.
        """
        if not needs:
            return candidates
        everything = self.take(candidates, sample_all(candidates))
        predictions = Predictions(
            cls_losses=criterion.preview(everything) if "cls_losses" in needs else None,
            scores=everything.pred_logits.sigmoid() if "scores" in needs else None,
            pred_deltas=self.pred_deltas.flatten(0, 1),
            boxes=self.anchors.tensor.repeat(len(self.gt_instances), 1),
            gt_boxes=self.gt_boxes,
            box2box_transform=self.box2box_transform,
        )
        return replace(candidates, predictions=predictions)

    @property
    def levels(self) -> Levels:
        """Of the N * R anchors."""
        sizes = torch.tensor(self.level_sizes, device=self.pred_logits.device)
        idxs = torch.arange(len(sizes), device=sizes.device)
        idxs = idxs.repeat_interleave(sizes, output_size=len(self.anchors))
        return Levels(idxs.repeat(len(self.gt_instances)), len(self.level_sizes))

    def take(self, candidates: Candidates, choice: Choice) -> Samples:
        """Join the chosen anchors with their predictions."""
        chosen = candidates.take(choice)
        levels = self.levels
        pos_rows = choice.rows(chosen.pos_idxs)
        positives = Positives(
            boxes=self.anchors.tensor[pos_rows % len(self.anchors)],
            gt_boxes=self.gt_boxes[chosen.gt_idxs[chosen.pos_idxs]],
            pred_deltas=self.pred_deltas.flatten(0, 1)[pos_rows],
            box2box_transform=self.box2box_transform,
            levels=levels.take(pos_rows),
        )
        return Samples.join(
            chosen,
            pred_logits=self.pred_logits.flatten(0, 1)[choice.idxs],
            positives=positives,
            importance=choice.importance,
            levels=levels.take(choice.idxs),
        )

    def locate(self, choice: Choice) -> dict[str, Tensor]:
        """The "boxes", (S, 4), of the chosen anchors."""
        return {"boxes": self.anchors.tensor.repeat(len(self.gt_instances), 1)[choice.idxs]}
