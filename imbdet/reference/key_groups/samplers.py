"""Keys that samplers share."""

from imbdet.methods.options import NonNegative


class Sampler:
    """How many samples learn.

    Attributes:
        max_neg_pos_ratio: RoI heads and RPN, whose BATCH_SIZE_PER_IMAGE is the number of samples:
            largest number of negatives for each positive (for 1 if there is none); 0 is no limit.
        neg_pos_ratio: ImbRetinaNet with a sampler of negatives: how many for each positive of the
            image.
        min_negatives: ImbRetinaNet with a sampler of negatives: how many at least, of an image with
            few positives or none.
    """

    max_neg_pos_ratio: NonNegative = 0.0
    neg_pos_ratio: NonNegative = 3.0
    min_negatives: NonNegative = 100
