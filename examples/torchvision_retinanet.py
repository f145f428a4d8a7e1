"""torchvision's RetinaNet, trained with AP loss: imbdet's losses need torch alone."""

import torch
from torch import Tensor
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.retinanet import RetinaNetClassificationHead
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from imbdet.losses import ap_loss


class APHead(RetinaNetClassificationHead):
    """Classifies as torchvision's head, and pays AP loss."""

    def compute_loss(
        self,
        targets: list[dict[str, Tensor]],
        head_outputs: dict[str, Tensor],
        matched_idxs: list[Tensor],
    ) -> Tensor:
        """AP loss of all anchors of the batch."""
        gt_labels = torch.full_like(torch.cat(matched_idxs), self.num_classes)  # background
        for labels, idxs, target in zip(
            gt_labels.split([len(idxs) for idxs in matched_idxs]),
            matched_idxs,
            targets,
            strict=True,
        ):
            labels[idxs >= 0] = target["labels"][idxs[idxs >= 0]]
            labels[idxs == self.BETWEEN_THRESHOLDS] = -1  # ignored
        return ap_loss(head_outputs["cls_logits"].flatten(0, 1), gt_labels)


def build_model(num_classes: int) -> RetinaNet:
    """A small RetinaNet, untrained."""
    backbone = resnet_fpn_backbone(
        backbone_name="resnet18",
        weights=None,
        trainable_layers=5,
        returned_layers=[2, 3, 4],
        extra_blocks=LastLevelP6P7(256, 256),
    )
    model = RetinaNet(backbone, num_classes, min_size=96, max_size=128)
    num_anchors = model.anchor_generator.num_anchors_per_location()[0]
    model.head.classification_head = APHead(backbone.out_channels, num_anchors, num_classes)
    return model


def draw_squares(num_images: int) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Noise with a bright square in each image, its box and its class."""
    images, targets = [], []
    for corner in torch.randint(0, 64, (num_images, 2)).tolist():
        left, top = corner
        image = torch.rand(3, 96, 128) / 2
        image[:, top : top + 32, left : left + 32] += 0.5
        images.append(image)
        box = torch.tensor([[left, top, left + 32, top + 32]], dtype=torch.float)
        targets.append({"boxes": box, "labels": torch.tensor([0])})
    return images, targets


def main(num_iterations: int = 40) -> None:
    """Train for some steps, and print the losses."""
    torch.manual_seed(0)
    model = build_model(num_classes=1).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    for iteration in range(1, num_iterations + 1):
        losses = model(*draw_squares(2))
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        if iteration % 10 == 0:
            values = ", ".join(f"{name} {loss.item():.3f}" for name, loss in losses.items())
            print(f"iteration {iteration}: {values}")


if __name__ == "__main__":
    main()
