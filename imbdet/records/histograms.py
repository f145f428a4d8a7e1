"""Joint histograms of IoU and loss, with fixed edges: exact, and the same for all runs."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from imbdet.ops.precision import at_least_float32
from imbdet.structures import Candidates
from imbdet.untrusted.npz import read_npz

# Bins include their lower edge; the last bin of the IoU includes 1 as well.
IOU_EDGES = torch.arange(21) / 20
# Four bins per factor of 10; further bins: losses beyond both ends, and unknown losses.
LOSS_EDGES = (10 ** torch.linspace(-6, 2, 33, dtype=torch.float64)).float()
NUM_IOU_BINS = len(IOU_EDGES) - 1
NUM_LOSS_BINS = len(LOSS_EDGES) + 2
# Side of a bin in a picture, in pixels.
CELL_SIZE = 12

KINDS = ("available", "chosen")
SIGNS = ("pos", "neg")


def joint_histogram(ious: Tensor, losses: Tensor | None = None) -> Tensor:
    """Count samples by IoU and loss.

    Args:
        ious: (M,) IoUs in [0, 1].
        losses: (M,) losses >= 0, NaN where unknown; None if all are unknown.

    Returns:
        (20, 35) int64. The columns are: losses below ``LOSS_EDGES[0]``, 32 bins, losses from
        ``LOSS_EDGES[-1]`` on, unknown losses.
    """
    if losses is None:
        losses = torch.full_like(ious, torch.nan)
    ious, losses = at_least_float32(ious).contiguous(), at_least_float32(losses).contiguous()
    rows = torch.bucketize(ious, IOU_EDGES[1:-1].to(ious), right=True)
    columns = torch.bucketize(losses, LOSS_EDGES.to(losses), right=True)
    columns = columns.masked_fill(losses.isnan(), NUM_LOSS_BINS - 1)
    bins = rows * NUM_LOSS_BINS + columns
    counts = bins.bincount(minlength=NUM_IOU_BINS * NUM_LOSS_BINS)
    return counts.view(NUM_IOU_BINS, NUM_LOSS_BINS)


class JointHistograms:
    """Histograms of the positives and negatives, available and chosen, of a detector's sites.

    Attributes:
        counts: (sites, 2, 2, 20, 35) int64 on the samples' device; the second axis is KINDS, the
            third SIGNS.
    """

    def __init__(self, sites: Sequence[str], device: torch.device | str = "cpu"):
        """Start at 0.

        Args:
            sites: names of the places in the detector that take samples.
            device: device of the samples.
        """
        self.sites = list(sites)
        shape = (len(sites), len(KINDS), len(SIGNS), NUM_IOU_BINS, NUM_LOSS_BINS)
        self.counts = torch.zeros(shape, dtype=torch.int64, device=device)

    def add(self, site: str, kind: str, candidates: Candidates, losses: Tensor | None) -> None:
        """Add candidates or samples to the counts; ignored ones do not count.

        Args:
            site: one of the sites.
            kind: one of KINDS.
            candidates: M candidates.
            losses: (M,) classification losses of the candidates, or None.
        """
        counts = self.counts[self.sites.index(site), KINDS.index(kind)]
        masks = candidates.is_positive, candidates.is_negative
        for of_sign, mask in zip(counts, masks, strict=True):
            losses_of_sign = None if losses is None else losses[mask]
            of_sign += joint_histogram(candidates.ious[mask], losses_of_sign)

    def take(self) -> np.ndarray:
        """Return the counts so far, on the CPU, and start at 0 again."""
        counts: np.ndarray = self.counts.cpu().numpy().copy()
        self.counts.zero_()
        return counts

    def named(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """(20, 35) counts by names such as "roi_heads/neg_chosen".

        Args:
            counts: counts in the shape of :attr:`counts`.
        """
        return {
            f"{site}/{sign}_{kind}": counts[i, j, k]
            for i, site in enumerate(self.sites)
            for j, kind in enumerate(KINDS)
            for k, sign in enumerate(SIGNS)
        }


def picture(counts: np.ndarray) -> np.ndarray:
    """A histogram as an image: IoU to the right, loss upwards, darker where there are more samples.

    Args:
        counts: (20, 35); those of unknown loss are left out.

    Returns:
        (3, height, width) uint8, grey by the logarithm of the counts.
    """
    shades = np.log1p(counts[:, -2::-1].T)  # (34, 20), the highest losses first
    grey = 255 * (1 - shades / max(shades.max(), 1))
    cells = grey.astype(np.uint8).repeat(CELL_SIZE, axis=0).repeat(CELL_SIZE, axis=1)
    return np.stack([cells] * 3)


def to_npz(named: Mapping[str, np.ndarray], num_batches: int) -> bytes:
    """The content of a file for :func:`read_histograms`.

    Args:
        named: see :meth:`JointHistograms.named`.
        num_batches: number of batches that were counted.
    """
    file = io.BytesIO()
    edges = {"iou_edges": IOU_EDGES.numpy(), "loss_edges": LOSS_EDGES.numpy()}
    # mypy: a name in ``named`` might be that of a parameter of numpy's.
    np.savez_compressed(file, num_batches=num_batches, **edges, **named)  # type: ignore[arg-type]
    return file.getvalue()


def read_histograms(folder: str | Path) -> dict[str, np.ndarray]:
    """The sums of all files in a folder of histograms, by names such as "roi_heads/neg_chosen".

    Returns:
        (20, 35) int64 counts; see :func:`joint_histogram`. Beside them "num_batches".
    """
    sums: dict[str, np.ndarray] = {}
    for path in sorted(Path(folder).glob("*.npz")):
        for name, counts in read_npz(path).items():
            if not name.endswith("_edges"):
                sums[name] = sums.get(name, 0) + counts
    return sums
