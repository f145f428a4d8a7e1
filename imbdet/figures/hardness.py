"""How much hard negatives overlap with objects, compared with random ones.

Pang et al., "Libra R-CNN: Towards Balanced Learning for Object Detection", CVPR 2019,
https://arxiv.org/abs/1904.02701, fig. 3: on COCO about 60 % of the hard negatives have an IoU above
0.05, and less than 30 % of those drawn at random.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from imbdet.drawing.style import LINES, new_figure
from imbdet.figures.averages import mean
from imbdet.figures.columns import NEGATIVE, Chunks, chosen_by, sampler_of
from imbdet.figures.study import NothingToShow, Study
from imbdet.wording import percent

COMPARED = ("random", "hard")
THRESHOLD = 0.05
# Bins include their lower edge; the last one includes 1 as well.
EDGES = np.arange(41) / 40


@dataclass(frozen=True)
class Hardness(Study):
    """IoUs of the chosen negatives with their nearest object.

    Attributes:
        counts: by selection, (40,) int64 numbers of negatives.
        num_above: by selection, number of negatives with an IoU above THRESHOLD.
    """

    name = "hardness"
    title = "Hard negatives and overlap"
    caption = (
        "If hard negatives lie to the right of random ones, hardness comes from partial overlap "
        "with objects; if to the left, from look-alikes or from objects that nobody annotated."
    )

    counts: Mapping[str, np.ndarray]
    num_above: Mapping[str, int]

    @property
    def shares_above(self) -> dict[str, float]:
        """By selection, the share of negatives with an IoU above THRESHOLD; NaN of none."""
        return {
            name: mean(self.num_above[name], counts.sum()) for name, counts in self.counts.items()
        }

    def table(self) -> pa.Table:
        """See :class:`Study`."""
        return pa.table({"iou_from": EDGES[:-1], "iou_to": EDGES[1:], **self.counts})

    def sentence(self) -> str:
        """See :class:`Study`."""
        shares = self.shares_above
        return (
            f"{percent(shares['hard'])} of the hard negatives and {percent(shares['random'])} of "
            f"the random ones have an IoU above {THRESHOLD} with an object."
        )

    def draw(self) -> Figure:
        """Two histograms over each other, with the share above the threshold."""
        figure = new_figure(2.8, width=5.0)
        axes = figure.add_subplot()
        last = max(np.flatnonzero(counts)[-1] for counts in self.counts.values() if counts.any())
        edges = EDGES[: last + 2]
        for name, style in zip(COMPARED, LINES, strict=False):
            counts = self.counts[name]
            share = counts / max(counts.sum(), 1)
            label = f"{name}: {percent(self.shares_above[name])} above {THRESHOLD}"
            axes.stairs(
                share[: last + 1], edges, baseline=None, label=label, **{"linewidth": 1.5, **style}
            )
        axes.axvline(THRESHOLD, color="black", linewidth=0.8, linestyle=":")
        axes.set(
            xlim=(0, edges[-1]),
            yscale="log",
            xlabel="IoU of the negative with its nearest object",
            ylabel="share of the chosen negatives",
        )
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g}%")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid()
        axes.legend(title="negatives chosen")
        return figure


def hardness(negatives: Chunks) -> Hardness:
    """Count the IoUs of the random and the hard negatives.

    Args:
        negatives: chunks of any candidates with "label", "iou" and the columns of both samplers.

    Raises:
        NothingToShow: there are no negatives.
    """
    counts = {name: np.zeros(len(EDGES) - 1, dtype=np.int64) for name in COMPARED}
    num_above = dict.fromkeys(COMPARED, 0)
    for chunk in negatives:
        for name in COMPARED:
            rows = chunk[chosen_by(sampler_of(name, "negatives"))] & (chunk["label"] == NEGATIVE)
            ious = chunk["iou"][rows]
            counts[name] += np.histogram(ious, EDGES)[0]
            num_above[name] += int((ious > THRESHOLD).sum())
    if not any(count.any() for count in counts.values()):
        raise NothingToShow("there are no negatives.")
    return Hardness(counts, num_above)
