"""The joint distribution of IoU and loss of what random, hard and prime selection choose."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch

from imbdet.analysis.columns import (
    SELECTIONS,
    SIGNS,
    Chunks,
    NothingToShow,
    chosen_by,
    mean,
    sampler_of,
)
from imbdet.records import IOU_EDGES, LOSS_EDGES, joint_histogram


@dataclass(frozen=True)
class SamplingDistribution:
    """Six histograms over the same candidates.

    Attributes:
        counts: by selection and sign; (20, 35) int64 as :func:`imbdet.records.joint_histogram`
            gives them, or None where the detector has no such sampler.
        mean_ious: by selection and sign, of the chosen candidates; NaN of none.
        mean_losses: the same of their classification losses.
        takes_all: by sign, whether every selection chose all candidates.
    """

    counts: Mapping[tuple[str, str], np.ndarray | None]
    mean_ious: Mapping[tuple[str, str], float]
    mean_losses: Mapping[tuple[str, str], float]
    takes_all: Mapping[str, bool]

    def table(self) -> pa.Table:
        """See :class:`Numbers`; a row for each bin that is not empty."""
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
        """See :class:`Numbers`."""
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


def sampling_distribution(candidates: Chunks) -> SamplingDistribution:
    """Count what each selection chose.

    Args:
        candidates: their "label", "iou", "cls_loss" and the columns of the samplers that there are.

    Raises:
        NothingToShow: no candidate was chosen.
    """
    keys = [(selection, sign) for sign in SIGNS for selection in SELECTIONS]
    counts: dict[tuple[str, str], np.ndarray | None] = dict.fromkeys(keys)
    sums = {key: np.zeros(3) for key in keys}  # of ones, IoUs and losses
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
