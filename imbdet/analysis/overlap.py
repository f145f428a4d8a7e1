"""How far samplers choose the same candidates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from imbdet.analysis.columns import SIGNS, Chunks, NothingToShow, chosen_by, ratio


@dataclass(frozen=True)
class Overlap:
    """The samplers of one sign and what they have in common.

    Attributes:
        samplers: (S,) names.
        common: (S, S) int64, candidates that both chose; the diagonal is what each chose.
    """

    samplers: Sequence[str]
    common: np.ndarray

    @property
    def jaccard(self) -> np.ndarray:
        """(S, S) common / chosen by any of the two, in [0, 1]; NaN where none chose anything."""
        sizes = self.common.diagonal()
        either = sizes[:, None] + sizes - self.common
        return ratio(self.common, either)


@dataclass(frozen=True)
class Overlaps:
    """The overlap of the samplers of each sign.

    Attributes:
        of_sign: by "positives" and "negatives".
    """

    of_sign: Mapping[str, Overlap]

    def table(self) -> pa.Table:
        """See :class:`Numbers`; a row for each ordered pair."""
        rows = [
            {"sign": sign, "first": a, "second": b, "common": common, "jaccard": jaccard}
            for sign, overlap in self.of_sign.items()
            for i, a in enumerate(overlap.samplers)
            for b, common, jaccard in zip(
                overlap.samplers, overlap.common[i].tolist(), overlap.jaccard[i], strict=True
            )
        ]
        return pa.Table.from_pylist(rows)

    def sentence(self) -> str:
        """See :class:`Numbers`."""
        parts = []
        for sign, overlap in self.of_sign.items():
            # Pairs once, without a sampler that takes everything.
            real = [i for i, name in enumerate(overlap.samplers) if name != "all"]
            pairs = [
                (overlap.jaccard[i, j], overlap.samplers[i], overlap.samplers[j])
                for i in real
                for j in real
                if i < j and not np.isnan(overlap.jaccard[i, j])
            ]
            if pairs:
                value, a, b = min(pairs)
                if value == 1:
                    parts.append(f"of the {sign}, all samplers choose the same")
                else:
                    parts.append(
                        f"of the {sign}, {a} and {b} are least alike (Jaccard index {value:.2f})"
                    )
        return f"Of the same candidates: {'; '.join(parts) or 'nothing was chosen'}."


def overlaps(candidates: Chunks, samplers: Mapping[str, Sequence[str]]) -> Overlaps:
    """Count what each pair of samplers has in common.

    Args:
        candidates: "label" and the samplers' columns.
        samplers: names by "positives" and "negatives".

    Raises:
        NothingToShow: no candidate was chosen.
    """
    common = {sign: np.zeros((len(n), len(n)), dtype=np.int64) for sign, n in samplers.items()}
    for chunk in candidates:
        for sign, names in samplers.items():
            rows = chunk["label"] == SIGNS[sign]
            chosen = np.stack([chunk[chosen_by(name)][rows] for name in names]).astype(np.float64)
            common[sign] += (chosen @ chosen.T).astype(np.int64)
    if not any(counts.any() for counts in common.values()):
        raise NothingToShow("no candidate was chosen.")
    return Overlaps({sign: Overlap(names, common[sign]) for sign, names in samplers.items()})
