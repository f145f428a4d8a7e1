"""Frequencies of classes, passed to all parts of a detector that need them."""

from torch import nn

from imbdet.losses import ClassFrequencies
from imbdet.losses.class_frequencies import KnownFrequencies


def give_class_frequencies(model: nn.Module, frequencies: ClassFrequencies) -> None:
    """Store the frequencies of classes in all parts of a detector that weight classes by them.

    Call it when weights are loaded, before a training starts. A detector without such parts stays
    as it is.

    Args:
        model: the detector, also inside ``DistributedDataParallel``.
        frequencies: frequencies in the training data, whose classes are those of the detector.

    Raises:
        UserError: the number of classes differs.
    """
    for part in model.modules():
        if isinstance(part, KnownFrequencies):
            part.learn(frequencies)
