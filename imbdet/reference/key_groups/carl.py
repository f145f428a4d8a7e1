"""Keys of CARL, the classification-aware regression loss."""

from imbdet.methods.options import NonNegative, Share


class Carl:
    """Classification-aware regression loss.

    Attributes:
        enabled: whether to add the classification-aware regression loss: a second box loss, by
            which the scores learn where boxes are good. The weight of a score p is
            ((1 - BIAS) p + BIAS)^K, brought to a mean of 1.
        k: exponent; the larger, the more the confident samples weigh.
        bias: weight of a score of 0, before the power.
    """

    enabled: bool = False
    k: NonNegative = 1.0
    bias: Share = 0.2
