"""torchvision's RetinaNet with the positives of ATSS and AP loss: imbdet needs torch alone."""

import torch
from common import build_backbone, objects_of, train
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.retinanet import RetinaNetHead

from imbdet.assigners import Priors, atss
from imbdet.losses import ap_loss, giou_loss


class APHead(RetinaNetHead):
    """Predicts as torchvision's head; the positives are those of ATSS, the loss is AP loss."""

    def forward(self, features):
        num_anchors = self.classification_head.num_anchors
        self.level_sizes = [level[0, 0].numel() * num_anchors for level in features]
        return super().forward(features)

    def compute_loss(self, targets, head_outputs, anchors, matched_idxs):
        """Losses of all anchors of the batch; torchvision's ``matched_idxs`` are not used."""
        objects = objects_of(targets)
        num_per_point = self.classification_head.num_anchors
        priors = Priors(anchors[0], level_sizes=self.level_sizes, num_per_point=num_per_point)
        assignment = atss(priors, objects)

        logits = head_outputs["cls_logits"].flatten(0, 1)
        labels = assignment.labels(objects.classes, num_classes=logits.shape[1])
        rows = (assignment.gt_idxs >= 0).nonzero().squeeze(1)
        boxes = self.regression_head.box_coder.decode_single(
            head_outputs["bbox_regression"].flatten(0, 1)[rows], torch.cat(anchors)[rows]
        )
        giou_losses = giou_loss(boxes, objects.boxes[assignment.gt_idxs[rows]])
        return {
            "classification": ap_loss(logits, labels),
            "bbox_regression": giou_losses.sum() / max(len(rows), 1),
        }


def build_model(num_classes):
    """A small RetinaNet, untrained."""
    backbone = build_backbone()
    model = RetinaNet(backbone, num_classes, min_size=96, max_size=128)
    num_anchors = model.anchor_generator.num_anchors_per_location()[0]
    model.head = APHead(backbone.out_channels, num_anchors, num_classes)
    return model.train()


def main(num_iterations=40):
    """Train for some steps, and print the losses."""
    torch.manual_seed(0)
    train(build_model(num_classes=1), num_iterations)


if __name__ == "__main__":
    main()
