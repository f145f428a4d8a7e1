"""torchvision's FCOS with the positives of SimOTA and quality focal loss, by imbdet."""

import torch
from common import build_backbone, objects_of, train
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.models.detection import FCOS
from torchvision.models.detection.fcos import FCOSHead

from imbdet.assigners import Outputs, Priors, simota
from imbdet.losses import giou_loss, quality_focal_loss


class QualityHead(FCOSHead):
    """Predicts as torchvision's head; its scores and its centerness learn the IoU of the box."""

    def compute_loss(self, targets, head_outputs, anchors, matched_idxs):
        """Losses of all points of the batch; torchvision's ``matched_idxs`` are not used."""
        objects = objects_of(targets)
        squares = anchors[0]  # as wide as the strides
        points = Priors(squares, strides=squares[:, 2] - squares[:, 0])
        logits = head_outputs["cls_logits"].flatten(0, 1)
        boxes = self.box_coder.decode(head_outputs["bbox_regression"], torch.stack(anchors))
        outputs = Outputs(logits, boxes.flatten(0, 1))
        assignment = simota(points, objects, outputs.detach())

        labels = assignment.labels(objects.classes, num_classes=logits.shape[1])
        rows = (assignment.gt_idxs >= 0).nonzero().squeeze(1)
        ious = assignment.ious[rows]
        centerness = head_outputs["bbox_ctrness"].flatten()[rows]
        losses = {
            "classification": quality_focal_loss(logits, labels, ious),
            "bbox_regression": giou_loss(
                outputs.boxes[rows], objects.boxes[assignment.gt_idxs[rows]]
            ),
            "bbox_ctrness": binary_cross_entropy_with_logits(centerness, ious, reduction="none"),
        }
        return {name: values.sum() / max(len(rows), 1) for name, values in losses.items()}


def build_model(num_classes):
    """A small FCOS, untrained."""
    backbone = build_backbone()
    model = FCOS(backbone, num_classes, min_size=96, max_size=128)
    model.head = QualityHead(backbone.out_channels, 1, num_classes)
    return model.train()


def main(num_iterations=40):
    """Train for some steps, and print the losses."""
    torch.manual_seed(0)
    train(build_model(num_classes=1), num_iterations)


if __name__ == "__main__":
    main()
