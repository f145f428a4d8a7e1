"""The gain in AP from raising the scores of a few prime positives, compared with many.

Cao et al., "Prime Sample Attention in Object Detection", CVPR 2020,
https://arxiv.org/abs/1904.04821, sec. 3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from imbdet.drawing.style import LINES, label_panel, new_figure
from imbdet.figures.study import Study

# Numbers of positives of an image whose scores are raised: those with the lowest IoU-HLR.
TOPS = (5, 25)
BASELINE = "as it is"


@dataclass(frozen=True)
class Boosting(Study):
    """AP and precision after the boosts.

    Attributes:
        ap: AP in percent by variant.
        precisions: by variant and IoU threshold, (101,) mean precision over the classes at the
            recalls 0, 0.01, ..., 1.
        decreases: by number of TOPS, total decrease of the cross-entropy.
        num_boosted: by number of TOPS, number of boosted positives of all images.
    """

    name = "boosting"
    title = "Boosting few positives or many"
    caption = (
        "The detector as it is, and after the scores of each image's first 5 or 25 positives were "
        "raised at an equal fall of the loss: a higher curve for the top 5 says that few prime "
        "positives are worth more than many."
    )

    ap: Mapping[str, float]
    precisions: Mapping[tuple[str, float], np.ndarray]
    decreases: Mapping[int, float]
    num_boosted: Mapping[int, int]

    def table(self) -> pa.Table:
        """See :class:`Study`; a row for each variant, threshold and recall."""
        recalls = np.linspace(0, 1, 101)
        parts = [
            {
                "variant": [variant] * len(recalls),
                "iou_threshold": np.full(len(recalls), threshold),
                "recall": recalls,
                "precision": precision,
                "AP_at_threshold": np.full(len(recalls), ap_of(precision)),
                "AP_over_thresholds": np.full(len(recalls), self.ap[variant]),
            }
            for (variant, threshold), precision in self.precisions.items()
        ]
        return pa.concat_tables([pa.table(part) for part in parts])

    def sentence(self) -> str:
        """See :class:`Study`."""
        values = ", ".join(f"{variant} {value:.1f}" for variant, value in self.ap.items())
        falls = " and ".join(dict.fromkeys(f"{self.decreases[top]:.4g}" for top in TOPS))
        counts = " and ".join(f"{self.num_boosted[top]:,} ({variant_name(top)})" for top in TOPS)
        return (
            f"AP: {values}. Each boost raises scores until the classification loss, summed over "
            f"all images, is lower by {falls}; it raises those of {counts} positives."
        )

    def draw(self) -> Figure:
        """A panel for each IoU threshold, a curve for each variant with its AP there."""
        thresholds = sorted({threshold for _, threshold in self.precisions})
        figure = new_figure(3.7)
        panels = figure.subplots(1, len(thresholds), sharey=True)
        recalls = np.linspace(0, 1, 101)
        for axes, threshold in zip(panels, thresholds, strict=True):
            for variant, style in zip(variants(), LINES, strict=False):
                curve = self.precisions[variant, threshold]
                axes.plot(recalls, curve, label=f"{variant}: AP {ap_of(curve):.1f}", **style)
            axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall")
            axes.grid()
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2))  # below, off the curves
            label_panel(axes, f"IoU {threshold:g}")
        panels[0].set_ylabel("precision")
        of_all = [f"{variant}: AP {self.ap[variant]:.1f}" for variant in variants()]
        figure.legend(
            panels[0].get_lines(),
            of_all,
            title="over IoU 0.5 to 0.95",
            loc="outside lower center",
            ncols=len(of_all),
        )
        return figure


def ap_of(precision: np.ndarray) -> float:
    """AP in percent at the IoU threshold of a curve (101,) in [0, 1]."""
    return 100 * float(precision.mean())


def variant_name(top: int) -> str:
    """The name of a boost."""
    return f"top {top}"


def variants() -> Sequence[str]:
    """The names of all variants."""
    return [BASELINE, *map(variant_name, TOPS)]
