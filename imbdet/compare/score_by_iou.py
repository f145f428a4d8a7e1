"""What classification-aware regression (CARL) does to the scores: mean score by IoU.

Cao et al., "Prime Sample Attention in Object Detection", CVPR 2020,
https://arxiv.org/abs/1904.04821: boxes that fit shall score higher, and the others lower.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from imbdet.analysis.columns import POSITIVE, NothingToShow
from imbdet.analysis.tables import PartReader
from imbdet.compare.binned_scores import BinnedScores, bin_scores

EDGES = np.arange(11) / 10


@dataclass(frozen=True)
class ScoreByIoU:
    """Mean scores of the positives by IoU after regression, in tenths."""

    of_positives: BinnedScores

    def table(self) -> pa.Table:
        """See :class:`Numbers`."""
        return self.of_positives.table()

    def sentence(self) -> str:
        """See :class:`Numbers`."""
        parts = [
            f"{self.of_positives.describe(i)} at an IoU of {EDGES[i]:g} to {EDGES[i + 1]:g}"
            for i in (5, 9)
        ]
        return f"Change of the positives' mean score: {'; '.join(parts)}."


def score_by_iou(runs: Mapping[str, PartReader]) -> ScoreByIoU:
    """Average the scores of the positives by IoU.

    Args:
        runs: by run, the baseline first, the tables of candidates.

    Raises:
        NothingToShow: there are no positives.
    """
    numbers = bin_scores(
        EDGES,
        {
            run: (
                (chunk["pred_iou"], chunk["score"])
                for chunk in reader.chunks(["pred_iou", "score"], ("label", POSITIVE))
            )
            for run, reader in runs.items()
        },
    )
    if not any(counts.any() for counts in numbers.counts.values()):
        raise NothingToShow("there are no positives.")
    return ScoreByIoU(numbers)
