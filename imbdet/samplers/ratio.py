"""Sampling for one-stage detectors: all positives and a fixed number of negatives for each."""

import math

from imbdet.samplers.sampler import PairSampler, PoolSampler, floor_quota


class RatioSampler(PairSampler):
    """Chooses all positives of each image and a multiple of their number of negatives.

    With :class:`HardSampler` for the negatives it is the OHEM of one-stage detectors: SSD, Liu
    et al., ECCV 2016, https://arxiv.org/abs/1512.02325, section 2.2, "Hard negative mining".
    """

    def __init__(
        self,
        positive: PoolSampler,
        negative: PoolSampler,
        *,
        neg_pos_ratio: float = 3.0,
        min_negatives: int,
    ):
        """Combine two samplers.

        Args:
            positive: picks the positives; its quota is all of them.
            negative: picks the negatives.
            neg_pos_ratio: quota of negatives per positive of the image, >= 0, rounded down.
            min_negatives: lowest quota of negatives, >= 0, so that an image without objects
                contributes, too.

        Raises:
            ValueError: a number is out of its range.
        """
        if not 0 <= neg_pos_ratio < math.inf or min_negatives < 0:
            raise ValueError(
                "neg_pos_ratio must be finite and >= 0, and min_negatives >= 0, not "
                f"{neg_pos_ratio} and {min_negatives}"
            )
        super().__init__(positive, negative)
        self.neg_pos_ratio = neg_pos_ratio
        self.min_negatives = min_negatives

    def max_positives(self, num_available: int) -> int:
        return num_available

    def max_negatives(self, num_positives: int) -> int:
        return max(floor_quota(self.neg_pos_ratio * num_positives), self.min_negatives)
