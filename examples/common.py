"""What the examples without detectron2 share: a backbone, objects, squares, a training loop."""

import torch
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from imbdet.assigners import Targets


def build_backbone():
    """A ResNet-18 with levels 3 to 7 of a feature pyramid, untrained."""
    return resnet_fpn_backbone(
        backbone_name="resnet18",
        weights=None,
        trainable_layers=5,
        returned_layers=[2, 3, 4],
        extra_blocks=LastLevelP6P7(256, 256),
    )


def objects_of(targets, image_sizes=None):
    """The objects of a batch from torchvision's dictionaries of each image."""
    boxes, classes = (
        torch.cat([target[name] for target in targets]) for name in ("boxes", "labels")
    )
    return Targets(boxes, classes, [len(target["boxes"]) for target in targets], image_sizes)


def draw_squares(num_images):
    """Noise (3, 96, 128) with a bright square in each image, its box and its class."""
    images, corners = torch.rand(num_images, 3, 96, 128) / 2, torch.randint(0, 64, (num_images, 2))
    for image, (left, top) in zip(images, corners.tolist(), strict=True):
        image[:, top : top + 32, left : left + 32] += 0.5
    boxes = torch.cat([corners, corners + 32], dim=1).float()
    return list(images), [{"boxes": box[None], "labels": torch.tensor([0])} for box in boxes]


def train(model, num_iterations, learning_rate=1e-4):
    """Train a function of images and targets that returns losses by name, and print them."""
    optimizer = torch.optim.AdamW(model.parameters(), learning_rate)
    for iteration in range(1, num_iterations + 1):
        losses = model(*draw_squares(2))
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        if iteration % 10 == 0:
            values = ", ".join(f"{name} {loss.item():.3f}" for name, loss in losses.items())
            print(f"iteration {iteration}: {values}")
