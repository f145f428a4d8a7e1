"""Frequencies of the classes in the training data, which losses for long tails need."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from imbdet.errors import UserError
from imbdet.ops.buffers import KeepsMissingBuffers


@dataclass(frozen=True, eq=False)
class ClassFrequencies:
    """Frequencies of K classes in the training data; repeated images count once.

    Attributes:
        num_images: number of images, with or without objects.
        images: (K,) int64 numbers of images with the class.
        instances: (K,) int64 numbers of objects of the class.
    """

    num_images: int
    images: Tensor
    instances: Tensor

    @classmethod
    def of(cls, classes: Iterable[Collection[int]], num_classes: int) -> "ClassFrequencies":
        """Count the classes of the objects of each image, below K = ``num_classes``."""
        num_images, images, instances = 0, [0] * num_classes, [0] * num_classes
        for of_image in classes:
            num_images += 1
            for label in of_image:
                instances[label] += 1
            for label in set(of_image):
                images[label] += 1
        return cls(num_images, torch.tensor(images), torch.tensor(instances))


class KnownFrequencies(KeepsMissingBuffers):
    """The frequencies as buffers, so that a checkpoint is evaluated and resumed without the data.

    Attributes:
        num_images: () int64 number of images, 0 until frequencies are stored.
        images: see :class:`ClassFrequencies`.
        instances: see :class:`ClassFrequencies`.
    """

    num_images: Tensor
    images: Tensor
    instances: Tensor

    def __init__(self, num_classes: int):
        """Start without frequencies of the K = ``num_classes`` classes."""
        super().__init__()
        self.register_buffer("num_images", torch.zeros((), dtype=torch.int64))
        for name in ("images", "instances"):
            self.register_buffer(name, torch.zeros(num_classes, dtype=torch.int64))

    def learn(self, frequencies: ClassFrequencies) -> None:
        """Store the frequencies.

        Raises:
            UserError: the number of classes differs.
        """
        known, given = len(self.images), len(frequencies.images)
        if known != given:
            raise UserError(
                f"The frequencies are of {given} classes, but the detector has {known}: count the "
                "objects of its training data."
            )
        self.num_images.fill_(frequencies.num_images)
        self.images.copy_(frequencies.images)
        self.instances.copy_(frequencies.instances)

    def numbers(self, kind: str) -> Tensor:
        """(K,) "images", "instances", or "image_shares", the shares of the images with a class.

        Raises:
            UserError: no frequencies are stored, in training.
        """
        if self.training and not self.num_images:
            raise UserError(
                "The classification loss weighs classes by how frequent they are in the training "
                "data, which the detector does not know: call give_class_frequencies of "
                "imbdet.modeling before the training."
            )
        if kind == "image_shares":
            return self.images / self.num_images.clamp(min=1)
        numbers: Tensor = getattr(self, kind)
        return numbers


class FrequencyLoss(nn.Module):
    """A loss that takes a number of each class, called with the stored frequencies."""

    def __init__(self, loss: Callable[..., Tensor], numbers: str, num_classes: int):
        """Start without frequencies.

        Args:
            loss: function of (M, C) logits, (M,) labels and the (K,) numbers.
            numbers: kind of the numbers, see :meth:`KnownFrequencies.numbers`.
            num_classes: K.
        """
        super().__init__()
        self.loss = loss
        self.kind = numbers
        self.frequencies = KnownFrequencies(num_classes)

    def forward(self, pred_logits: Tensor, gt_labels: Tensor, **options: Any) -> Tensor:
        """(M,) losses; see the loss, also for the options."""
        return self.loss(pred_logits, gt_labels, self.frequencies.numbers(self.kind), **options)
