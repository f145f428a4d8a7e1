"""Sampling for one-stage detectors: all positives and a fixed number of negatives for each."""

from typing import Annotated

from imbdet.methods.options import Range, checked
from imbdet.samplers.sampler import PairSampler, PoolSampler, Quota, floor_quota


@checked
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
        neg_pos_ratio: Annotated[float, Range(0, below=True)] = 3.0,
        min_negatives: Quota,
    ):
        """Combine two samplers.

        Args:
            positive: sampler of the positives; its quota is all of them.
            negative: sampler of the negatives.
            neg_pos_ratio: quota of negatives per positive of the image, rounded down.
            min_negatives: lowest quota of negatives, so that an image without objects contributes,
                too.
        """
        super().__init__(positive, negative)
        self.neg_pos_ratio = neg_pos_ratio
        self.min_negatives = min_negatives

    def max_positives(self, num_available: int) -> int:
        return num_available

    def max_negatives(self, num_positives: int) -> int:
        return max(floor_quota(self.neg_pos_ratio * num_positives), self.min_negatives)
