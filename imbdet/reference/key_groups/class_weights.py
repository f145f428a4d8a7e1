"""Keys of the weights of classes."""

from typing import Any

from imbdet.methods.options import Momentum


class ClassWeights:
    """Weights of classes.

    Attributes:
        class_weights: factors of the losses of each class's objects, of all heads: numbers by name,
            such as {cat: 2.0, dog: 0.5}, others 1; or "inverse", "sqrt_inverse" or
            "effective_number", by the numbers of their training objects, with the mean 1 over all
            objects. Empty is 1 for all.
        class_weights_beta: of "effective_number", how much objects of a class repeat each other.
    """

    class_weights: list[Any] = []  # noqa: RUF012  (copied into each config)
    class_weights_beta: Momentum = 0.999
