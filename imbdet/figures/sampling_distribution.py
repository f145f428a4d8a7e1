"""The joint distribution of IoU and loss of what random, hard and prime selection choose."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from matplotlib.figure import Figure

from imbdet.drawing.joint_panels import (
    JointPanel,
    add_grid,
    common_norm,
    finite_edges,
)
from imbdet.drawing.style import new_figure, say
from imbdet.figures.averages import mean
from imbdet.figures.columns import SELECTIONS, SIGNS, Chunks, chosen_by, sampler_of
from imbdet.figures.study import NothingToShow, Study
from imbdet.records import IOU_EDGES, LOSS_EDGES, joint_histogram

_TOO_MANY = "needs a two-stage\ndetector: it compares\nall pairs of negatives"


@dataclass(frozen=True)
class SamplingDistribution(Study):
    """Six histograms over the same candidates.

    Attributes:
        counts: by selection and sign, (20, 35) int64 from :func:`imbdet.records.joint_histogram`,
            or None where the detector lacks the sampler.
        mean_ious: by selection and sign, mean IoU of the chosen candidates; NaN of none.
        mean_losses: by selection and sign, mean of their classification losses; NaN of none.
        takes_all: by sign, whether every selection chose all candidates.
    """

    name = "sampling_distribution"
    title = "What random, hard and prime selection choose"
    caption = (
        "Where samplers differ, hard positives sit at low IoU and high loss, prime ones at high "
        "IoU. A detector without a quota of positives, such as RetinaNet, learns from all of "
        "them. Each cell is the share of the panel's samples with that IoU and that "
        "classification loss, on a logarithmic scale of colours; above and at the right are the "
        "sums of columns and rows."
    )

    counts: Mapping[tuple[str, str], np.ndarray | None]
    mean_ious: Mapping[tuple[str, str], float]
    mean_losses: Mapping[tuple[str, str], float]
    takes_all: Mapping[str, bool]

    def table(self) -> pa.Table:
        """See :class:`Study`; a row for each bin that is not empty."""
        iou_edges = IOU_EDGES.numpy()
        loss_edges = np.concatenate([[0], LOSS_EDGES.numpy(), [np.inf]])
        parts = []
        for (selection, sign), counts in self.counts.items():
            if counts is None:
                continue
            i, j = np.nonzero(counts[:, :-1])
            names = {"selection": np.repeat(selection, len(i)), "sign": np.repeat(sign, len(i))}
            ends = {
                "iou_from": iou_edges[i],
                "iou_to": iou_edges[i + 1],
                "loss_from": loss_edges[j],
                "loss_to": loss_edges[j + 1],
            }
            parts.append(pa.table({**names, **ends, "count": counts[i, j]}))
        return pa.concat_tables(parts)

    def sentence(self) -> str:
        """See :class:`Study`."""
        return f"Mean IoU / mean loss {'; '.join(map(self._describe_sign, SIGNS))}."

    def _describe_sign(self, sign: str) -> str:
        known = [name for name in SELECTIONS if self.counts[name, sign] is not None]
        if self.takes_all[sign]:
            same = self._describe(known[0], sign)
            return f"of the {sign}: {same}, the same for {', '.join(known)}, which take all of them"
        values = ", ".join(f"{name} {self._describe(name, sign)}" for name in known)
        return f"of the {sign}: {values}"

    def _describe(self, selection: str, sign: str) -> str:
        iou, loss = self.mean_ious[selection, sign], self.mean_losses[selection, sign]
        return "none" if np.isnan(iou) else f"{iou:.2f} / {loss:.3g}"

    def draw(self) -> Figure:
        """Positives above, negatives below; random, hard and prime from left to right."""
        shares = {
            key: None if counts is None else counts[:, :-1] / max(counts[:, :-1].sum(), 1)
            for key, counts in self.counts.items()
        }
        known = {key: share for key, share in shares.items() if share is not None}
        edges = IOU_EDGES.numpy(), finite_edges(LOSS_EDGES.numpy())
        norm = common_norm(known.values())
        used_losses = np.any([share.any(axis=0) for share in known.values()], axis=0)
        figure = new_figure(5.6)
        grid = add_grid(figure, len(SIGNS), len(SELECTIONS))
        first = next(iter(SELECTIONS))
        for i, sign in enumerate(SIGNS):
            of_sign = [share for key, share in known.items() if key[1] == sign]
            used_ious = np.any([share.any(axis=1) for share in of_sign], axis=0)
            for j, selection in enumerate(SELECTIONS):
                share = shares[selection, sign]
                is_same = selection != first and _is_same(share, shares[first, sign])
                panel = JointPanel(grid, (i, j), *edges, norm)
                panel.show(
                    np.zeros_like(of_sign[0]) if is_same or share is None else share,
                    f"{selection} {sign}\n({sampler_of(selection, sign)})",
                )
                panel.zoom(used_ious[:, None] & used_losses)
                if share is None:
                    say(panel.axes, _TOO_MANY)
                elif is_same:
                    say(panel.axes, f"the same\nas {first}")
                elif not share.any():
                    say(panel.axes, "none was chosen")
                panel.axes.tick_params(labelleft=j == 0)
                if j == 0:
                    panel.axes.set_ylabel("classification loss")
        label = "share of the chosen"
        figure.colorbar(panel.mesh, ax=figure.axes, label=label, shrink=0.6, pad=0.01)
        return figure


def sampling_distribution(candidates: Chunks) -> SamplingDistribution:
    """Count what each selection chose.

    Args:
        candidates: chunks with "label", "iou", "cls_loss" and the columns of the samplers.

    Raises:
        NothingToShow: no candidate was chosen.
    """
    keys = [(selection, sign) for sign in SIGNS for selection in SELECTIONS]
    counts: dict[tuple[str, str], np.ndarray | None] = dict.fromkeys(keys)
    sums = {key: np.zeros(3) for key in keys}  # number, sum of IoUs, sum of losses
    num_available = dict.fromkeys(SIGNS, 0)
    for chunk in candidates:
        for sign, label in SIGNS.items():
            num_available[sign] += int((chunk["label"] == label).sum())
        for selection, sign in keys:
            column = chosen_by(sampler_of(selection, sign))
            if column not in chunk:
                continue
            rows = chunk[column] & (chunk["label"] == SIGNS[sign])
            ious, losses = chunk["iou"][rows], chunk["cls_loss"][rows]
            histogram = joint_histogram(torch.from_numpy(ious), torch.from_numpy(losses)).numpy()
            previous = counts[selection, sign]
            counts[selection, sign] = histogram if previous is None else previous + histogram
            sums[selection, sign] += [len(ious), ious.sum(dtype=float), losses.sum(dtype=float)]
    if not any(total[0] for total in sums.values()):
        raise NothingToShow("no candidate was chosen.")
    takes_all = {}
    for sign, number in num_available.items():
        chosen = [sums[key][0] for key in keys if key[1] == sign and counts[key] is not None]
        takes_all[sign] = number > 0 and min(chosen) == number
    return SamplingDistribution(
        counts,
        mean_ious={key: mean(total[1], total[0]) for key, total in sums.items()},
        mean_losses={key: mean(total[2], total[0]) for key, total in sums.items()},
        takes_all=takes_all,
    )


def _is_same(share: np.ndarray | None, other: np.ndarray | None) -> bool:
    return share is not None and other is not None and share.any() and np.array_equal(share, other)
