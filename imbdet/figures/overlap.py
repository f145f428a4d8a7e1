"""How far samplers choose the same candidates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imbdet.drawing.style import COLOR_MAP, label_panel, new_figure
from imbdet.figures.averages import ratio
from imbdet.figures.columns import SIGNS, Chunks, chosen_by
from imbdet.figures.study import NothingToShow, Study


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
class Overlaps(Study):
    """The overlap of the samplers of each sign.

    Attributes:
        of_sign: by "positives" and "negatives".
    """

    name = "overlap"
    title = "Overlap of the samplers"
    caption = (
        "Jaccard index of what two samplers chose from the same candidates: 1 is the same, 0 "
        "nothing in common."
    )

    of_sign: Mapping[str, Overlap]

    def table(self) -> pa.Table:
        """See :class:`Study`; a row for each ordered pair."""
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
        """See :class:`Study`."""
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

    def draw(self) -> Figure:
        """Positives on the left, negatives on the right."""
        figure = new_figure(3.6, layout="compressed")
        panels = figure.subplots(1, len(self.of_sign))
        for axes, (sign, overlap) in zip(panels, self.of_sign.items(), strict=True):
            mesh = _draw_matrix(axes, overlap)
            label_panel(axes, sign)
        figure.colorbar(mesh, ax=panels, label="Jaccard index", shrink=0.7)
        return figure


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


def _draw_matrix(axes: Axes, overlap: Overlap) -> object:
    jaccard, names = overlap.jaccard, overlap.samplers
    mesh = axes.imshow(np.ma.masked_invalid(jaccard), vmin=0, vmax=1, cmap=COLOR_MAP)
    ticks = range(len(names))
    axes.set_xticks(ticks, names, rotation=45, ha="right")
    axes.set_yticks(ticks, names)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    for (i, j), value in np.ndenumerate(jaccard):
        text = "none" if np.isnan(value) else f"{value:.2f}"
        is_light = np.isnan(value) or sum(mesh.cmap(value)[:3]) > 1.5
        axes.text(
            j, i, text, ha="center", va="center", fontsize=8, color="black" if is_light else "white"
        )
    return mesh
