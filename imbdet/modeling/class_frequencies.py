"""How frequent classes are, told to all parts of a detector that weigh by it."""

from torch import nn

from imbdet.losses import ClassFrequencies
from imbdet.losses.class_frequencies import KnownFrequencies


def give_class_frequencies(model: nn.Module, frequencies: ClassFrequencies) -> None:
    """Let all parts of a detector know how frequent the classes of its training data are.

    To be called when weights are loaded, before a training starts. A detector without such parts
    stays as it is.

    Args:
        model: the detector, also inside ``DistributedDataParallel``.
        frequencies: of the training data, whose classes are those of the detector.

    Raises:
        UserError: they are of another number of classes.
    """
    for part in model.modules():
        if isinstance(part, KnownFrequencies):
            part.learn(frequencies)
