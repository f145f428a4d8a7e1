"""Keys of the RPN and the RoI heads."""

from typing import Annotated

from imbdet.methods.options import Count, NonNegative, Range


class Classifier:
    """The classifiers of the RoI heads and the RPN.

    Attributes:
        prior_prob: score with which sigmoid classifiers start, as RetinaNet does by its PRIOR_PROB:
            losses that sum over all negatives explode if all start at 0.5; 0 leaves the bias at 0.
    """

    prior_prob: Annotated[float, Range(0, 1, below=True)] = 0.0


class BoxHead(Classifier):
    """Keys of the RoI heads of detectron2's main branch, which v0.6 lacks.

    Attributes:
        use_sigmoid_ce: whether the classification loss is "sigmoid_cross_entropy".
        use_fed_loss: whether it is "federated"; detectron2 has USE_SIGMOID_CE beside it.
        fed_loss_num_classes: how many classes federated loss takes, those of the batch first, of
            which the background counts as one.
        fed_loss_freq_weight_power: exponent of the number of training images with a class: it is
            drawn in proportion to the result.
    """

    use_sigmoid_ce: bool = False
    use_fed_loss: bool = False
    fed_loss_num_classes: Count = 50
    fed_loss_freq_weight_power: NonNegative = 0.5
