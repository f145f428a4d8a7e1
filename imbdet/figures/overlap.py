"""How far samplers choose the same candidates, and assigners the same positives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from imbdet.drawing.annotated_matrix import draw_matrix
from imbdet.drawing.style import label_panel, new_figure
from imbdet.figures.averages import ratio
from imbdet.figures.columns import SIGNS, Chunks, chosen_by, object_by
from imbdet.figures.study import NothingToShow, Study

# More samplers or assigners leave little room for each number.
_MOST_LARGE = 7


@dataclass(frozen=True)
class Overlap:
    """The samplers of one sign, or the assigners, and the candidates that they have in common.

    Attributes:
        names: (S,) names of the samplers or assigners.
        common: (S, S) int64 numbers of candidates that both chose; the diagonal is of each one.
        kind: "samplers" or "assigners".
    """

    names: Sequence[str]
    common: np.ndarray
    kind: str = "samplers"

    @property
    def jaccard(self) -> np.ndarray:
        """(S, S) common / chosen by any of the two, in [0, 1]; NaN where none chose anything."""
        sizes = self.common.diagonal()
        either = sizes[:, None] + sizes - self.common
        return ratio(self.common, either)


@dataclass(frozen=True)
class Overlaps(Study):
    """The overlap of the samplers of each sign.

    Attributes:
        of_sign: overlap by "positives" and "negatives".
    """

    name = "overlap"
    title = "Overlap of samplers and assigners"
    caption = (
        "Jaccard index of what two samplers chose from the same candidates, or of what two "
        "assigners made positive for the same object: 1 is the same, 0 nothing in common."
    )

    of_sign: Mapping[str, Overlap]

    def table(self) -> pa.Table:
        """See :class:`Study`; a row for each ordered pair."""
        rows = [
            {"sign": sign, "first": a, "second": b, "common": common, "jaccard": jaccard}
            for sign, overlap in self.of_sign.items()
            for i, a in enumerate(overlap.names)
            for b, common, jaccard in zip(
                overlap.names, overlap.common[i].tolist(), overlap.jaccard[i], strict=True
            )
        ]
        return pa.Table.from_pylist(rows)

    def sentence(self) -> str:
        """See :class:`Study`."""
        parts = []
        for sign, overlap in self.of_sign.items():
            # Each pair once, without a sampler that takes everything.
            real = [i for i, name in enumerate(overlap.names) if name != "all"]
            pairs = [
                (overlap.jaccard[i, j], overlap.names[i], overlap.names[j])
                for i in real
                for j in real
                if i < j and not np.isnan(overlap.jaccard[i, j])
            ]
            if pairs:
                value, a, b = min(pairs)
                if value == 1:
                    parts.append(f"of the {sign}, all {overlap.kind} choose the same")
                else:
                    parts.append(
                        f"of the {sign}, {a} and {b} are least alike (Jaccard index {value:.2f})"
                    )
        return f"Of the same candidates: {'; '.join(parts) or 'nothing was chosen'}."

    def draw(self) -> Figure:
        """Positives on the left, negatives on the right."""
        most = max(len(overlap.names) for overlap in self.of_sign.values())
        figure = new_figure(3.6 if most <= _MOST_LARGE else 4.4, layout="compressed")
        sizes = [max(len(overlap.names), 6) for overlap in self.of_sign.values()]
        panels = figure.subplots(1, len(self.of_sign), width_ratios=sizes)
        for axes, (sign, overlap) in zip(panels, self.of_sign.items(), strict=True):
            is_small = len(overlap.names) > _MOST_LARGE
            mesh = draw_matrix(axes, overlap.jaccard, overlap.names, is_small=is_small)
            axes.set_yticks(range(len(overlap.names)), overlap.names)
            label_panel(axes, sign if overlap.kind == "samplers" else f"{sign}, by assigner")
        figure.colorbar(mesh, ax=panels, label="Jaccard index", shrink=0.7)
        return figure


def overlaps(
    candidates: Chunks,
    samplers: Mapping[str, Sequence[str]],
    assigners: Sequence[str] = (),
) -> Overlaps:
    """Count the candidates that each pair of samplers, or of assigners, has in common.

    Args:
        candidates: chunks with "label" and the columns of samplers and assigners.
        samplers: names of samplers by "positives" and "negatives".
        assigners: names of assigners; if there are any, they replace the samplers of positives.

    Raises:
        NothingToShow: no candidate was chosen.
    """
    if assigners:
        samplers = {sign: names for sign, names in samplers.items() if sign != "positives"}
    same = np.zeros((len(assigners), len(assigners)), dtype=np.int64)
    common = {sign: np.zeros((len(n), len(n)), dtype=np.int64) for sign, n in samplers.items()}
    for chunk in candidates:
        for sign, names in samplers.items():
            rows = chunk["label"] == SIGNS[sign]
            chosen = np.stack([chunk[chosen_by(name)][rows] for name in names]).astype(np.float64)
            common[sign] += (chosen @ chosen.T).astype(np.int64)
        if assigners:
            objects = np.stack([chunk[object_by(name)] for name in assigners])  # (A, M)
            for row, own in enumerate(objects):
                same[row] += ((objects == own) & (own >= 0)).sum(axis=1)
    if not any(counts.any() for counts in (same, *common.values())):
        raise NothingToShow("no candidate was chosen.")
    of_sign = {"positives": Overlap(assigners, same, "assigners")} if assigners else {}
    of_sign |= {sign: Overlap(names, common[sign]) for sign, names in samplers.items()}
    return Overlaps(of_sign)
