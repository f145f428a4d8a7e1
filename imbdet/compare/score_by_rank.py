"""What importance-based reweighting (ISR) does to the scores: their mean by hierarchical rank.

Cao et al., "Prime Sample Attention in Object Detection", CVPR 2020,
https://arxiv.org/abs/1904.04821: prime samples come first, and shall gain most.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from imbdet.analysis.columns import NEGATIVE, POSITIVE, NothingToShow
from imbdet.analysis.tables import PartReader
from imbdet.compare.binned_scores import BinnedScores, bin_scores

# Ranks 0, 1, 2-3, 4-7, ..., 1024 and more.
EDGES = np.concatenate([[0], 2 ** np.arange(12)])
RANKINGS = {"positives": ("IoU-HLR", POSITIVE), "negatives": ("Score-HLR", NEGATIVE)}


@dataclass(frozen=True)
class ScoreByRank:
    """Mean scores by hierarchical local rank, 0 first.

    Attributes:
        of_sign: "positives" by IoU-HLR in image and class, "negatives" by Score-HLR in image, those
            that have candidates with a rank.
    """

    of_sign: Mapping[str, BinnedScores]

    def table(self) -> pa.Table:
        """See :class:`Numbers`; a row for each sign, run and bin."""
        parts = [
            numbers.table().append_column("sign", pa.array([sign] * len(numbers.table())))
            for sign, numbers in self.of_sign.items()
        ]
        return pa.concat_tables(parts)

    def sentence(self) -> str:
        """See :class:`Numbers`."""
        parts = [
            f"the first {sign} of {RANKINGS[sign][0]} {numbers.describe(0)}"
            for sign, numbers in self.of_sign.items()
        ]
        left_out = "".join(f" No {sign} have a rank." for sign in RANKINGS.keys() - self.of_sign)
        return f"Change of the mean score: {'; '.join(parts)}.{left_out}"


def score_by_rank(runs: Mapping[str, PartReader]) -> ScoreByRank:
    """Average the scores by rank.

    Args:
        runs: by run, the baseline first, the tables of candidates.

    Raises:
        NothingToShow: no candidate has a rank.
    """
    of_sign = {}
    for sign, (_, label) in RANKINGS.items():
        chunks = {
            run: (
                (chunk["hierarchical_rank"].astype(float), chunk["score"])
                for chunk in reader.chunks(["hierarchical_rank", "score"], ("label", label))
            )
            for run, reader in runs.items()
        }
        numbers = bin_scores(EDGES, chunks)
        if any(counts.any() for counts in numbers.counts.values()):
            of_sign[sign] = numbers
    if not of_sign:
        raise NothingToShow("no candidate has a rank.")
    return ScoreByRank(of_sign)
